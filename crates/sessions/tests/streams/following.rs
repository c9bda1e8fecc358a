//! Reading: every event once and in order, for many, for slow ones, and only
//! for those who may.

use std::sync::Arc;

use futures_util::future::join_all;
use kernel::Rng;
use pg::testing::TestDb;
use sessions::streams::Step;
use uuid::Uuid;

use crate::support::{Node, PATIENCE, Seen, below, piece, service, sql, stream, user, user_with};

const STREAMS: usize = 50;
const WATCHERS: usize = 500;
const EVENTS: i64 = 120;

/// A watcher who comes back twice, to either node.
async fn watch(nodes: Arc<[Node; 2]>, stream: Uuid, owner: String, dice: u64) -> Seen {
    let rng = Rng::seeded(dice);
    let mut points = [
        below(&rng, EVENTS.unsigned_abs()),
        below(&rng, EVENTS.unsigned_abs()),
    ];
    points.sort_unstable();
    let mut seen = Seen::default();
    for until in [points[0].cast_signed(), points[1].cast_signed(), EVENTS] {
        let node = &nodes[usize::try_from(below(&rng, 2)).unwrap()];
        let caller = user(&owner);
        let watching = node.streams.watch(&caller, stream, seen.last).await;
        seen.until(&mut watching.unwrap(), until).await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_watchers_see_every_event_once_and_in_order() {
    let db = TestDb::new().await;
    let nodes = Arc::new([Node::new(&db), Node::new(&db)]);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let owner = format!("owner-{number}");
        streams.push((stream(&db, &owner).await, owner));
    }
    let watchers = (0..WATCHERS).map(|number| {
        let (stream, owner) = streams[number % STREAMS].clone();
        let seed = u64::try_from(number).unwrap();
        nodes[0]
            .tasks
            .spawn("watcher", watch(Arc::clone(&nodes), stream, owner, seed))
    });
    let watchers: Vec<_> = watchers.collect();
    let writers = streams.iter().enumerate().map(|(number, (id, _))| {
        let rng = Rng::seeded(u64::try_from(number).unwrap());
        let nodes = Arc::clone(&nodes);
        async move {
            let mut next = 0;
            while next < EVENTS {
                let node = &nodes[usize::try_from(below(&rng, 2)).unwrap()];
                let count = (1 + below(&rng, 9)).cast_signed().min(EVENTS - next);
                // Now and then what was sent before is sent again.
                let first = next - below(&rng, 4).cast_signed().min(next);
                let count = count + next - first;
                let appender = node.streams.appender();
                let told = appender.append(piece(*id, "p", first, count)).await;
                next = told.unwrap().next_n.unwrap();
            }
        }
    });
    join_all(writers).await;
    for watcher in watchers {
        let seen = watcher.await.unwrap();
        assert_eq!(seen.of_producers["p"], (0..EVENTS).collect::<Vec<_>>());
    }
    assert_eq!(nodes[0].streams.watchers() + nodes[1].streams.watchers(), 0);
    assert_eq!(nodes[0].streams.watched(), 0, "tails go with the last");
    for node in nodes.iter() {
        node.tasks.stop().await;
    }
}

#[tokio::test]
async fn who_lags_reads_pages_and_misses_nothing() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let ann = user("ann");
    let mut slow = node.streams.watch(&ann, id, 0).await.unwrap();
    let mut quick = node.streams.watch(&ann, id, 0).await.unwrap();
    let (mut slow_seen, mut quick_seen) = (Seen::default(), Seen::default());
    // Far more than a tail keeps.
    for round in 0..5 {
        let appender = node.streams.appender();
        appender
            .append(piece(id, "p", round * 900, 900))
            .await
            .unwrap();
        quick_seen.until(&mut quick, (round + 1) * 900).await;
        slow_seen.until(&mut slow, (round + 1) * 50).await;
    }
    slow_seen.until(&mut slow, 4500).await;
    assert_eq!(slow_seen.of_producers, quick_seen.of_producers);
    node.tasks.stop().await;
}

async fn end(watching: &mut sessions::streams::Watching) -> &'static str {
    let ending = async {
        loop {
            if let Step::End(end) = watching.next().await {
                return end.code();
            }
        }
    };
    tokio::time::timeout(PATIENCE, ending).await.unwrap()
}

#[tokio::test]
async fn only_who_may_read_watches_and_only_as_long() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let unknown = Uuid::from_u128(1);
    let code = async |caller: &kernel::Caller, stream| {
        let refused = node.streams.watch(caller, stream, 0).await;
        refused.err().map(|error| error.code())
    };
    let anon = kernel::Caller::anonymous("anon");
    for stream in [id, unknown] {
        assert_eq!(code(&user("ben"), stream).await, Some("not_found"));
        assert_eq!(code(&anon, stream).await, Some("unauthorized"));
    }
    assert_eq!(code(&user("ann"), id).await, None);
    assert_eq!(code(&service(), id).await, None);
    let beyond = node.streams.watch(&user("ann"), id, 1).await;
    assert_eq!(beyond.err().map(|error| error.code()), Some("invalid"));

    // A token that ends while it is used.
    let soon = kernel::Clock::system().now().as_second() + 1;
    let brief = user_with("ann", &format!(", \"exp\": {soon}"));
    let mut watching = node.streams.watch(&brief, id, 0).await.unwrap();
    assert_eq!(end(&mut watching).await, "token_expired");

    // A stream that ends while it is watched.
    let mut watching = node.streams.watch(&user("ann"), id, 0).await.unwrap();
    let delete = "DELETE FROM work.streams WHERE id = $1::text::uuid";
    sql(&db, delete, &[&id.to_string()]).await;
    assert_eq!(end(&mut watching).await, "not_found");
    node.tasks.stop().await;
}

#[tokio::test]
async fn another_node_s_events_come_without_being_told() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let mut watching = node.streams.watch(&user("ann"), id, 0).await.unwrap();
    // The first may be seen in passing; the second only by looking, since
    // nobody notifies.
    let append = "SELECT work_engine.append(ARRAY[$1::text::uuid], ARRAY[NULL::uuid], '{note}', ARRAY['{}'::jsonb])";
    let mut seen = Seen::default();
    for last in 1..=3 {
        sql(&db, append, &[&id.to_string()]).await;
        seen.until(&mut watching, last).await;
    }
    node.tasks.stop().await;
}

#[tokio::test]
async fn who_may_not_watch_any_more_is_sent_away() {
    let db = TestDb::new().await;
    let node = Node::asking(&db, std::time::Duration::from_millis(50));
    let id = stream(&db, "ann").await;
    let mut watching = node.streams.watch(&user("ann"), id, 0).await.unwrap();
    let mut kept = node.streams.watch(&service(), id, 0).await.unwrap();
    let give = "UPDATE work.streams SET owner = 'ben' WHERE id = $1::text::uuid";
    sql(&db, give, &[&id.to_string()]).await;
    assert_eq!(end(&mut watching).await, "not_found");
    let appender = node.streams.appender();
    appender.append(piece(id, "p", 0, 1)).await.unwrap();
    Seen::default().until(&mut kept, 1).await;
    node.tasks.stop().await;
}

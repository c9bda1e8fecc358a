//! Writing: once each, numbered, in order, and nobody else's trouble.

use pg::testing::TestDb;
use sessions::streams::{AppendError, Appended, Piece, Producer};

use crate::support::{Node, Seen, event, piece, service, sql, stream};

const COUNT: &str = "SELECT count(*) FROM work.events WHERE stream_id = $1::text::uuid";

fn taken(next_n: i64, fresh: usize) -> Appended {
    Appended {
        next_n: Some(next_n),
        fresh,
    }
}

#[tokio::test]
async fn what_is_sent_twice_is_there_once() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let append = |first, count| node.streams.appender().append(piece(id, "p", first, count));
    assert_eq!(append(0, 3).await.unwrap(), taken(3, 3));
    assert_eq!(append(0, 3).await.unwrap(), taken(3, 0));
    assert_eq!(append(1, 4).await.unwrap(), taken(5, 2));
    assert_eq!(append(0, 1).await.unwrap(), taken(5, 0));
    assert_eq!(append(5, 0).await.unwrap(), taken(5, 0), "a question");
    let gap = append(7, 1).await.unwrap_err();
    assert!(matches!(gap, AppendError::Gap { next_n: 5 }), "{gap}");
    let first = node.streams.appender().append(piece(id, "q", 1, 1)).await;
    assert!(matches!(first, Err(AppendError::Gap { next_n: 0 })));
    assert_eq!(sql(&db, COUNT, &[&id.to_string()]).await.unwrap(), "5");

    // Handed in together: those that follow are one entry, a repetition waits.
    let (a, b, c) = tokio::join!(append(5, 2), append(7, 2), append(5, 5));
    assert_eq!(a.unwrap(), taken(7, 2));
    assert_eq!(b.unwrap(), taken(9, 2));
    assert_eq!(c.unwrap(), taken(10, 1));
    let mut seen = Seen::default();
    let mut watching = node.streams.watch(&service(), id, 0).await.unwrap();
    seen.until(&mut watching, 10).await;
    assert_eq!(seen.of_producers["p"], (0..10).collect::<Vec<_>>());
    node.tasks.stop().await;
}

#[tokio::test]
async fn two_nodes_that_repeat_each_other_write_once() {
    let db = TestDb::new().await;
    let (one, two) = (Node::new(&db), Node::new(&db));
    let id = stream(&db, "ann").await;
    for n in 0..30 {
        let (a, b) = tokio::join!(
            one.streams.appender().append(piece(id, "p", n * 3, 3)),
            two.streams.appender().append(piece(id, "p", n * 3, 3)),
        );
        assert_eq!(a.unwrap().fresh + b.unwrap().fresh, 3);
    }
    let mut seen = Seen::default();
    let mut watching = two.streams.watch(&service(), id, 0).await.unwrap();
    seen.until(&mut watching, 90).await;
    assert_eq!(seen.of_producers["p"], (0..90).collect::<Vec<_>>());
    one.tasks.stop().await;
    two.tasks.stop().await;
}

const JOB: &str = "INSERT INTO work.jobs (id, root_id, stream_id, type, state, epoch) \
     SELECT i, i, $1::text::uuid, 'render', 'running', 2 FROM (SELECT work.uuid_v7() AS i) AS x RETURNING id";
const SET: &str = "UPDATE work.jobs SET state = $2, waiting_on = nullif($3, ''), epoch = $4::text::integer WHERE id = $1::text::uuid";

#[tokio::test]
async fn a_claim_that_lost_its_job_is_not_heard() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let other = stream(&db, "ann").await;
    let job = sql(&db, JOB, &[&id.to_string()]).await.unwrap();
    let append = |stream, epoch: i32, first| {
        let name = format!("{job}:{epoch}:text");
        node.streams
            .appender()
            .append(piece(stream, &name, first, 2))
    };
    assert_eq!(append(id, 2, 0).await.unwrap(), taken(2, 2));
    let about = "SELECT count(*) FROM work.events WHERE job_id = $1::text::uuid";
    assert_eq!(sql(&db, about, &[&job]).await.unwrap(), "2");
    let stale = |outcome: Result<Appended, AppendError>| {
        assert!(matches!(outcome, Err(AppendError::Stale)), "{outcome:?}");
    };
    stale(append(id, 1, 0).await);
    stale(append(id, 3, 0).await);
    // Another log than its own.
    stale(append(other, 2, 0).await);
    for (state, waiting_on) in [("running", "approval"), ("paused", ""), ("completed", "")] {
        sql(&db, SET, &[&job, state, waiting_on, "2"]).await;
        stale(append(id, 2, 2).await);
    }
    sql(&db, SET, &[&job, "running", "", "3"]).await;
    stale(append(id, 2, 2).await);
    assert_eq!(append(id, 3, 0).await.unwrap(), taken(2, 2));
    let unknown = format!("{}:1:text", uuid::Uuid::from_u128(7));
    stale(
        node.streams
            .appender()
            .append(piece(id, &unknown, 0, 1))
            .await,
    );
    let by_rpc = sql_error(&db, &format!("{job}:2:text"), &id.to_string()).await;
    assert_eq!(by_rpc, ("PT409".to_owned(), Some("stale".to_owned())));
    node.tasks.stop().await;
}

async fn sql_error(db: &TestDb, producer: &str, stream: &str) -> (String, Option<String>) {
    let mut session = db.session().await;
    let refused = session
        .query(
            "SELECT work_engine.append_as($1::text::uuid, $2, 2, NULL, '{job.chunk}', ARRAY['{}'::jsonb])",
            &[Some(stream), Some(producer)],
        )
        .await
        .unwrap_err();
    let error = refused.db().unwrap();
    (error.code.clone(), error.detail.clone())
}

#[tokio::test]
async fn a_locked_stream_is_not_waited_for_and_loses_no_order() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let (id, free) = (stream(&db, "ann").await, stream(&db, "ann").await);
    let appender = node.streams.appender();
    appender.append(piece(id, "p", 0, 1)).await.unwrap();
    let mut watching = node.streams.watch(&service(), id, 0).await.unwrap();
    let mut lock = db.session().await;
    lock.script("BEGIN").await.unwrap();
    let held = "SELECT FROM work.streams WHERE id = $1::text::uuid FOR NO KEY UPDATE";
    lock.query(held, &[Some(&id.to_string())]).await.unwrap();
    for n in 1..5 {
        let (locked, other) = tokio::join!(
            appender.append(piece(id, "p", n, 1)),
            appender.append(piece(free, "p", n - 1, 1)),
        );
        assert_eq!((locked.unwrap().fresh, other.unwrap().fresh), (1, 1));
    }
    assert_eq!(sql(&db, COUNT, &[&id.to_string()]).await.unwrap(), "1");
    assert_eq!(sql(&db, COUNT, &[&free.to_string()]).await.unwrap(), "4");
    lock.script("COMMIT").await.unwrap();
    // Without another append: somebody numbers what was left.
    let mut seen = Seen::default();
    seen.until(&mut watching, 5).await;
    assert_eq!(seen.of_producers["p"], [0, 1, 2, 3, 4]);
    node.tasks.stop().await;
}

#[tokio::test]
async fn one_writer_s_trouble_is_nobody_else_s() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let appender = node.streams.appender();
    let loose = |data: &str| Piece {
        producer: None,
        events: vec![event("note", data)],
        ..piece(id, "-", 0, 0)
    };
    let of = |owner: &str| Piece {
        owner: Some(owner.into()),
        ..loose("{}")
    };
    let nowhere = Piece {
        stream: uuid::Uuid::from_u128(1),
        ..loose("{}")
    };
    let (good, null, huge, foreign, own, nowhere) = tokio::join!(
        appender.append(loose("{\"a\": \"it's \\\"\\\\ {,}\"}")),
        // JSON, but nothing that a jsonb can hold.
        appender.append(loose("\"\\u0000\"")),
        appender.append(loose("1e999999")),
        appender.append(of("ben")),
        appender.append(of("ann")),
        appender.append(nowhere),
    );
    assert_eq!((good.unwrap().fresh, own.unwrap().fresh), (1, 1));
    assert!(matches!(null, Err(AppendError::Invalid(_))), "{null:?}");
    assert!(matches!(huge, Err(AppendError::Invalid(_))), "{huge:?}");
    assert!(matches!(foreign, Err(AppendError::NotFound)));
    assert!(matches!(nowhere, Err(AppendError::NotFound)));
    assert_eq!(sql(&db, COUNT, &[&id.to_string()]).await.unwrap(), "2");
    let kept =
        "SELECT data ->> 'a' FROM work.events WHERE stream_id = $1::text::uuid AND data ? 'a'";
    assert_eq!(
        sql(&db, kept, &[&id.to_string()]).await.unwrap(),
        "it's \"\\ {,}"
    );

    node.tasks.stop().await;
}

#[tokio::test]
async fn what_can_never_be_taken_spoils_nothing_else() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let appender = node.streams.appender();
    let loose = |data: &str| Piece {
        producer: None,
        events: vec![event("note", data)],
        ..piece(id, "-", 0, 0)
    };
    // Pieces of one producer that were handed in together.
    let mut bad = piece(id, "p", 1, 1);
    bad.events[0] = event("note", "\"\\u0000\"");
    let (before, bad, behind) = tokio::join!(
        appender.append(piece(id, "p", 0, 1)),
        appender.append(bad),
        appender.append(piece(id, "p", 2, 1)),
    );
    assert_eq!(before.unwrap(), taken(1, 1));
    assert!(matches!(bad, Err(AppendError::Invalid(_))), "{bad:?}");
    assert!(matches!(behind, Err(AppendError::Gap { next_n: 1 })));

    // What is refused before it is sent.
    let kinds = ["", "a b", "é", "a\nid: 9"];
    for kind in kinds {
        let mut piece = loose("{}");
        piece.events[0].kind = kind.to_owned();
        let refused = appender.append(piece).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{kind}");
    }
    let large = format!("\"{}\"", "x".repeat(sessions::streams::EVENT_BYTES_MAX));
    let refused = [
        loose(&large),
        piece(id, "p", 0, 1001),
        Piece {
            producer: Some(Producer {
                name: "p".repeat(301),
                first_n: 0,
            }),
            ..loose("{}")
        },
        piece(id, "p", -1, 1),
        Piece {
            events: Vec::new(),
            ..loose("{}")
        },
    ];
    for piece in refused {
        let refused = appender.append(piece).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))));
    }
    node.tasks.stop().await;
}

#[tokio::test]
async fn logs_end_with_their_owner_and_chunks_when_they_are_old() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let (gone, kept) = (stream(&db, "ann").await, stream(&db, "ann").await);
    for id in [gone, kept] {
        let mut both = piece(id, "p", 0, 3);
        both.events[1].kind = "note".to_owned();
        node.streams.appender().append(both).await.unwrap();
    }
    assert_eq!(node.streams.prune(None).await.unwrap(), 0);
    let ann = crate::support::user("ann");
    let keep = "INSERT INTO work.sessions (id, owner) SELECT s.id, s.owner FROM work.streams AS s \
         WHERE s.id = $1::text::uuid";
    // A session takes no log that exists; here it had one all along.
    let quiet = "ALTER TABLE work.sessions DISABLE TRIGGER USER";
    sql(&db, quiet, &[]).await;
    sql(&db, keep, &[&kept.to_string()]).await;
    let age = "UPDATE work.streams SET created_at = created_at - interval '1 day'";
    sql(&db, age, &[]).await;
    assert!(node.streams.prune(None).await.unwrap() > 0);
    assert_eq!(sql(&db, COUNT, &[&gone.to_string()]).await.unwrap(), "0");
    assert_eq!(sql(&db, COUNT, &[&kept.to_string()]).await.unwrap(), "3");
    let refused = node.streams.watch(&ann, gone, 0).await;
    assert_eq!(refused.err().map(|error| error.code()), Some("not_found"));

    let age = "UPDATE work.events SET at = at - interval '2 hours'";
    sql(&db, age, &[]).await;
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(node.streams.prune(Some(hour)).await.unwrap(), 2);
    // Whoever was before it goes on behind what is left.
    let mut watching = node.streams.watch(&ann, kept, 0).await.unwrap();
    let mut seen = Seen {
        last: 1,
        ..Seen::default()
    };
    seen.until(&mut watching, 2).await;
    node.streams
        .appender()
        .append(piece(kept, "p", 3, 1))
        .await
        .unwrap();
    seen.last = 3;
    seen.until(&mut watching, 4).await;
    node.tasks.stop().await;
}

//! Nodes on a database of one's own, and callers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Clock, Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig, SqlBuf};
use serde_json::value::RawValue;
use sessions::streams::{ASK_EVERY, Given, NewEvent, Piece, Producer, Step, Streams, Watching};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// For what must come; nothing here takes a tenth of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One server's streams.
pub(crate) struct Node {
    pub(crate) streams: Arc<Streams>,
    pub(crate) leaving: CancellationToken,
    pub(crate) tasks: Tasks,
}

impl Node {
    pub(crate) fn new(db: &TestDb) -> Self {
        Self::asking(db, ASK_EVERY)
    }

    /// One that asks this often who may still watch.
    pub(crate) fn asking(db: &TestDb, ask_every: Duration) -> Self {
        let (tasks, leaving) = (Tasks::new(), CancellationToken::new());
        let few = PoolConfig {
            connections_max: 8,
            ..PoolConfig::default()
        };
        let streams = Streams::start(Given {
            pool: Pool::new(&db.target_as("ferrobase_work"), &few, &tasks),
            role: "ferrobase_work".into(),
            requests: db.pool_with(&few, &tasks),
            tasks: tasks.clone(),
            leaving: leaving.clone(),
            clock: Clock::system(),
            rng: Rng::system(),
            // Nodes look by themselves.
            tell_others: Arc::new(|_| ()),
            ask_every,
            chunks_kept: None,
        });
        Self {
            streams,
            leaving,
            tasks,
        }
    }
}

/// A signed-in user; `more` goes into the claims.
pub(crate) fn user_with(sub: &str, more: &str) -> Caller {
    Caller {
        role: "authenticated".into(),
        claims: format!(r#"{{"sub": "{sub}", "role": "authenticated"{more}}}"#).into(),
        authenticated: true,
        read_only: false,
    }
}

pub(crate) fn user(sub: &str) -> Caller {
    user_with(sub, "")
}

pub(crate) fn service() -> Caller {
    Caller {
        authenticated: true,
        ..Caller::anonymous("service_role")
    }
}

/// A stream of this owner, with nothing in it.
pub(crate) async fn stream(db: &TestDb, owner: &str) -> Uuid {
    let insert = "INSERT INTO work.streams (id, owner) VALUES (work.uuid_v7(), $1) RETURNING id";
    sql(db, insert, &[owner]).await.unwrap().parse().unwrap()
}

/// Fixed statements, as superuser.
pub(crate) async fn sql(db: &TestDb, text: &'static str, params: &[&str]) -> Option<String> {
    let mut session = db.session().await;
    let mut statement = SqlBuf::fixed(text);
    for param in params {
        statement = statement.bind((*param).to_owned());
    }
    let rows = session.query_buf(&statement).await.unwrap();
    session.close().await;
    rows.scalar().map(str::to_owned)
}

pub(crate) fn event(kind: &str, data: &str) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        data: RawValue::from_string(data.to_owned()).unwrap(),
    }
}

/// Events `first..first + count` of a producer, which say their numbers.
pub(crate) fn piece(stream: Uuid, name: &str, first: i64, count: i64) -> Piece {
    let events = (first..first + count)
        .map(|n| event("job.chunk", &format!("{{\"by\": \"{name}\", \"n\": {n}}}")));
    Piece {
        stream,
        owner: None,
        producer: Some(Producer {
            name: name.to_owned(),
            first_n: first,
        }),
        job: None,
        events: events.collect(),
    }
}

/// What a watcher has seen; fails at the first event that is not the next.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) last: i64,
    pub(crate) of_producers: HashMap<String, Vec<i64>>,
}

impl Seen {
    pub(crate) fn take(&mut self, json: &[u8]) {
        let event: serde_json::Value = serde_json::from_slice(json).unwrap();
        let seq = event["seq"].as_i64().unwrap();
        assert_eq!(seq, self.last + 1, "every event once and in order");
        self.last = seq;
        if let (Some(by), Some(n)) = (event["data"]["by"].as_str(), event["data"]["n"].as_i64()) {
            self.of_producers.entry(by.to_owned()).or_default().push(n);
        }
    }

    /// Follows until this many events were seen.
    pub(crate) async fn until(&mut self, watching: &mut Watching, last: i64) {
        let reading = async {
            while self.last < last {
                match watching.next().await {
                    Step::Frames(frames) => frames.iter().for_each(|f| self.take(&f.json())),
                    Step::End(end) => panic!("ended: {}", end.code()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap();
    }
}

/// A random number below `end`.
pub(crate) fn below(rng: &Rng, end: u64) -> u64 {
    u64::from_le_bytes(rng.bytes::<8>()) % end.max(1)
}

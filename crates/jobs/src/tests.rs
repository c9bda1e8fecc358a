//! The room on a real PostgreSQL: what one node does, and two.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod pace;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use kernel::{Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::json;

use crate::{Config, Finish, Jobs, Outcome, Parts, Spec, Wants};

/// A node with a database of its own.
pub(crate) struct Node {
    pub(crate) db: Arc<TestDb>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) tasks: Tasks,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(TestDb::new().await))
    }

    /// One more node on a database.
    pub(crate) fn on(db: Arc<TestDb>) -> Self {
        let tasks = Tasks::new();
        let jobs = Jobs::new(Parts {
            pool: Pool::new(
                &db.target_as("ferrobase_work"),
                &PoolConfig::default(),
                &tasks,
            ),
            role: "ferrobase_work".into(),
            config: Config::default(),
            tasks: tasks.clone(),
            rng: Rng::system(),
        });
        Self { db, jobs, tasks }
    }

    pub(crate) async fn end(self) {
        self.jobs.drain().await;
        self.tasks.stop().await;
    }

    /// Nothing may be left that breaks a rule.
    pub(crate) async fn check(&self) {
        let problems = self.jobs.core.store.problems().await.unwrap();
        assert_eq!(problems, []);
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut session = self.db.session().await;
        let rows = session.query(sql, &[]).await.unwrap();
        rows.scalar().unwrap().parse().unwrap()
    }
}

pub(crate) fn wants(queue: &str) -> Arc<Wants> {
    Arc::new(Wants {
        worker: "w".to_owned(),
        queues: vec![queue.to_owned()],
        types: None,
        owner: None,
        any_owner: true,
        lease: Duration::from_secs(30),
        code_version: None,
    })
}

pub(crate) fn completed(id: uuid::Uuid, epoch: i32) -> Finish {
    Finish {
        id,
        epoch,
        outcome: Outcome::Completed,
        output: Some(serde_json::value::to_raw_value(&json!({ "ok": true })).unwrap()),
        error: None,
        retryable: false,
        delay: None,
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_job_wakes_the_claim_that_waits_for_it_and_ends_once() {
    let node = Node::new().await;
    let (jobs, wants) = (Arc::clone(&node.jobs), wants("default"));
    let waiting = node.tasks.spawn("waiting", {
        let jobs = Arc::clone(&jobs);
        async move { jobs.claim(&wants, 1, LONG).await }
    });
    while !jobs.core.wake.has_sleepers() {
        tokio::task::yield_now().await;
    }
    let spec = Spec::new("hello", &json!({ "n": 1 })).unwrap();
    let made = jobs.submit(vec![spec]).await.unwrap();
    let claimed = waiting.await.unwrap().unwrap();
    let [job] = claimed.as_slice() else {
        panic!("{claimed:?}")
    };
    assert_eq!((job.id, job.epoch, &*job.kind), (made[0].id, 1, "hello"));
    assert_eq!(job.input.as_ref().unwrap().get(), r#"{"n": 1}"#);
    let ends = vec![completed(job.id, 1), completed(job.id, 1)];
    let ended = jobs.actors.finish.ask_all(ends).await;
    let states: Vec<_> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(states.iter().flatten().count(), 1, "{states:?}");
    node.check().await;
    node.end().await;
}

#[tokio::test]
async fn what_is_refused_fails_nobody_else() {
    let node = Node::new().await;
    let submit = |n: i32| {
        let jobs = Arc::clone(&node.jobs);
        async move {
            let mut spec = Spec::new("t", &n).unwrap();
            if n == 7 {
                spec.parent_id = Some(uuid::Uuid::from_u128(1));
            }
            jobs.submit(vec![spec]).await
        }
    };
    let made = futures_util::future::join_all((0..100).map(submit)).await;
    for (n, made) in made.iter().enumerate() {
        assert_eq!(made.is_err(), n == 7, "{n}: {made:?}");
    }
    assert_eq!(node.count("SELECT count(*) FROM work.jobs").await, 99);
    node.end().await;
}

#[tokio::test]
async fn a_cancelled_job_is_told_to_the_worker_of_another_node() {
    let here = Node::new().await;
    let there = Node::on(Arc::clone(&here.db));
    let spec = Spec::new("t", &json!(null)).unwrap();
    let made = here.jobs.submit(vec![spec]).await.unwrap();
    let claimed = there.jobs.claim(&wants("default"), 1, LONG).await.unwrap();
    assert_eq!(claimed[0].id, made[0].id);
    let beat = crate::Beat {
        worker: "w".to_owned(),
        id: made[0].id,
        epoch: 1,
        progress: Some(0.5),
        message: Some("half".to_owned()),
        lease: Duration::from_secs(60),
    };
    let asking = there.tasks.spawn("asking", {
        let jobs = Arc::clone(&there.jobs);
        async move { jobs.heartbeat(vec![beat], LONG).await }
    });
    let changed = here.jobs.cancel(made[0].id, "enough").await.unwrap();
    assert_eq!(changed[0].state, "cancelled");
    let told = asking.await.unwrap().unwrap();
    assert_eq!(told, [(made[0].id, crate::Directive::Cancel)]);
    let ended = there.jobs.finish(completed(made[0].id, 1)).await.unwrap();
    assert_eq!(ended, None);
    here.check().await;
    there.end().await;
    here.end().await;
}

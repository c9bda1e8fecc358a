//! What is taken ahead, and the order in which jobs are locked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::workers::eventually;
use super::{LONG, Node, wants};
use crate::types::{Beat, Wants};
use crate::{Ctx, Spec, Worker};

#[tokio::test]
async fn what_was_taken_while_jobs_were_quick_is_given_back_when_they_are_slow() {
    let node = Node::new().await;
    let (go, gone) = tokio::sync::watch::channel(false);
    let specs = |kind: &'static str, count: usize, priority| {
        let spec = move |n: usize| Spec {
            priority: Some(priority),
            ..Spec::new(kind, &n).unwrap()
        };
        (0..count).map(spec).collect::<Vec<_>>()
    };
    node.jobs.submit(specs("quick", 800, 1)).await.unwrap();
    node.jobs.submit(specs("slow", 600, 0)).await.unwrap();
    let worker = Worker::builder(&node.jobs)
        .handle("quick", async |_: Ctx, _: usize| Ok(()))
        .handle("slow", move |_: Ctx, _: usize| {
            let mut gone = gone.clone();
            async move {
                let _ = gone.wait_for(|gone| *gone).await;
                Ok(())
            }
        })
        .start();
    // Those that run, and as many as are always taken ahead.
    let settled =
        "SELECT 'settled' WHERE (SELECT count(*) FROM work.jobs WHERE state = 'running') <= 32
        AND (SELECT count(*) FROM work.jobs WHERE state = 'completed') = 800
        AND EXISTS (SELECT FROM work.attempts WHERE outcome = 'released')";
    eventually(&node, settled).await;
    node.check().await;
    go.send(true).unwrap();
    let over = "SELECT 'over' WHERE NOT EXISTS (SELECT FROM work.jobs WHERE finished_at IS NULL)";
    eventually(&node, over).await;
    assert_eq!(
        node.count("SELECT sum(failures + crashes) FROM work.jobs")
            .await,
        0
    );
    node.check().await;
    worker.shutdown().await;
    node.end().await;
}

#[tokio::test]
async fn signs_of_life_of_several_workers_lock_jobs_in_one_order() {
    let node = Node::new().await;
    let specs = (0..16).map(|_| Spec::new("t", &json!(null)).unwrap());
    node.jobs.submit(specs.collect()).await.unwrap();
    let mut beats = Vec::new();
    for n in 0..16 {
        let wants = Arc::new(Wants {
            worker: format!("w{n}"),
            ..Wants::clone(&wants("default"))
        });
        let claimed = node.jobs.claim(&wants, 1, LONG).await.unwrap();
        beats.push(Beat {
            worker: wants.worker.clone(),
            id: claimed[0].id,
            epoch: claimed[0].epoch,
            progress: None,
            message: None,
            lease: Duration::from_secs(60),
        });
    }
    let mut ids: Vec<Uuid> = beats.iter().map(|beat| beat.id).collect();
    ids.sort_unstable();
    let mut other = node.db.session().await;
    other.script("BEGIN").await.unwrap();
    let lock = "SELECT id FROM work.jobs WHERE id = $1 FOR NO KEY UPDATE NOWAIT";
    other
        .query(lock, &[Some(&ids[0].to_string())])
        .await
        .unwrap();
    let jobs = Arc::clone(&node.jobs);
    let beating = node.tasks.spawn("beating", async move {
        let beats: Vec<&Beat> = beats.iter().collect();
        jobs.core.store.heartbeat(&beats).await
    });
    // They wait for the first job, and hold none of the others meanwhile.
    let blocked = "SELECT 'blocked' FROM pg_locks WHERE NOT granted LIMIT 1";
    eventually(&node, blocked).await;
    for id in &ids[1..] {
        let free = other.query(lock, &[Some(&id.to_string())]).await;
        free.expect("nobody holds what comes later");
    }
    other.script("COMMIT").await.unwrap();
    let told = beating.await.unwrap().unwrap();
    assert!(told.is_empty(), "all go on: {told:?}");
    node.check().await;
    node.end().await;
}

//! Workers in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{LONG, Node};
use crate::types::Wants;
use crate::{Answered, Ask, Ctx, Spec, Stop, Worker};

/// Waits, by the stream's news, until no job is open.
async fn all_over(node: &Node) {
    let open = "SELECT count(*) FROM work.jobs WHERE finished_at IS NULL";
    let mut news = node.jobs.subscribe();
    let waiting = async {
        while node.count(open).await > 0 {
            // Told or missed: look again. The pause is for what no news tells.
            let _ = tokio::time::timeout(super::super::config::POLL, news.recv()).await;
        }
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("all jobs end");
}

#[tokio::test]
async fn handlers_run_and_failures_are_tried_again() {
    let node = Node::new().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let worker = Worker::builder(&node.jobs)
        .slots(8, 8)
        .handle("double", async |_: Ctx, n: i64| Ok(n * 2))
        .handle("flaky", move |_: Ctx, (): ()| {
            let before = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if before == 0 {
                    return Err(Stop::retry_in("not yet", Duration::from_millis(10)));
                }
                Ok("done")
            }
        })
        .handle("panics", async |_: Ctx, _: Value| -> Result<(), Stop> {
            panic!("on purpose")
        })
        .start();
    let mut specs: Vec<_> = (0..200).map(|n| Spec::new("double", &n).unwrap()).collect();
    specs.push(Spec::new("flaky", &json!(null)).unwrap());
    specs.push(Spec {
        max_attempts: Some(1),
        ..Spec::new("panics", &json!(null)).unwrap()
    });
    node.jobs.submit(specs).await.unwrap();
    all_over(&node).await;
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    let doubled = "SELECT count(*) FROM work.jobs WHERE type = 'double' AND output::text::int = input::text::int * 2";
    assert_eq!(node.count(doubled).await, 200);
    assert_eq!(
        node.count("SELECT count(*) FROM work.jobs WHERE state = 'failed'")
            .await,
        1
    );
    node.check().await;
    worker.shutdown().await;
    node.end().await;
}

#[tokio::test]
async fn who_waits_is_given_its_job_in_the_transaction_that_submits_it() {
    let node = Node::new().await;
    let worker = Worker::builder(&node.jobs)
        .slots(1, 0)
        .handle("noop", async |_: Ctx, (): ()| Ok(()))
        .start();
    // Until the worker has looked once and rests, it may be too early.
    let together =
        "SELECT count(*) FROM work.events AS q JOIN work.events AS s ON s.stream_id = q.stream_id
        WHERE q.kind = 'job.queued' AND s.kind = 'job.started' AND s.xmin = q.xmin";
    let trying = async {
        while node.count(together).await == 0 {
            let spec = Spec::new("noop", &json!(null)).unwrap();
            node.jobs.submit(vec![spec]).await.unwrap();
            all_over(&node).await;
        }
    };
    tokio::time::timeout(LONG, trying)
        .await
        .expect("one is handed over");
    node.check().await;
    worker.shutdown().await;
    node.end().await;
}

#[tokio::test]
async fn what_was_taken_for_somebody_who_left_goes_back_at_once() {
    let node = Node::new().await;
    let wants = Arc::new(Wants {
        worker: "leaves".to_owned(),
        queues: vec!["default".to_owned()],
        types: None,
        owner: None,
        any_owner: true,
        lease: LONG,
        code_version: None,
    });
    let leaves = node.jobs.core.wake.sleeper(&wants, 1);
    leaves.rests();
    let spec = Spec::new("noop", &json!(null)).unwrap();
    node.jobs.submit(vec![spec]).await.unwrap();
    let running = "SELECT count(*) FROM work.jobs WHERE state = 'running' AND worker = 'leaves'";
    assert_eq!(node.count(running).await, 1);
    drop(leaves);
    let back = "SELECT count(*) FROM work.jobs WHERE state = 'queued'";
    let waiting = async {
        while node.count(back).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, waiting)
        .await
        .expect("it is back");
    node.check().await;
    node.end().await;
}

/// A handler that uses everything a handler can wait for. `runs` counts how
/// often it begins, `paid` how often it pays.
fn film(
    runs: Arc<AtomicUsize>,
    paid: Arc<AtomicUsize>,
) -> impl Fn(Ctx, Value) -> futures_util::future::BoxFuture<'static, Result<Value, Stop>> {
    move |ctx: Ctx, input: Value| {
        runs.fetch_add(1, Ordering::SeqCst);
        let paid = Arc::clone(&paid);
        Box::pin(async move {
            let plan: Value = ctx
                .step("plan", async |call| {
                    assert!(!call.token.is_nil());
                    paid.fetch_add(1, Ordering::SeqCst);
                    Ok(json!({ "scenes": [1, 2, 3], "of": input }))
                })
                .await?;
            ctx.log("planned").await?;
            ctx.sleep("nap", Duration::from_millis(20)).await?;
            let scenes = ctx.map("scenes", "scene", Some(2), [1, 2, 3]).await?;
            let signal: Option<Value> = ctx.wait_signal("go", "go", None).await?;
            let ask = Ask {
                prompt: "Publish?".to_owned(),
                ..Ask::default()
            };
            let answered: Option<Answered<Value>> = ctx.approval("ok", ask).await?;
            let answer = answered.map(|answered| (answered.answer, answered.by));
            let never: Option<Value> = ctx
                .wait_signal("never", "never", Some(Duration::from_millis(10)))
                .await?;
            let outputs: Vec<Value> = scenes.into_iter().map(|scene| scene.output).collect();
            Ok(json!({
                "plan": plan, "scenes": outputs, "signal": signal, "answer": answer, "never": never,
            }))
        })
    }
}

/// The first value of a statement, once it has one.
pub(super) async fn eventually(node: &Node, sql: &'static str) -> String {
    let looking = async {
        loop {
            let mut session = node.db.session().await;
            let rows = session.query(sql, &[]).await.unwrap();
            if let Some(value) = rows.scalar() {
                return value.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, looking).await.expect("it comes")
}

#[tokio::test]
async fn a_handler_that_waits_goes_on_where_it_was_and_pays_once() {
    let node = Node::new().await;
    let (runs, paid) = (Arc::default(), Arc::default());
    let worker = Worker::builder(&node.jobs)
        .handle("film", film(Arc::clone(&runs), Arc::clone(&paid)))
        .handle("scene", async |_: Ctx, n: i64| Ok(n * 10))
        .start();
    let spec = Spec {
        owner: Some("ada".to_owned()),
        ..Spec::new("film", &json!("x")).unwrap()
    };
    let made = node.jobs.submit(vec![spec]).await.unwrap();
    let waiting = "SELECT id FROM work.jobs WHERE type = 'film' AND waiting_on = 'signal'";
    eventually(&node, waiting).await;
    let sight = crate::store::Sight::Of("ada".to_owned());
    let payload = serde_json::value::to_raw_value(&json!({ "go": 1 })).unwrap();
    let statement =
        crate::store::steps::signal(made[0].id, &sight, "go", Some(&payload), Some("once"));
    node.jobs
        .actors
        .statement(made[0].id, statement)
        .await
        .unwrap();
    node.jobs.core.settled([]);
    let asked = "SELECT id FROM work.approvals WHERE state = 'pending'";
    let approval = eventually(&node, asked).await.parse().unwrap();
    let yes = serde_json::value::to_raw_value(&json!({ "ok": true })).unwrap();
    let statement = crate::store::steps::answer(approval, false, Some("ada"), &yes);
    node.jobs
        .actors
        .statement(approval, statement)
        .await
        .unwrap();
    node.jobs.core.settled([]);
    let done = "SELECT output FROM work.jobs WHERE type = 'film' AND state = 'completed'";
    let output: Value = serde_json::from_str(&eventually(&node, done).await).unwrap();
    let expected = json!({
        "plan": { "scenes": [1, 2, 3], "of": "x" }, "scenes": [10, 20, 30],
        "signal": { "go": 1 }, "answer": [{ "ok": true }, "ada"], "never": null,
    });
    assert_eq!(output, expected);
    assert_eq!(paid.load(Ordering::SeqCst), 1);
    assert!(
        runs.load(Ordering::SeqCst) >= 5,
        "it was run again after each wait"
    );
    let failures = "SELECT sum(failures + crashes) FROM work.jobs";
    assert_eq!(node.count(failures).await, 0);
    node.check().await;
    worker.shutdown().await;
    node.end().await;
}

#[tokio::test]
async fn a_worker_that_ends_gives_back_what_it_has_not_done() {
    let node = Node::new().await;
    let begun = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&begun);
    let worker = Worker::builder(&node.jobs)
        .slots(1, 10)
        .handle("slow", move |ctx: Ctx, (): ()| {
            told.notify_one();
            async move {
                ctx.cancellation().cancelled().await;
                Ok(())
            }
        })
        .start();
    let specs = (0..5).map(|_| Spec::new("slow", &json!(null)).unwrap());
    let made = node.jobs.submit(specs.collect()).await.unwrap();
    begun.notified().await;
    // A handler that is told to stop may do so; the others have not begun.
    let running = "SELECT id FROM work.jobs WHERE state = 'running' ORDER BY sort_key, id LIMIT 1";
    let first = eventually(&node, running).await.parse().unwrap();
    node.jobs.cancel(first, "enough").await.unwrap();
    worker.shutdown().await;
    let open = "SELECT count(*) FROM work.jobs WHERE state = 'queued' AND waiting_on IS NULL";
    let over = "SELECT count(*) FROM work.jobs WHERE state = 'cancelled'";
    assert_eq!((node.count(open).await, node.count(over).await), (4, 1));
    assert_eq!(node.count("SELECT sum(crashes) FROM work.jobs").await, 0);
    assert_eq!(made.len(), 5);
    node.check().await;
    node.end().await;
}

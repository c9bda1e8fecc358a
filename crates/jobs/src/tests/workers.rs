//! Workers in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{LONG, Node};
use crate::{Ctx, Spec, Stop, Worker};

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
            let tried = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if tried == 0 {
                    return Err(Stop::retry_in(
                        "not yet",
                        std::time::Duration::from_millis(10),
                    ));
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

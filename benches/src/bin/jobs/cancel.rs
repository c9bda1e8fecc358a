//! From the call that cancels a tree to the moment at which handlers in this
//! process know.

use std::time::Instant;

use anyhow::{Context as _, Result};
use jobs::{Ctx, Spec, Stop, Worker};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Bench;

/// Trees that are cancelled, and handlers of each.
const TREES: usize = 50;
const HANDLERS: usize = 8;

impl Bench {
    pub(crate) async fn cancel(&self) -> Result<()> {
        self.clear().await?;
        let (tell, mut told) = mpsc::unbounded_channel();
        let worker = Worker::builder(&self.jobs)
            .slots(HANDLERS, 0)
            .handle("noop", move |ctx: Ctx, _: Value| {
                let tell = tell.clone();
                async move {
                    // Nobody may be listening any more, which is fine.
                    let _ = tell.send(None);
                    ctx.cancellation().cancelled().await;
                    let _ = tell.send(Some(Instant::now()));
                    Ok::<_, Stop>(())
                }
            })
            .start();
        let mut times = Vec::new();
        for _ in 0..TREES {
            let root = self.tree_of(HANDLERS).await?;
            for _ in 0..HANDLERS {
                told.recv().await.context("the worker ended")?;
            }
            let began = Instant::now();
            self.jobs.cancel(root, "bench").await?;
            for _ in 0..HANDLERS {
                let at = told.recv().await.context("the worker ended")?;
                times.extend(at.map(|at| at.saturating_duration_since(began)));
            }
        }
        worker.shutdown().await;
        times.sort_unstable();
        let value = crate::quantile(&times, 50);
        self.tell("cancel", value, "ms", &mut times);
        Ok(())
    }

    /// A group of jobs that all run at once.
    pub(crate) async fn tree_of(&self, children: usize) -> Result<uuid::Uuid> {
        let group = json!({"ref": "all", "group": true});
        let child = json!({"type": "noop", "parent_ref": "all", "input": {}});
        let specs = std::iter::once(group).chain(std::iter::repeat_n(child, children));
        let specs = specs.map(serde_json::from_value::<Spec>);
        let made = self.jobs.submit(specs.collect::<Result<_, _>>()?).await?;
        Ok(made.first().context("nothing was made")?.id)
    }
}

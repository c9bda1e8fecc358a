//! The duty that ends what is over its time, or nobody's any more, and says in
//! the rows that the others are alive.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::Sandboxes;
use crate::error::Result;

/// Between two looks; rows without a sign of life for several of them are over.
const EVERY: Duration = Duration::from_secs(10);

/// Every now and then, until told to stop; then everything here ends.
pub(super) async fn keep(boxes: Arc<Sandboxes>, machine: String) {
    let stop = boxes.tasks.token();
    match boxes.rows.forget(&machine).await {
        Ok(0) => {}
        Ok(forgotten) => tracing::info!(forgotten, "Sandboxes of before the start are over"),
        Err(error) => tracing::warn!(%error, "Sandboxes of before the start are not marked"),
    }
    let mut last = boxes.clock.now().as_second();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => break,
        }
        let now = boxes.clock.now().as_second();
        if let Err(error) = boxes.look(last).await {
            tracing::warn!(%error, "Sandboxes were not looked after");
        }
        last = now;
    }
    for live in boxes.live.all() {
        boxes.end_here(&live.id).await;
        let reason = json!({"reason": "the server was stopped"});
        // Whoever starts it again marks them otherwise.
        let _ = boxes.rows.change(&live.id, "stopped", reason).await;
    }
}

impl Sandboxes {
    /// One look: says which are alive, ends those that must not be.
    pub async fn look(&self, since: i64) -> Result<()> {
        let running = self.runner.list();
        let live = self.live.all();
        // One that died by itself is no more.
        for live in &live {
            if !running.contains(&live.id) {
                // With its folder, which it leaves behind.
                self.end_here(&live.id).await;
            }
        }
        let used = live
            .iter()
            .filter(|live| live.used.load(Ordering::Relaxed) >= since)
            .map(|live| live.id.clone());
        let used: Vec<_> = used.collect();
        // Those that make layers have no row.
        let present: Vec<_> = running
            .into_iter()
            .filter(|id| !id.starts_with(super::project::WARM))
            .collect();
        for (id, why) in self.rows.look(&present, &used).await? {
            tracing::info!(sandbox = id, why, "A sandbox ends");
            self.end_here(&id).await;
            self.rows
                .change(&id, "stopped", json!({"reason": why}))
                .await?;
        }
        Ok(())
    }
}

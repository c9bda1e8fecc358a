//! The duty that ends uploads which nobody went on with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Tus;
use super::error::Result;

/// Between two looks. What is too old costs disk, nothing else.
const EVERY: Duration = Duration::from_secs(600);
/// A second look right behind the first one when there is more, so often.
const ROUNDS_MAX: usize = 100;

impl Tus {
    /// Ends what is too old. Says how many uploads that was.
    pub(crate) async fn sweep_once(&self) -> Result<usize> {
        let mut sum = 0;
        for _ in 0..ROUNDS_MAX {
            let (ended, blobs) = self.table.sweep(self.room.clock.now()).await?;
            for blob in blobs {
                self.discard(&blob).await;
            }
            sum += ended;
            if ended == 0 {
                break;
            }
        }
        Ok(sum)
    }
}

/// Every now and then, until told to stop.
pub(super) async fn keep_swept(tus: Arc<Tus>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        match tus.sweep_once().await {
            Ok(0) => {}
            Ok(uploads) => tracing::debug!(uploads, "Expired uploads removed"),
            Err(error) => tracing::warn!(%error, "Expired uploads not removed"),
        }
    }
}

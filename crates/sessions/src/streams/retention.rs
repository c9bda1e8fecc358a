//! The end of logs: streams go with the session or the tree that they tell of,
//! chunks when they are old, if the project wants that.

use std::time::Duration;

use kernel::Rng;
use tokio_util::sync::CancellationToken;

use super::store::Store;

/// How often. Owners' rows are gone by then; nobody can read what is left.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// Added to it, so that nodes take turns.
const JITTER_SECONDS_MAX: u64 = 120;
/// Rows of one transaction: their locks and their log are held at once.
const ROWS_AT_ONCE: u32 = 5000;
/// Transactions of one round; the rest has time until the next.
const ROUNDS_MAX: usize = 200;
/// Between them, so that deleting does not slow down what is being written.
const PAUSE: Duration = Duration::from_millis(50);

/// Prunes from time to time until told to stop.
pub(super) async fn keep(
    store: Store,
    chunks_kept: Option<Duration>,
    rng: Rng,
    stop: CancellationToken,
) {
    loop {
        let [random] = rng.bytes::<1>();
        let jitter = Duration::from_secs(u64::from(random) % JITTER_SECONDS_MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY + jitter) => {}
        }
        let pruned = tokio::select! {
            () = stop.cancelled() => return,
            pruned = once(&store, chunks_kept) => pruned,
        };
        match pruned {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "Old events deleted"),
            Err(error) => tracing::warn!(%error, "Old events not deleted; trying again later"),
        }
    }
}

/// One round; how many rows.
pub(super) async fn once(store: &Store, older: Option<Duration>) -> Result<u64, pg::Error> {
    let mut sum = 0;
    for _ in 0..ROUNDS_MAX {
        let rows = store.prune(ROWS_AT_ONCE, older).await?;
        sum += rows;
        if rows == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(sum)
}

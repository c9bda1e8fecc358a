//! The duty that removes bytes which no row names.
//!
//! Tombstones say which bytes lost their row; what a crash left has none, and is
//! found by looking at names that are younger than the last look. A name is
//! looked at when nobody can still be about to name it: after [`GRACE`], or at
//! once if it is from before we had the folder to ourselves.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use kernel::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::books::{self, Books, KeepingError};
use crate::blobs::{BlobId, Blobs};

/// Between the last byte and the commit of its row lie milliseconds; a busy
/// database may make minutes of them, never this.
const GRACE: Duration = Duration::from_secs(3600);
/// Between two looks when nobody says that there is something to do.
const EVERY: Duration = Duration::from_secs(600);
/// A burst of deletions is one round, not many.
const GATHER: Duration = Duration::from_millis(100);
/// Names of one transaction.
const AT_ONCE: usize = 500;
/// Transactions of one round for each kind of work: what is left comes with the
/// next, so that nothing else starves.
const ROUNDS_MAX: usize = 200;
/// Uploads that are ended at once.
const EXPIRE_MAX: u32 = 500;

/// Removes bytes which no row names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sweeper {
    books: Books,
    blobs: Blobs,
    clock: Clock,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads ended because nobody went on with them.
    pub expired: u64,
    /// Tombstones whose bytes are gone.
    pub buried: u64,
    /// Names that no row had.
    pub orphans: u64,
    /// Unfinished uploads that no row had.
    pub unfinished: u64,
}

impl Sweeper {
    /// Sweeps these bytes by these books.
    #[must_use]
    pub fn new(books: Books, blobs: Blobs, clock: Clock) -> Self {
        Self {
            books,
            blobs,
            clock,
        }
    }

    /// All kinds of work, as far as one round goes.
    pub async fn sweep_once(&self) -> Result<Swept, KeepingError> {
        let (books, up_to) = self.books.swept().await?;
        if !self.blobs.belong_to(books).await? {
            return Err(KeepingError::Foreign);
        }
        let expired = self.books.expire(EXPIRE_MAX).await?;
        let buried = self.bury().await?;
        let orphans = self.orphans(up_to).await?;
        let unfinished = self.unfinished().await?;
        Ok(Swept {
            expired,
            buried,
            orphans,
            unfinished,
        })
    }

    /// Removes what has a tombstone.
    pub async fn bury(&self) -> Result<u64, KeepingError> {
        let mut buried = 0;
        for _ in 0..ROUNDS_MAX {
            let Some(leave) = self.books.leave(false).await? else {
                break;
            };
            let versions = leave.tombstones(AT_ONCE).await?;
            let ids: Vec<BlobId> = versions
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect();
            let named = leave.named(&ids).await?;
            let gone: Vec<BlobId> = ids.into_iter().filter(|id| !named.contains(id)).collect();
            self.remove(&gone).await?;
            leave.settle(&versions, &gone).await?;
            leave.end().await?;
            buried += gone.len() as u64;
            if versions.len() < AT_ONCE {
                break;
            }
        }
        Ok(buried)
    }

    /// Removes what was written and never named.
    async fn orphans(&self, up_to: Option<BlobId>) -> Result<u64, KeepingError> {
        let settled = self.settled();
        let from = up_to.map(|id| id.earlier(self.blobs.named_late()));
        let mut names = self.blobs.list(from).try_chunks(AT_ONCE);
        let mut removed = 0;
        for _ in 0..ROUNDS_MAX {
            let page = names.try_next().await.map_err(|error| error.1)?;
            let ids = page.unwrap_or_default().into_iter().map(|(id, _)| id);
            let page: Vec<BlobId> = ids.take_while(|id| *id < settled).collect();
            let Some(leave) = self.books.leave(true).await? else {
                break;
            };
            let named = leave.named(&page).await?;
            let last = page.len() < AT_ONCE;
            let swept = page.last().copied().filter(|_| !last).unwrap_or(settled);
            let gone: Vec<BlobId> = page.into_iter().filter(|id| !named.contains(id)).collect();
            self.remove(&gone).await?;
            let versions: Vec<String> = gone.iter().map(ToString::to_string).collect();
            leave.settle(&versions, &gone).await?;
            if Some(swept) > up_to {
                leave.swept(swept).await?;
            }
            leave.end().await?;
            removed += gone.len() as u64;
            if last {
                break;
            }
        }
        Ok(removed)
    }

    /// Discards uploads that were begun and have no row.
    async fn unfinished(&self) -> Result<u64, KeepingError> {
        let settled = self.settled();
        let begun = self.blobs.unfinished().await?;
        let begun: Vec<BlobId> = begun.into_iter().filter(|id| *id < settled).collect();
        let mut discarded = 0;
        for page in begun.chunks(AT_ONCE) {
            let named = self.books.named(page).await?;
            for id in page.iter().filter(|id| !named.contains(id)) {
                self.blobs.discard(*id).await?;
                discarded += 1;
            }
        }
        Ok(discarded)
    }

    async fn remove(&self, ids: &[BlobId]) -> Result<(), KeepingError> {
        if ids.is_empty() {
            return Ok(());
        }
        for id in ids {
            self.blobs.discard(*id).await?;
        }
        Ok(self.blobs.remove(ids).await?)
    }

    /// Names before this one are named by rows, or never will be.
    pub(super) fn settled(&self) -> BlobId {
        let by_time = books::before(self.clock.now(), GRACE);
        self.blobs
            .alone_since()
            .map_or(by_time, |alone| alone.max(by_time))
    }

    /// Until told to stop: at the start, when tombstones may have come, and
    /// every now and then.
    pub async fn keep_swept(self, removed: Arc<Notify>, stop: CancellationToken) {
        loop {
            match self.sweep_once().await {
                Ok(swept) if swept == Swept::default() => {}
                Ok(swept) => tracing::debug!(
                    storage.expired = swept.expired,
                    storage.buried = swept.buried,
                    storage.orphans = swept.orphans,
                    storage.unfinished = swept.unfinished,
                    "Files without rows removed"
                ),
                Err(error) => tracing::warn!(%error, "Files without rows could not be removed"),
            }
            let until = tokio::time::sleep(EVERY);
            if stop
                .run_until_cancelled(self.bury_until(until, &removed))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn bury_until(&self, until: tokio::time::Sleep, removed: &Notify) {
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                () = removed.notified() => {}
            }
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.bury().await {
                tracing::warn!(%error, "Files of deleted objects could not be removed");
            }
        }
    }
}

//! Where pictures are made: so many at once, so many waiting, for so long.
//!
//! One transform takes from a millisecond to seconds of a processor, and up to
//! some hundred megabytes. It runs on a blocking thread, never on one that
//! answers requests.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accept::Accept;
use super::error::RenderError;
use super::params::Transform;
use super::{Rendered, within};

/// Pictures that need more memory than this are made one after the other. A
/// photograph of four megapixels needs less.
const HEAVY: u64 = 64 << 20;

/// How much is made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StudioConfig {
    /// Pictures at once; each keeps one processor busy.
    pub at_once: usize,
    /// Requests that may wait for their turn.
    pub waiting: usize,
    /// From the beginning of waiting until the picture must be there.
    /// Upstream's.
    pub time: Duration,
}

impl Default for StudioConfig {
    /// Half of the processors; a page of a gallery may wait.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            at_once: (processors / 2).clamp(1, 4),
            waiting: 64,
            time: Duration::from_secs(15),
        }
    }
}

/// The place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Studio {
    places: Arc<Semaphore>,
    /// Those who work and those who wait, together.
    tickets: Arc<Semaphore>,
    heavy: Arc<Mutex<()>>,
    time: Duration,
}

/// Tells the thread that nobody waits any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Studio {
    /// An empty one.
    #[must_use]
    pub fn new(config: StudioConfig) -> Self {
        let at_once = config.at_once.max(1);
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            tickets: Arc::new(Semaphore::new(at_once + config.waiting)),
            heavy: Arc::default(),
            time: config.time,
        }
    }

    /// Makes a picture of what `read` brings, which is asked only when it is
    /// its turn: those who wait hold no bytes.
    pub async fn make<E, F>(
        &self,
        asked: &Transform,
        accept: Accept,
        read: F,
    ) -> Result<Rendered, E>
    where
        E: From<RenderError>,
        F: Future<Output = Result<Bytes, E>>,
    {
        let ticket = Arc::clone(&self.tickets).try_acquire_owned();
        let _ticket = ticket.map_err(|_| RenderError::Busy)?;
        let work = async {
            let place = Arc::clone(&self.places).acquire_owned().await;
            let place = place.map_err(|_| RenderError::Busy)?;
            let bytes = read.await?;
            Ok(self.work(place, bytes, asked.clone(), accept).await?)
        };
        match tokio::time::timeout(self.time, work).await {
            Ok(made) => made,
            Err(_) => Err(RenderError::TimedOut.into()),
        }
    }

    async fn work(
        &self,
        place: OwnedSemaphorePermit,
        bytes: Bytes,
        asked: Transform,
        accept: Accept,
    ) -> Result<Rendered, RenderError> {
        let stop = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(Arc::clone(&stop));
        let heavy = Arc::clone(&self.heavy);
        let made = tokio::task::spawn_blocking(move || {
            let alone = |cost: u64| {
                let heavy = (cost > HEAVY).then(|| heavy.lock());
                heavy.map(|lock| lock.unwrap_or_else(PoisonError::into_inner))
            };
            let made = within(&bytes, &asked, accept, &stop, alone);
            // The place is free when the thread is, not when the caller left.
            drop(place);
            made
        });
        // A decoder that panics is a picture that we do not read.
        made.await.unwrap_or(Err(RenderError::Unsupported))
    }
}

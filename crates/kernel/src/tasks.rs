//! The only way to spawn. Every task has a name, is counted, and is told to
//! stop by one token, so that shutdown can wait for all of them.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// A group of background tasks that end together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// An empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `future` until it ends by itself. Long-lived futures watch
    /// [`Tasks::stopping`] to end in time.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn(future.instrument(span))
    }

    /// Runs `future` on another runtime.
    pub fn spawn_on<F>(
        &self,
        name: &'static str,
        future: F,
        runtime: &tokio::runtime::Handle,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn_on(future.instrument(span), runtime)
    }

    /// Resolves once the group has been told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// The token behind [`Tasks::stopping`], for code that passes it on.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Tells every task to stop and waits until all have ended.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_waits_for_every_task() {
        let tasks = Tasks::new();
        let inner = tasks.clone();
        let handle = tasks.spawn("waiter", async move {
            inner.stopping().await;
            7
        });
        tasks.stop().await;
        assert_eq!(handle.await.ok(), Some(7));
    }
}

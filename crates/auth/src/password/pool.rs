//! Threads that do nothing but hash.
//!
//! One bcrypt takes about 50 ms of a processor. On the runtime's threads it
//! would hold up every request of its lane; on tokio's blocking threads two
//! hundred sign-ins would be two hundred threads that fight the database for
//! the processors. So there are as many threads as processors may be spent on
//! it, at a low priority, and a queue with an end: who comes then is told to
//! come back.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// Checks that take more memory than this run one after the other.
const HEAVY: usize = 32 << 20;

/// What `nice` gives by itself: on a busy machine about a tenth of what a
/// thread that answers requests gets. Much lower, and nobody could sign in
/// while something else computes.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How much may be hashed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Threads; each keeps one processor busy.
    pub threads: usize,
    /// Checks that may wait. At 50 ms each, 256 on one thread are 13 seconds,
    /// about as long as a person waits for a login.
    pub queue: usize,
}

impl Default for PoolConfig {
    /// Half of the processors, so that a storm of sign-ins leaves the rest.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads: (processors / 2).clamp(1, 8),
            queue: 256,
        }
    }
}

/// More checks wait than the queue has room for. GoTrue has no such error; its
/// nearest is `over_request_rate_limit`, 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked, try again in a moment")]
pub struct TooBusy;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub(super) struct Pool {
    queue: SyncSender<Work>,
    heavy: Arc<Mutex<()>>,
}

impl Pool {
    /// Starts the threads. They end when the pool is dropped and the queue is
    /// empty.
    pub(super) fn start(config: PoolConfig) -> std::io::Result<Self> {
        let (queue, waiting) = sync_channel::<Work>(config.queue);
        let waiting = Arc::new(Mutex::new(waiting));
        for index in 0..config.threads.max(1) {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new()
                .name(format!("password-{index}"))
                .spawn(move || work_off(&waiting))?;
        }
        let heavy = Arc::default();
        Ok(Self { queue, heavy })
    }

    /// Runs `work`, which takes `memory` bytes, when a thread is free. Work
    /// whose caller has gone before it began is not done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        memory: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooBusy> {
        let (answer, answered) = oneshot::channel();
        let heavy = (memory > HEAVY).then(|| Arc::clone(&self.heavy));
        let work = Box::new(move || {
            if answer.is_closed() {
                return;
            }
            let alone = heavy.as_ref().map(|lock| lock.lock());
            let result = work();
            drop(alone);
            // The caller may have gone meanwhile.
            let _ = answer.send(result);
        });
        match self.queue.try_send(work) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return Err(TooBusy),
        }
        // Without an answer the work panicked, and its thread went on.
        answered.await.map_err(|_| TooBusy)
    }
}

fn work_off(waiting: &Mutex<Receiver<Work>>) {
    lower_priority();
    loop {
        // The lock is held while waiting: the others wait for the lock instead.
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(work) = next else { return };
        // A panic must not take the thread with it; its caller gets no answer.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}

/// Of this thread alone: Linux keeps a priority for each. Elsewhere it would be
/// the whole process, so there it is left as it is.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "password threads keep their priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(threads: usize, queue: usize) -> Pool {
        Pool::start(PoolConfig { threads, queue }).expect("threads start")
    }

    #[tokio::test]
    async fn a_full_queue_says_so_and_works_on() {
        let pool = small(1, 1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (begins, started) = oneshot::channel();
        let first = pool.run(0, move || {
            let _ = begins.send(());
            held.recv()
        });
        let mut first = Box::pin(first);
        // Submits it; the thread has it in hand before the queue is filled.
        assert!(futures_util::poll!(&mut first).is_pending());
        started.await.expect("the thread begins");
        let mut second = Box::pin(pool.run(0, || 2));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert_eq!(pool.run(0, || 3).await, Err(TooBusy));
        release.send(()).expect("the thread waits");
        assert_eq!(first.await, Ok(Ok(())));
        assert_eq!(second.await, Ok(2));
    }

    #[tokio::test]
    async fn a_panic_is_one_callers_matter() {
        let pool = small(1, 4);
        let failed: Result<(), _> = pool.run(0, || std::panic::resume_unwind(Box::new(7))).await;
        assert_eq!(failed, Err(TooBusy));
        assert_eq!(pool.run(HEAVY + 1, || 1).await, Ok(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_stand_back_and_only_they() {
        let nice = || rustix::process::getpriority_process(None);
        let inside = small(1, 4).run(0, nice).await;
        assert_eq!(inside, Ok(Ok(NICE)));
        assert_ne!(nice(), Ok(NICE));
    }
}

//! Threads that wait for the disk, so that no lane does.
//!
//! Three queues, each with threads of its own: what takes the time of a copy in
//! memory, what waits for the disk to have everything, and what takes as long
//! as a file is large. The second kind is many threads because a journal takes
//! all that wait for it at once.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::BlobError;

/// Threads for each kind of work. Measured with 4 KiB files on ext4: eight
/// threads that sync reach what the journal can do, more only wait.
const THREADS: [(Kind, &str, usize); 3] = [
    (Kind::Quick, "bytes-quick", 4),
    (Kind::Sync, "bytes-sync", 8),
    (Kind::Long, "bytes-long", 2),
];

/// Work that waits for a thread; who comes then waits with it.
const QUEUE: usize = 64;

/// How long work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// About what copying a chunk takes.
    Quick,
    /// As long as the disk takes to have everything.
    Sync,
    /// As long as the file is large.
    Long,
}

type Work = Box<dyn FnOnce() + Send>;

/// The threads. They end with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    quick: mpsc::Sender<Work>,
    sync: mpsc::Sender<Work>,
    long: mpsc::Sender<Work>,
}

/// What a thread will answer.
#[derive(Debug)]
pub(super) struct Answer<T>(oneshot::Receiver<T>);

impl<T> Answer<T> {
    /// Waits for it.
    pub(super) async fn get(self) -> Result<T, BlobError> {
        // Without an answer the work panicked, and its thread went on.
        let lost = |_| BlobError::Io(io::Error::other("the disk's thread gave no answer"));
        self.0.await.map_err(lost)
    }
}

impl Pool {
    pub(super) fn start() -> io::Result<Self> {
        let [quick, sync, long] = THREADS.map(|(_, name, threads)| start(name, threads));
        Ok(Self {
            quick: quick?,
            sync: sync?,
            long: long?,
        })
    }

    /// Hands work over; waits for room in the queue, not for the work.
    pub(super) async fn begin<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Answer<T> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            // The caller may have gone meanwhile: what work made is dropped.
            drop(answer.send(work()));
        });
        // Without threads the answer never comes, and `Answer` says so.
        let _ = self.queue(kind).send(work).await;
        Answer(answered)
    }

    /// Hands work over and waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        self.begin(kind, work).await.get().await?
    }

    /// Lets a thread drop this, which may take a file with it. With a full
    /// queue it is dropped here.
    pub(super) fn dispose<T: Send + 'static>(&self, thing: T) {
        let _ = self.quick.try_send(Box::new(move || drop(thing)));
    }

    fn queue(&self, kind: Kind) -> &mpsc::Sender<Work> {
        match kind {
            Kind::Quick => &self.quick,
            Kind::Sync => &self.sync,
            Kind::Long => &self.long,
        }
    }
}

fn start(name: &str, threads: usize) -> io::Result<mpsc::Sender<Work>> {
    let (queue, waiting) = mpsc::channel::<Work>(QUEUE);
    let waiting = Arc::new(Mutex::new(waiting));
    for index in 0..threads {
        let waiting = Arc::clone(&waiting);
        thread::Builder::new()
            .name(format!("{name}-{index}"))
            .spawn(move || work_off(&waiting))?;
    }
    Ok(queue)
}

fn work_off(waiting: &Mutex<mpsc::Receiver<Work>>) {
    loop {
        // The lock is held while waiting: the others wait for the lock instead.
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(work) = next else { return };
        // A panic must not take the thread with it; its caller gets no answer.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lost_work_is_an_error_and_its_thread_goes_on() {
        let pool = Pool::start().expect("threads start");
        for _ in 0..20 {
            let lost: Result<(), _> = pool.run(Kind::Long, || panic!("on purpose")).await;
            assert!(matches!(lost, Err(BlobError::Io(_))), "{lost:?}");
        }
        assert_eq!(pool.run(Kind::Long, || Ok(7)).await.ok(), Some(7));
    }
}

//! Group commit: many ask for something small, and one call to the database
//! does it for all who asked meanwhile.
//!
//! A [`Batcher`] is a bounded queue and a few lanes behind it. A lane takes
//! whatever is queued, up to a bound, does it in one transaction and answers
//! everybody. While it waits for the disk the next lane collects, so two lanes
//! keep both the database and the disk busy. Nobody is held back to make a
//! batch larger: an idle lane takes a single item at once.
//!
//! What the database refuses for one item must not fail its neighbours: a
//! refused batch is cut in halves until the item is alone with its refusal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::{JobsError, Result};

/// Items that may wait for a lane: a few full batches for each lane, so that
/// whoever waits longer is told so instead of growing the queue.
const QUEUE_MAX: usize = 8192;
/// How long somebody may wait for a place in the queue.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// What a batcher does.
pub(crate) trait Work: Send + Sync + 'static {
    /// What is asked for.
    type Item: Send + Sync + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// Its name in logs.
    const NAME: &'static str;
    /// Items of one call at most: locks are held, and neighbours wait, for as
    /// long as the call takes.
    const ITEMS_MAX: usize;
    /// Bytes of one call at most, as [`Work::bytes`] counts them.
    const BYTES_MAX: usize = 4 << 20;
    /// Calls that may be under way at once.
    const LANES: usize = 2;

    /// What an item weighs.
    fn bytes(_item: &Self::Item) -> usize {
        0
    }

    /// Does all of it in one transaction, and answers in the same order.
    fn run(&self, items: &[Self::Item]) -> impl Future<Output = Result<Vec<Self::Answer>>> + Send;

    /// Whoever asked for this is gone; what it was given must be given back.
    fn undelivered(&self, _answer: Self::Answer) {}
}

struct Asked<W: Work> {
    item: W::Item,
    reply: oneshot::Sender<Result<W::Answer>>,
}

/// The asking end. Cheap to clone.
pub(crate) struct Batcher<W: Work> {
    queue: mpsc::Sender<Asked<W>>,
}

impl<W: Work> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<W: Work> Batcher<W> {
    /// Starts the lanes.
    pub(crate) fn start(work: W, tasks: &Tasks) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE_MAX);
        let inbox = Arc::new(Mutex::new(inbox));
        let work = Arc::new(work);
        for _ in 0..W::LANES {
            let lane = Lane {
                work: Arc::clone(&work),
                inbox: Arc::clone(&inbox),
            };
            tasks.spawn(W::NAME, lane.run(tasks.token()));
        }
        Self { queue }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, item: W::Item) -> Result<W::Answer> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked { item, reply };
        let placed = tokio::time::timeout(PLACE_WAIT, self.queue.send(asked)).await;
        placed
            .map_err(|_| JobsError::busy())?
            .map_err(|_| JobsError::Stopping)?;
        answer.await.map_err(|_| JobsError::Stopping)?
    }

    /// Asks many at once, and waits for all answers, in order.
    pub(crate) async fn ask_all(&self, items: Vec<W::Item>) -> Vec<Result<W::Answer>> {
        futures_util::future::join_all(items.into_iter().map(|item| self.ask(item))).await
    }
}

struct Lane<W: Work> {
    work: Arc<W>,
    inbox: Arc<Mutex<mpsc::Receiver<Asked<W>>>>,
}

impl<W: Work> Lane<W> {
    async fn run(self, stop: CancellationToken) {
        loop {
            let batch = tokio::select! {
                batch = self.collect() => batch,
                () = stop.cancelled() => break,
            };
            if batch.is_empty() {
                break;
            }
            self.serve(batch).await;
        }
    }

    /// The first item as soon as there is one, and whatever is behind it.
    async fn collect(&self) -> Vec<Asked<W>> {
        let mut inbox = self.inbox.lock().await;
        let Some(first) = inbox.recv().await else {
            return Vec::new();
        };
        let mut bytes = W::bytes(&first.item);
        let mut batch = vec![first];
        while batch.len() < W::ITEMS_MAX && bytes < W::BYTES_MAX {
            let Ok(next) = inbox.try_recv() else { break };
            bytes += W::bytes(&next.item);
            batch.push(next);
        }
        batch
    }

    async fn serve(&self, batch: Vec<Asked<W>>) {
        // Whoever is gone before it began needs nothing done.
        let wanted = batch.into_iter().filter(|asked| !asked.reply.is_closed());
        let (mut items, mut replies): (Vec<_>, Vec<_>) =
            wanted.map(|asked| (asked.item, asked.reply)).unzip();
        // Halves that are still to be tried, the first ones last.
        let mut rest = Vec::new();
        while !items.is_empty() {
            match self.attempt(&items).await {
                Ok(answers) => self.deliver(answers, replies),
                Err(error) if items.len() > 1 && error.is_about_one() => {
                    let middle = items.len() / 2;
                    rest.push((items.split_off(middle), replies.split_off(middle)));
                    rest.push((items, replies));
                }
                Err(error) => replies.into_iter().for_each(|reply| {
                    // Whoever is gone does not want to hear it.
                    let _ = reply.send(Err(error.clone()));
                }),
            }
            match rest.pop() {
                Some(next) => (items, replies) = next,
                None => break,
            }
        }
    }

    async fn attempt(&self, items: &[W::Item]) -> Result<Vec<W::Answer>> {
        let answers = self.work.run(items).await?;
        if answers.len() == items.len() {
            Ok(answers)
        } else {
            Err(JobsError::odd("as many answers as there were questions"))
        }
    }

    fn deliver(&self, answers: Vec<W::Answer>, replies: Vec<oneshot::Sender<Result<W::Answer>>>) {
        for (answer, reply) in answers.into_iter().zip(replies) {
            if let Err(Ok(answer)) = reply.send(Ok(answer)) {
                self.work.undelivered(answer);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;

    /// Doubles numbers; refuses a batch that has a seven in it.
    struct Doubling {
        calls: Arc<StdMutex<Vec<usize>>>,
        open: Arc<tokio::sync::Semaphore>,
    }

    impl Work for Doubling {
        type Item = u32;
        type Answer = u32;
        const NAME: &'static str = "doubling";
        const ITEMS_MAX: usize = 64;
        const LANES: usize = 1;

        async fn run(&self, items: &[u32]) -> Result<Vec<u32>> {
            let _permit = self.open.acquire().await;
            self.calls.lock().unwrap().push(items.len());
            if items.contains(&7) {
                return Err(JobsError::invalid("seven"));
            }
            Ok(items.iter().map(|n| n * 2).collect())
        }
    }

    #[tokio::test]
    async fn what_waits_goes_together_and_a_refused_item_is_refused_alone() {
        let tasks = Tasks::new();
        let calls = Arc::new(StdMutex::new(Vec::new()));
        let open = Arc::new(tokio::sync::Semaphore::new(0));
        let work = Doubling {
            calls: Arc::clone(&calls),
            open: Arc::clone(&open),
        };
        let batcher = Batcher::start(work, &tasks);
        let asking = batcher.ask_all((0..41).collect());
        tokio::pin!(asking);
        // Everything is queued or under way before the work may begin.
        assert!(futures_util::poll!(&mut asking).is_pending());
        open.add_permits(1);
        let answers = asking.await;
        for (n, answer) in (0_u32..).zip(&answers) {
            match answer {
                Ok(double) => assert_eq!(*double, n * 2),
                Err(error) => assert_eq!((n, error.code()), (7, "invalid")),
            }
        }
        let calls = calls.lock().unwrap().clone();
        assert!(calls.len() <= 16, "one item costs few calls: {calls:?}");
        tasks.stop().await;
    }
}

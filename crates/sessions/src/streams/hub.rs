//! One tail for each stream that somebody watches here, and one task that keeps
//! all of them: it is poked by commits of this node, by other nodes, and by a
//! clock, and reads what is new of all poked streams in one statement. Watchers
//! wait for a number and take frames that are worded once.
//!
//! A tail keeps a little of its end. Whoever is further behind reads pages from
//! the database, so nobody is waited for and nobody's memory grows.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::Rng;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::frame::Frame;
use super::store::{News, Store};

/// Looked at this often, whether poked or not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Added to it, so that nodes do not look in step.
const JITTER_MS_MAX: u64 = 250;
/// Between two reads: pokes in between are one.
const READ_PAUSE: Duration = Duration::from_millis(5);
/// After a read that failed.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
/// Streams of one statement, and events of each: what it returns is held in
/// memory, at most 64 × 32 × 16 KiB.
const STREAMS_AT_ONCE: usize = 64;
const EVENTS_AT_ONCE: usize = 32;
/// What a tail keeps at most, for those who come back after a short while and
/// those who write slower than others.
const TAIL_BYTES: usize = 64 << 10;
const TAIL_EVENTS: usize = 256;
/// Frames that a watcher takes at once.
const TAKE_BYTES: usize = 32 << 10;
/// Streams whose left-over events are numbered at a look.
const NUMBERED_AT_ONCE: u32 = 256;

/// How far a tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the last event that is known here.
    pub(super) seq: i64,
    /// The stream does not exist any more.
    pub(super) gone: bool,
}

/// The end of a stream.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) stream: Uuid,
    kept: Mutex<Kept>,
    head: watch::Sender<Head>,
}

#[derive(Debug)]
struct Kept {
    /// Every event behind this one, up to the head, is in `frames`.
    floor: i64,
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Tail {
    fn at(stream: Uuid, seq: i64) -> Self {
        let kept = Mutex::new(Kept {
            floor: seq,
            frames: VecDeque::new(),
            bytes: 0,
        });
        let (head, _) = watch::channel(Head { seq, gone: false });
        Self { stream, kept, head }
    }

    pub(super) fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Frames behind a cursor, as many as are taken at once; none when the
    /// cursor is before what is kept.
    pub(super) fn after(&self, after: i64) -> Option<Vec<Frame>> {
        let kept = lock(&self.kept);
        if after < kept.floor {
            return None;
        }
        let start = kept.frames.partition_point(|frame| frame.seq <= after);
        let mut bytes = 0;
        let frames = kept.frames.range(start..).take_while(|frame| {
            let fits = bytes < TAKE_BYTES;
            bytes += frame.size();
            fits
        });
        Some(frames.cloned().collect())
    }

    /// Takes what is new, in order.
    fn push(&self, frames: Vec<Frame>) {
        let Some(last) = frames.last().map(|frame| frame.seq) else {
            return;
        };
        let mut kept = lock(&self.kept);
        for frame in frames {
            kept.bytes += frame.size();
            kept.frames.push_back(frame);
        }
        while kept.bytes > TAIL_BYTES || kept.frames.len() > TAIL_EVENTS {
            let Some(oldest) = kept.frames.pop_front() else {
                break;
            };
            kept.bytes -= oldest.size();
            kept.floor = oldest.seq;
        }
        // While nobody can look in between.
        self.head.send_modify(|head| head.seq = last);
    }
}

/// The tails of this node.
pub(super) struct Hub {
    tails: Mutex<HashMap<Uuid, Watched>>,
    poked: Mutex<Poked>,
    news: Notify,
}

struct Watched {
    tail: Arc<Tail>,
    watchers: usize,
}

#[derive(Default)]
struct Poked {
    streams: HashSet<Uuid>,
    all: bool,
}

/// One watcher's hold of a tail.
pub(super) struct Hold {
    pub(super) tail: Arc<Tail>,
    hub: Arc<Hub>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut tails = lock(&self.hub.tails);
        if let Some(watched) = tails.get_mut(&self.tail.stream) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                tails.remove(&self.tail.stream);
            }
        }
    }
}

impl Hub {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            tails: Mutex::default(),
            poked: Mutex::default(),
            news: Notify::new(),
        })
    }

    /// Watches a stream that was at `last_seq` a moment ago.
    pub(super) fn hold(self: &Arc<Self>, stream: Uuid, last_seq: i64) -> Hold {
        let mut tails = lock(&self.tails);
        let watched = tails.entry(stream).or_insert_with(|| Watched {
            tail: Arc::new(Tail::at(stream, last_seq)),
            watchers: 0,
        });
        watched.watchers += 1;
        let tail = Arc::clone(&watched.tail);
        drop(tails);
        // For what came between that moment and this.
        self.poke(&[stream]);
        Hold {
            tail,
            hub: Arc::clone(self),
        }
    }

    /// These streams have news; those that nobody watches here are ignored.
    pub(super) fn poke(&self, streams: &[Uuid]) {
        let tails = lock(&self.tails);
        let watched = streams.iter().filter(|stream| tails.contains_key(stream));
        let mut poked = lock(&self.poked);
        let before = poked.streams.len();
        poked.streams.extend(watched);
        if poked.streams.len() > before {
            self.news.notify_one();
        }
    }

    /// Any may have.
    pub(super) fn poke_all(&self) {
        lock(&self.poked).all = true;
        self.news.notify_one();
    }

    /// How many streams are watched.
    pub(super) fn watched(&self) -> usize {
        lock(&self.tails).len()
    }

    /// Reads what is new until told to stop.
    pub(super) async fn run(self: Arc<Self>, store: Store, rng: Rng, stop: CancellationToken) {
        loop {
            let [random] = rng.bytes::<1>();
            let jitter = Duration::from_millis(u64::from(random) % JITTER_MS_MAX);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.news.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY + jitter) => self.look(&store).await,
            }
            let read = self.read(&store).await;
            let pause = match read {
                Ok(()) => READ_PAUSE,
                Err(error) => {
                    tracing::warn!(%error, "New events could not be read; trying again");
                    self.poke_all();
                    FAILED_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The safety net: everything that is watched, and what nobody numbered.
    async fn look(&self, store: &Store) {
        if self.watched() == 0 {
            return;
        }
        lock(&self.poked).all = true;
        if let Err(error) = store.number_some(NUMBERED_AT_ONCE).await {
            tracing::debug!(%error, "Events that were left could not be numbered");
        }
    }

    /// Reads the news of all poked streams.
    async fn read(&self, store: &Store) -> Result<(), pg::Error> {
        let poked = std::mem::take(&mut *lock(&self.poked));
        let tails: Vec<Arc<Tail>> = {
            let tails = lock(&self.tails);
            let wanted = tails
                .iter()
                .filter(|(id, _)| poked.all || poked.streams.contains(id));
            wanted
                .map(|(_, watched)| Arc::clone(&watched.tail))
                .collect()
        };
        for tails in tails.chunks(STREAMS_AT_ONCE) {
            let asked: Vec<_> = tails
                .iter()
                .map(|tail| (tail.stream, tail.head.borrow().seq))
                .collect();
            let mut news = HashMap::<Uuid, Vec<Frame>>::new();
            for (stream, one) in store.tails(&asked, EVENTS_AT_ONCE).await? {
                match one {
                    News::Event(frame) => news.entry(stream).or_default().push(frame),
                    News::Gone => {
                        if let Some(tail) = tails.iter().find(|tail| tail.stream == stream) {
                            tail.head.send_modify(|head| head.gone = true);
                        }
                    }
                }
            }
            for tail in tails {
                let frames = news.remove(&tail.stream).unwrap_or_default();
                if frames.len() >= EVENTS_AT_ONCE {
                    // There may be more.
                    self.poke(&[tail.stream]);
                }
                tail.push(frames);
            }
        }
        Ok(())
    }
}

/// What is locked here is consistent after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

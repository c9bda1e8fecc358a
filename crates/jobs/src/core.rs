//! What every part of the room shares: the store, who sleeps, who is told, and
//! what is remembered about jobs that this node handed out.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::Rng;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::news::{News, Told};
use crate::spec::Spec;
use crate::store::Store;
use crate::types::{Claimed, Submitted};
use crate::wake::{Ready, Wake};

/// Jobs of which this node remembers owner and stream. Forgetting costs one
/// look into the database.
const KNOWN_MAX: usize = 50_000;
/// The least time between two looks at what is ready: under load one look
/// serves many commits.
const LOOK_GAP: Duration = Duration::from_millis(5);
/// The queue of a type that nobody said anything about.
const DEFAULT_QUEUE: &str = "default";

/// What is remembered about a job. Neither ever changes.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) owner: Option<String>,
    pub(crate) stream: Option<Uuid>,
}

/// Duties that need not wait for their time, because something was left.
#[derive(Debug, Default)]
pub(crate) struct Nudges {
    pub(crate) promote: Notify,
    pub(crate) arrive: Notify,
    pub(crate) number: Notify,
    pub(crate) grant: Notify,
    pub(crate) look: Notify,
}

/// The shared parts.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) wake: Arc<Wake>,
    pub(crate) news: Arc<News>,
    pub(crate) nudges: Nudges,
    pub(crate) config: Config,

    pub(crate) rng: Rng,
    /// Not Tokio mutexes: nothing is awaited while they are held.
    known: Mutex<HashMap<Uuid, Known>>,
    /// Queues of types that have one of their own.
    queues: Mutex<HashMap<String, String>>,
}

impl Core {
    pub(crate) fn new(store: Store, config: Config, rng: Rng) -> Arc<Self> {
        let wake = Arc::new(Wake::default());
        Arc::new(Self {
            store,
            news: News::new(&rng, &wake),
            wake,
            nudges: Nudges::default(),
            config,
            rng,
            known: Mutex::default(),
            queues: Mutex::default(),
        })
    }

    /// Remembers what was handed out.
    pub(crate) fn remember<'a>(&self, jobs: impl IntoIterator<Item = &'a Claimed>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            let about = Known {
                owner: job.owner.clone(),
                stream: job.stream_id,
            };
            known.insert(job.id, about);
        }
    }

    pub(crate) fn known(&self, job: Uuid) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&job).cloned()
    }

    /// The streams of those jobs that this node knows.
    pub(crate) fn streams_of(&self, jobs: impl IntoIterator<Item = Uuid>) -> Vec<Uuid> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.into_iter()
            .filter_map(|job| known.get(&job)?.stream)
            .collect()
    }

    pub(crate) fn forget(&self, jobs: impl IntoIterator<Item = Uuid>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            known.remove(&job);
        }
    }

    pub(crate) fn set_queues(&self, queues: HashMap<String, String>) {
        *self.queues.lock().unwrap_or_else(PoisonError::into_inner) = queues;
    }

    fn queue_of(&self, spec: &Spec) -> String {
        if let Some(queue) = &spec.queue {
            return queue.clone();
        }
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let of_type = queues.get(&spec.kind).cloned();
        of_type.unwrap_or_else(|| DEFAULT_QUEUE.to_owned())
    }

    /// What a job is to whoever waits for one, if it can start at once.
    pub(crate) fn ready(&self, spec: &Spec) -> Option<Ready> {
        let later = spec.delay_ms.is_some() || spec.run_at.is_some();
        let starts = !later && spec.depends_on.is_empty() && !spec.group;
        starts.then(|| Ready {
            queue: self.queue_of(spec),
            kind: spec.kind.clone(),
            owner: spec.owner.clone(),
        })
    }

    /// After a commit that submitted jobs: wakes whoever can use them here,
    /// and has other nodes told of the rest.
    /// Children tell their parent's stream; `under` is a parent that all share;
    /// `claimed` was taken by somebody in the same transaction.
    pub(crate) fn submitted<'a>(
        &self,
        made: impl IntoIterator<Item = (&'a Spec, &'a Submitted)>,
        under: Option<Uuid>,
        claimed: &[Claimed],
    ) {
        let mut counts: HashMap<Ready, usize> = HashMap::new();
        let mut told = Told {
            streams: self.streams_of(under).into_iter().collect(),
            ..Told::default()
        };
        for (spec, job) in made {
            if !job.is_new {
                continue;
            }
            let is_root = spec.parent_ref.is_none() && spec.parent_id.is_none() && under.is_none();
            if spec.events != Some(false) && is_root {
                told.streams.insert(spec.session_id.unwrap_or(job.id));
            }
            if spec.delay_ms.is_some() || spec.run_at.is_some() {
                self.nudges.promote.notify_one();
            } else if let Some(ready) = self.ready(spec).filter(|_| job.state == "queued") {
                *counts.entry(ready).or_default() += 1;
            }
        }
        for job in claimed {
            let ready = Ready {
                queue: job.queue.clone(),
                kind: job.kind.clone(),
                owner: job.owner.clone(),
            };
            if let Some(count) = counts.get_mut(&ready) {
                *count = count.saturating_sub(1);
            }
        }
        counts.retain(|_, count| *count > 0);
        for (ready, count) in counts {
            if self.wake.ready(&ready, count) > 0 {
                told.queues.insert(ready.queue);
            }
        }
        self.news.tell(told);
    }

    /// After a commit that may have made jobs ready which nobody here can
    /// name: dependents, retries, what was waiting for a place.
    pub(crate) fn may_be_ready(&self) {
        self.nudges.look.notify_one();
    }

    /// Looks, after such commits, at what is ready, and wakes whoever may take
    /// it.
    pub(crate) async fn look(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.nudges.look.notified() => {}
                () = stop.cancelled() => break,
            }
            match self.store.ready().await {
                Ok(queues) if queues.is_empty() => {}
                Ok(queues) => {
                    self.wake.queues(&queues);
                    self.news.tell(Told {
                        queues: BTreeSet::from_iter(queues),
                        ..Told::default()
                    });
                }
                Err(error) => tracing::debug!(%error, "What is ready was not found out"),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_GAP) => {}
                () = stop.cancelled() => break,
            }
        }
    }

    /// After events were numbered that had been left over: those who were told
    /// of their streams may have looked too early.
    pub(crate) fn numbered(&self) {
        self.news.again();
    }

    /// After a commit that ended or changed jobs: others may be ready, places
    /// free, arrivals and events left over.
    pub(crate) fn settled(&self, jobs: impl IntoIterator<Item = Uuid>) {
        self.news.streams(self.streams_of(jobs));
        self.nudges.arrive.notify_one();
        self.nudges.number.notify_one();
        self.nudges.grant.notify_one();
        self.may_be_ready();
    }
}

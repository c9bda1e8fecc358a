//! What other nodes, and other rooms on this one, are told after a commit:
//! queues that have something to claim, streams that have something to read,
//! jobs whose holders must look after them.
//!
//! Sleepers of this node are woken at once, through [`crate::wake`]. Other
//! nodes hear of it through NOTIFY, which is sent in transactions of its own
//! and at most every 20 ms: a NOTIFY within a transaction that writes takes a
//! lock that lets commits of the whole cluster pass one at a time only.
//!
//! What is told is never more than a hint. Whoever misses it, because a
//! connection broke or a pooler does not let us listen, looks by itself.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::Rng;
use pg::Session;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::pace::jittered;
use crate::store::Store;
use crate::wake::Wake;

/// The least time between two notifications of a node.
const GAP: Duration = Duration::from_millis(20);
/// PostgreSQL takes less than 8000 bytes; the rest is for quotes and braces.
const PAYLOAD_MAX: usize = 7000;
/// So many ids of 39 bytes each fit, beside a few queues.
const IDS_MAX: usize = 150;
/// Streams remembered between two turns of the duty that numbers events. Those
/// beyond are found by whoever polls.
const RECENT_MAX: usize = 10_000;
/// Queues named at most; their names are up to 200 characters long.
const QUEUES_MAX: usize = 8;
/// Told things kept for a subscriber that is slow. It is told that it missed
/// some, and looks at everything.
const BACKLOG: usize = 1024;
/// First and longest pause before listening again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// A connection that says nothing for so long is asked whether it is alive, and
/// has so long to answer.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What is told.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Told {
    /// Queues with something to claim.
    #[serde(rename = "q", skip_serializing_if = "BTreeSet::is_empty")]
    pub queues: BTreeSet<String>,
    /// Streams with something to read.
    #[serde(rename = "s", skip_serializing_if = "HashSet::is_empty")]
    pub streams: HashSet<Uuid>,
    /// Jobs that were cancelled or paused.
    #[serde(rename = "c", skip_serializing_if = "HashSet::is_empty")]
    pub jobs: HashSet<Uuid>,
    /// Too much to say: look at everything.
    #[serde(skip_serializing_if = "is_false")]
    pub all: bool,
    /// The node that says so, which need not hear itself.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub node: Option<Uuid>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Told {
    fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.streams.is_empty() && self.jobs.is_empty() && !self.all
    }

    fn add(&mut self, other: &Self) {
        if self.all {
            return;
        }
        self.queues.extend(other.queues.iter().cloned());
        self.streams.extend(&other.streams);
        self.jobs.extend(&other.jobs);
        let ids = self.streams.len() + self.jobs.len();
        if other.all || ids > IDS_MAX || self.queues.len() > QUEUES_MAX {
            *self = Self {
                all: true,
                ..Self::default()
            };
        }
    }

    /// As it is sent.
    fn payload(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.is_empty() || text.len() > PAYLOAD_MAX {
            return "{\"all\":true}".to_owned();
        }
        text
    }
}

/// The telling end, and where other rooms hear.
#[derive(Debug)]
pub(crate) struct News {
    node: Uuid,
    /// Not a Tokio mutex: nothing is awaited while it is held.
    pending: Mutex<Told>,
    /// Streams that were told of lately and may still get events numbered.
    recent: Mutex<HashSet<Uuid>>,
    some: Notify,
    heard: broadcast::Sender<Arc<Told>>,
    wake: Arc<Wake>,
}

impl News {
    pub(crate) fn new(rng: &Rng, wake: &Arc<Wake>) -> Arc<Self> {
        Arc::new(Self {
            node: rng.uuid(),
            pending: Mutex::default(),
            recent: Mutex::default(),
            some: Notify::new(),
            heard: broadcast::channel(BACKLOG).0,
            wake: Arc::clone(wake),
        })
    }

    /// What is told from now on, by this node and by others.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.heard.subscribe()
    }

    /// Tells this node's rooms now and the other nodes soon. Sleepers are the
    /// business of whoever knows which jobs are ready.
    pub(crate) fn tell(&self, told: Told) {
        if told.is_empty() {
            return;
        }
        self.wake.changed(&told.jobs);
        self.tell_others(&told);
        // Nobody may be listening, which is fine.
        let _ = self.heard.send(Arc::new(told));
    }

    /// Tells the other nodes soon.
    pub(crate) fn tell_others(&self, told: &Told) {
        {
            let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.add(told);
        }
        self.some.notify_one();
    }

    /// Streams that have something new.
    pub(crate) fn streams(&self, streams: impl IntoIterator<Item = Uuid>) {
        let streams: HashSet<Uuid> = streams.into_iter().collect();
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() < RECENT_MAX {
                recent.extend(&streams);
            }
        }
        self.tell(Told {
            streams,
            ..Told::default()
        });
    }

    /// The streams told of lately have something new after all.
    pub(crate) fn again(&self) {
        let streams = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *recent)
        };
        self.tell(Told {
            streams,
            ..Told::default()
        });
    }

    fn take(&self) -> Told {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending)
    }

    /// What another node said.
    fn hear(&self, payload: &str) {
        // A payload we do not understand is a newer node's, and a hint too.
        let told = serde_json::from_str(payload).unwrap_or(Told {
            all: true,
            ..Told::default()
        });
        if told.node == Some(self.node) {
            return;
        }
        if told.all {
            self.wake.everybody();
        } else {
            let queues: Vec<String> = told.queues.iter().cloned().collect();
            if !queues.is_empty() {
                self.wake.queues(&queues);
            }
            self.wake.changed(&told.jobs);
        }
        let _ = self.heard.send(Arc::new(told));
    }
}

/// Sends what is pending, as long as the node runs.
pub(crate) async fn send(news: Arc<News>, store: Store, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = news.some.notified() => {}
            () = stop.cancelled() => break,
        }
        let mut told = news.take();
        if told.is_empty() {
            continue;
        }
        told.node = Some(news.node);
        if let Err(error) = store.notify(told.payload()).await {
            tracing::debug!(%error, "Other nodes were not told");
        }
        // What comes meanwhile goes together.
        tokio::select! {
            () = tokio::time::sleep(GAP) => {}
            () = stop.cancelled() => break,
        }
    }
}

/// Hears other nodes, as long as this one runs.
pub(crate) async fn listen(news: Arc<News>, store: Store, rng: Rng, stop: CancellationToken) {
    let mut pause = RETRY_FIRST;
    loop {
        let error = tokio::select! {
            error = listen_once(&news, &store, &mut pause) => error,
            () = stop.cancelled() => break,
        };
        tracing::debug!(%error, "Not listening; jobs are looked for every second until we are");
        tokio::select! {
            () = tokio::time::sleep(jittered(&rng, pause)) => {}
            () = stop.cancelled() => break,
        }
        pause = (pause * 2).min(RETRY_LAST);
    }
}

/// Listens until the connection breaks.
async fn listen_once(news: &News, store: &Store, pause: &mut Duration) -> pg::Error {
    let connected = async {
        let mut session = Session::connect(store.pool().target()).await?;
        session.query("LISTEN ferrobase_work", &[]).await?;
        Ok::<_, pg::Error>(session)
    };
    let mut session = match connected.await {
        Ok(session) => session,
        Err(error) => return error,
    };
    *pause = RETRY_FIRST;
    // Whatever was said while nobody listened.
    news.hear("{\"all\":true}");
    loop {
        match tokio::time::timeout(SILENCE_MAX, session.notification()).await {
            Ok(Ok(notification)) => news.hear(&notification.payload),
            Ok(Err(error)) => return error,
            Err(_) => match tokio::time::timeout(ANSWER_MAX, session.script("SELECT")).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error,
                Err(_) => return pg::Error::Io(std::io::ErrorKind::TimedOut.into()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_say_is_said_in_a_word() {
        let mut told = Told::default();
        for n in 0..IDS_MAX as u128 {
            told.add(&Told {
                streams: HashSet::from([Uuid::from_u128(n)]),
                ..Told::default()
            });
        }
        assert!(!told.all && told.payload().len() <= PAYLOAD_MAX);
        let queues = (0..3).map(|n| format!("{n}")).collect();
        told.add(&Told {
            queues,
            jobs: HashSet::from([Uuid::from_u128(1)]),
            ..Told::default()
        });
        assert_eq!(told.payload(), "{\"all\":true}");
    }
}

//! Waking whoever waits for jobs on this node.
//!
//! A claim that finds nothing leaves its wishes here and sleeps. Whoever makes
//! a job ready wakes as many sleepers as can use it, the longest waiting
//! first; so a job costs one claim and not one for every idle worker. News
//! from other nodes name queues only, so they wake one sleeper of each kind of
//! wish. A sleeper who got all it asked for wakes the next one, since there
//! may be more.
//!
//! Nothing depends on it: a sleeper looks again by itself every second.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::types::Wants;

/// Who waits for jobs, and who wants to hear about the jobs it holds.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// Not a Tokio mutex: nothing is awaited while it is held.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// In the order in which they came.
    sleepers: BTreeMap<u64, Sleeper>,
    /// Who holds which job.
    holders: HashMap<Uuid, Vec<(u64, Arc<Notify>)>>,
}

#[derive(Debug)]
struct Sleeper {
    wants: Arc<Wants>,
    slots: usize,
    notify: Arc<Notify>,
    /// Called already and not yet back.
    called: bool,
}

/// Jobs that can be claimed from now on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ready {
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) owner: Option<String>,
}

impl Sleeper {
    fn may_use(&self, ready: &Ready) -> bool {
        let wants = &self.wants;
        let types = wants.types.as_ref();
        wants.queues.contains(&ready.queue)
            && types.is_none_or(|types| types.contains(&ready.kind))
            && (wants.any_owner || wants.owner == ready.owner)
    }

    fn call(&mut self) {
        self.called = true;
        self.notify.notify_one();
    }
}

impl Wake {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Consistent after every statement that changes it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers somebody who is about to look for jobs: what becomes ready
    /// while it looks wakes it as well.
    pub(crate) fn sleeper(self: &Arc<Self>, wants: &Arc<Wants>, slots: usize) -> Sleeping {
        let notify = Arc::new(Notify::new());
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        let sleeper = Sleeper {
            wants: Arc::clone(wants),
            slots: slots.max(1),
            notify: Arc::clone(&notify),
            called: false,
        };
        inner.sleepers.insert(id, sleeper);
        Sleeping {
            wake: Arc::clone(self),
            id,
            notify,
        }
    }

    /// Wakes those who can use so many jobs; returns how many are left.
    pub(crate) fn ready(&self, ready: &Ready, count: usize) -> usize {
        let mut left = count;
        let mut inner = self.lock();
        for sleeper in inner.sleepers.values_mut() {
            if left == 0 {
                break;
            }
            if !sleeper.called && sleeper.may_use(ready) {
                sleeper.call();
                left = left.saturating_sub(sleeper.slots);
            }
        }
        left
    }

    /// Wakes one of each kind of those who look into these queues; whether
    /// there was anybody.
    pub(crate) fn queues(&self, queues: &[String]) -> bool {
        let mut kinds = HashSet::new();
        let mut inner = self.lock();
        for sleeper in inner.sleepers.values_mut() {
            let wants = Arc::clone(&sleeper.wants);
            let concerned = queues.iter().any(|queue| wants.queues.contains(queue));
            let kind = (wants.types.clone(), wants.owner.clone(), wants.any_owner);
            if concerned && kinds.insert(kind) && !sleeper.called {
                sleeper.call();
            }
        }
        !kinds.is_empty()
    }

    /// Wakes everybody: nobody knows what happened.
    pub(crate) fn everybody(&self) {
        let mut inner = self.lock();
        inner.sleepers.values_mut().for_each(Sleeper::call);
        for (_, notify) in inner.holders.values().flatten() {
            notify.notify_one();
        }
    }

    /// Whether anybody waits for jobs.
    #[cfg(test)]
    pub(crate) fn has_sleepers(&self) -> bool {
        !self.lock().sleepers.is_empty()
    }

    /// Registers somebody who holds these jobs.
    pub(crate) fn holder(
        self: &Arc<Self>,
        jobs: impl IntoIterator<Item = Uuid>,
        notify: &Arc<Notify>,
    ) -> Holding {
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        let jobs: Vec<Uuid> = jobs.into_iter().collect();
        for job in &jobs {
            let holders = inner.holders.entry(*job).or_default();
            holders.push((id, Arc::clone(notify)));
        }
        Holding {
            wake: Arc::clone(self),
            id,
            jobs,
        }
    }

    /// Tells whoever holds these jobs to look after them.
    pub(crate) fn changed<'a>(&self, jobs: impl IntoIterator<Item = &'a Uuid>) {
        let inner = self.lock();
        for job in jobs {
            for (_, notify) in inner.holders.get(job).into_iter().flatten() {
                notify.notify_one();
            }
        }
    }
}

/// A registered sleeper; dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct Sleeping {
    wake: Arc<Wake>,
    id: u64,
    notify: Arc<Notify>,
}

impl Sleeping {
    /// Sleeps until there may be something.
    pub(crate) async fn called(&self) {
        self.notify.notified().await;
    }

    /// From here on calls count again: whoever looks now has heard them.
    pub(crate) fn looks(&self) {
        if let Some(sleeper) = self.wake.lock().sleepers.get_mut(&self.id) {
            sleeper.called = false;
        }
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.wake.lock().sleepers.remove(&self.id);
    }
}

/// A registered holder; dropping it ends the registration.
#[derive(Debug)]
pub(crate) struct Holding {
    wake: Arc<Wake>,
    id: u64,
    jobs: Vec<Uuid>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut inner = self.wake.lock();
        for job in &self.jobs {
            let Some(holders) = inner.holders.get_mut(job) else {
                continue;
            };
            holders.retain(|(id, _)| *id != self.id);
            if holders.is_empty() {
                inner.holders.remove(job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    fn wants(queue: &str, owner: Option<&str>) -> Arc<Wants> {
        Arc::new(Wants {
            worker: "w".to_owned(),
            queues: vec![queue.to_owned()],
            types: None,
            owner: owner.map(str::to_owned),
            any_owner: owner.is_none(),
            lease: Duration::from_secs(30),
            code_version: None,
        })
    }

    fn called(sleeping: &Sleeping) -> bool {
        sleeping.called().now_or_never().is_some()
    }

    #[test]
    fn a_job_wakes_one_who_can_use_it() {
        let wake = Arc::new(Wake::default());
        let other = wake.sleeper(&wants("other", None), 1);
        let stranger = wake.sleeper(&wants("q", Some("ada")), 1);
        let first = wake.sleeper(&wants("q", None), 2);
        let second = wake.sleeper(&wants("q", None), 1);
        let ready = Ready {
            queue: "q".to_owned(),
            kind: "t".to_owned(),
            owner: Some("bob".to_owned()),
        };
        assert_eq!(wake.ready(&ready, 2), 0);
        let woken = [&other, &stranger, &first, &second].map(called);
        assert_eq!(woken, [false, false, true, false]);
        // The first is on its way, so the next job is for the second.
        assert_eq!(wake.ready(&ready, 2), 1);
        assert!(called(&second) && !called(&first));
        first.looks();
        assert!(wake.queues(&["q".to_owned()]));
        assert!(called(&first) && called(&stranger) && !called(&other));
        drop((other, stranger, first, second));
        assert!(!wake.has_sleepers());
    }
}

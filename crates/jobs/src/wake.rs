//! Waking whoever waits for jobs on this node.
//!
//! A claim that finds nothing leaves its wishes here and sleeps. Whoever makes
//! a job ready wakes as many sleepers as can use it, the longest waiting
//! first; so a job costs one claim and not one for every idle worker. News
//! from other nodes name queues only, so they wake one sleeper of each kind of
//! wish. A sleeper who got all it asked for wakes the next one, since there
//! may be more.
//!
//! A sleeper may also be handed its jobs: who submits some takes a sleeper
//! along, and submission and claim are one transaction, with one wait for the
//! disk instead of two.
//!
//! Nothing depends on it: a sleeper looks again by itself every second.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::actors::GiveBack;
use crate::types::{Claimed, Wants};

/// Who waits for jobs, and who wants to hear about the jobs it holds.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    /// Not a Tokio mutex: nothing is awaited while it is held.
    inner: Mutex<Inner>,
    /// Where jobs go whose sleeper is gone.
    back: OnceLock<GiveBack>,
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
    /// Neither looking nor on its way: jobs may be taken for it.
    rests: bool,
    /// Somebody takes jobs for it and will say what came of it.
    taken_along: bool,
    /// What was taken for it.
    handed: Vec<Claimed>,
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
            rests: false,
            taken_along: false,
            handed: Vec::new(),
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

    /// Takes a sleeper along who can use such jobs, if one rests.
    pub(crate) fn take_along(self: &Arc<Self>, ready: &Ready, count: usize) -> Option<TakenAlong> {
        let mut inner = self.lock();
        let mut resting = inner.sleepers.iter_mut();
        let (id, sleeper) =
            resting.find(|(_, one)| one.rests && !one.called && one.may_use(ready))?;
        sleeper.called = true;
        sleeper.taken_along = true;
        Some(TakenAlong {
            wake: Arc::clone(self),
            id: *id,
            wants: Arc::clone(&sleeper.wants),
            most: sleeper.slots.min(count),
            told: false,
        })
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

    /// From here on jobs whose sleeper is gone go there.
    pub(crate) fn give_back_to(&self, back: GiveBack) {
        // Set once, when the room is built.
        let _ = self.back.set(back);
    }

    fn give_back(&self, jobs: Vec<Claimed>) {
        if let Some(back) = self.back.get() {
            back.give(jobs);
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

    /// From here on jobs may be taken for it.
    pub(crate) fn rests(&self) {
        if let Some(sleeper) = self.wake.lock().sleepers.get_mut(&self.id) {
            sleeper.rests = true;
        }
    }

    /// From here on no more; what was taken meanwhile. Waits for whoever is
    /// just about it.
    pub(crate) async fn handed(&self) -> Vec<Claimed> {
        loop {
            match self.wake.lock().sleepers.get_mut(&self.id) {
                Some(sleeper) if sleeper.taken_along => sleeper.rests = false,
                Some(sleeper) => {
                    sleeper.rests = false;
                    return std::mem::take(&mut sleeper.handed);
                }
                None => return Vec::new(),
            }
            self.notify.notified().await;
        }
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
        let sleeper = self.wake.lock().sleepers.remove(&self.id);
        let handed = sleeper.map(|sleeper| sleeper.handed).unwrap_or_default();
        self.wake.give_back(handed);
    }
}

/// A sleeper for whom somebody takes jobs.
#[derive(Debug)]
pub(crate) struct TakenAlong {
    wake: Arc<Wake>,
    id: u64,
    pub(crate) wants: Arc<Wants>,
    pub(crate) most: usize,
    told: bool,
}

impl TakenAlong {
    /// Hands over what was taken.
    pub(crate) fn hand(mut self, jobs: Vec<Claimed>) {
        self.tell(jobs);
    }

    fn tell(&mut self, jobs: Vec<Claimed>) {
        self.told = true;
        let left = match self.wake.lock().sleepers.get_mut(&self.id) {
            Some(sleeper) => {
                sleeper.taken_along = false;
                sleeper.handed = jobs;
                sleeper.notify.notify_one();
                Vec::new()
            }
            None => jobs,
        };
        self.wake.give_back(left);
    }
}

impl Drop for TakenAlong {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Vec::new());
        }
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
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
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

    fn ready() -> Ready {
        Ready {
            queue: "q".to_owned(),
            kind: "t".to_owned(),
            owner: None,
        }
    }

    fn claimed() -> Claimed {
        Claimed {
            id: Uuid::nil(),
            root_id: Uuid::nil(),
            parent_id: None,
            session_id: None,
            stream_id: None,
            owner: None,
            kind: "t".to_owned(),
            name: None,
            epoch: 1,
            failures: 0,
            input: None,
            queue: "q".to_owned(),
            lease_ms: 1,
            steps: None,
        }
    }

    #[test]
    fn only_who_rests_is_taken_along_and_hears_of_it() {
        let wake = Arc::new(Wake::default());
        let one = wake.sleeper(&wants("q", None), 2);
        assert!(wake.take_along(&ready(), 5).is_none(), "it looks by itself");
        one.rests();
        let along = wake.take_along(&ready(), 5).unwrap();
        assert_eq!(along.most, 2);
        assert!(wake.take_along(&ready(), 5).is_none(), "once is enough");
        assert_eq!(
            wake.ready(&ready(), 1),
            1,
            "and it is called by nobody else"
        );
        let mut handed = Box::pin(one.handed());
        assert!(
            handed.as_mut().now_or_never().is_none(),
            "it waits for word"
        );
        along.hand(vec![claimed()]);
        assert_eq!(handed.now_or_never().unwrap().len(), 1);
        // Word comes also when nothing came of it.
        one.looks();
        one.rests();
        drop(wake.take_along(&ready(), 1));
        assert!(called(&one));
        assert_eq!(one.handed().now_or_never().unwrap().len(), 0);
        one.looks();
        one.rests();
        let along = wake.take_along(&ready(), 1).unwrap();
        drop(one);
        along.hand(vec![claimed()]);
        assert!(!wake.has_sleepers());
    }
}

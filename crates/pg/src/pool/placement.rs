//! Which connection a job runs on, and who waits.
//!
//! Start at [`State::choose`].

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Job;
use super::timings::Timings;

/// Jobs in flight on one connection at most. Past a handful the gain is gone
/// while a slow one among them would hold up more.
const DEPTH_MAX: usize = 16;

/// A connection whose oldest job takes longer than this is stuck behind a job
/// that was thought to be quick: no other job follows it there. Several times
/// what a quick job may take, so that a busy machine does not look stuck.
const STUCK: Duration = Duration::from_millis(25);

/// Quick jobs overtake waiting ones because they share connections. When the
/// oldest has waited for this long they line up behind it instead: on a small
/// pool they would otherwise leave no connection idle, ever.
const OVERTAKE_LIMIT: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) slots: HashMap<u64, Slot>,
    pub(super) next_slot: u64,
    pub(super) connecting: usize,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) timings: Timings,
    pub(super) last_connect_error: Option<String>,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Slot {
    jobs: mpsc::UnboundedSender<Job>,
    pub(super) in_flight: usize,
    /// Every job in flight here is quick, so another may follow.
    shareable: bool,
    /// Since when it is idle, or works on its oldest job.
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    quick: bool,
    since: Instant,
}

impl Slot {
    pub(super) fn new(jobs: mpsc::UnboundedSender<Job>, now: Instant) -> Self {
        Self {
            jobs,
            in_flight: 0,
            shareable: true,
            since: now,
        }
    }

    fn has_room(&self, now: Instant) -> bool {
        self.shareable
            && (1..DEPTH_MAX).contains(&self.in_flight)
            && now.saturating_duration_since(self.since) < STUCK
    }
}

impl State {
    /// The connection for the next job: an idle one, or for a quick job one
    /// that only has quick jobs, once enough connections are busy.
    pub(super) fn choose(
        &self,
        quick: bool,
        quick_connections: usize,
        now: Instant,
    ) -> Option<u64> {
        let idle = || {
            self.slots
                .iter()
                .find(|(_, slot)| slot.in_flight == 0)
                .map(|(id, _)| *id)
        };
        if !quick {
            return if self.waiting.is_empty() {
                idle()
            } else {
                None
            };
        }
        let unfair = self
            .waiting
            .front()
            .is_some_and(|first| now.saturating_duration_since(first.since) > OVERTAKE_LIMIT);
        if unfair {
            return None;
        }
        let sharing = self.slots.values().filter(|s| s.has_room(now)).count();
        if sharing < quick_connections
            && let Some(id) = idle()
        {
            return Some(id);
        }
        self.slots
            .iter()
            .filter(|(_, slot)| slot.has_room(now))
            .min_by_key(|(_, slot)| slot.in_flight)
            .map(|(id, _)| *id)
            .or_else(idle)
    }

    pub(super) fn assign(&mut self, id: u64, job: Job, quick: bool, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if slot.in_flight == 0 {
            slot.since = now;
        }
        slot.in_flight += 1;
        slot.shareable &= quick;
        job.started.store(true, Ordering::Release);
        // A connection that has just ended drops the job, and with it the
        // reply: its caller hears that the connection is closed.
        let _ = slot.jobs.send(job);
    }

    pub(super) fn wait(&mut self, job: Job, quick: bool, now: Instant) {
        self.waiting.push_back(Waiting {
            job,
            quick,
            since: now,
        });
    }

    /// One job on this connection is done.
    pub(super) fn release(&mut self, id: u64, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.in_flight = slot.in_flight.saturating_sub(1);
            slot.shareable |= slot.in_flight == 0;
            slot.since = now;
        }
        if !self.waiting.is_empty() {
            self.serve_waiting(id, now);
        }
    }

    /// Gives the connection what has waited longest: one job of any kind, or
    /// as many quick ones as stand first in the queue.
    pub(super) fn serve_waiting(&mut self, id: u64, now: Instant) {
        while let Some(slot) = self.slots.get(&id) {
            let Some(first) = self.waiting.front() else {
                break;
            };
            let abandoned = first.job.abandoned();
            let fits = slot.in_flight == 0 || (first.quick && slot.has_room(now));
            if !abandoned && !fits {
                break;
            }
            let Some(Waiting { job, quick, .. }) = self.waiting.pop_front() else {
                break;
            };
            if !abandoned {
                self.assign(id, job, quick, now);
            }
        }
    }
}

//! Which connection a job runs on, and who waits.
//!
//! Start at [`State::choose`].

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::timings::Timings;
use super::{Job, PoolConfig};

/// Reads in flight on one connection at most. Past a handful the gain is gone
/// while a slow one among them would hold up more.
const READS_MAX: usize = 16;

/// Writes in flight on one connection at most: one that works, and some that
/// are there already when it ends, so that Postgres need not be woken for
/// them. Fewer than reads, since a write may have to wait for a lock.
const WRITES_MAX: usize = 4;

/// With what a job may be in flight on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// Nothing: it is slow, or nobody knows yet, or it is a lease.
    Nobody,
    /// Other quick reads.
    Reads,
    /// Other quick writes. They spread over more connections first: a commit
    /// waits for the disk, which several connections do at once and one
    /// connection after the other.
    Writes,
}

impl Company {
    fn most(self) -> usize {
        match self {
            Self::Nobody => 1,
            Self::Reads => READS_MAX,
            Self::Writes => WRITES_MAX,
        }
    }
}

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
    /// What is in flight here; any of several kinds makes it `Nobody`.
    company: Company,
    /// Since when it is idle, or works on its oldest job.
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) job: Job,
    company: Company,
    since: Instant,
}

impl Slot {
    pub(super) fn new(jobs: mpsc::UnboundedSender<Job>, now: Instant) -> Self {
        Self {
            jobs,
            in_flight: 0,
            company: Company::Nobody,
            since: now,
        }
    }

    fn has_room(&self, company: Company, now: Instant) -> bool {
        self.company == company
            && (1..company.most()).contains(&self.in_flight)
            && now.saturating_duration_since(self.since) < STUCK
    }
}

impl State {
    /// The connection for the next job: an idle one, or one that has room
    /// among its like once enough connections are busy with those.
    pub(super) fn choose(
        &self,
        company: Company,
        config: &PoolConfig,
        now: Instant,
    ) -> Option<u64> {
        let idle = || {
            self.slots
                .iter()
                .find(|(_, slot)| slot.in_flight == 0)
                .map(|(id, _)| *id)
        };
        let shared = || {
            self.slots
                .iter()
                .filter(|(_, slot)| slot.has_room(company, now))
                .min_by_key(|(_, slot)| slot.in_flight)
                .map(|(id, _)| *id)
        };
        let unfair = self
            .waiting
            .front()
            .is_some_and(|first| now.saturating_duration_since(first.since) > OVERTAKE_LIMIT);
        let spread = match company {
            Company::Nobody if self.waiting.is_empty() => return idle(),
            Company::Nobody => return None,
            _ if unfair => return None,
            Company::Reads => config.quick_connections,
            Company::Writes => config.write_connections,
        };
        let among = |slot: &&Slot| slot.company == company && slot.in_flight > 0;
        let busy = self.slots.values().filter(among).count();
        if busy >= spread {
            return shared().or_else(idle);
        }
        idle().or_else(|| {
            let growing = company == Company::Writes && self.slots.len() < config.connections_max;
            if growing { None } else { shared() }
        })
    }

    pub(super) fn assign(&mut self, id: u64, job: Job, company: Company, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if slot.in_flight == 0 {
            slot.since = now;
            slot.company = company;
        } else if slot.company != company {
            slot.company = Company::Nobody;
        }
        slot.in_flight += 1;
        job.started.store(true, Ordering::Release);
        // A connection that has just ended drops the job, and with it the
        // reply: its caller hears that the connection is closed.
        let _ = slot.jobs.send(job);
    }

    pub(super) fn wait(&mut self, job: Job, company: Company, now: Instant) {
        self.waiting.push_back(Waiting {
            job,
            company,
            since: now,
        });
    }

    /// One job on this connection is done.
    pub(super) fn release(&mut self, id: u64, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.in_flight = slot.in_flight.saturating_sub(1);
            slot.since = now;
        }
        if !self.waiting.is_empty() {
            self.serve_waiting(id, now);
        }
    }

    /// Gives the connection what has waited longest: one job of any kind, or
    /// as many of a kind as may share it and stand first in the queue.
    pub(super) fn serve_waiting(&mut self, id: u64, now: Instant) {
        while let Some(slot) = self.slots.get(&id) {
            let Some(first) = self.waiting.front() else {
                break;
            };
            let abandoned = first.job.abandoned();
            let fits = slot.in_flight == 0 || slot.has_room(first.company, now);
            if !abandoned && !fits {
                break;
            }
            let Some(Waiting { job, company, .. }) = self.waiting.pop_front() else {
                break;
            };
            if !abandoned {
                self.assign(id, job, company, now);
            }
        }
    }
}

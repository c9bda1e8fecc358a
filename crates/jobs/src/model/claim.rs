//! Workers: claims, heartbeats, ends, and what time does to them.

use std::time::Duration;

use super::CRASHES_MAX;
use super::event::{Answer, Refusal};
use super::turn::{Said, Turn};
use super::world::{Id, Kind, State, StepState, Time, Until, Waiting};
use crate::backoff;

impl Turn<'_> {
    /// A worker takes a ready job; the claim's number fences all before it.
    pub(super) fn claim(&mut self, id: Id, worker: u32, lease: Time) -> Said {
        let queue = self.known(id)?.queue;
        if !self.job(id).is_ready() || self.world.paused_queues.contains(&queue) {
            return Err(Refusal::Conflict);
        }
        let now = self.now;
        let job = self.job_mut(id);
        job.state = State::Running;
        job.waits_in = None;
        job.epoch += 1;
        job.worker = Some(worker);
        job.lease_until = Some(now + lease);
        if job.started_at.is_none() {
            job.started_at = Some(now);
            let limit = job.time_limit.map(|limit| now + limit);
            job.deadline_at = [job.deadline_at, limit].into_iter().flatten().min();
        }
        let epoch = job.epoch;
        self.tell(id, Kind::Started);
        Ok(Answer::Claimed(epoch))
    }

    /// The lease is longer, or the worker hears why it has none.
    pub(super) fn heartbeat(&mut self, id: Id, epoch: u32, lease: Time) -> Said {
        let state = self.known(id)?.state;
        if self.fence(id, epoch).is_ok() {
            let until = self.now + lease;
            self.job_mut(id).lease_until = Some(until);
            return Ok(Answer::Done);
        }
        Ok(Answer::Leave(match state {
            State::Cancelled => "cancel",
            State::Paused => "pause",
            State::Queued | State::Running | State::Completed | State::Failed => "lost",
        }))
    }

    /// The handler is done.
    pub(super) fn complete(&mut self, id: Id, epoch: u32) -> Said {
        self.fence(id, epoch)?;
        self.end(id, State::Completed);
        Ok(Answer::Finished(State::Completed))
    }

    /// The handler gave up: another try after a pause, or the end.
    pub(super) fn fail(
        &mut self,
        id: Id,
        retryable: bool,
        delay: Option<Time>,
        luck: f64,
    ) -> Answer {
        let now = self.now;
        let job = self.job_mut(id);
        job.failures += 1;
        if !retryable || job.failures >= job.max_attempts {
            job.error = Some("failed");
            self.end(id, State::Failed);
            return Answer::Finished(State::Failed);
        }
        let base = Duration::from_millis(job.backoff_base);
        let max = Duration::from_millis(job.backoff_max);
        let due = backoff::delay(base, max, job.failures, luck).as_millis();
        let pause = delay.unwrap_or_else(|| Time::try_from(due).unwrap_or(Time::MAX));
        job.state = State::Queued;
        job.waiting = Some(Waiting::Retry);
        job.run_at = Some(now.saturating_add(pause));
        self.let_go(id);
        self.tell(id, Kind::Retrying);
        Answer::Finished(State::Queued)
    }

    /// The worker shuts down; nothing is counted.
    pub(super) fn release(&mut self, id: Id, epoch: u32) -> Said {
        self.fence(id, epoch)?;
        self.let_go(id);
        self.line_up(id);
        Ok(Answer::Finished(State::Queued))
    }

    /// Leases that ran out: the worker is dead, or might as well be.
    pub(super) fn rescue(&mut self) -> Answer {
        let now = self.now;
        let jobs = self.world.jobs.iter();
        let expired = jobs.filter(|job| job.lease_until.is_some_and(|until| until <= now));
        let expired: Vec<Id> = expired.map(|job| job.id).collect();
        for &id in &expired {
            if self.busy.jobs.contains(&id) {
                continue;
            }
            let job = self.job_mut(id);
            job.crashes += 1;
            if job.crashes >= CRASHES_MAX {
                job.error = Some("poisoned");
                self.end(id, State::Failed);
            } else {
                self.let_go(id);
                self.line_up(id);
                self.tell(id, Kind::Retrying);
            }
        }
        Answer::Changed(expired)
    }

    /// What was due.
    pub(super) fn promote(&mut self) -> Answer {
        let (now, busy) = (self.now, self.busy);
        let free = (0..self.world.jobs.len()).filter(|id| !busy.jobs.contains(id));
        let free: Vec<Id> = free.collect();
        let late = free.iter().copied().filter(|id| {
            let job = self.job(*id);
            !job.state.is_over() && job.deadline_at.is_some_and(|at| at <= now)
        });
        self.expire(&late.collect::<Vec<_>>());
        self.ring(&free);
        for id in free {
            let job = self.job(id);
            match (job.state, job.waiting) {
                (State::Queued, Some(Waiting::Time | Waiting::Retry))
                    if job.run_at.is_none_or(|at| at <= now) =>
                {
                    self.line_up(id);
                }
                (State::Running, Some(Waiting::Timer)) if self.is_satisfied(id) => self.wake(id),
                _ => {}
            }
        }
        Answer::Done
    }

    /// Timers that are due are done, also of jobs that are held or begun anew:
    /// time has passed for them as well.
    fn ring(&mut self, free: &[Id]) {
        let now = self.now;
        for ((id, _), step) in &mut self.world.steps {
            let due = matches!(step.until, Some(Until::Timer(at)) if at <= now);
            if due && step.state == StepState::Waiting && free.contains(id) {
                step.state = StepState::Done;
            }
        }
    }

    /// What is past its deadline fails, all of it before anything below is
    /// cancelled, which may be late itself.
    fn expire(&mut self, late: &[Id]) {
        for &id in late {
            self.job_mut(id).error = Some("deadline");
            self.end(id, State::Failed);
        }
        for &id in late {
            self.cancel_below(id, "deadline");
        }
    }

    /// A job that waits for its limits, if there is room in all of them.
    pub(super) fn grant(&mut self, id: Id) -> Said {
        let job = self.known(id)?;
        let waits = job.state == State::Queued && job.waiting == Some(Waiting::Limit);
        if !waits || !self.world.has_room(job) {
            return Err(Refusal::Conflict);
        }
        let (keys, queue) = (job.limit_keys.clone(), job.queue);
        self.world
            .slots
            .extend(keys.into_iter().map(|key| (key, id)));
        self.job_mut(id).waiting = None;
        self.woken.insert(queue);
        Ok(Answer::Done)
    }

    /// Whether what a suspended job waits for is so by now.
    pub(super) fn is_satisfied(&self, id: Id) -> bool {
        let job = self.job(id);
        let Some(key) = job.waits_in else {
            return true;
        };
        let Some(step) = self.world.steps.get(&(id, key)) else {
            return true;
        };
        step.state != StepState::Waiting
            || match step.until {
                Some(Until::Children) => job.children_open <= 0,
                Some(Until::Timer(at)) => at <= self.now,
                Some(Until::Signal(_)) => false,
                None => true,
            }
    }
}

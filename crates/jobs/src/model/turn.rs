//! One event's way through the world: the change, then the news it makes, then
//! the log.

use std::collections::{BTreeSet, VecDeque};

use super::event::{Answer, Busy, Event, Outcome, Refusal};
use super::world::{Id, Job, Kind, Time, Told, Waiting, World};

/// Lets `event` happen at `now`. A refused event changes nothing.
pub fn step(world: &mut World, event: &Event, now: Time, busy: &Busy) -> Outcome {
    let mut turn = Turn {
        world,
        busy,
        now,
        told: Vec::new(),
        touched: VecDeque::new(),
        woken: BTreeSet::new(),
        fenced: BTreeSet::new(),
    };
    let answer = turn.happen(event).unwrap_or_else(Answer::Refused);
    turn.arrive();
    let told = std::mem::take(&mut turn.told);
    let (woken, fenced) = (turn.woken, turn.fenced);
    super::log::append(world, &told, busy);
    Outcome {
        answer,
        woken,
        fenced,
    }
}

/// The state of one event's work; `W` is what it changes.
pub(super) struct Turn<'w> {
    /// What it changes.
    pub(super) world: &'w mut World,
    /// What it may not touch unless it was asked about by name.
    pub(super) busy: &'w Busy,
    /// The database's clock.
    pub(super) now: Time,
    /// Events for the log, which is written last.
    pub(super) told: Vec<(Id, Told)>,
    /// Targets of news that this event made.
    pub(super) touched: VecDeque<Id>,
    /// Queues that got something ready.
    pub(super) woken: BTreeSet<u32>,
    /// Jobs that a worker lost to a user's will.
    pub(super) fenced: BTreeSet<Id>,
}

/// What a transition answers.
pub(super) type Said = Result<Answer, Refusal>;

impl Turn<'_> {
    fn happen(&mut self, event: &Event) -> Said {
        match event {
            Event::Submit(specs) => self.submit(specs, None),
            Event::Spawn(parent, epoch, specs) => self.spawn(*parent, *epoch, specs),
            Event::Claim(job, worker, lease) => self.claim(*job, *worker, *lease),
            Event::Heartbeat(job, epoch, lease) => self.heartbeat(*job, *epoch, *lease),
            Event::Complete(job, epoch) => self.complete(*job, *epoch),
            Event::Fail {
                job,
                epoch,
                retryable,
                delay,
                luck,
            } => {
                self.fence(*job, *epoch)?;
                Ok(self.fail(*job, *retryable, *delay, *luck))
            }
            Event::Release(job, epoch) => self.release(*job, *epoch),
            Event::Rescue => Ok(self.rescue()),
            Event::Promote => Ok(self.promote()),
            Event::Grant(job) => self.grant(*job),
            Event::Arrive => {
                let targets = self.world.arrivals.iter();
                self.touched = targets.map(|arrival| arrival.target).collect();
                Ok(Answer::Done)
            }
            Event::Number => {
                super::log::number(self.world, self.busy);
                Ok(Answer::Done)
            }
            Event::Cancel(job) => self.cancel(*job),
            Event::Pause(job) => self.pause(*job),
            Event::Resume(job) => self.resume(*job),
            Event::Retry(job) => self.retry(*job),
            Event::PauseQueue(queue, paused) => {
                if *paused {
                    self.world.paused_queues.insert(*queue);
                } else if self.world.paused_queues.remove(queue) {
                    self.woken.insert(*queue);
                }
                Ok(Answer::Done)
            }
            Event::StepBegin(job, epoch, key, what) => self.step_begin(*job, *epoch, *key, *what),
            Event::StepHandle(job, epoch, key, handle) => {
                self.step_handle(*job, *epoch, *key, *handle)
            }
            Event::StepEnd(job, epoch, key, result) => self.step_end(*job, *epoch, *key, *result),
            Event::StepFail(job, epoch, key) => self.step_fail(*job, *epoch, *key),
            Event::Suspend(job, epoch, key, until) => self.suspend(*job, *epoch, *key, *until),
            Event::Signal(job, name, payload, key) => self.signal(*job, *name, *payload, *key),
        }
    }

    /// A job that an event names.
    pub(super) fn known(&self, id: Id) -> Result<&Job, Refusal> {
        self.world.job(id).ok_or(Refusal::NotFound)
    }

    /// A job whose id came out of the world, which never forgets one.
    #[expect(clippy::indexing_slicing, reason = "jobs are never removed")]
    pub(super) fn job(&self, id: Id) -> &Job {
        &self.world.jobs[id]
    }

    /// As [`Turn::job`], to change it.
    #[expect(clippy::indexing_slicing, reason = "jobs are never removed")]
    pub(super) fn job_mut(&mut self, id: Id) -> &mut Job {
        &mut self.world.jobs[id]
    }

    /// What a worker says counts while the claim that it names is the last one
    /// and nobody took the job away.
    pub(super) fn fence(&self, id: Id, epoch: u32) -> Result<(), Refusal> {
        let job = self.known(id)?;
        if job.is_at_work() && job.epoch == epoch {
            Ok(())
        } else {
            Err(Refusal::Stale)
        }
    }

    /// Writes an event, if the job tells any.
    pub(super) fn tell(&mut self, job: Id, kind: Kind) {
        if let Some(stream) = self.job(job).stream {
            self.told.push((stream, Told { job, kind }));
        }
    }

    /// Nobody has it any more, and it holds nothing.
    pub(super) fn let_go(&mut self, id: Id) {
        let job = self.job_mut(id);
        job.worker = None;
        job.lease_until = None;
        self.world.slots.retain(|(_, holder)| *holder != id);
    }

    /// Puts a queued job behind the first gate that is closed: its time, then
    /// its limits.
    pub(super) fn line_up(&mut self, id: Id) {
        let (now, limited) = (self.now, self.world.is_limited(self.job(id)));
        let job = self.job_mut(id);
        job.state = super::State::Queued;
        job.paused_from = None;
        job.waiting = if job.run_at.is_some_and(|at| at > now) {
            Some(Waiting::Time)
        } else if limited {
            Some(Waiting::Limit)
        } else {
            None
        };
        if job.waiting.is_none() {
            let queue = job.queue;
            self.woken.insert(queue);
        }
    }
}

//! Steps: what was done once is not done again. Suspensions are steps too.

use super::event::{Answer, Refusal, Verdict};
use super::turn::{Said, Turn};
use super::world::{Id, Kind, Signal, State, Step, StepState, Until, Waiting};

impl Turn<'_> {
    /// A handler comes to a step: `what` is its code's version and the hash of
    /// its request.
    pub(super) fn step_begin(&mut self, id: Id, epoch: u32, key: u32, what: (u32, u32)) -> Said {
        self.fence(id, epoch)?;
        let (version, hash) = what;
        let token = self.world.next_token;
        let Some(step) = self.world.steps.get_mut(&(id, key)) else {
            self.begin_anew(id, epoch, key, what);
            return Ok(Answer::Step(Verdict::Run(token)));
        };
        if step.version != version {
            // Other code may mean something else by this key, so the provider
            // must not take the old request for it either.
            self.begin_anew(id, epoch, key, what);
            return Ok(Answer::Step(Verdict::Run(token)));
        }
        if step.hash != hash {
            return Ok(Answer::Step(Verdict::Mismatch));
        }
        let others = step.epoch != epoch;
        let (verdict, state) = match (step.state, step.handle) {
            (StepState::Done, _) => {
                return Ok(Answer::Step(Verdict::Hit(step.result.unwrap_or(0))));
            }
            (StepState::Started | StepState::InDoubt, Some(handle)) => {
                (Verdict::Resume(handle, step.token), StepState::Started)
            }
            (StepState::Started, None) if others => {
                (Verdict::InDoubt(step.token), StepState::InDoubt)
            }
            (StepState::InDoubt, None) => (Verdict::InDoubt(step.token), StepState::InDoubt),
            (StepState::Started | StepState::Failed | StepState::Waiting, _) => {
                (Verdict::Run(step.token), StepState::Started)
            }
        };
        step.state = state;
        step.epoch = epoch;
        Ok(Answer::Step(verdict))
    }

    fn begin_anew(&mut self, id: Id, epoch: u32, key: u32, what: (u32, u32)) {
        let step = Step {
            state: StepState::Started,
            epoch,
            version: what.0,
            hash: what.1,
            handle: None,
            token: self.world.next_token,
            result: None,
            late: false,
            until: None,
        };
        self.world.next_token += 1;
        self.world.steps.insert((id, key), step);
    }

    /// Where the provider's work can be asked about, before it is waited for.
    pub(super) fn step_handle(&mut self, id: Id, epoch: u32, key: u32, handle: u64) -> Said {
        self.fence(id, epoch)?;
        let step = self.world.steps.get_mut(&(id, key));
        let step = step.ok_or(Refusal::NotFound)?;
        if matches!(step.state, StepState::Started | StepState::InDoubt) {
            step.handle = Some(handle);
        }
        Ok(Answer::Done)
    }

    /// The result. It was paid for, so it is kept even from a claim that has
    /// lost the job, unless there is one.
    pub(super) fn step_end(&mut self, id: Id, epoch: u32, key: u32, result: u64) -> Said {
        let late = match self.fence(id, epoch) {
            Ok(()) => false,
            Err(Refusal::Stale) => true,
            Err(other) => return Err(other),
        };
        let step = self.world.steps.get_mut(&(id, key));
        let step = step.ok_or(Refusal::NotFound)?;
        if step.state == StepState::Done {
            return if late {
                Err(Refusal::Stale)
            } else {
                Ok(Answer::Done)
            };
        }
        step.state = StepState::Done;
        step.result = Some(result);
        step.late = late;
        self.tell(id, Kind::StepCompleted);
        if late {
            Err(Refusal::Stale)
        } else {
            Ok(Answer::Done)
        }
    }

    /// It failed and cost nothing.
    pub(super) fn step_fail(&mut self, id: Id, epoch: u32, key: u32) -> Said {
        self.fence(id, epoch)?;
        let step = self.world.steps.get_mut(&(id, key));
        let step = step.ok_or(Refusal::NotFound)?;
        if matches!(step.state, StepState::Started | StepState::InDoubt) {
            step.state = StepState::Failed;
        }
        Ok(Answer::Done)
    }

    /// The handler leaves its place until something is so. What is so already
    /// puts it back in line at once.
    pub(super) fn suspend(&mut self, id: Id, epoch: u32, key: u32, until: Until) -> Said {
        self.fence(id, epoch)?;
        let token = self.world.next_token;
        let step = self.world.steps.entry((id, key)).or_insert(Step {
            state: StepState::Waiting,
            epoch,
            version: 0,
            hash: 0,
            handle: None,
            token,
            result: None,
            late: false,
            until: Some(until),
        });
        if step.state == StepState::Failed {
            (step.state, step.until) = (StepState::Waiting, Some(until));
        }
        step.epoch = epoch;
        self.world.next_token += 1;
        self.let_go(id);
        let job = self.job_mut(id);
        job.waiting = Some(until.waiting());
        job.waits_in = Some(key);
        self.tell(id, Kind::Waiting);
        self.take_signals(id);
        if self.is_satisfied(id) {
            self.wake(id);
        }
        Ok(Answer::Done)
    }

    /// Somebody's word for a job. It is kept until a step takes it.
    pub(super) fn signal(&mut self, id: Id, name: u32, payload: u64, key: Option<u32>) -> Said {
        if self.known(id)?.state.is_over() {
            return Err(Refusal::Conflict);
        }
        let mut signals = self.world.signals.iter();
        let again =
            key.is_some() && signals.any(|one| one.job == id && one.name == name && one.key == key);
        if again {
            return Ok(Answer::Done);
        }
        self.world.signals.push(Signal {
            job: id,
            name,
            payload,
            key,
            taken_by: None,
        });
        self.take_signals(id);
        let job = self.job(id);
        let suspended = job.state == State::Running && job.waiting == Some(Waiting::Signal);
        if suspended && self.is_satisfied(id) {
            self.wake(id);
        }
        Ok(Answer::Done)
    }

    /// Gives a waiting step the oldest signal of its name.
    fn take_signals(&mut self, id: Id) {
        let Some(key) = self.job(id).waits_in else {
            return;
        };
        let Some(step) = self.world.steps.get_mut(&(id, key)) else {
            return;
        };
        let Some(Until::Signal(name)) = step.until.filter(|_| step.state == StepState::Waiting)
        else {
            return;
        };
        let mut signals = self.world.signals.iter_mut();
        let free = signals.find(|one| one.job == id && one.name == name && one.taken_by.is_none());
        if let Some(signal) = free {
            signal.taken_by = Some(key);
            step.state = StepState::Done;
            step.result = Some(signal.payload);
        }
    }
}

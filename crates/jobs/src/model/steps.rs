//! Steps: what was done once is not done again. Suspensions are steps too.

use super::event::{Answer, Refusal, Verdict};
use super::turn::{Said, Turn};
use super::world::{Id, Kind, PausedFrom, Signal, State, Step, StepState, Until, Waiting};

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
        let failed = step.state == StepState::Failed;
        if step.version != version || (failed && step.hash != hash) {
            // It is another request by this key, so the provider must not take
            // it for the old one either.
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
            since: epoch,
            finished_by: None,
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
    /// The job may be lost by then: whoever has it next can ask there, too.
    pub(super) fn step_handle(&mut self, id: Id, epoch: u32, key: u32, handle: u64) -> Said {
        let step = self.world.steps.get_mut(&(id, key)).ok_or(Refusal::Stale)?;
        let open = matches!(step.state, StepState::Started | StepState::InDoubt);
        if !open || epoch < step.since || (step.epoch != epoch && step.handle.is_some()) {
            return Err(Refusal::Stale);
        }
        step.handle = Some(handle);
        Ok(Answer::Done)
    }

    /// The result. It was paid for, so it is kept even from a claim that has
    /// lost the job, unless there is one.
    pub(super) fn step_end(&mut self, id: Id, epoch: u32, key: u32, result: u64) -> Said {
        let late = self.fence(id, epoch).is_err();
        let step = self.world.steps.get_mut(&(id, key));
        let step = step.ok_or(Refusal::NotFound)?;
        if step.state == StepState::Done || epoch < step.since {
            let again = step.finished_by == Some(epoch) && !step.late;
            return if again {
                Ok(Answer::Done)
            } else {
                Err(Refusal::Stale)
            };
        }
        step.state = StepState::Done;
        step.result = Some(result);
        step.late = late;
        step.finished_by = Some(epoch);
        self.tell(id, Kind::StepCompleted);
        if late {
            Err(Refusal::Stale)
        } else {
            Ok(Answer::Done)
        }
    }

    /// It failed and cost nothing. Only who began it last can know.
    pub(super) fn step_fail(&mut self, id: Id, epoch: u32, key: u32) -> Said {
        let step = self.world.steps.get_mut(&(id, key));
        let step = step.ok_or(Refusal::NotFound)?;
        let open = matches!(step.state, StepState::Started | StepState::InDoubt);
        if !open || step.epoch != epoch {
            return Err(Refusal::Stale);
        }
        step.state = StepState::Failed;
        step.handle = None;
        Ok(Answer::Done)
    }

    /// The handler leaves its place until something is so. When it is so
    /// already, the job stays where it is. Since when it waits, and until
    /// when, was said the first time.
    pub(super) fn suspend(&mut self, id: Id, epoch: u32, key: u32, until: Until) -> Said {
        self.fence(id, epoch)?;
        if let Some(step) = self.world.steps.get(&(id, key)) {
            if step.state == StepState::Done {
                return Ok(Answer::Ready);
            }
            if step.until.map(Until::waiting) != Some(until.waiting()) {
                return Err(Refusal::Conflict);
            }
        }
        let waits_for_us =
            |child: &Id| !self.job(*child).state.is_over() && self.waits_for(*child, id);
        if until == Until::Children && self.job(id).children.iter().any(waits_for_us) {
            return Err(Refusal::Cycle);
        }
        let step = self.world.steps.entry((id, key)).or_insert(Step {
            state: StepState::Waiting,
            epoch,
            since: epoch,
            finished_by: None,
            version: 0,
            hash: 0,
            handle: None,
            token: 0,
            result: None,
            late: false,
            until: Some(until),
        });
        step.epoch = epoch;
        let waiting = step.until.unwrap_or(until).waiting();
        self.job_mut(id).waits_in = Some(key);
        self.take_signals(id, key);
        if self.is_satisfied(id) {
            self.job_mut(id).waits_in = None;
            if let Some(step) = self.world.steps.get_mut(&(id, key)) {
                step.state = StepState::Done;
            }
            return Ok(Answer::Ready);
        }
        self.let_go(id);
        self.job_mut(id).waiting = Some(waiting);
        self.tell(id, Kind::Waiting);
        Ok(Answer::Done)
    }

    /// Somebody's word for a job. It is kept until a step takes it.
    pub(super) fn signal(&mut self, id: Id, name: u32, payload: u64, key: Option<u32>) -> Said {
        let over = self.known(id)?.state.is_over();
        let mut signals = self.world.signals.iter();
        let again =
            key.is_some() && signals.any(|one| one.job == id && one.name == name && one.key == key);
        if again {
            return Ok(Answer::Done);
        }
        if over {
            return Err(Refusal::Conflict);
        }
        self.world.signals.push(Signal {
            job: id,
            name,
            payload,
            key,
            taken_by: None,
        });
        let job = self.job(id);
        let from = match job.paused_from {
            Some(PausedFrom::Waiting(waiting)) => Some(waiting),
            Some(PausedFrom::Running | PausedFrom::Ready) | None => None,
        };
        let suspended = |on| matches!(on, Waiting::Children | Waiting::Signal | Waiting::Timer);
        if let Some(key) = job
            .waits_in
            .filter(|_| job.waiting.or(from).is_some_and(suspended))
        {
            self.take_signals(id, key);
        }
        let job = self.job(id);
        let waits = job.state == State::Running && job.waiting == Some(Waiting::Signal);
        if waits && self.is_satisfied(id) {
            self.wake(id);
        }
        Ok(Answer::Done)
    }

    /// Gives a waiting step the oldest signal of its name.
    fn take_signals(&mut self, id: Id, key: u32) {
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

//! How an end reaches who waits for it.
//!
//! Ending leaves one piece of news for the parent and one for each dependant.
//! Then the news of every target that nobody else has is applied, which may end
//! more jobs. The rest lies until somebody comes.

use super::event::Answer;
use super::turn::Turn;
use super::world::{Arrival, Id, Kind, OnChildFailure, State, StepState, Waiting};

impl Turn<'_> {
    /// The end of a job: it holds nothing, says so, and leaves its news.
    pub(super) fn end(&mut self, id: Id, state: State) {
        self.close(id, state);
        let job = self.job(id);
        let targets: Vec<Id> = job
            .parent
            .into_iter()
            .chain(job.dependants.clone())
            .collect();
        for target in targets {
            self.leave(id, target);
        }
    }

    /// The end without the news.
    pub(super) fn close(&mut self, id: Id, state: State) {
        self.let_go(id);
        let job = self.job_mut(id);
        job.state = state;
        job.waiting = None;
        job.paused_from = None;
        job.waits_in = None;
        self.tell(
            id,
            match state {
                State::Completed => Kind::Completed,
                State::Failed => Kind::Failed,
                State::Queued | State::Running | State::Paused | State::Cancelled => {
                    Kind::Cancelled
                }
            },
        );
    }

    /// One piece of news.
    pub(super) fn leave(&mut self, source: Id, target: Id) {
        let state = self.job(source).state;
        let edge = self
            .job(target)
            .dependencies
            .iter()
            .find(|edge| edge.on == source);
        let satisfied = edge.map(|edge| edge.when.is_met_by(state));
        self.world.arrivals.push(Arrival {
            target,
            source,
            state,
            satisfied,
        });
        self.touched.push_back(target);
    }

    /// Applies the news of all touched targets, and of who ends by that.
    pub(super) fn arrive(&mut self) {
        while let Some(target) = self.touched.pop_front() {
            if !self.busy.jobs.contains(&target) {
                self.arrive_at(target);
            }
        }
    }

    fn arrive_at(&mut self, target: Id) {
        let arrivals = self.world.arrivals.iter();
        let news: Vec<Arrival> = arrivals
            .filter(|one| one.target == target)
            .copied()
            .collect();
        let child_failed = news
            .iter()
            .any(|one| one.satisfied.is_none() && one.state == State::Failed);
        let job = self.job(target);
        let fails =
            child_failed && job.on_child_failure == OnChildFailure::Fail && !job.state.is_over();
        let siblings = if fails {
            self.open_siblings(target)
        } else {
            Vec::new()
        };
        if siblings.iter().any(|one| self.busy.jobs.contains(one)) {
            return;
        }
        self.world.arrivals.retain(|one| one.target != target);
        let job = self.job_mut(target);
        for one in news {
            match one.satisfied {
                None => {
                    job.children_open -= 1;
                    job.children_failed += i64::from(one.state == State::Failed);
                }
                Some(satisfied) => {
                    job.deps_open -= 1;
                    job.deps_left -= i64::from(satisfied);
                }
            }
        }
        let direct: Vec<Id> = self.job(target).children.clone();
        self.cancel_all(&siblings, "parent cancelled");
        for one in siblings.iter().filter(|one| direct.contains(one)) {
            self.job_mut(*one).reason = Some("sibling failed");
        }
        self.settle(target);
    }

    /// Lets a job go on that has nothing more to wait for, and ends one that
    /// waits for what cannot be.
    pub(super) fn settle(&mut self, id: Id) {
        let job = self.job(id);
        // What is held by a user stays held; resuming asks again.
        let unstarted = job.state == State::Queued && job.waiting == Some(Waiting::Dependencies);
        if unstarted && job.deps_left > 0 && job.deps_open < job.deps_left {
            self.cancel_tree(id, "parent cancelled");
            self.job_mut(id).reason = Some("dependency failed");
        } else if unstarted && job.deps_left <= 0 {
            self.line_up(id);
        } else if job.state == State::Running && job.waiting == Some(Waiting::Children) {
            if job.children_open > 0 {
                return;
            }
            if job.is_group {
                self.end_group(id);
            } else {
                self.wake(id);
            }
        }
    }

    /// A group ends as its children did.
    fn end_group(&mut self, id: Id) {
        let job = self.job(id);
        let mut children = job.children.iter();
        let state = if job.children_failed > 0 && job.on_child_failure != OnChildFailure::Ignore {
            State::Failed
        } else if !job.children.is_empty()
            && children.all(|child| self.job(*child).state == State::Cancelled)
        {
            State::Cancelled
        } else {
            State::Completed
        };
        if state == State::Failed {
            self.job_mut(id).error = Some("child_failed");
        }
        self.end(id, state);
    }

    /// What a suspended job waited for is so: its step is done, and it may be
    /// claimed again.
    pub(super) fn wake(&mut self, id: Id) {
        if let Some(key) = self.job_mut(id).waits_in.take()
            && let Some(step) = self.world.steps.get_mut(&(id, key))
        {
            step.state = StepState::Done;
        }
        self.job_mut(id).run_at = None;
        self.line_up(id);
    }

    /// The children of a job that are not over, each with its subtree.
    fn open_siblings(&self, id: Id) -> Vec<Id> {
        let children = self.job(id).children.iter().copied();
        let open = children.filter(|child| !self.job(*child).state.is_over());
        let mut all: Vec<Id> = open
            .flat_map(|child| std::iter::once(child).chain(self.open_below(child)))
            .collect();
        all.sort_unstable();
        all
    }

    /// Everything below a job that is not over.
    pub(super) fn open_below(&self, id: Id) -> Vec<Id> {
        let mut open = self.below(id);
        open.retain(|one| !self.job(*one).state.is_over());
        open
    }

    /// Everything below a job, in the order of ids, which is that of locks.
    pub(super) fn below(&self, id: Id) -> Vec<Id> {
        let mut all = self.job(id).children.clone();
        let mut next = 0;
        while let Some(&one) = all.get(next) {
            next += 1;
            all.extend(&self.job(one).children);
        }
        all.sort_unstable();
        all
    }

    /// Cancels a job with everything below it that is not over.
    pub(super) fn cancel_tree(&mut self, id: Id, reason: &'static str) -> Answer {
        let mut all = self.open_below(id);
        if !self.job(id).state.is_over() {
            all.push(id);
        }
        all.sort_unstable();
        self.cancel_all(&all, reason);
        Answer::Changed(all)
    }

    /// Cancels everything below a job.
    pub(super) fn cancel_below(&mut self, id: Id, reason: &'static str) {
        let all = self.open_below(id);
        self.cancel_all(&all, reason);
    }

    /// Cancels jobs at once. They make no news for each other: all of them are
    /// over.
    fn cancel_all(&mut self, all: &[Id], reason: &'static str) {
        for &id in all {
            if self.job(id).is_at_work() {
                self.fenced.insert(id);
            }
            self.job_mut(id).reason = Some(reason);
            self.close(id, State::Cancelled);
        }
        for &id in all {
            let job = self.job(id);
            let targets: Vec<Id> = job
                .parent
                .into_iter()
                .chain(job.dependants.clone())
                .collect();
            for target in targets {
                if !all.contains(&target) {
                    self.leave(id, target);
                }
            }
        }
    }
}

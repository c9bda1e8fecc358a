//! What users do to jobs: cancel, pause, resume, retry. None of it uses up an
//! attempt.

use std::collections::BTreeSet;

use super::event::{Answer, Refusal};
use super::turn::{Said, Turn};
use super::world::{Id, Kind, PausedFrom, State, Waiting};

impl Turn<'_> {
    /// The job and everything below it, at once.
    pub(super) fn cancel(&mut self, id: Id) -> Said {
        self.known(id)?;
        Ok(self.cancel_tree(id, "cancelled"))
    }

    /// The same set is held, and what holds leases loses them.
    pub(super) fn pause(&mut self, id: Id) -> Said {
        self.known(id)?;
        let mut all = self.open_below(id);
        all.push(id);
        all.retain(|one| {
            let state = self.job(*one).state;
            !state.is_over() && state != State::Paused
        });
        all.sort_unstable();
        for &one in &all {
            let job = self.job(one);
            let from = match (job.state, job.waiting) {
                (_, Some(waiting)) => PausedFrom::Waiting(waiting),
                (State::Running, None) => PausedFrom::Running,
                (_, None) => PausedFrom::Ready,
            };
            if from == PausedFrom::Running {
                self.fenced.insert(one);
            }
            self.let_go(one);
            let job = self.job_mut(one);
            job.state = State::Paused;
            job.waiting = None;
            job.paused_from = Some(from);
            self.tell(one, Kind::Paused);
        }
        Ok(Answer::Changed(all))
    }

    /// What was held goes where it belongs now, which need not be where it was.
    pub(super) fn resume(&mut self, id: Id) -> Said {
        self.known(id)?;
        let mut all = self.below(id);
        all.push(id);
        all.retain(|one| self.job(*one).state == State::Paused);
        all.sort_unstable();
        for &one in &all {
            self.tell(one, Kind::Resumed);
            self.resume_one(one);
        }
        // Only now, as an end in the middle would count who is still held.
        for &one in &all {
            self.settle(one);
        }
        Ok(Answer::Changed(all))
    }

    fn resume_one(&mut self, id: Id) {
        let now = self.now;
        let satisfied = self.is_satisfied(id);
        let job = self.job_mut(id);
        let from = job.paused_from.take();
        let due = job.run_at.is_none_or(|at| at <= now);
        match from {
            _ if job.is_group => {
                job.state = State::Running;
                job.waiting = Some(Waiting::Children);
            }
            _ if job.deps_left > 0 => {
                job.state = State::Queued;
                job.waiting = Some(Waiting::Dependencies);
            }
            Some(PausedFrom::Waiting(Waiting::Retry)) if !due => {
                job.state = State::Queued;
                job.waiting = Some(Waiting::Retry);
            }
            Some(PausedFrom::Waiting(
                waiting @ (Waiting::Children | Waiting::Signal | Waiting::Timer),
            )) if !satisfied => {
                job.state = State::Running;
                job.waiting = Some(waiting);
            }
            Some(PausedFrom::Waiting(Waiting::Children | Waiting::Signal | Waiting::Timer)) => {
                self.wake(id);
            }
            _ => self.line_up(id),
        }
    }

    /// What failed or was cancelled starts anew, with all that fell with it and
    /// all groups that ended by it. Steps that are done stay done.
    pub(super) fn retry(&mut self, id: Id) -> Said {
        let job = self.known(id)?;
        if !matches!(job.state, State::Failed | State::Cancelled) {
            return Err(Refusal::Conflict);
        }
        // Below a handler that was called off nobody would wait for it.
        let above = job.parent.map(|above| self.job(above));
        if above.is_some_and(|above| !above.is_group && above.state == State::Cancelled) {
            return Err(Refusal::Conflict);
        }
        let (anew, reopened) = self.retried(id);
        let mut counted: BTreeSet<Id> = anew.union(&reopened).copied().collect();
        for &one in anew.union(&reopened) {
            let job = self.job(one);
            counted.extend(job.parent.into_iter().chain(job.dependants.clone()));
        }
        for &one in &anew {
            let job = self.job_mut(one);
            job.state = State::Queued;
            job.waiting = Some(Waiting::Dependencies);
            job.failures = 0;
            job.crashes = 0;
            job.run_at = None;
            job.started_at = None;
            job.reason = None;
            job.error = None;
        }
        for &one in &reopened {
            let job = self.job_mut(one);
            job.state = State::Running;
            job.waiting = Some(Waiting::Children);
            job.reason = None;
            job.error = None;
        }
        self.renew_deadlines(anew.union(&reopened));
        // What is reckoned from the rows includes news that nobody applied yet.
        self.world
            .arrivals
            .retain(|one| !counted.contains(&one.target));
        for &one in &counted {
            self.recount(one);
        }
        for &one in &anew {
            self.tell(one, Kind::Queued);
        }
        for &one in &reopened {
            self.tell(one, Kind::Resumed);
        }
        for &one in &anew {
            self.first_gate(one);
        }
        for one in counted {
            self.settle(one);
        }
        Ok(Answer::Changed(anew.union(&reopened).copied().collect()))
    }

    /// What was promised for a day that is still to come holds. What counted
    /// from a first start counts anew.
    fn renew_deadlines<'a>(&mut self, ids: impl Iterator<Item = &'a Id>) {
        let now = self.now;
        for id in ids {
            let job = self.job_mut(*id);
            let to_come = job.deadline_at.filter(|at| *at > now);
            job.deadline_at = to_come.filter(|_| job.time_limit.is_none());
        }
    }

    /// Who starts anew, and which groups are open again.
    fn retried(&self, id: Id) -> (BTreeSet<Id>, BTreeSet<Id>) {
        let (mut anew, mut reopened) = (BTreeSet::new(), BTreeSet::new());
        let mut next = vec![id];
        while let Some(one) = next.pop() {
            if !anew.insert(one) {
                continue;
            }
            reopened.remove(&one);
            let lost = |of: &Id| matches!(self.job(*of).state, State::Failed | State::Cancelled);
            next.extend(self.below(one).iter().filter(|below| lost(below)));
            let mut fallen = vec![one];
            let mut above = self.job(one).parent;
            while let Some(group) = above.map(|above| self.job(above)) {
                if !group.is_group || !group.state.is_over() {
                    break;
                }
                if !anew.contains(&group.id) {
                    reopened.insert(group.id);
                }
                fallen.push(group.id);
                above = group.parent;
            }
            for from in fallen {
                let dependants = self.job(from).dependants.iter();
                next.extend(dependants.filter(|one| {
                    let job = self.job(**one);
                    let fell = matches!(job.reason, Some("dependency failed" | "sibling failed"));
                    job.state == State::Cancelled && fell
                }));
            }
        }
        (anew, reopened)
    }

    /// Counts children and dependencies.
    fn recount(&mut self, id: Id) {
        let states = self.job(id).children.iter();
        let states: Vec<State> = states.map(|child| self.job(*child).state).collect();
        let count = |is: fn(&State) -> bool| {
            i64::try_from(states.iter().filter(|state| is(state)).count()).unwrap_or(i64::MAX)
        };
        let (open, failed) = (
            count(|state| !state.is_over()),
            count(|state| *state == State::Failed),
        );
        let job = self.job_mut(id);
        job.children_open = open;
        job.children_failed = failed;
        self.recount_dependencies(id);
    }
}

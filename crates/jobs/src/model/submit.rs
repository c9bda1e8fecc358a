//! How jobs come to be: all of a submission, or nothing.

use std::collections::BTreeMap;

use super::event::{Answer, Link, Refusal, Spec};
use super::turn::{Said, Turn};
use super::world::{Dependency, Id, Job, Kind, PausedFrom, State, Waiting};
use crate::dag::{self, DagError, Node};

impl Turn<'_> {
    /// As [`Turn::submit`], by a handler, below itself.
    pub(super) fn spawn(&mut self, parent: Id, epoch: u32, specs: &[Spec]) -> Said {
        self.fence(parent, epoch)?;
        self.submit(specs, Some(parent))
    }

    /// `below` is where jobs without a parent go.
    pub(super) fn submit(&mut self, specs: &[Spec], below: Option<Id>) -> Said {
        let order = self.check(specs, below)?;
        let mut ids: BTreeMap<usize, (Id, bool)> = BTreeMap::new();
        for place in order {
            let Some(spec) = specs.get(place) else {
                continue;
            };
            let parent = match spec.parent {
                Some(Link::New(of)) => ids.get(&of).map(|(id, _)| *id),
                Some(Link::Old(id)) => Some(id),
                None => below,
            };
            let found = match self.asked_before(spec, self.owner(spec, specs, below))? {
                Some(old) => (old, false),
                None => (self.insert(spec, parent), true),
            };
            ids.insert(place, found);
        }
        let mut new: Vec<Id> = ids
            .values()
            .filter(|(_, new)| *new)
            .map(|(id, _)| *id)
            .collect();
        for (place, (id, is_new)) in &ids {
            if let Some(spec) = specs.get(*place).filter(|_| *is_new) {
                self.link(spec, *id, &ids);
            }
        }
        // Parents first: what is held is inherited.
        new.sort_unstable();
        for &id in &new {
            self.first_gate(id);
            self.hold_with_parent(id);
        }
        // Then children first: an empty group is over before anybody above it
        // is called off.
        for id in new.into_iter().rev() {
            self.settle(id);
        }
        Ok(Answer::Submitted(ids.into_values().collect()))
    }

    /// Whether it can be, before anything is changed; parents before children.
    fn check(&self, specs: &[Spec], below: Option<Id>) -> Result<Vec<usize>, Refusal> {
        for spec in specs {
            let parent = match spec.parent {
                Some(Link::Old(id)) => Some(id),
                None => below,
                Some(Link::New(_)) => None,
            };
            if let Some(parent) = parent
                && self.known(parent)?.state.is_over()
            {
                return Err(Refusal::Conflict);
            }
            for (link, _) in &spec.depends_on {
                if let Link::Old(id) = link {
                    self.known(*id)?;
                }
            }
            self.asked_before(spec, self.owner(spec, specs, below))?;
        }
        let names: Vec<String> = (0..specs.len()).map(|place| place.to_string()).collect();
        let nodes: Option<Vec<Node<'_>>> = specs
            .iter()
            .zip(&names)
            .map(|(spec, name)| node(spec, name, &names))
            .collect();
        let nodes = nodes.ok_or(Refusal::Invalid)?;
        let depth = |spec: &Spec| match spec.parent {
            Some(Link::Old(id)) => self.job(id).depth + 1,
            Some(Link::New(_)) | None => below.map_or(0, |below| self.job(below).depth + 1),
        };
        let dag = dag::check(&nodes, specs.iter().map(depth).max().unwrap_or(0));
        let dag = dag.map_err(|error| match error {
            DagError::Cycle(_) => Refusal::Cycle,
            DagError::TooDeep(_) | DagError::TooMany(_) | DagError::TooManyDependencies(_) => {
                Refusal::OverLimit
            }
            _ => Refusal::Invalid,
        })?;
        if (0..specs.len()).any(|place| self.waits_for_itself(specs, below, place)) {
            return Err(Refusal::Cycle);
        }
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by_key(|place| dag.depths.get(*place).copied());
        Ok(order)
    }

    /// Whether a new job would wait for itself, over however many others. What
    /// is over counts as well: somebody may try it again.
    fn waits_for_itself(&self, specs: &[Spec], below: Option<Id>, place: usize) -> bool {
        let mut seen: Vec<Link> = Vec::new();
        let mut open = waits_of_new(specs, place);
        while let Some(link) = open.pop() {
            if link == Link::New(place) {
                return true;
            }
            if seen.contains(&link) {
                continue;
            }
            seen.push(link);
            open.extend(match link {
                Link::New(of) => waits_of_new(specs, of),
                Link::Old(id) => self.waits_of_old(specs, below, id),
            });
        }
        false
    }

    /// Whom a job that is there already waits for, or will.
    fn waits_of_old(&self, specs: &[Spec], below: Option<Id>, id: Id) -> Vec<Link> {
        let job = self.job(id);
        let on = job.dependencies.iter().map(|edge| Link::Old(edge.on));
        if !awaits_children(job) {
            return on.collect();
        }
        let olds = job.children.iter().copied().map(Link::Old);
        let news = specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| match spec.parent {
                Some(Link::Old(parent)) => parent == id,
                Some(Link::New(_)) => false,
                None => below == Some(id),
            });
        let news = news.map(|(place, _)| Link::New(place));
        on.chain(olds).chain(news).collect()
    }

    /// Whether a job waits for another one, over however many others.
    pub(super) fn waits_for(&self, from: Id, to: Id) -> bool {
        let mut seen: Vec<Id> = Vec::new();
        let mut open = vec![from];
        while let Some(id) = open.pop() {
            if id == to {
                return true;
            }
            if seen.contains(&id) {
                continue;
            }
            seen.push(id);
            let waits = self.waits_of_old(&[], None, id);
            open.extend(waits.into_iter().filter_map(|link| match link {
                Link::Old(id) => Some(id),
                Link::New(_) => None,
            }));
        }
        false
    }

    /// Whose it will be: a child is its parent's owner's.
    fn owner(&self, spec: &Spec, specs: &[Spec], below: Option<Id>) -> u32 {
        let mut top = spec;
        // A circle of parents is refused elsewhere.
        for _ in specs {
            match top.parent {
                Some(Link::New(of)) => top = specs.get(of).unwrap_or(top),
                Some(Link::Old(_)) | None => break,
            }
        }
        let above = match top.parent {
            Some(Link::Old(id)) => Some(id),
            Some(Link::New(_)) | None => below,
        };
        let above = above.and_then(|above| self.world.job(above));
        above.map_or(top.owner, |above| above.owner)
    }

    /// The job that the submitter's number belongs to.
    fn asked_before(&self, spec: &Spec, owner: u32) -> Result<Option<Id>, Refusal> {
        let Some((number, hash)) = spec.idempotency else {
            return Ok(None);
        };
        let mut jobs = self.world.jobs.iter();
        let old = jobs.find_map(|job| {
            let (old, hash) = job.idempotency?;
            (job.owner == owner && old == number).then_some((job.id, hash))
        });
        match old {
            Some((_, other)) if other != hash => Err(Refusal::Conflict),
            found => Ok(found.map(|(id, _)| id)),
        }
    }

    /// The row, without what others' rows decide.
    fn insert(&mut self, spec: &Spec, parent: Option<Id>) -> Id {
        let id = self.world.jobs.len();
        let above = parent.and_then(|parent| self.world.job(parent));
        let root = above.map_or(id, |above| above.root);
        let job = Job {
            id,
            root,
            parent,
            depth: above.map_or(0, |above| above.depth + 1),
            owner: above.map_or(spec.owner, |above| above.owner),
            stream: spec.events.then_some(root),
            queue: spec.queue,
            priority: spec.priority,
            is_group: spec.is_group,
            state: State::Queued,
            waiting: None,
            paused_from: None,
            reason: None,
            error: None,
            run_at: spec.run_at,
            deadline_at: spec.deadline_at,
            time_limit: spec.time_limit,
            started_at: None,
            dependencies: Vec::new(),
            dependants: Vec::new(),
            need: 0,
            deps_left: 0,
            deps_open: 0,
            children: Vec::new(),
            children_open: 0,
            children_failed: 0,
            on_child_failure: spec.on_child_failure,
            epoch: 0,
            failures: 0,
            crashes: 0,
            max_attempts: spec.max_attempts,
            backoff_base: spec.backoff_base,
            backoff_max: spec.backoff_max,
            worker: None,
            lease_until: None,
            limit_keys: spec.limit_keys.clone(),
            width: spec.width,
            idempotency: spec.idempotency,
            waits_in: None,
        };
        self.world.jobs.push(job);
        if let Some(parent) = parent {
            let above = self.job_mut(parent);
            above.children.push(id);
            above.children_open += 1;
        }
        self.tell(id, Kind::Queued);
        id
    }

    /// Its dependencies.
    fn link(&mut self, spec: &Spec, id: Id, ids: &BTreeMap<usize, (Id, bool)>) {
        for (link, when) in &spec.depends_on {
            let on = match link {
                Link::Old(on) => *on,
                Link::New(of) => match ids.get(of) {
                    Some((on, _)) => *on,
                    None => continue,
                },
            };
            let dependency = Dependency { on, when: *when };
            self.job_mut(id).dependencies.push(dependency);
            self.job_mut(on).dependants.push(id);
        }
        let need = spec.need.unwrap_or(spec.depends_on.len());
        self.job_mut(id).need = i64::try_from(need).unwrap_or(i64::MAX);
        self.recount_dependencies(id);
    }

    /// Reckons from the rows what arrivals otherwise count down.
    pub(super) fn recount_dependencies(&mut self, id: Id) {
        let job = self.job(id);
        let states = job.dependencies.iter();
        let states = states.map(|edge| (edge.when, self.job(edge.on).state));
        let over = states.filter(|(_, state)| state.is_over());
        let (mut closed, mut met) = (0, 0);
        for (when, state) in over {
            closed += 1;
            met += i64::from(when.is_met_by(state));
        }
        let all = i64::try_from(job.dependencies.len()).unwrap_or(i64::MAX);
        let job = self.job_mut(id);
        job.deps_open = all - closed;
        job.deps_left = job.need - met;
    }

    /// The first gate of a job that is new, or as new.
    pub(super) fn first_gate(&mut self, id: Id) {
        let job = self.job_mut(id);
        if job.is_group {
            job.state = State::Running;
            job.waiting = Some(Waiting::Children);
        } else if job.deps_left > 0 {
            job.state = State::Queued;
            job.waiting = Some(Waiting::Dependencies);
        } else {
            self.line_up(id);
        }
    }

    /// What comes to be below something that a user holds is held with it.
    fn hold_with_parent(&mut self, id: Id) {
        let above = self.job(id).parent.map(|parent| self.job(parent).state);
        if above != Some(State::Paused) {
            return;
        }
        let job = self.job_mut(id);
        let from = job.waiting.take();
        job.paused_from = Some(from.map_or(PausedFrom::Ready, PausedFrom::Waiting));
        job.state = State::Paused;
    }
}

/// Whether a job cannot go on before its children are over.
fn awaits_children(job: &Job) -> bool {
    job.is_group
        || job.waiting == Some(Waiting::Children)
        || job.paused_from == Some(PausedFrom::Waiting(Waiting::Children))
}

/// Whom a job of a submission waits for.
fn waits_of_new(specs: &[Spec], place: usize) -> Vec<Link> {
    let spec = specs.get(place);
    let on = spec.into_iter().flat_map(|spec| &spec.depends_on);
    let mut waits: Vec<Link> = on.map(|(link, _)| *link).collect();
    if spec.is_some_and(|spec| spec.is_group) {
        let children = specs.iter().enumerate();
        let children = children.filter(|(_, spec)| spec.parent == Some(Link::New(place)));
        waits.extend(children.map(|(child, _)| Link::New(child)));
    }
    waits
}

/// A spec as the graph's check sees it; nothing if it names a place that the
/// submission does not have.
fn node<'a>(spec: &Spec, name: &'a str, names: &'a [String]) -> Option<Node<'a>> {
    let parent = match spec.parent {
        Some(Link::New(of)) => Some(names.get(of)?.as_str()),
        Some(Link::Old(_)) | None => None,
    };
    let mut depends_on = Vec::new();
    for (link, _) in &spec.depends_on {
        if let Link::New(of) = link {
            depends_on.push(names.get(*of)?.as_str());
        }
    }
    Some(Node {
        name: Some(name),
        parent,
        depends_outside: spec.depends_on.len() - depends_on.len(),
        depends_on,
        need: spec.need,
        is_group: spec.is_group,
    })
}

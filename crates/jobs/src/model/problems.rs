//! What must hold after every event, whatever came before.

use super::world::{Id, Job, Kind, PausedFrom, State, StepState, Until, Waiting, World};

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub what: &'static str,
    /// Whose: a job's, or a log's by its root.
    pub id: Id,
}

/// Everything that is wrong with a world; nothing, if [`super::step`] is right.
#[must_use]
pub fn problems(world: &World) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    for job in &world.jobs {
        shape(world, job, &mut found);
        counters(world, job, &mut found);
        if !job.state.is_over() && !has_news(world, job.id) {
            stuck(world, job, &mut found);
        }
    }
    logs(world, &mut found);
    limits(world, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn check(&mut self, holds: bool, what: &'static str, id: Id) {
        if !holds {
            self.0.push(Problem { what, id });
        }
    }
}

fn has_news(world: &World, id: Id) -> bool {
    world.arrivals.iter().any(|arrival| arrival.target == id)
}

/// Fields that belong together.
fn shape(world: &World, job: &Job, found: &mut Found) {
    let allowed = match (job.state, job.waiting) {
        (State::Queued, Some(waiting)) => matches!(
            waiting,
            Waiting::Dependencies | Waiting::Time | Waiting::Retry | Waiting::Limit
        ),
        (State::Running, Some(waiting)) => {
            matches!(
                waiting,
                Waiting::Children | Waiting::Signal | Waiting::Timer
            )
        }
        (_, None) => true,
        (_, Some(_)) => false,
    };
    found.check(
        allowed,
        "it waits for what its state cannot wait for",
        job.id,
    );
    let leased = job.lease_until.is_some() && job.worker.is_some();
    found.check(
        job.is_at_work() == leased && job.lease_until.is_some() == job.worker.is_some(),
        "a lease and being at work belong together",
        job.id,
    );
    found.check(
        (job.state == State::Paused) == job.paused_from.is_some(),
        "paused, and from nothing",
        job.id,
    );
    if job.is_group {
        let open = job.state == State::Running && job.waiting == Some(Waiting::Children);
        found.check(
            (open || job.state == State::Paused || job.state.is_over()) && job.epoch == 0,
            "a group that is not one",
            job.id,
        );
    }
    let holds = world.slots.iter().any(|(_, holder)| *holder == job.id);
    found.check(
        !holds || job.is_ready() || job.is_at_work(),
        "a slot that nobody uses",
        job.id,
    );
    let limited = !job.limit_keys.is_empty() && (job.is_ready() || job.is_at_work());
    found.check(!limited || holds, "it goes on without its slots", job.id);
    found.check(
        job.failures <= job.max_attempts && job.crashes <= super::CRASHES_MAX,
        "more tries than allowed",
        job.id,
    );
}

/// I3: what is counted is what a count gives, less what nobody has applied.
fn counters(world: &World, job: &Job, found: &mut Found) {
    if job.state.is_over() {
        return;
    }
    let news = || {
        world
            .arrivals
            .iter()
            .filter(|arrival| arrival.target == job.id)
    };
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let children = || job.children.iter().filter_map(|child| world.job(*child));
    let open = children().filter(|child| !child.state.is_over()).count();
    let late = news().filter(|arrival| arrival.satisfied.is_none()).count();
    found.check(
        job.children_open == size(open) + size(late),
        "open children are counted wrong",
        job.id,
    );
    let failed = children()
        .filter(|child| child.state == State::Failed)
        .count();
    let late = news().filter(|news| news.satisfied.is_none() && news.state == State::Failed);
    found.check(
        job.children_failed == size(failed) - size(late.count()),
        "failed children are counted wrong",
        job.id,
    );
    if !waits_for_dependencies(job) {
        return;
    }
    let edges = || {
        job.dependencies
            .iter()
            .filter_map(|edge| Some((edge, world.job(edge.on)?)))
    };
    let open = edges().filter(|(_, on)| !on.state.is_over()).count();
    let late = news().filter(|arrival| arrival.satisfied.is_some()).count();
    found.check(
        job.deps_open == size(open) + size(late),
        "open dependencies are counted wrong",
        job.id,
    );
    let met = edges().filter(|(edge, on)| on.state.is_over() && edge.when.is_met_by(on.state));
    let late = news().filter(|arrival| arrival.satisfied == Some(true));
    found.check(
        job.deps_left == job.need - size(met.count()) + size(late.count()),
        "needed dependencies are counted wrong",
        job.id,
    );
}

fn waits_for_dependencies(job: &Job) -> bool {
    job.waiting == Some(Waiting::Dependencies)
        || job.paused_from == Some(PausedFrom::Waiting(Waiting::Dependencies))
}

/// I9: nothing is where nothing will ever move it. Asked of jobs without news.
fn stuck(world: &World, job: &Job, found: &mut Found) {
    if job.waiting == Some(Waiting::Dependencies) {
        found.check(
            job.deps_left <= job.deps_open,
            "it waits for dependencies that cannot be satisfied",
            job.id,
        );
        found.check(job.deps_left > 0, "it waits for no dependency", job.id);
    }
    if job.state != State::Running {
        return;
    }
    if job.is_group {
        found.check(
            job.children_open > 0,
            "a group without open children is open",
            job.id,
        );
    } else if let Some(waiting) = job.waiting {
        let step = job.waits_in.and_then(|key| world.steps.get(&(job.id, key)));
        let waits = step.filter(|step| step.state == StepState::Waiting);
        let until = waits.and_then(|step| step.until);
        found.check(
            until.map(Until::waiting) == Some(waiting),
            "it is suspended and no step of it waits",
            job.id,
        );
        found.check(
            until != Some(Until::Children) || job.children_open > 0,
            "it waits for children that are over",
            job.id,
        );
    }
}

/// I6: numbers without gaps, and the last word about a job is how it ended.
fn logs(world: &World, found: &mut Found) {
    for (id, stream) in &world.streams {
        let numbers = stream.events.iter().map(|(number, _)| *number);
        found.check(numbers.eq(1..=stream.last_seq), "a log with a gap", *id);
    }
    for job in &world.jobs {
        let Some(stream) = job.stream.and_then(|id| world.streams.get(&id)) else {
            continue;
        };
        let numbered = stream.events.iter().map(|(_, told)| told);
        let mut told = numbered.chain(&stream.unnumbered).rev();
        let last = told.find(|told| told.job == job.id && told.kind != Kind::StepCompleted);
        let end = match job.state {
            State::Completed => Kind::Completed,
            State::Failed => Kind::Failed,
            State::Cancelled => Kind::Cancelled,
            State::Queued | State::Running | State::Paused => continue,
        };
        found.check(
            last.is_some_and(|told| told.kind == end),
            "the log's last word is another one",
            job.id,
        );
    }
}

/// I8: never more at once than a limit allows.
fn limits(world: &World, found: &mut Found) {
    for (key, most) in &world.limits {
        let holders = world.slots.range((*key, 0)..=(*key, Id::MAX));
        found.check(
            holders.clone().count() <= *most,
            "more slots than there are",
            holders.clone().next().map_or(0, |(_, job)| *job),
        );
    }
    for job in &world.jobs {
        let Some(width) = job.width else { continue };
        let children = job.children.iter().filter_map(|child| world.job(*child));
        let busy =
            children.filter(|child| !child.is_group && (child.is_ready() || child.is_at_work()));
        found.check(busy.count() <= width, "wider than allowed", job.id);
    }
}

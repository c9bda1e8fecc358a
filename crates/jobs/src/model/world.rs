//! What there is: jobs, what they wait for and did, news not applied yet,
//! slots, and the log.

use std::collections::{BTreeMap, BTreeSet};

/// A job's number: its place in [`World::jobs`], so ids grow with time.
pub type Id = usize;

/// Milliseconds by the database's clock.
pub type Time = u64;

/// What clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Will start when nothing keeps it.
    Queued,
    /// At work, suspended, or a group with open children.
    Running,
    /// Held by a user.
    Paused,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended by somebody's will.
    Cancelled,
}

impl State {
    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What keeps a queued job from starting, or a running one suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// Others must end first.
    Dependencies,
    /// Its time has not come.
    Time,
    /// A pause before the next attempt.
    Retry,
    /// A slot of a limit.
    Limit,
    /// Suspended, or a group: its children.
    Children,
    /// Suspended: somebody's word.
    Signal,
    /// Suspended: a time.
    Timer,
}

impl Waiting {
    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dependencies => "dependencies",
            Self::Time => "time",
            Self::Retry => "retry",
            Self::Limit => "limit",
            Self::Children => "children",
            Self::Signal => "signal",
            Self::Timer => "timer",
        }
    }
}

/// What a paused job was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedFrom {
    /// A worker had it.
    Running,
    /// It could have started.
    Ready,
    /// It waited.
    Waiting(Waiting),
}

/// Which end of a dependency is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It completes.
    Success,
    /// It ends, however.
    Terminal,
    /// It fails.
    Failure,
}

impl When {
    /// Whether an end is the one that was meant.
    #[must_use]
    pub fn is_met_by(self, state: State) -> bool {
        match self {
            Self::Success => state == State::Completed,
            Self::Terminal => state.is_over(),
            Self::Failure => state == State::Failed,
        }
    }
}

/// What a failed child means to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChildFailure {
    /// The siblings are cancelled, a group fails.
    Fail,
    /// The siblings go on, a group fails in the end.
    Continue,
    /// Nothing.
    Ignore,
}

/// One edge of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency {
    /// Who must end.
    pub on: Id,
    /// How.
    pub when: When,
}

/// A row of `work.jobs`, as far as transitions look at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Itself.
    pub id: Id,
    /// The top of its tree.
    pub root: Id,
    /// What it belongs to.
    pub parent: Option<Id>,
    /// How far below the root.
    pub depth: u32,
    /// Whose it is.
    pub owner: u32,
    /// Where its events go; the stream has its root's number.
    pub stream: Option<Id>,
    /// Which workers may have it.
    pub queue: u32,
    /// Greater first.
    pub priority: i16,
    /// Whether it has no handler.
    pub is_group: bool,
    /// Where it stands.
    pub state: State,
    /// What keeps it.
    pub waiting: Option<Waiting>,
    /// What it was when it was paused.
    pub paused_from: Option<PausedFrom>,
    /// Why it is where it is.
    pub reason: Option<&'static str>,
    /// The code of its error.
    pub error: Option<&'static str>,
    /// Not before.
    pub run_at: Option<Time>,
    /// Not after.
    pub deadline_at: Option<Time>,
    /// From the first start to the end.
    pub time_limit: Option<Time>,
    /// When it was first claimed.
    pub started_at: Option<Time>,
    /// Whom it waits for.
    pub dependencies: Vec<Dependency>,
    /// Who waits for it.
    pub dependants: Vec<Id>,
    /// How many dependencies must be satisfied.
    pub need: i64,
    /// How many still must be.
    pub deps_left: i64,
    /// How many are not over.
    pub deps_open: i64,
    /// What belongs to it.
    pub children: Vec<Id>,
    /// How many of them are not over.
    pub children_open: i64,
    /// How many failed.
    pub children_failed: i64,
    /// What that means.
    pub on_child_failure: OnChildFailure,
    /// Counts claims.
    pub epoch: u32,
    /// Ends that were the handler's fault.
    pub failures: u32,
    /// Ends that were the worker's.
    pub crashes: u32,
    /// At this many failures it is over.
    pub max_attempts: u32,
    /// The pause after the first failure.
    pub backoff_base: Time,
    /// The longest pause.
    pub backoff_max: Time,
    /// Who has it.
    pub worker: Option<u32>,
    /// Until when.
    pub lease_until: Option<Time>,
    /// Limits that it needs a slot of.
    pub limit_keys: Vec<u32>,
    /// How many of its children may be at work at once.
    pub width: Option<usize>,
    /// What the submitter called it, and the hash of what was asked for.
    pub idempotency: Option<(u32, u32)>,
    /// The step that a suspended job waits in.
    pub waits_in: Option<u32>,
}

impl Job {
    /// Whether a worker may have it, if its queue is not paused.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Queued && self.waiting.is_none()
    }

    /// Whether a worker has it.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        self.state == State::Running && self.waiting.is_none()
    }
}

/// What a step is and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Begun, and nobody said how it ended.
    Started,
    /// A suspension that is not over.
    Waiting,
    /// Its result is kept.
    Done,
    /// Begun by a claim that is gone, without a handle: nobody knows whether
    /// the provider did it, and who asks twice is told so twice.
    InDoubt,
    /// It failed and cost nothing; it may be begun anew.
    Failed,
}

/// A row of `work.steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub state: StepState,
    /// The claim that began it last.
    pub epoch: u32,
    /// The first claim that asked for this: what older ones bring is of
    /// another request.
    pub since: u32,
    /// The claim whose result is kept.
    pub finished_by: Option<u32>,
    /// The handler's word for its code.
    pub version: u32,
    /// What was asked for.
    pub hash: u32,
    /// The provider's word for work in progress there.
    pub handle: Option<u64>,
    /// Given to the provider, the same for every try.
    pub token: u64,
    /// What came of it.
    pub result: Option<u64>,
    /// Whether the result came from a claim that had lost the job.
    pub late: bool,
    /// What a suspension waits for.
    pub until: Option<Until>,
}

/// What a suspended job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The end of all children.
    Children,
    /// A signal of this name.
    Signal(u32),
    /// A time.
    Timer(Time),
}

impl Until {
    /// The column's word.
    #[must_use]
    pub fn waiting(self) -> Waiting {
        match self {
            Self::Children => Waiting::Children,
            Self::Signal(_) => Waiting::Signal,
            Self::Timer(_) => Waiting::Timer,
        }
    }
}

/// A row of `work.signals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// For whom.
    pub job: Id,
    /// Its name.
    pub name: u32,
    /// What it says.
    pub payload: u64,
    /// The sender's number for it: the same one twice is one signal.
    pub key: Option<u32>,
    /// The step that took it.
    pub taken_by: Option<u32>,
}

/// News for a job that nobody has applied to it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// For whom.
    pub target: Id,
    /// Who ended.
    pub source: Id,
    /// How.
    pub state: State,
    /// For a dependant, whether that is what it waited for; nothing for a
    /// parent.
    pub satisfied: Option<bool>,
}

/// What the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It was submitted, or may start again.
    Queued,
    /// A worker took it.
    Started,
    /// It will be tried again.
    Retrying,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was called off.
    Cancelled,
    /// It was held.
    Paused,
    /// It goes on.
    Resumed,
    /// It is suspended.
    Waiting,
    /// A step's result is kept.
    StepCompleted,
}

impl Kind {
    /// The word in the database.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "job.queued",
            Self::Started => "job.started",
            Self::Retrying => "job.retrying",
            Self::Completed => "job.completed",
            Self::Failed => "job.failed",
            Self::Cancelled => "job.cancelled",
            Self::Paused => "job.paused",
            Self::Resumed => "job.resumed",
            Self::Waiting => "job.waiting",
            Self::StepCompleted => "step.completed",
        }
    }
}

/// One event of the log, without its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// About whom.
    pub job: Id,
    /// What.
    pub kind: Kind,
}

/// A log: numbered events, and those that wait for a number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stream {
    /// What readers see.
    pub events: Vec<(u64, Told)>,
    /// What they will see.
    pub unnumbered: Vec<Told>,
    /// The last number given.
    pub last_seq: u64,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct World {
    /// By their ids.
    pub jobs: Vec<Job>,
    /// By job and key.
    pub steps: BTreeMap<(Id, u32), Step>,
    /// In the order of their coming.
    pub signals: Vec<Signal>,
    /// In the order of their coming.
    pub arrivals: Vec<Arrival>,
    /// Who holds a slot of which limit.
    pub slots: BTreeSet<(u32, Id)>,
    /// How many may hold one; a limit that is not here has no bound.
    pub limits: BTreeMap<u32, usize>,
    /// Queues that nothing is claimed from.
    pub paused_queues: BTreeSet<u32>,
    /// By root.
    pub streams: BTreeMap<Id, Stream>,
    /// The next idempotency token of a step.
    pub next_token: u64,
}

impl World {
    /// A job, if there is one of this number.
    #[must_use]
    pub fn job(&self, id: Id) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// What a worker that serves `queue` may have, best first among what can
    /// be told apart without looking at shares.
    pub fn ready(&self, queue: u32) -> impl Iterator<Item = &Job> {
        let open = !self.paused_queues.contains(&queue);
        let jobs = self.jobs.iter();
        jobs.filter(move |job| open && job.queue == queue && job.is_ready())
    }

    /// Whether every limit of a waiting job has room for it.
    #[must_use]
    pub fn has_room(&self, job: &Job) -> bool {
        let holders = |key: u32| self.slots.range((key, 0)..=(key, Id::MAX)).count();
        let limited = job.limit_keys.iter().all(|key| {
            let most = self.limits.get(key);
            most.is_none_or(|most| holders(*key) < *most)
        });
        limited && self.has_width(job)
    }

    /// Whether the parent lets one more of its children work.
    fn has_width(&self, job: &Job) -> bool {
        let parent = job.parent.and_then(|parent| self.job(parent));
        let Some((parent, width)) = parent.and_then(|parent| Some((parent, parent.width?))) else {
            return true;
        };
        let holders = parent.children.iter();
        let holders = holders.filter(|child| self.holds_width(**child));
        holders.count() < width
    }

    /// Whether a child takes up its parent's width: granted, or at work.
    fn holds_width(&self, id: Id) -> bool {
        self.job(id)
            .is_some_and(|job| !job.is_group && (job.is_ready() || job.is_at_work()))
    }

    /// Whether it must pass the gate of limits at all.
    #[must_use]
    pub fn is_limited(&self, job: &Job) -> bool {
        let parent = job.parent.and_then(|parent| self.job(parent));
        !job.limit_keys.is_empty() || parent.is_some_and(|parent| parent.width.is_some())
    }
}

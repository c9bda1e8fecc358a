//! What can happen, and what whoever made it happen is told.

use std::collections::BTreeSet;

use super::world::{Id, OnChildFailure, State, Time, Until, When};

/// A job that a submission names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// One of the same submission, by its place.
    New(usize),
    /// One that exists.
    Old(Id),
}

/// One job of a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// What it belongs to.
    pub parent: Option<Link>,
    /// Whom it waits for, and how they must end.
    pub depends_on: Vec<(Link, When)>,
    /// How many of them must be satisfied; all unless said.
    pub need: Option<usize>,
    /// Whether it has no handler.
    pub is_group: bool,
    /// Whose it is.
    pub owner: u32,
    /// Which workers may have it.
    pub queue: u32,
    /// Greater first.
    pub priority: i16,
    /// Not before.
    pub run_at: Option<Time>,
    /// Not after.
    pub deadline_at: Option<Time>,
    /// From the first start to the end.
    pub time_limit: Option<Time>,
    /// At this many failures it is over.
    pub max_attempts: u32,
    /// The pause after the first failure.
    pub backoff_base: Time,
    /// The longest pause.
    pub backoff_max: Time,
    /// Limits that it needs a slot of.
    pub limit_keys: Vec<u32>,
    /// How many of its children may be at work at once.
    pub width: Option<usize>,
    /// What a failed child means.
    pub on_child_failure: OnChildFailure,
    /// The submitter's number for it and the hash of what is asked for.
    pub idempotency: Option<(u32, u32)>,
    /// Whether it tells what happens to it.
    pub events: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            parent: None,
            depends_on: Vec::new(),
            need: None,
            is_group: false,
            owner: 0,
            queue: 0,
            priority: 0,
            run_at: None,
            deadline_at: None,
            time_limit: None,
            max_attempts: 3,
            backoff_base: 1_000,
            backoff_max: 600_000,
            limit_keys: Vec::new(),
            width: None,
            on_child_failure: OnChildFailure::Fail,
            idempotency: None,
            events: true,
        }
    }
}

/// What happens. Everything may come twice, late, or never.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A client wants these.
    Submit(Vec<Spec>),
    /// A handler wants these below itself.
    Spawn(Id, u32, Vec<Spec>),
    /// A worker takes a ready job for so long.
    Claim(Id, u32, Time),
    /// A worker still has it, and wants it for so long from now.
    Heartbeat(Id, u32, Time),
    /// The handler is done.
    Complete(Id, u32),
    /// The handler gave up.
    Fail {
        /// Which job.
        job: Id,
        /// Whose word it is.
        epoch: u32,
        /// Whether another try may help.
        retryable: bool,
        /// The handler's own wish for the pause.
        delay: Option<Time>,
        /// Where in the backoff's spread it falls.
        luck: f64,
    },
    /// The worker shuts down and gives it back.
    Release(Id, u32),
    /// Leases that ran out are noticed.
    Rescue,
    /// What was due is noticed: delays, backoffs, timers, deadlines.
    Promote,
    /// A job that waits for its limits gets its slots.
    Grant(Id),
    /// News that were left lying are applied.
    Arrive,
    /// Events that were left lying are numbered.
    Number,
    /// A user's will.
    Cancel(Id),
    /// A user's will.
    Pause(Id),
    /// A user's will.
    Resume(Id),
    /// A user's will.
    Retry(Id),
    /// An operator's will.
    PauseQueue(u32, bool),
    /// A handler comes to a step of this key, code version and request.
    StepBegin(Id, u32, u32, (u32, u32)),
    /// The provider said where its work can be asked about.
    StepHandle(Id, u32, u32, u64),
    /// The step's result.
    StepEnd(Id, u32, u32, u64),
    /// The step failed.
    StepFail(Id, u32, u32),
    /// A handler leaves until something is so, under this key.
    Suspend(Id, u32, u32, Until),
    /// Somebody says something to a job: name, payload, the sender's number.
    Signal(Id, u32, u64, Option<u32>),
}

/// What others have locked at this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy {
    /// Jobs.
    pub jobs: BTreeSet<Id>,
    /// Logs.
    pub streams: BTreeSet<Id>,
}

/// What a handler is told when it comes to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was done: this is what came of it.
    Hit(u64),
    /// Do it, with this token.
    Run(u64),
    /// It is under way at the provider: handle and token.
    Resume(u64, u64),
    /// It was begun and nobody knows how it ended; the token was this.
    InDoubt(u64),
    /// Another request was made under this key.
    Mismatch,
}

/// Why nothing happened, in the machine's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No such job.
    NotFound,
    /// The claim is over.
    Stale,
    /// It was asked for before, differently, or the target is over.
    Conflict,
    /// It makes no sense.
    Invalid,
    /// Too much of it.
    OverLimit,
    /// They would wait for each other.
    Cycle,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    Done,
    /// Nothing happened.
    Refused(Refusal),
    /// The jobs of a submission, in its order, and whether each is new.
    Submitted(Vec<(Id, bool)>),
    /// The claim's number.
    Claimed(u32),
    /// What a heartbeat is told when the job is not the worker's any more.
    Leave(&'static str),
    /// Where the job stands after the handler's end of it.
    Finished(State),
    /// What a step is told.
    Step(Verdict),
    /// What the handler wanted to wait for is so already; the job is still its.
    Ready,
    /// The jobs that a user's will changed.
    Changed(Vec<Id>),
}

/// What comes of an event beside the changed world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// For whoever asked.
    pub answer: Answer,
    /// Queues whose workers should look.
    pub woken: BTreeSet<u32>,
    /// Jobs that were taken from workers by a user's will.
    pub fenced: BTreeSet<Id>,
}

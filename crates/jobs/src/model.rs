//! What durable work means, as a program without a database.
//!
//! [`step`] is the whole of it: a [`World`], an [`Event`], the time, and what
//! somebody else happens to have locked; what comes back is what the asker is
//! told. The functions of schema `work_engine` do the same to rows. Random
//! traces are run through both and the worlds compared, and a simulator runs
//! ten thousand lives of workers, messages and users through this alone, with
//! [`problems()`] asked after every event.
//!
//! Start with `world.rs` for what there is, then `event.rs` for what can
//! happen; the other files are the transitions, one subject each:
//!
//! * `submit.rs`: how jobs come to be;
//! * `claim.rs`: workers: claim, heartbeat, finish, and what time does to them;
//! * `arrive.rs`: how an end reaches parents and dependants;
//! * `control.rs`: cancel, pause, resume, retry;
//! * `steps.rs`: memoised steps, suspensions, signals, timers;
//! * `log.rs`: numbering events;
//! * `problems.rs`: what must always hold.
//!
//! Choices that the database makes in an order of its own (which of the ready
//! jobs a claim takes, which waiting job gets a slot) are events here that name
//! the job, and are refused when that job could not have been chosen. Locks of
//! others are told by [`Busy`]: what is in there is skipped and left for later,
//! as SKIP LOCKED does.

mod arrive;
mod claim;
mod control;
mod event;
mod log;
mod problems;
mod steps;
mod submit;
mod turn;
mod world;

pub use event::{Answer, Busy, Event, Link, Outcome, Refusal, Spec, Verdict};
pub use problems::{Problem, problems};
pub use turn::step;
pub use world::{
    Arrival, Dependency, Id, Job, Kind, OnChildFailure, PausedFrom, Signal, State, Step, StepState,
    Stream, Time, Told, Until, Waiting, When, World,
};

/// A job whose workers died this often is thought to kill them.
pub const CRASHES_MAX: u32 = 5;

#[cfg(test)]
mod tests;

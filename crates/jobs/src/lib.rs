//! Durable work: trees of jobs in PostgreSQL, run by workers in this process or
//! in any language over HTTP.
//!
//! What may happen to a job is decided in one place, the functions of schema
//! `work_engine` (migrations 0014 to 0018), because the server, workers over
//! HTTP and `supabase.rpc` must all mean the same. This crate calls them in
//! batches, wakes whoever waits, and keeps time.
//!
//! Start at [`Jobs`]. `batch` is group commit, `actors` what is done by it;
//! `wake` and `news` are who is woken on this node and on others; `services`
//! is what happens without anybody asking; `store` is the only part that meets
//! Postgres; `http` is the routes.
//!
//! Invariants: nothing here decides what becomes of a job; nothing depends on
//! a message from another node; no database connection is held by whoever
//! waits.

mod actors;
pub mod backoff;
mod batch;
mod config;
mod core;
pub mod dag;
mod error;
pub mod form;
mod held;
mod http;
pub mod model;
mod news;
mod pace;
mod room;
pub mod schedule;
pub mod services;
mod spec;
mod store;
#[cfg(test)]
mod tests;
mod types;
mod wake;
mod worker;

pub use config::{Config, WAIT_MAX};
pub use error::{JobsError, Result};
pub use news::Told;
pub use room::{Jobs, Parts};
pub use spec::{
    Budget, DependsOn, JOBS_MAX, Need, NeedWord, OnChildFailure, PAYLOAD_BYTES_MAX, Spec, Unique,
    When,
};
pub use types::{Beat, Changed, Claimed, Directive, Event, Finish, Outcome, Submitted, Wants};
pub use worker::{Answered, Ask, Builder, Call, ChildEnd, Ctx, Paid, Step, Stop, Worker};

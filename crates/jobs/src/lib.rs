//! Durable work: trees of jobs in PostgreSQL, run by workers in this process or
//! in any language over HTTP.
//!
//! What may happen to a job is decided in one place, the functions of schema
//! `work_engine` (migrations 0014 to 0018), because the server, workers over
//! HTTP and `supabase.rpc` must all mean the same. This crate calls them in
//! batches, wakes whoever waits, and keeps time.

pub mod backoff;
pub mod dag;
pub mod form;
pub mod model;
mod room;
pub mod schedule;
pub mod services;

pub use room::{Jobs, Parts};

//! The PostgREST dialect, version 14 (<https://docs.postgrest.org/en/v14/>).
//!
//! A request passes five stages, each a noun: bytes → [`call::Call`] →
//! `plan::Plan` → `sql::Query` → rows → response. Only `execute` meets
//! Postgres; the others are pure. Start at [`Rest::router`].
//!
//! Invariants: every statement of a user runs in a `RequestTx`, as the
//! caller's role; SQL text is made by `SqlBuf` alone; what a caller sends is
//! bounded before it is read.
//!
//! Not here: tokens and keys (the gateway verifies them and leaves a
//! `kernel::Caller`), CORS, rate limits.

pub mod call;
mod config;
mod csv;
pub mod dry_run;
pub mod error;
mod execute;
#[cfg(test)]
mod golden;
mod json;
mod openapi;
mod plan;
mod reply;
mod room;
mod sql;

pub use config::Config;
pub use room::Rest;

//! The PostgREST dialect, version 14 (<https://docs.postgrest.org/en/v14/>).
//!
//! A request passes five stages, each a noun: bytes → [`call::Call`] →
//! `plan::Plan` → `sql::Query` → rows → response. Only `execute` meets
//! Postgres; the others are pure. Start at [`Rest::serve`].
//!
//! Beyond the dialect, `tx` runs several requests in one transaction, and
//! `idempotency` answers a write that comes twice without doing it twice.
//!
//! Invariants: every statement of a user runs in a `RequestTx`, as the
//! caller's role; SQL text is made by `SqlBuf` alone; what a caller sends is
//! bounded before it is read.
//!
//! Not here: tokens and keys (the gateway verifies them and leaves a
//! `kernel::Caller`), CORS, rate limits.

pub mod access;
pub mod call;
mod config;
mod csv;
pub mod dry_run;
pub mod error;
mod execute;
#[cfg(test)]
mod golden;
mod idempotency;
mod json;
mod openapi;
mod plan;
mod reply;
mod room;
mod sql;
mod tx;

pub use config::{Config, TxLimits};
pub use room::Rest;

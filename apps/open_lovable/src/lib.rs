//! Open Lovable's v2 API: the addresses, shapes and words of its route handlers,
//! on the tables and functions of schema `work`.
//!
//! A plain consumer of what every client may use: each statement runs as the
//! caller, so that policies decide who sees what. There is no table of the
//! app's own. Start at `routes`; `shapes` of rows are in the statements of
//! `sql/`.
//!
//! What differs from the original, on purpose: somebody else's rows do not
//! exist; totals are true; a malformed id is a 404; jobs only change as the
//! engine allows; migrating twice makes one session.

mod call;
mod error;
mod room;
mod routes;
mod state;
mod store;

pub use room::{OpenLovable, Parts};

//! The room on a real PostgreSQL, spoken to as the gateway would.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod checkpoints;
mod claims;
mod files;
mod isolation;
mod messages;
mod statements;
mod support;

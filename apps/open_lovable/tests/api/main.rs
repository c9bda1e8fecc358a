//! The app on a real PostgreSQL: its shapes, and what was wrong in the original.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod conversation;
mod golden;
mod jobs;
mod owners;
mod sessions;
mod support;

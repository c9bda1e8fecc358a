//! The event log on a real database: what is appended is there once, numbered
//! and in order; who watches gets every event once, whatever happens.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod appending;
mod following;
mod support;
mod wires;

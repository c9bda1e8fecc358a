//! Turns on a real PostgreSQL with a provider at the other end of a socket:
//! what is kept, what is paid, who sees it, and what a killed server leaves.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod isolation;
mod provider;
mod support;
mod turning;

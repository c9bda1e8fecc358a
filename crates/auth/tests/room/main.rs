//! The room from outside: requests in, answers, rows and mails out, on a real
//! database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that finds nothing has failed"
)]

mod admin;
mod links;
mod moving;
mod sessions;
mod sign_up;
mod support;
mod wired;

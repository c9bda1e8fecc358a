//! The room from outside: requests in, answers, rows and mails out, on a real
//! database.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that finds nothing has failed"
)]

mod admin;
mod authenticator;
mod factor_kinds;
mod factors;
mod id_tokens;
mod idp;
mod legacy;
mod links;
mod moving;
mod oauth;
mod oauth_attacks;
mod oauth_flow;
mod oauth_page;
mod oauth_server;
mod passkeys;
mod sessions;
mod sign_up;
mod support;
mod wired;

//! The GoTrue dialect: who somebody is, and how they prove it.
//!
//! A request becomes a `Call`, and, where somebody must be there, a `SignedIn`
//! or an `Admin` (`request`); a handler in `routes` checks what was asked,
//! changes what must change in one transaction (`store`), and answers or
//! returns an [`AuthError`], which is worded in one place (`error`).
//!
//! * To add an endpoint: a handler in `routes/`, a line in `router.rs`.
//! * To add a statement: a method of `store::Tx`, in the file of its table.
//! * To win a session: `Auth::issue` in `tokens`, with the `Method` shown.
//! * To send a mail: `Auth::send_mail` in `mails`. [`ports`] has what comes
//!   from outside.
//!
//! Invariants: statements run as `supabase_auth_admin`; one-time tokens are
//! stored as hashes only and used once; nothing here logs a token, a password,
//! a code or an address; what a link leads to never depends on a `Host` header.

mod accounts;
pub mod captcha;
mod codes;
pub mod config;
pub mod error;
mod factors;
pub mod hook;
pub mod inbox;
mod legacy;
pub mod limits;
mod linking;
pub mod mail;
mod mails;
mod model;
mod oauth_server;
pub mod oidc;
pub mod password;
pub mod ports;
mod redirect;
mod refresh;
mod request;
mod room;
mod router;
mod routes;
mod span;
mod store;
mod tokens;
pub mod totp;
mod webauthn;

#[cfg(test)]
mod testing;

pub use config::Config;
pub use error::AuthError;
pub use model::{Factor, Identity, User};
pub use room::{Auth, Parts};

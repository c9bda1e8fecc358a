//! The PostgreSQL protocol, version 3, as far as a client of ours needs it
//! (PostgreSQL documentation, chapter "Frontend/Backend Protocol").
//!
//! Why our own: a request is several statements with ONE Sync behind them,
//! and many requests travel on one connection without waiting for each other.
//! The public clients send a Sync for every statement. See
//! `docs/adr/0004-own-wire-client.md`.
//!
//! [`stream`] is the transport, [`login`] the way in, [`encode`] what we say
//! and [`frame`] what we hear.

pub(crate) mod encode;
pub(crate) mod frame;
pub(crate) mod login;
pub(crate) mod stream;

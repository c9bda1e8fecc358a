//! Signing in with others: what is spoken with them. No database and no
//! accounts; those are in `external` and `linking`.
//!
//! `provider` turns a setting into somebody who can be asked: where to send
//! a browser, how to exchange the code it comes back with, who it is
//! (`profile`). `remote` finds an issuer by discovery and keeps its keys,
//! `keys` verifies what they signed, `id_token` what an ID token must say.
//!
//! Invariants: shared secrets verify nothing, so a public key cannot be used
//! as one; keys come only from the issuer that is configured; a token with an
//! unknown key's name makes us ask for keys once in a while, not each time.

pub(crate) mod id_token;
pub mod keys;
pub(crate) mod profile;
pub(crate) mod provider;
pub mod remote;

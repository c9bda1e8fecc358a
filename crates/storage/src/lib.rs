//! Files in the dialect of the Storage API, under `/storage/v1`.
//!
//! What there is: buckets and objects are rows of schema `storage`, as the
//! official server has them, and who may do what is said by policies on them.
//! Bytes have names of their own and are never changed ([`blobs`]).
//!
//! Where to start: `room.rs` for what it is made of, `store.rs` for everything
//! about rows, `names.rs` for what a bucket and an object may be called.
//!
//! Invariants: a statement about somebody's rows runs as the caller, with the
//! caller's claims; what the room does on its own account (signed addresses,
//! public buckets, its books) runs as `supabase_storage_admin`, never as the
//! service role. Bytes are durable before a row names them, and go after the
//! last row that named them has gone: a crash leaves bytes too many, never too
//! few.

pub mod blobs;
pub mod content;
mod error;
pub mod keeping;
mod names;
pub mod ports;
mod public;
pub mod render;
mod room;
mod routes;
mod s3;
#[cfg(test)]
mod security;
mod signed;
mod store;
mod tus;
mod who;

pub use error::StorageError;
pub use public::{ObjectSummary, SignedUpload};
pub use room::{Bounds, Config, Parts, Storage};
pub use s3::{S3, secret_of as s3_secret_of};

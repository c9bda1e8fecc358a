//! The S3 protocol, path style, under `/storage/v1/s3`.
//!
//! A request goes through nouns: bytes → [`sigv4::Claim`] (what the request
//! says of its signer) → a caller (the signature holds) → `Call` (which
//! operation, with its parameters) → the store and the blobs, under the same
//! policies as every other way in → XML.
//!
//! * [`sigv4`]: signatures by header, by query and by form; [`policy`]: what a
//!   signed form allows.
//! * [`chunked`]: bodies sent as `aws-chunked`, whose pieces may be signed and
//!   whose checksums come last; [`checksum`]: those checksums.
//! * [`xml`]: the few documents that are read and written.
//!
//! Invariants: nothing is done for a request whose signature does not hold; a
//! header beginning with `x-amz-` that the signature does not cover is refused,
//! so nobody adds a meaning to what somebody else signed; every comparison with
//! a signature takes the same time whatever differs.

pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod checksum;
pub(crate) mod chunked;
pub(crate) mod conditions;
pub(crate) mod encode;
pub(crate) mod error;
mod keys;
pub(crate) mod ops;
pub(crate) mod policy;
mod routes;
pub(crate) mod sigv4;
#[cfg(test)]
mod tests;
pub(crate) mod xml;

pub use keys::{S3, secret_of};

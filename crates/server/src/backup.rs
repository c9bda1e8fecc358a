//! Backups of everything under one id: the database, the files that its rows
//! name, keys and settings.
//!
//! * [`create`]: one snapshot of the database; the archive, the list of files
//!   and the counts all come from it, so rows and files agree.
//! * [`repository`]: where backups lie. A backup is there whole or not at all.
//! * `store`: files by their SHA-256, shared by all backups of a repository.
//! * [`manifest`]: what a backup consists of, line by line, with its own hash.
//! * `secrets`: keys, settings and roles; `seal` encrypts them and the archive.
//! * [`copies`]: the same again in a bucket.
//! * [`restore`]: into an empty folder, or an empty database elsewhere.
//! * [`verify`]: a real restore into a cluster of its own, compared with the
//!   manifest row by row (as hashes) and byte by byte.
//! * [`retention`]: which backups stay; pure.
//! * `schedule`: the duty of `serve`, and its gauges.
//!
//! Invariants: a backup is listed only when it is complete and on the disk; a
//! restore is found under its name only when it is; nothing that is not empty
//! is restored into; secrets are readable by their owner alone.

pub mod copies;
pub mod create;
mod disk;
mod error;
pub mod files;
pub mod id;
pub mod manifest;
pub mod repository;
pub mod restore;
pub mod retention;
mod rows;
pub mod schedule;
mod seal;
mod secrets;
mod snapshot;
mod store;
pub(crate) mod stored;
pub mod verify;

pub use error::BackupError;
pub use id::Id;
pub use repository::{Repository, Summary};
pub use seal::Key;

#[cfg(test)]
mod tests;

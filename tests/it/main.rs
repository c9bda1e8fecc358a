//! The built binary, driven as its users drive it: by arguments, signals and
//! HTTP. One file for each question; `support` starts and stops it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod access;
mod auth_bypass;
mod auth_security;
mod auth_start;
mod backup;
mod backup_bucket;
mod backup_load;
mod backup_serve;
mod boxes;
mod bucket;
mod cli;
mod cli_jobs;
mod crash;
mod door;
mod drama;
mod durability;
mod garbage;
mod isolation;
mod jobs;
mod keys;
mod live;
mod mistakes;
mod omvee;
mod once;
mod open_lovable;
mod plans;
mod resumable;
mod s3_client;
mod settings;
mod sockets;
mod storage_attack;
mod storage_kill;
mod streams;
mod support;
mod two_nodes;
mod types;
mod upgrade;
mod wire;

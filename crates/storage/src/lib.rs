//! Files in the dialect of the Storage API.

pub mod blobs;
#[expect(dead_code, reason = "the room is not there yet")]
mod tus;

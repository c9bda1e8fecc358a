//! Files in the dialect of the Storage API.

pub mod blobs;
#[expect(dead_code, reason = "its routes come with the room")]
mod s3;

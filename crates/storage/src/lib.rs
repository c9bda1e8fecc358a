//! Files in the dialect of the Storage API.

pub mod blobs;
pub mod content;
pub mod render;

//! Files in the dialect of the Storage API.

pub mod render;

//! Files in the dialect of the Storage API.

#[expect(dead_code, reason = "routes come when the byte layer is there")]
mod tus;

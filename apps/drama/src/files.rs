//! What the app needs of Storage. Everything is asked as the caller.

use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use http::HeaderMap;
use kernel::Caller;

/// An answer that is waited for.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, FileError>> + Send + 'a>>;

/// Why Storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The caller may not, or it cannot be.
    #[error("{message}")]
    Refused {
        /// HTTP's word for it.
        status: http::StatusCode,
        /// For people.
        message: String,
    },
    /// Storage failed; it has said so in the log.
    #[error("storage failed")]
    Failed,
}

/// A file with its bytes.
#[derive(Debug)]
pub struct Opened {
    /// How it may be sent from the API's own origin: its type, and what keeps
    /// it from running there.
    pub headers: HeaderMap,
    /// Its bytes, as they are read.
    pub body: Body,
}

/// Storage, as the app sees it.
pub trait Files: Send + Sync {
    /// A new file of these bytes; says how many they were.
    fn put<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        mime: &'a str,
        bytes: Body,
    ) -> Asked<'a, u64>;

    /// A file, if the caller sees one.
    fn open<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Asked<'a, Option<Opened>>;

    /// Removes what of these files there is.
    fn remove<'a>(&'a self, caller: &'a Caller, names: &'a [String]) -> Asked<'a, ()>;

    /// The absolute address at which everybody reads it.
    fn public_url(&self, name: &str) -> String;
}

//! What uploads need of the rest of the room: may this become an object, make
//! it one, and is this signature good.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kernel::Caller;
use serde_json::Value;

use super::error::Result;
use super::upload::Upload;
use super::who::Subject;
use crate::blobs::{BlobId, Written};

/// The object that an upload becomes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    /// Its bucket.
    pub(crate) bucket: String,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) mime: String,
    /// What it says about caching.
    pub(crate) cache_control: String,
    /// The user's own words about it.
    pub(crate) user_metadata: Option<Value>,
    /// Whether it may take another one's place.
    pub(crate) upsert: bool,
    /// Whose it is.
    pub(crate) owner: Option<String>,
}

impl Target {
    /// What this upload becomes.
    pub(super) fn of(upload: &Upload) -> Self {
        Self {
            bucket: upload.bucket.clone(),
            name: upload.name.clone(),
            mime: upload.metadata.mime().to_owned(),
            cache_control: upload.metadata.cache_control(),
            user_metadata: upload.metadata.user(),
            upsert: upload.upsert,
            owner: upload.owner.clone(),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// The caller, or nobody where a signature speaks for somebody.
    pub(super) caller: Option<Arc<Caller>>,
    /// As rows remember it.
    pub(super) subject: Subject,
    /// Whose the object will be.
    pub(super) owner: Option<String>,
    /// Whether it may take another one's place.
    pub(super) upsert: bool,
}

/// What a signature allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Who had it made.
    pub(crate) owner: Option<String>,
    /// Whether it allows replacing.
    pub(crate) upsert: bool,
}

/// Objects, as uploads see them. Nobody as caller is the room itself.
pub(crate) trait Objects: Send + Sync {
    /// Asks policies and bucket; says how many bytes it may have at most.
    fn may<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        target: &'a Target,
    ) -> BoxFuture<'a, Result<u64>>;

    /// Makes it an object.
    fn put<'a>(
        &'a self,
        caller: Option<&'a Caller>,
        target: Target,
        blob: BlobId,
        written: Written,
    ) -> BoxFuture<'a, Result<()>>;

    /// What this signature allows for this object.
    fn signed(&self, token: &str, bucket: &str, name: &str) -> Result<Signed>;
}

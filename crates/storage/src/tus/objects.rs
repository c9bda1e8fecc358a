//! What uploads need of the rest of the room: may this become an object, make
//! it one, and is this signature good.

use kernel::Caller;

use super::Tus;
use super::error::{Result, TusError};
use super::upload::Upload;
use super::who::Subject;
use crate::blobs::{BlobId, Written};
use crate::error::StorageError;
use crate::names::ObjectPath;
use crate::store::NewObject;
use crate::who::Who;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// The caller; none where a signature speaks for somebody.
    pub(super) caller: Option<Caller>,
    /// As rows remember it.
    pub(super) subject: Subject,
    /// Whose the object will be.
    pub(super) owner: Option<String>,
    /// Whether it may take another one's place.
    pub(super) upsert: bool,
}

impl Asker {
    fn doing(&self, operation: &'static str) -> Who {
        match &self.caller {
            Some(caller) => Who::caller(caller.clone(), operation),
            None => Who::store(operation),
        }
    }
}

/// The object that an upload becomes.
fn object(upload: &Upload) -> Result<NewObject> {
    let path = ObjectPath::new(&upload.bucket, &upload.name).map_err(|error| of(&error))?;
    Ok(NewObject {
        cache_control: upload.metadata.cache_control(),
        user_metadata: upload.metadata.user(),
        upsert: upload.upsert,
        owner: upload.owner.clone(),
        ..NewObject::new(path, upload.metadata.mime())
    })
}

impl Tus {
    /// Asks policies and bucket; says how many bytes there may be at most.
    pub(super) async fn may(
        &self,
        asker: &Asker,
        upload: &Upload,
        operation: &'static str,
    ) -> Result<u64> {
        let (store, object) = (&self.room.store, object(upload)?);
        let who = asker.doing(operation);
        let bucket = store.may_upload(&who, &object, upload.length).await;
        let bucket = bucket.map_err(|error| of(&error))?;
        let most = self.room.config.file_size_limit;
        Ok(bucket.file_size_limit.unwrap_or(most).min(most))
    }

    /// Makes it an object, if limits and policies still say so.
    pub(super) async fn put(
        &self,
        asker: &Asker,
        upload: &Upload,
        blob: BlobId,
        written: &Written,
        operation: &'static str,
    ) -> Result<()> {
        let (store, object) = (&self.room.store, object(upload)?);
        let who = asker.doing(operation);
        let put = store.put(&who, &object, blob, written).await;
        put.map(|_| ()).map_err(|error| of(&error))
    }
}

/// A refusal of the room, with its real status.
pub(super) fn of(error: &StorageError) -> TusError {
    error.log();
    match error.code() {
        "EntityTooLarge" => TusError::TooLarge,
        "InternalError" => TusError::Internal,
        "SlowDown" => TusError::Busy,
        _ => TusError::Refused {
            status: error.status(),
            message: error.message().to_owned(),
        },
    }
}

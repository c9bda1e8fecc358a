//! What others in this process ask of the room, for a caller.

use axum::body::Body;
use kernel::Caller;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::error::Result;
use crate::names::ObjectPath;
use crate::routes;
use crate::store::{NewObject, Object};
use crate::who::{Who, operations};
use crate::{Storage, StorageError, content};

/// How long a signed upload may begin, as the official platform.
pub(crate) const UPLOAD_SECONDS: u64 = 7200;

/// A thousand objects each: a hundred thousand are deleted within a minute, and
/// who has more asks again.
const FOLDER_PAGES_MAX: usize = 100;
/// What would end a path or be read as something else.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS.add(b' ').add(b'?').add(b'#').add(b'%').add(b'"');

/// An address that somebody without rights may upload to, once the policies
/// have said yes to its maker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedUpload {
    /// Under `/storage/v1`, with the token.
    pub path: String,
    /// The token alone.
    pub token: String,
}

/// What there is to know of an object from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Bytes.
    pub size: u64,
    /// Its kind.
    pub mime: String,
    /// The name of its bytes.
    pub version: String,
}

impl Storage {
    /// Lets whoever has the result upload this object, if the caller may.
    pub async fn sign_upload(
        &self,
        caller: &Caller,
        bucket: &str,
        name: &str,
        upsert: bool,
    ) -> Result<SignedUpload, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_SIGN_UPLOAD);
        let path = ObjectPath::new(bucket, name)?;
        let object = NewObject {
            upsert,
            owner: who.subject(),
            ..NewObject::new(path, content::upload_type(None, name))
        };
        self.signed_upload(&who, &object, None).await
    }

    pub(crate) async fn signed_upload(
        &self,
        who: &Who,
        object: &NewObject,
        size: Option<u64>,
    ) -> Result<SignedUpload> {
        self.store.may_insert(who, object, size).await?;
        let (path, owner) = (&object.path, object.owner.as_deref());
        let token = self.sign_upload_token(path, owner, object.upsert, UPLOAD_SECONDS)?;
        Ok(SignedUpload {
            path: format!(
                "/object/upload/sign/{}?token={token}",
                path.in_signed_address()
            ),
            token,
        })
    }

    /// Where clients reach the room: what paths here are under.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.config.url
    }

    /// Where a public object is, under `/storage/v1`, escaped.
    #[must_use]
    pub fn public_path(bucket: &str, name: &str) -> String {
        let escaped = |text| utf8_percent_encode(text, NOT_IN_PATHS);
        format!("/object/public/{}/{}", escaped(bucket), escaped(name))
    }

    /// Deletes everything in a folder that the caller sees, as the caller. What
    /// they see and may not delete is a refusal; what was deleted before it
    /// stays deleted.
    pub async fn delete_folder(
        &self,
        caller: &Caller,
        bucket: &str,
        folder: &str,
    ) -> Result<u64, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_DELETE_MANY);
        let mut deleted = 0;
        for _ in 0..FOLDER_PAGES_MAX {
            let names = self.store.names_in(&who, bucket, folder).await?;
            if names.is_empty() {
                return Ok(deleted);
            }
            let gone = self.store.delete(&who, bucket, &names).await?.len();
            if gone == 0 {
                return Err(StorageError::access_denied("Access denied"));
            }
            deleted += u64::try_from(gone).unwrap_or(u64::MAX);
        }
        Err(StorageError::invalid_request(
            "the folder has too many objects to delete at once; try again",
        ))
    }

    /// An object as this caller sees it; nothing where they see none.
    pub async fn object_size(
        &self,
        caller: &Caller,
        bucket: &str,
        name: &str,
    ) -> Result<Option<ObjectSummary>, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_INFO);
        let path = ObjectPath::new(bucket, name)?;
        let found = self.seen_object(&who, &path).await?;
        Ok(found.as_ref().map(summary))
    }

    /// Uploads an object as this caller, bytes as they come. What has the name
    /// already stays.
    pub async fn put_object(
        &self,
        caller: &Caller,
        (bucket, name): (&str, &str),
        mime: &str,
        bytes: Body,
    ) -> Result<ObjectSummary, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_UPLOAD);
        let path = ObjectPath::new(bucket, name)?;
        let object = NewObject {
            owner: who.subject(),
            ..NewObject::new(path, content::upload_type(Some(mime), name))
        };
        let put = routes::keep(self, &who, object, bytes).await?;
        Ok(summary(&put))
    }

    /// An object with its bytes, as this caller sees it; nothing where they see
    /// none.
    pub async fn read_object(
        &self,
        caller: &Caller,
        bucket: &str,
        name: &str,
    ) -> Result<Option<(ObjectSummary, Body)>, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_GET);
        let path = ObjectPath::new(bucket, name)?;
        let Some(found) = self.seen_object(&who, &path).await? else {
            return Ok(None);
        };
        let bytes = self.blobs.read(found.blob()?, None).await?;
        Ok(Some((summary(&found), Body::from_stream(bytes))))
    }

    /// Removes those of these objects that this caller may; says how many.
    pub async fn remove_objects(
        &self,
        caller: &Caller,
        bucket: &str,
        names: &[String],
    ) -> Result<usize, StorageError> {
        let who = Who::caller(caller.clone(), operations::OBJECT_DELETE_MANY);
        Ok(self.store.delete(&who, bucket, names).await?.len())
    }

    async fn seen_object(&self, who: &Who, path: &ObjectPath) -> Result<Option<Object>> {
        match self.store.object(who, path).await {
            Err(error) if error.code() == "NoSuchKey" => Ok(None),
            found => found.map(Some),
        }
    }
}

fn summary(found: &Object) -> ObjectSummary {
    ObjectSummary {
        size: found.metadata.size().unwrap_or_default(),
        mime: found.metadata.mime().unwrap_or(content::UNKNOWN).to_owned(),
        version: found.version.clone().unwrap_or_default(),
    }
}

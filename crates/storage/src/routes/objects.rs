//! Copies, moves and deletions.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::call::{Call, decoded, object};
use super::fields::Fields;
use super::form::user_metadata;
use crate::Storage;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::store::{Copy, Move, Object, Other};
use crate::who::operations as op;

/// Objects that one request may end.
const DELETED_MAX: usize = 1000;

/// `DELETE /object/{bucket}/{name}`
pub(super) async fn delete(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_DELETE)?;
    room.store.delete_one(&who, &object(at.0, at.1)?).await?;
    Ok(Json(json!({"message": "Successfully deleted"})).into_response())
}

/// `DELETE /object/{bucket}`
pub(super) async fn delete_many(room: &Storage, mut call: Call, bucket: &str) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_DELETE_MANY)?;
    let fields = call.fields().await?.object()?;
    let names = fields.must_texts("prefixes")?;
    if names.len() > DELETED_MAX {
        let message =
            format!("Bulk object requests are limited to {DELETED_MAX} objects per request.");
        return Err(StorageError::invalid_request(message));
    }
    let gone = room.store.delete(&who, &decoded(bucket)?, &names).await?;
    let gone: Vec<_> = gone.iter().map(document).collect();
    Ok(Json(gone).into_response())
}

/// `POST /object/copy`
pub(super) async fn copy(room: &Storage, mut call: Call) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_COPY)?;
    let fields = call.fields().await?.object()?;
    let (from, to) = from_to(&fields)?;
    let metadata = fields.inner("metadata")?;
    let keeps = fields.flag("copyMetadata")?.unwrap_or(true);
    let said = |name: &str| match &metadata {
        Some(metadata) => metadata.text(name),
        None => Ok(None),
    };
    let other = Other {
        mime: said("mimetype")?,
        cache_control: said("cacheControl")?,
        user_metadata: call.header("x-metadata").and_then(user_metadata),
    };
    let copy = Copy {
        from,
        to,
        owner: who.subject(),
        upsert: call.header("x-upsert") == Some("true"),
        other: (!keeps).then_some(other),
    };
    let copied = room.store.copy(&who, &room.blobs, &copy).await?;
    let mut answer = document(&copied);
    if let Some(map) = answer.as_object_mut() {
        map.insert("Id".to_owned(), copied.id.clone().into());
        map.insert("Key".to_owned(), copied.path.to_string().into());
    }
    Ok(Json(answer).into_response())
}

/// `POST /object/move`
pub(super) async fn rename(room: &Storage, mut call: Call) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_MOVE)?;
    let fields = call.fields().await?.object()?;
    let (from, to) = from_to(&fields)?;
    let owner = who.subject();
    room.store.rename(&who, &Move { from, to, owner }).await?;
    Ok(Json(json!({"message": "Successfully moved"})).into_response())
}

fn from_to(fields: &Fields) -> Result<(ObjectPath, ObjectPath)> {
    let bucket = fields.must_text("bucketId")?;
    let from = fields.must_text("sourceKey")?;
    let name = fields.must_text("destinationKey")?;
    let other = fields.text("destinationBucket")?;
    let other = other.filter(|bucket| !bucket.is_empty());
    let to = ObjectPath::new(other.as_deref().unwrap_or(&bucket), &name)?;
    // What has a name that nothing can have is not there.
    let from = ObjectPath::new(&bucket, &from).map_err(|error| match error.code() {
        "InvalidKey" => StorageError::no_such_key(),
        _ => error,
    })?;
    Ok((from, to))
}

/// A row as clients see it.
fn document(object: &Object) -> Value {
    let owner = object.owner_id.as_deref();
    let uuid = owner.filter(|owner| uuid::Uuid::try_parse(owner).is_ok());
    json!({
        "name": object.path.name,
        "bucket_id": object.path.bucket,
        "owner": uuid.unwrap_or_default(),
        "owner_id": owner.unwrap_or_default(),
        "version": object.version,
        "id": object.id,
        "updated_at": object.updated_at,
        "created_at": object.created_at,
        "last_accessed_at": object.last_accessed_at,
        "metadata": object.metadata.0,
        "user_metadata": object.user_metadata,
    })
}

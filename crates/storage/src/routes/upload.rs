//! Uploads: whole objects in one request.
//!
//! What is small comes into memory first and costs one transaction: its bytes
//! are made durable, then limits, policies and row are one round trip. What is
//! larger, or comes from nobody in particular, asks first whether it may: the
//! answer no should not cost us its bytes.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

use super::call::{Call, Incoming, object};
use super::form::{self, Bytestream, Upload};
use crate::Storage;
use crate::blobs::{BlobId, Written};
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::signed::Scope;
use crate::store::{NewObject, Object};
use crate::who::{Who, operations as op};

/// What is written before it is asked about. More would let refused uploads
/// keep a disk busy.
const SMALL: u64 = 64 << 10;
/// A form's fields and boundaries around the file.
const FORM: u64 = 4 << 10;

/// `POST /object/{bucket}/{name}`
pub(super) async fn create(room: &Storage, call: Call, at: (&str, &str)) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_UPLOAD)?;
    let upsert = call.header("x-upsert") == Some("true");
    let put = take(
        room,
        who,
        call,
        Target {
            path: object(at.0, at.1)?,
            upsert,
            owner: None,
        },
    )
    .await?;
    Ok(Json(json!({"Id": put.id, "Key": put.path.to_string()})).into_response())
}

/// `PUT /object/{bucket}/{name}`
pub(super) async fn update(room: &Storage, call: Call, at: (&str, &str)) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_UPLOAD_UPDATE)?;
    let upsert = true;
    let put = take(
        room,
        who,
        call,
        Target {
            path: object(at.0, at.1)?,
            upsert,
            owner: None,
        },
    )
    .await?;
    Ok(Json(json!({"Id": put.id, "Key": put.path.to_string()})).into_response())
}

/// `PUT /object/upload/sign/{bucket}/{name}?token=…`: the policies were asked
/// when the token was made.
pub(super) async fn signed(room: &Storage, call: Call, at: (&str, &str)) -> Result<Response> {
    let token = call.asked("token").ok_or_else(|| {
        StorageError::malformed("querystring must have required property 'token'")
    })?;
    let path = ObjectPath::of_signed_address(at.0, at.1)?;
    let claims = room.verify(&token, Scope::Upload, &path)?;
    let who = Who::store(op::OBJECT_UPLOAD_SIGNED);
    let target = Target {
        path,
        upsert: claims.upsert,
        owner: claims.owner,
    };
    let put = take(room, who, call, target).await?;
    Ok(Json(json!({"Key": put.path.to_string()})).into_response())
}

struct Target {
    path: ObjectPath,
    upsert: bool,
    owner: Option<String>,
}

async fn take(room: &Storage, who: Who, call: Call, target: Target) -> Result<Object> {
    let length = call.body.length;
    let mut upload = form::read(call, target.path).await?;
    upload.object.upsert = target.upsert;
    upload.object.owner = target.owner.or_else(|| who.subject());
    let own = upload.object.user_metadata.take();
    // What is no object is kept as it is, like the official server does.
    upload.object.user_metadata = own.or_else(|| Some(Value::Object(Map::new())));
    let small = length.is_some_and(|length| length <= SMALL + FORM);
    if !(small && who.is_authenticated()) {
        let size = upload.size;
        let bucket = room.store.may_upload(&who, &upload.object, size).await?;
        let most = bucket.file_size_limit.unwrap_or(u64::MAX);
        let most = most.min(room.config.file_size_limit);
        return store(room, &who, upload, most).await;
    }
    store(room, &who, upload, SMALL + FORM).await
}

/// An object whose bytes come from within this process.
pub(crate) async fn keep(
    room: &Storage,
    who: &Who,
    object: NewObject,
    bytes: Body,
) -> Result<Object> {
    let bucket = room.store.may_upload(who, &object, None).await?;
    let most = bucket.file_size_limit.unwrap_or(u64::MAX);
    let upload = Upload {
        object,
        bytes: Bytestream::Body(Incoming::new(bytes, None)),
        size: None,
    };
    store(room, who, upload, most.min(room.config.file_size_limit)).await
}

/// Bytes, then the row; without the row no bytes.
async fn store(room: &Storage, who: &Who, upload: Upload, most: u64) -> Result<Object> {
    let Upload {
        object, mut bytes, ..
    } = upload;
    let (blob, written) = write(room, &mut bytes, most).await?;
    let put = room.store.put(who, &object, blob, &written).await;
    if put.is_err() {
        // Nothing names them: if this fails, the sweeper comes.
        drop(room.blobs.remove(&[blob]).await);
    }
    put
}

async fn write(room: &Storage, bytes: &mut Bytestream, most: u64) -> Result<(BlobId, Written)> {
    let mut writer = room.blobs.create().await?;
    let mut size = 0_u64;
    while let Some(piece) = bytes.next().await? {
        size += piece.len() as u64;
        if size > most {
            return Err(StorageError::too_large("object"));
        }
        writer.write(piece).await?;
    }
    Ok(writer.finish().await?)
}

//! Making signed addresses.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::call::{Call, decoded, object};
use super::form::user_metadata;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::render::Transform;
use crate::store::NewObject;
use crate::who::operations as op;
use crate::{Storage, content};

/// Addresses that one request may ask for.
const SIGNED_MAX: usize = 1000;

/// `POST /object/sign/{bucket}/{name}`
pub(super) async fn one(room: &Storage, mut call: Call, at: (&str, &str)) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_SIGN)?;
    let fields = call.fields().await?.object()?;
    let seconds = fields.must_number("expiresIn", 1)?;
    let mut more = Map::new();
    if let Some(asked) = fields.get("transform").filter(|asked| !asked.is_null()) {
        let transform = Transform::from_json(asked).map_err(StorageError::malformed)?;
        let text = transform.to_signed();
        if !text.is_empty() {
            more.insert("transformations".to_owned(), text.into());
        }
        let format = asked
            .get("format")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !format.is_empty() {
            more.insert("format".to_owned(), format.into());
        }
    }
    let path = object(at.0, at.1)?;
    room.store.object(&who, &path).await?;
    let door = if more.contains_key("transformations") {
        "render/image"
    } else {
        "object"
    };
    let token = room.sign_download(&path, seconds, more)?;
    let address = format!("/{door}/sign/{}?token={token}", path.in_signed_address());
    Ok(Json(json!({"signedURL": address})).into_response())
}

/// `POST /object/sign/{bucket}`
pub(super) async fn batch(room: &Storage, mut call: Call, bucket: &str) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_SIGN_MANY)?;
    let fields = call.fields().await?.object()?;
    let seconds = fields.must_number("expiresIn", 1)?;
    let names = fields.must_texts("paths")?;
    if names.len() > SIGNED_MAX {
        let message = format!("body/paths must NOT have more than {SIGNED_MAX} items");
        return Err(StorageError::malformed(message));
    }
    let bucket = decoded(bucket)?;
    let seen = room.store.seen(&who, &bucket, &names).await?;
    let mut signed = Vec::with_capacity(names.len());
    for name in &names {
        let path = ObjectPath::new(&bucket, name)
            .ok()
            .filter(|_| seen.contains(name));
        let entry = if let Some(path) = path {
            let token = room.sign_download(&path, seconds, Map::new())?;
            let address = format!("/object/sign/{}?token={token}", path.in_signed_address());
            json!({"error": null, "path": name, "signedURL": address})
        } else {
            let error = "Either the object does not exist or you do not have access to it";
            json!({"error": error, "path": name, "signedURL": null})
        };
        signed.push(entry);
    }
    Ok(Json(signed).into_response())
}

/// `POST /object/upload/sign/{bucket}/{name}`
pub(super) async fn upload(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Response> {
    let who = call.authenticated(op::OBJECT_SIGN_UPLOAD)?;
    let mime = call
        .header(CONTENT_TYPE.as_str())
        .unwrap_or(content::UNKNOWN);
    let size = call.header(CONTENT_LENGTH.as_str());
    let object = NewObject {
        upsert: call.header("x-upsert") == Some("true"),
        owner: who.subject(),
        user_metadata: call.header("x-metadata").and_then(user_metadata),
        ..NewObject::new(object(at.0, at.1)?, mime)
    };
    let size = size.and_then(|size| size.parse().ok());
    let signed = room.signed_upload(&who, &object, size).await?;
    Ok(Json(json!({"url": signed.path, "token": signed.token})).into_response())
}

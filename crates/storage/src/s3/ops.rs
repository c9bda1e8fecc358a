//! What operations do, each as its caller.

pub(crate) mod bucket;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod multipart;
pub(crate) mod object;
pub(crate) mod parts;
pub(crate) mod rows;
pub(crate) mod upload;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value};

use super::call::Call;
use super::error::{Result, S3Error};
use super::xml::Writer;
use crate::room::Storage;
use crate::who::{Who, operations};

/// Everything that an operation is given.
pub(crate) struct Scene {
    pub(crate) room: Arc<Storage>,
    pub(crate) who: Who,
    pub(crate) call: Call,
}

impl Scene {
    /// That the bucket exists, whoever may see it: policies of buckets are
    /// about listing buckets, those of objects about what is in them.
    pub(crate) async fn bucket_exists(&self) -> Result<()> {
        let own = Who::store(operations::S3_GET_BUCKET);
        self.room.store.bucket(&own, &self.call.bucket).await?;
        Ok(())
    }
}

/// A document.
pub(crate) fn document(xml: Writer) -> Response {
    let mut response = Response::new(Body::from(xml.finish()));
    let kind = HeaderValue::from_static("application/xml; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A status and nothing else.
pub(crate) fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header where its value can be one.
pub(crate) fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// User metadata is limited as at S3, where it is 2 KiB in all.
const METADATA_BYTES_MAX: usize = 2048;
const METADATA: &str = "x-amz-meta-";

/// What is said of an object in fields beginning with `x-amz-meta-`.
pub(crate) fn user_metadata<'a>(
    fields: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Value>> {
    let mut map = Map::new();
    let mut bytes = 0;
    for (name, value) in fields {
        let Some(name) = name.strip_prefix(METADATA) else {
            continue;
        };
        bytes += name.len() + value.len();
        map.insert(name.to_owned(), value.into());
    }
    if bytes > METADATA_BYTES_MAX {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(S3Error::bad("MetadataTooLarge", message));
    }
    Ok((!map.is_empty()).then_some(Value::Object(map)))
}

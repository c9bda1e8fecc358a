//! An object's bytes and what is said of them.

use std::ops::Range;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
};
use http::{HeaderName, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use super::{METADATA, Scene, document, set, status};
use crate::names::ObjectPath;
use crate::s3::conditions::{self, Now, Unmet};
use crate::s3::error::Result;
use crate::s3::xml::Writer;
use crate::store::Object;

const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
const MISSING: HeaderName = HeaderName::from_static("x-amz-missing-meta");

pub(crate) async fn head(scene: &Scene) -> Result<Response> {
    let found = Found::of(scene).await?;
    Ok(match found.unmet(scene)? {
        Some(response) => response,
        None => found.described(scene, None),
    })
}

pub(crate) async fn get(scene: &Scene) -> Result<Response> {
    let found = Found::of(scene).await?;
    if let Some(response) = found.unmet(scene)? {
        return Ok(response);
    }
    let range = conditions::range(&scene.call.headers, found.size)?;
    let mut response = found.described(scene, range.as_ref());
    if found.size > 0 {
        let bytes = scene.room.blobs.read(found.object.blob()?, range).await;
        let bytes = bytes.map_err(crate::error::StorageError::from)?;
        *response.body_mut() = Body::from_stream(bytes);
    }
    Ok(response)
}

/// There are no tags, and that can be said.
pub(crate) async fn tagging(scene: &Scene) -> Result<Response> {
    Found::of(scene).await?;
    let mut xml = Writer::new("Tagging");
    xml.open("TagSet").close();
    Ok(document(xml))
}

/// An object that this one may see.
pub(crate) struct Found {
    pub(crate) object: Object,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
}

impl Found {
    async fn of(scene: &Scene) -> Result<Self> {
        let path = ObjectPath::new(&scene.call.bucket, &scene.call.key)?;
        Self::at(scene, &path).await
    }

    /// Another than the one that the address says.
    pub(crate) async fn at(scene: &Scene, path: &ObjectPath) -> Result<Self> {
        let object = scene.room.store.object(&scene.who, path).await?;
        let etag = object.metadata.etag().unwrap_or_default();
        Ok(Self {
            size: object.metadata.size().unwrap_or(0),
            etag: etag.trim_matches('"').to_owned(),
            modified: object.updated_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
            object,
        })
    }

    pub(crate) fn now(&self) -> Now<'_> {
        Now {
            etag: &self.etag,
            modified: self.modified,
        }
    }

    /// The answer where a condition does not hold.
    fn unmet(&self, scene: &Scene) -> Result<Option<Response>> {
        match conditions::check(&scene.call.headers, "", self.now()) {
            Ok(()) => Ok(None),
            Err(Unmet::Failed) => Err(conditions::failed()),
            Err(Unmet::NotModified) => {
                let mut response = status(StatusCode::NOT_MODIFIED);
                self.validators(&mut response);
                Ok(Some(response))
            }
        }
    }

    fn validators(&self, response: &mut Response) {
        set(response, ETAG, &format!("\"{}\"", self.etag));
        set(response, LAST_MODIFIED, &http_date(self.modified));
        let kept = self.object.metadata.cache_control().unwrap_or_default();
        if !kept.is_empty() {
            set(response, CACHE_CONTROL, kept);
        }
    }

    /// The answer without its bytes.
    fn described(&self, scene: &Scene, range: Option<&Range<u64>>) -> Response {
        let mut response = status(StatusCode::OK);
        let mut length = self.size;
        if let Some(range) = range {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            length = range.end - range.start;
            let last = range.end.saturating_sub(1);
            let text = format!("bytes {}-{last}/{}", range.start, self.size);
            set(&mut response, CONTENT_RANGE, &text);
        }
        set(&mut response, CONTENT_LENGTH, &length.to_string());
        set(&mut response, ACCEPT_RANGES, "bytes");
        self.validators(&mut response);
        let kind = self.object.metadata.mime().unwrap_or_default();
        set(&mut response, CONTENT_TYPE, kind);
        user_metadata(&mut response, self.object.user_metadata.as_ref());
        overrides(&mut response, scene);
        served_safely(&mut response);
        response
    }
}

/// What a signed request may ask for instead.
fn overrides(response: &mut Response, scene: &Scene) {
    for (name, header) in [
        ("response-content-type", CONTENT_TYPE),
        ("response-content-language", CONTENT_LANGUAGE),
        ("response-content-encoding", CONTENT_ENCODING),
        ("response-content-disposition", CONTENT_DISPOSITION),
        ("response-cache-control", CACHE_CONTROL),
        ("response-expires", EXPIRES),
    ] {
        if let Some(value) = scene.call.query.get(name).filter(|value| !value.is_empty()) {
            set(response, header, value);
        }
    }
}

/// Somebody's page must not run as ours, whatever its name or a query says it
/// is.
fn served_safely(response: &mut Response) {
    set(response, NOSNIFF, "nosniff");
    let policy = HeaderName::from_static("content-security-policy");
    set(response, policy, "default-src 'none'; sandbox");
}

/// What cannot be said in a header is counted.
fn user_metadata(response: &mut Response, metadata: Option<&Value>) {
    let mut missing = 0_u32;
    let entries = metadata.and_then(Value::as_object);
    for (name, value) in entries.into_iter().flatten() {
        let header = HeaderName::try_from(format!("{METADATA}{}", name.to_lowercase()));
        let value = value.as_str().filter(|value| value.is_ascii());
        let value = value.and_then(|value| http::HeaderValue::from_str(value).ok());
        match (header, value) {
            (Ok(header), Some(value)) if !name.is_empty() => {
                response.headers_mut().insert(header, value);
            }
            _ => missing += 1,
        }
    }
    if missing > 0 {
        set(response, MISSING, &missing.to_string());
    }
}

fn http_date(at: Timestamp) -> String {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at);
    text.unwrap_or_default()
}

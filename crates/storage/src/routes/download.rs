//! Downloads, and what is known of an object without its bytes.

use std::ops::Range;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, EXPIRES, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::json;

use super::call::{Call, decoded, object};
use crate::blobs::BlobError;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::signed::Scope;
use crate::store::Object;
use crate::who::{Who, operations as op};
use crate::{Storage, content};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// How often an object is looked up again when its bytes were replaced between
/// the look and the read.
const REPLACED_MAX: u32 = 3;

/// Whom a route lets see what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Whoever comes, in public buckets.
    Public,
    /// Whoever shows a token or a key.
    Closed,
    /// Either.
    Either,
}

/// Where to look, and as whom.
struct Seen {
    who: Who,
    path: ObjectPath,
}

/// `GET /object/public/{bucket}/{name}`
pub(super) async fn public(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Response> {
    let head = call.parts.method == Method::HEAD;
    let operation = if head {
        op::OBJECT_INFO_PUBLIC
    } else {
        op::OBJECT_GET_PUBLIC
    };
    let seen = look(room, call, at, (Door::Public, operation)).await?;
    send(room, call, seen, None).await
}

/// `GET /object/authenticated/{bucket}/{name}`
pub(super) async fn authenticated(
    room: &Storage,
    call: &Call,
    at: (&str, &str),
) -> Result<Response> {
    let seen = look(room, call, at, (Door::Closed, reads(call))).await?;
    send(room, call, seen, None).await
}

/// `GET /object/{bucket}/{name}`
pub(super) async fn either(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Response> {
    let seen = look(room, call, at, (Door::Either, reads(call))).await?;
    send(room, call, seen, None).await
}

/// `GET /object/sign/{bucket}/{name}?token=…`
pub(super) async fn signed(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Response> {
    let token = call.asked("token").ok_or_else(|| {
        StorageError::malformed("querystring must have required property 'token'")
    })?;
    let path = ObjectPath::of_signed_address(at.0, at.1)?;
    let claims = room.verify(&token, Scope::Download, &path)?;
    let who = Who::store(op::OBJECT_GET_SIGNED);
    send(room, call, Seen { who, path }, Some(claims.exp)).await
}

/// `GET /object/info/…`
pub(super) async fn info(
    room: &Storage,
    call: &Call,
    at: (&str, &str),
    door: Door,
) -> Result<Response> {
    let operation = match door {
        Door::Public => op::OBJECT_INFO_PUBLIC,
        Door::Closed | Door::Either => op::OBJECT_INFO,
    };
    let Seen { who, path } = look(room, call, at, (door, operation)).await?;
    let found = room.store.object(&who, &path).await?;
    let metadata = &found.metadata;
    let document = json!({
        "id": found.id,
        "name": found.path.name,
        "version": found.version,
        "bucket_id": found.path.bucket,
        "size": metadata.size(),
        "content_type": metadata.mime(),
        "cache_control": metadata.cache_control(),
        "etag": metadata.etag(),
        "metadata": found.user_metadata,
        "last_modified": found.updated_at,
        "created_at": found.created_at,
    });
    let mut response = Json(document).into_response();
    let headers = response.headers_mut();
    set(headers, ETAG, metadata.etag());
    set(
        headers,
        LAST_MODIFIED,
        modified(&found).map(http_date).as_deref(),
    );
    set(headers, CACHE_CONTROL, metadata.cache_control());
    Ok(response)
}

fn reads(call: &Call) -> &'static str {
    match call.parts.method {
        Method::HEAD => op::OBJECT_HEAD,
        _ => op::OBJECT_GET,
    }
}

/// Who looks: the caller under its policies, or the room where the bucket is
/// public.
async fn look(
    room: &Storage,
    call: &Call,
    (bucket, name): (&str, &str),
    (door, operation): (Door, &'static str),
) -> Result<Seen> {
    let caller = match door {
        Door::Public => None,
        Door::Closed => Some(call.authenticated(operation)?),
        Door::Either => call.anybody(operation)?,
    };
    let store = Who::store(operation);
    let held = room.store.bucket(&store, &decoded(bucket)?).await?;
    let who = match caller {
        _ if held.public => store,
        Some(caller) => caller,
        None => return Err(StorageError::no_such_bucket()),
    };
    let path = object(bucket, name)?;
    Ok(Seen { who, path })
}

/// Head and bytes. `until` is when the address ends, in seconds.
async fn send(room: &Storage, call: &Call, seen: Seen, until: Option<i64>) -> Result<Response> {
    let mut tries = 0;
    loop {
        let found = room.store.object(&seen.who, &seen.path).await?;
        let range = asked_range(call, &found)?;
        if is_unchanged(&call.parts.headers, &found) {
            return Ok(head(call, &found, until, StatusCode::NOT_MODIFIED));
        }
        if call.parts.method == Method::HEAD {
            let mut response = head(call, &found, until, StatusCode::OK);
            let size = found.metadata.size().map(HeaderValue::from);
            response
                .headers_mut()
                .extend(size.map(|size| (CONTENT_LENGTH, size)));
            return Ok(response);
        }
        let blob = found.blob()?;
        let size = match found.metadata.size() {
            Some(size) => size,
            None => room.blobs.size(blob).await?,
        };
        match room.blobs.read(blob, range.clone()).await {
            Ok(bytes) => {
                let status = if range.is_some() {
                    StatusCode::PARTIAL_CONTENT
                } else {
                    StatusCode::OK
                };
                let mut response = head(call, &found, until, status);
                let headers = response.headers_mut();
                let length = range.as_ref().map_or(size, |range| range.end - range.start);
                headers.insert(CONTENT_LENGTH, length.into());
                if let Some(range) = range {
                    let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                    set(headers, CONTENT_RANGE, Some(&text));
                }
                *response.body_mut() = Body::from_stream(bytes);
                return Ok(response);
            }
            // Replaced and removed since we looked: look again.
            Err(BlobError::NotFound) if tries < REPLACED_MAX => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn head(call: &Call, found: &Object, until: Option<i64>, status: StatusCode) -> Response {
    let metadata = &found.metadata;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let download = call.asked("download");
    let mime = metadata.mime().unwrap_or(content::UNKNOWN);
    content::headers(headers, mime, download.as_deref());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(headers, ETAG, metadata.etag());
    set(headers, ROBOTS, metadata.robots().or(Some("none")));
    set(
        headers,
        LAST_MODIFIED,
        modified(found).map(http_date).as_deref(),
    );
    match until.and_then(|until| Timestamp::from_second(until).ok()) {
        Some(until) => set(headers, EXPIRES, Some(&http_date(until))),
        None => set(headers, CACHE_CONTROL, metadata.cache_control()),
    }
    response
}

/// A header, unless there is nothing to say or it cannot be said.
fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    let value = value.and_then(|value| HeaderValue::from_str(value).ok());
    headers.extend(value.map(|value| (name, value)));
}

fn modified(found: &Object) -> Option<Timestamp> {
    let written = found.metadata.last_modified();
    written.or_else(|| found.updated_at.parse().ok())
}

/// As HTTP writes times.
pub(super) fn http_date(at: Timestamp) -> String {
    let printed = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at);
    printed.unwrap_or_default()
}

/// Whether the client has what there is. A tag outranks a time.
fn is_unchanged(headers: &HeaderMap, found: &Object) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(tags) = text(IF_NONE_MATCH) {
        let ours = found.metadata.etag();
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        return tags.trim() == "*"
            || tags
                .split(',')
                .any(|tag| Some(strong(tag).as_str()) == ours);
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|since| rfc2822::parse(since).ok());
    match (since, modified(found)) {
        // HTTP has no parts of seconds.
        (Some(since), Some(at)) => at.as_second() <= since.timestamp().as_second(),
        _ => false,
    }
}

/// The bytes that are wanted, if not all.
fn asked_range(call: &Call, found: &Object) -> Result<Option<Range<u64>>> {
    let Some(range) = call.parts.headers.get(RANGE) else {
        return Ok(None);
    };
    if call.parts.method == Method::HEAD {
        return Ok(None);
    }
    let size = found.metadata.size().unwrap_or(0);
    let range = range
        .to_str()
        .ok()
        .and_then(|range| parse_range(range, size));
    range.map(Some).ok_or_else(StorageError::invalid_range)
}

/// One range in bytes, within a size.
pub(crate) fn parse_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if size == 0 {
        return None;
    }
    match (number(from), to) {
        (None, to) if from.is_empty() => {
            let last = number(to).filter(|last| *last > 0)?;
            Some(size.saturating_sub(last)..size)
        }
        (Some(from), "") if from < size => Some(from..size),
        (Some(from), to) => {
            let to = number(to).filter(|to| *to >= from)?;
            (from < size).then(|| from..to.saturating_add(1).min(size))
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_single_and_within_the_object() {
        assert_eq!(parse_range("bytes=0-3", 10), Some(0..4));
        assert_eq!(parse_range("bytes=4-", 10), Some(4..10));
        assert_eq!(parse_range("bytes=-4", 10), Some(6..10));
        assert_eq!(parse_range("bytes=-40", 10), Some(0..10));
        assert_eq!(parse_range("bytes=8-99", 10), Some(8..10));
        let most = format!("bytes=0-{}0", u64::MAX);
        assert_eq!(parse_range(&most, 10), Some(0..10));
        for bad in [
            "bytes=10-",
            "bytes=5-4",
            "bytes=-0",
            "bytes=-",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=+1-2",
        ] {
            assert_eq!(parse_range(bad, 10), None, "{bad}");
        }
        assert_eq!(parse_range("bytes=0-", 0), None);
    }

    #[test]
    fn times_are_as_http_has_them() {
        let at = Timestamp::from_second(784_111_777).expect("a time");
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}

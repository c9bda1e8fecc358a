//! `/render/image/{authenticated,public,sign}/{bucket}/{name}`: objects as
//! pictures in another size. What makes them is in [`crate::render`].

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_DISPOSITION, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use http::{Method, StatusCode};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};

use super::call::{Call, object};
use super::download::http_date;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::render::{Accept, RenderError, Rendered, SOURCE_BYTES_MAX, Transform};
use crate::signed::Scope;
use crate::store::Object;
use crate::who::{Who, operations as op};
use crate::{Storage, content};

/// Another number makes every kept picture stale: for when the same request
/// begins to give other bytes.
const EDITION: &str = "1";

const TRANSFORMATIONS: HeaderName = HeaderName::from_static("x-transformations");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// A picture that was asked for by somebody who may see it.
struct Wish {
    object: Object,
    asked: Transform,
    accept: Accept,
    /// Until when the address is good, for signed ones.
    expires: Option<i64>,
}

/// What is below `/render`.
pub(super) async fn route(room: &Storage, call: &Call, path: &str) -> Result<Option<Response>> {
    if !matches!(call.parts.method, Method::GET | Method::HEAD) {
        return Ok(None);
    }
    let mut steps = path.splitn(4, '/');
    let (Some("image"), Some(door), Some(bucket), Some(name)) =
        (steps.next(), steps.next(), steps.next(), steps.next())
    else {
        return Ok(None);
    };
    let wish = match door {
        "authenticated" => authenticated(room, call, (bucket, name)).await,
        "public" => public(room, call, (bucket, name)).await,
        "sign" => signed(room, call, (bucket, name)).await,
        _ => return Ok(None),
    };
    fulfil(room, call, wish?).await.map(Some)
}

async fn authenticated(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Wish> {
    let who = call.authenticated(op::RENDER)?;
    let asked = asked(call)?;
    let object = room.store.object(&who, &object(at.0, at.1)?).await?;
    Ok(wish(call, object, asked))
}

async fn public(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Wish> {
    let who = Who::store(op::RENDER_PUBLIC);
    let asked = asked(call)?;
    let path = object(at.0, at.1)?;
    if !room.store.bucket(&who, &path.bucket).await?.public {
        return Err(StorageError::no_such_bucket());
    }
    let object = room.store.object(&who, &path).await?;
    Ok(wish(call, object, asked))
}

/// What is made of it says the token, and nobody else.
async fn signed(room: &Storage, call: &Call, at: (&str, &str)) -> Result<Wish> {
    let token = call.asked("token").ok_or_else(|| {
        StorageError::malformed("querystring must have required property 'token'")
    })?;
    let path = ObjectPath::of_signed_address(at.0, at.1)?;
    let claims = room.verify(&token, Scope::Download, &path)?;
    let who = Who::store(op::RENDER_SIGNED);
    let object = room.store.object(&who, &path).await?;
    let asked = Transform::from_signed(claims.transformations.as_deref().unwrap_or_default());
    Ok(Wish {
        expires: Some(claims.exp),
        ..wish(call, object, asked)
    })
}

fn asked(call: &Call) -> Result<Transform> {
    let query = call.parts.uri.query().unwrap_or_default();
    Transform::from_query(query).map_err(StorageError::malformed)
}

fn wish(call: &Call, object: Object, asked: Transform) -> Wish {
    let accept = call
        .header(ACCEPT.as_str())
        .filter(|_| asked.looks_at_accept());
    Wish {
        accept: accept.map(Accept::parse).unwrap_or_default(),
        object,
        asked,
        expires: None,
    }
}

async fn fulfil(room: &Storage, call: &Call, wish: Wish) -> Result<Response> {
    let mut response = Response::new(Body::empty());
    let tag = tag(&wish);
    describe(response.headers_mut(), &wish, tag.as_ref());
    let known = call.parts.headers.get_all(IF_NONE_MATCH).iter();
    if tag.is_some_and(|tag| known.into_iter().any(|known| matches(known, &tag))) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let download = call.asked("download");
    let (bytes, mime) = if is_drawing(&wish.object) {
        let bytes = read(room, &wish.object).await?;
        (bytes, "image/svg+xml")
    } else {
        let reading = read(room, &wish.object);
        let made = room.studio.make(&wish.asked, wish.accept, reading);
        let Rendered { bytes, mime } = made.await?;
        (bytes.into(), mime)
    };
    let headers = response.headers_mut();
    content::headers(headers, mime, download.as_deref());
    if is_drawing(&wish.object) && !headers.contains_key(CONTENT_DISPOSITION) {
        // Drawings are programs, nearly. They are never drawn here, and no
        // browser opens one at our address.
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment;"));
    }
    *response.body_mut() = Body::from(bytes);
    Ok(response)
}

fn is_drawing(object: &Object) -> bool {
    let mime = object.metadata.mime().unwrap_or_default();
    mime.get(..9)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("image/svg"))
}

/// What the answer says about itself, 304 too.
fn describe(headers: &mut HeaderMap, wish: &Wish, tag: Option<&HeaderValue>) {
    let metadata = &wish.object.metadata;
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    match wish.expires.and_then(|at| Timestamp::from_second(at).ok()) {
        Some(expires) => set(EXPIRES, &http_date(expires)),
        None => set(
            CACHE_CONTROL,
            metadata.cache_control().unwrap_or("no-cache"),
        ),
    }
    if let Some(written) = metadata.last_modified() {
        set(LAST_MODIFIED, &http_date(written));
    }
    let applied = wish.asked.applied();
    if !applied.is_empty() {
        set(TRANSFORMATIONS, &applied);
    }
    set(ROBOTS, metadata.robots().unwrap_or("none"));
    if wish.asked.looks_at_accept() {
        set(VARY, "Accept");
    }
    if let Some(tag) = tag {
        headers.insert(ETAG, tag.clone());
    }
}

/// Of what decides about the bytes: the source's name, which is never used for
/// other bytes, what is done to it, and what the client shows. So a picture
/// that a client has need not be made to say so.
fn tag(wish: &Wish) -> Option<HeaderValue> {
    let version = wish.object.version.as_deref()?;
    let accept = match wish.accept {
        Accept::Usual => "usual",
        Accept::Also => "also",
        Accept::Only => "only",
    };
    let asked = wish.asked.to_signed();
    let text = [EDITION, version, &asked, accept].join("\n");
    let hash = digest(&SHA256, text.as_bytes());
    let mut tag = String::from("\"");
    for byte in hash.as_ref().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::try_from(tag).ok()
}

/// Whether one of the tags that a client has is this one.
fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let Ok(known) = known.to_str() else {
        return false;
    };
    known.split(',').map(str::trim).any(|known| {
        let known = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || known.as_bytes() == tag.as_bytes()
    })
}

/// The source's bytes, if they are not too many.
async fn read(room: &Storage, object: &Object) -> Result<Bytes> {
    if object
        .metadata
        .size()
        .is_some_and(|size| size > SOURCE_BYTES_MAX)
    {
        return Err(RenderError::Size.into());
    }
    let most = usize::try_from(SOURCE_BYTES_MAX).unwrap_or(usize::MAX);
    let mut pieces = room.blobs.read(object.blob()?, None).await?;
    let mut all = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        // What the row says about the size may have been written by others.
        if all.len() + piece.len() > most {
            return Err(RenderError::Size.into());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

impl From<RenderError> for StorageError {
    fn from(error: RenderError) -> Self {
        let refused = Self::new(
            error.status(),
            error.code(),
            error.code(),
            error.to_string(),
        );
        match error {
            RenderError::Busy | RenderError::Internal => refused.answered_with(error.status()),
            RenderError::Unsupported
            | RenderError::Resolution
            | RenderError::Size
            | RenderError::TimedOut => refused,
        }
    }
}

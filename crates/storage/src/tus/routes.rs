//! The protocol: each method is a list of checks, then what it does.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, CACHE_CONTROL, HeaderName, HeaderValue, LOCATION,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kernel::{BadToken, Caller};

use super::checksum::{ALGORITHMS, Checksum};
use super::error::{Result, TusError};
use super::headers::{self, Concat, Creation, Piece, set_number, text};
use super::hold::Hold;
use super::location;
use super::objects::{self, Asker};
use super::receive::{join, receive};
use super::rows::Holder;
use super::upload::{Kind, Upload, joined};
use super::who::{Subject, subject};
use super::{Tus, bytes_failed};
use crate::names::ObjectPath;
use crate::signed::Scope;
use crate::who::operations::TUS_CREATE;

/// One request: where it came in, and what it says.
pub(super) struct Call {
    /// With a signature instead of a caller.
    pub(super) signed: bool,
    /// The upload, if it is about one.
    pub(super) id: Option<String>,
    /// The head.
    pub(super) parts: Parts,
    /// The bytes.
    pub(super) body: Body,
}

impl Call {
    /// Where uploads of this kind are, within the room.
    fn base(&self) -> &'static str {
        if self.signed {
            "/upload/resumable/sign"
        } else {
            "/upload/resumable"
        }
    }

    fn id(&self) -> Result<&str> {
        self.id.as_deref().ok_or(TusError::NotFound)
    }
}

/// Answers a request. It runs to its end even when its client has gone: bytes
/// that arrived are kept.
pub(super) async fn answer(tus: Arc<Tus>, call: Call) -> Response {
    let tasks = tus.room.tasks.clone();
    let working = tasks.spawn("resumable_upload", async move {
        let outcome = match headers::method(&call.parts.method, &call.parts.headers) {
            Ok(method) => dispatch(&tus, &method, call).await,
            Err(error) => Err(error),
        };
        outcome.unwrap_or_else(TusError::into_response)
    });
    let mut response = working
        .await
        .unwrap_or_else(|_panicked| TusError::Internal.into_response());
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static(headers::RESUMABLE),
        headers::VERSION,
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, headers::EXPOSED);
    response
}

async fn dispatch(tus: &Tus, method: &Method, call: Call) -> Result<Response> {
    if *method == Method::OPTIONS {
        return Ok(options(tus));
    }
    headers::check_version(&call.parts.headers)?;
    let caller = Caller::of(&call.parts);
    let reads = *method == Method::HEAD;
    if !reads && caller.is_some_and(|caller| caller.read_only) {
        return Err(TusError::ReadOnly);
    }
    match *method {
        Method::POST if call.id.is_none() => create(tus, call).await,
        Method::HEAD => head(tus, call).await,
        Method::PATCH => patch(tus, call).await,
        Method::DELETE => terminate(tus, call).await,
        _ => Err(TusError::NotFound),
    }
}

/// What the server can.
fn options(tus: &Tus) -> Response {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(headers::VERSIONS), headers::VERSION);
    headers.insert(
        HeaderName::from_static(headers::EXTENSION),
        headers::EXTENSIONS,
    );
    let algorithms = HeaderValue::from_static(ALGORITHMS);
    headers.insert(
        HeaderName::from_static(headers::CHECKSUM_ALGORITHM),
        algorithms,
    );
    set_number(headers, headers::MAX_SIZE, tus.most());
    response
}

/// Whoever asks: a caller, or whoever has a signature for this object.
fn asker(tus: &Tus, call: &Call, target: (&str, &str)) -> Result<Asker> {
    let headers = &call.parts.headers;
    if !call.signed {
        let caller = shown(&call.parts)?;
        return Ok(Asker {
            subject: Subject::of(caller),
            owner: subject(caller),
            upsert: text(headers, headers::UPSERT)? == Some("true"),
            caller: Some(caller.clone()),
        });
    }
    let token = text(headers, headers::SIGNATURE)?.filter(|token| !token.is_empty());
    let token = token.ok_or(TusError::Header("Missing x-signature header"))?;
    let (bucket, name) = target;
    let path = ObjectPath::new(bucket, name).map_err(|error| objects::of(&error))?;
    let claims = tus.room.verify(token, Scope::Upload, &path);
    let claims = claims.map_err(|error| objects::of(&error))?;
    Ok(Asker {
        caller: None,
        subject: Subject::signed(bucket, name),
        owner: claims.owner,
        upsert: claims.upsert,
    })
}

/// The caller, with something to show: a token or a key that is good.
fn shown(parts: &Parts) -> Result<&Caller> {
    if let Some(bad) = parts.extensions.get::<BadToken>() {
        return Err(TusError::Refused {
            status: StatusCode::FORBIDDEN,
            message: bad.reason.to_string(),
        });
    }
    let caller = Caller::of(parts).ok_or(TusError::NotFound)?;
    let shows = parts.headers.contains_key(AUTHORIZATION) || parts.headers.contains_key("apikey");
    if shows || caller.authenticated {
        return Ok(caller);
    }
    let missing = "headers must have required property 'authorization'";
    Err(TusError::Header(missing))
}

/// Whoever asks about an upload that exists. A signature says which object it
/// is for; what else it says is held against that.
fn known(tus: &Tus, call: &Call) -> Result<Asker> {
    if !call.signed {
        return asker(tus, call, ("", ""));
    }
    let token = text(&call.parts.headers, headers::SIGNATURE)?.unwrap_or_default();
    let (bucket, name) = super::who::claimed(token).unwrap_or_default();
    asker(tus, call, (&bucket, &name))
}

/// POST: an upload begins, perhaps with its first bytes, perhaps with its last.
async fn create(tus: &Tus, call: Call) -> Result<Response> {
    let creation = Creation::parse(&call.parts.headers)?;
    let (bucket, name) = creation.metadata.target()?;
    let asker = asker(tus, &call, (bucket, name))?;
    let (kind, parts) = match &creation.concat {
        Concat::Whole => (Kind::Whole, Vec::new()),
        Concat::Partial => (Kind::Partial, Vec::new()),
        Concat::Final { parts, .. } => (Kind::Final, these(tus, &asker, parts).await?),
    };
    let mut upload = Upload {
        id: tus.new_id(),
        blob: String::new(),
        bucket: bucket.to_owned(),
        name: name.to_owned(),
        offset: 0,
        length: creation.length,
        most: 0,
        kind,
        concat: match &creation.concat {
            Concat::Final { said, .. } => Some(said.clone()),
            Concat::Whole | Concat::Partial => None,
        },
        metadata: creation.metadata.clone(),
        upsert: asker.upsert,
        owner: asker.owner.clone(),
        expires_at: tus.expires_at(),
        finished: false,
    };
    if kind == Kind::Final {
        upload.length = Some(joined(&parts)?);
    }
    upload.most = tus.may(&asker, &upload, TUS_CREATE).await?;
    if upload.length.is_some_and(|length| length > upload.most) {
        return Err(TusError::TooLarge);
    }
    let blob = tus.room.blobs.begin_append().await;
    upload.blob = blob.map_err(|error| bytes_failed(&error))?.to_string();
    let bounds = tus.room.config.resumable_bounds;
    let begun = tus.table.begin(&asker.subject, &upload, bounds).await;
    if begun.is_err() {
        tus.discard(&upload.blob).await;
    }
    begun?;
    let address = location::of(&call.parts.headers, call.base(), &upload.id);
    let with_bytes = creation.with_bytes && kind != Kind::Final;
    let first = if with_bytes || kind == Kind::Final || upload.length == Some(0) {
        let parts: Vec<String> = parts.into_iter().map(|part| part.blob).collect();
        Some(begin(tus, &asker, &upload.id, call, (with_bytes, &parts)).await?)
    } else {
        None
    };
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    if let Some(address) = address {
        headers.insert(LOCATION, address);
    }
    progress(headers, first.as_ref().unwrap_or(&upload), with_bytes);
    Ok(response)
}

/// The parts of a final upload, in order. They are this caller's, or not there.
async fn these(tus: &Tus, asker: &Asker, ids: &[String]) -> Result<Vec<Upload>> {
    let mut parts = Vec::with_capacity(ids.len());
    for id in ids {
        let found = tus.table.find(&asker.subject, id).await;
        let (part, _) = found.map_err(|error| match error {
            TusError::NotFound => TusError::Parts("Upload-Concat names an unknown part"),
            other => other,
        })?;
        part.check_alive(tus.room.clock.now())?;
        parts.push(part);
    }
    Ok(parts)
}

/// What a POST does beyond beginning.
async fn begin(
    tus: &Tus,
    asker: &Asker,
    id: &str,
    call: Call,
    (with_bytes, parts): (bool, &[String]),
) -> Result<Upload> {
    let checksum = checksum(&call.parts.headers)?;
    let piece = Piece::first(&call.parts.headers)?;
    let mut hold = Hold::take(tus, asker, id).await?;
    let outcome = if with_bytes {
        receive(tus, &mut hold, &piece, checksum, call.body).await
    } else if hold.upload.kind == Kind::Final {
        join(tus, &mut hold, parts).await
    } else {
        hold.complete().await
    };
    let upload = hold.upload.clone();
    hold.ended(outcome).await.map(|()| upload)
}

/// HEAD: how far it is. Whoever writes to it stops first: a client that asks
/// has lost that connection.
async fn head(tus: &Tus, call: Call) -> Result<Response> {
    let asker = known(tus, &call)?;
    let id = call.id()?;
    let (mut upload, holder) = tus.table.find(&asker.subject, id).await?;
    upload.check_alive(tus.room.clock.now())?;
    if holder == Holder::Other || (upload.full() && !upload.finished) {
        let mut hold = Hold::take(tus, &asker, id).await?;
        // A server may have died between the last byte and the object.
        let outcome = hold.complete().await;
        upload = hold.upload.clone();
        hold.ended(outcome).await?;
    }
    let mut response = empty(StatusCode::OK);
    let headers = response.headers_mut();
    progress(headers, &upload, true);
    match upload.length {
        Some(length) => set_number(headers, headers::LENGTH, length),
        None => set_number(headers, headers::DEFER_LENGTH, 1),
    }
    let said = upload.concat.as_deref();
    let concat = said.or((upload.kind == Kind::Partial).then_some(Kind::Partial.word()));
    let metadata = upload.metadata.render();
    for (name, value) in [
        (headers::METADATA, Some(metadata.as_str())),
        (headers::CONCAT, concat),
    ] {
        let value = value.filter(|value| !value.is_empty());
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

/// PATCH: the next bytes.
async fn patch(tus: &Tus, call: Call) -> Result<Response> {
    let piece = Piece::parse(&call.parts.headers)?;
    let checksum = checksum(&call.parts.headers)?;
    let asker = known(tus, &call)?;
    let mut hold = Hold::take(tus, &asker, call.id()?).await?;
    let outcome = receive(tus, &mut hold, &piece, checksum, call.body).await;
    let upload = hold.upload.clone();
    hold.ended(outcome).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    progress(response.headers_mut(), &upload, true);
    Ok(response)
}

/// DELETE: it is taken back.
async fn terminate(tus: &Tus, call: Call) -> Result<Response> {
    let asker = known(tus, &call)?;
    let hold = Hold::take(tus, &asker, call.id()?).await?;
    hold.end().await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>> {
    text(headers, headers::CHECKSUM)?
        .map(Checksum::parse)
        .transpose()
}

/// How far an upload is, and until when it may go on.
fn progress(headers: &mut HeaderMap, upload: &Upload, with_offset: bool) {
    if with_offset {
        set_number(headers, headers::OFFSET, upload.offset);
    }
    if upload.finished {
        headers.insert("tus-complete", HeaderValue::from_static("1"));
    } else if let Some(at) = http_date(upload.expires_at) {
        headers.insert(HeaderName::from_static(headers::EXPIRES), at);
    }
}

fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let printer = rfc2822::DateTimePrinter::new();
    let text = printer.timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::try_from(text).ok()
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

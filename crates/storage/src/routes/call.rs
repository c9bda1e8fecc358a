//! A request as handlers see it.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::request::Parts;
use kernel::BadToken;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::fields::Fields;
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::who::Who;

/// A JSON body: a thousand names of a thousand bytes, nearly.
const JSON_BYTES_MAX: usize = 2 << 20;

/// How long a client may say nothing in the middle of a body. Longer pauses
/// than this are broken connections.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Head and body of a request.
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) body: Incoming,
}

/// A body on its way. At most one piece of it is in memory.
pub(crate) struct Incoming {
    /// Never locked: a body may be sent between threads but not looked at by
    /// two, and this says that nobody does.
    stream: Mutex<BodyDataStream>,
    /// What the client says its length is.
    pub(crate) length: Option<u64>,
}

impl Call {
    pub(crate) fn new(request: Request) -> Self {
        let (parts, body) = request.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let body = Incoming::new(body, length);
        Self { parts, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Who asks, with something to show for it: a token or a key that is good.
    pub(crate) fn authenticated(&self, operation: &'static str) -> Result<Who> {
        if let Some(bad) = self.parts.extensions.get::<BadToken>() {
            return Err(StorageError::access_denied(as_official(&bad.reason)));
        }
        if !self.shows_something() {
            return Err(StorageError::access_denied(NO_TOKEN));
        }
        Who::of(&self.parts, operation)
    }

    /// Who asks; nobody where nothing good is shown.
    pub(crate) fn anybody(&self, operation: &'static str) -> Result<Option<Who>> {
        let bad = self.parts.extensions.get::<BadToken>().is_some();
        if bad || !self.shows_something() {
            return Ok(None);
        }
        Who::of(&self.parts, operation).map(Some)
    }

    fn shows_something(&self) -> bool {
        let headers = &self.parts.headers;
        headers.contains_key(AUTHORIZATION)
            || headers.contains_key("apikey")
            || Who::of(&self.parts, "").is_ok_and(|who| who.is_authenticated())
    }

    /// A parameter of the address, decoded; the first if there are several.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The body as JSON, with an object at its top.
    pub(crate) async fn fields(&mut self) -> Result<Fields> {
        let bytes = self.body.collect(JSON_BYTES_MAX).await?;
        if bytes.is_empty() {
            return Ok(Fields::new("body", Value::Null));
        }
        let parsed = serde_json::from_slice(&bytes).map_err(|_| {
            let message = "Body is not valid JSON but content-type is set to 'application/json'";
            StorageError::malformed(message)
        })?;
        Ok(Fields::new("body", parsed))
    }
}

impl Incoming {
    pub(crate) fn new(body: Body, length: Option<u64>) -> Self {
        Self {
            stream: Mutex::new(body.into_data_stream()),
            length,
        }
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        let stream = self.stream.get_mut();
        let stream = stream.unwrap_or_else(PoisonError::into_inner);
        match tokio::time::timeout(SILENCE_MAX, stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(_))) => Err(StorageError::invalid_request("the body ended early")),
            Err(_late) => Err(StorageError::invalid_request("the body stopped coming")),
        }
    }

    /// All of it, if it is no more than this.
    pub(crate) async fn collect(&mut self, most: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        let mut first = None;
        while let Some(piece) = self.next().await? {
            if all.len() + first.as_ref().map_or(0, Bytes::len) + piece.len() > most {
                return Err(StorageError::too_large("object"));
            }
            match first.take() {
                // Hardly any body comes in two pieces.
                None if all.is_empty() => first = Some(piece),
                earlier => {
                    all.extend_from_slice(&earlier.unwrap_or_default());
                    all.extend_from_slice(&piece);
                }
            }
        }
        Ok(first.unwrap_or_else(|| all.freeze()))
    }
}

/// What the official server says of a token that is none. It says so as well
/// where none is shown, behind a gateway: that adds an empty one.
const NO_TOKEN: &str = "Invalid Compact JWS";

/// Why a token is not believed, in the official server's words where it has
/// some.
fn as_official(reason: &str) -> &str {
    match reason {
        "JWT expired" => "\"exp\" claim timestamp check failed",
        "JWT not yet valid" => "\"nbf\" claim timestamp check failed",
        "No suitable key or wrong key type" => "signature verification failed",
        "JWT couldn't be decoded" | "Invalid API key" => NO_TOKEN,
        empty if empty.starts_with("Expected 3 parts") || empty.starts_with("Empty JWT") => {
            NO_TOKEN
        }
        other => other,
    }
}

/// An object as a path says it, percent signs read.
pub(crate) fn object(bucket: &str, name: &str) -> Result<ObjectPath> {
    ObjectPath::new(&decoded(bucket)?, &decoded(name)?)
}

/// A step of a path with its percent signs read.
pub(crate) fn decoded(text: &str) -> Result<Cow<'_, str>> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_err(|_| StorageError::invalid_key(text))
}

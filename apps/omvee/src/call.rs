//! A request as handlers see it: who asks, and what the body says.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{BadToken, Caller};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{ApiError, Result};
use crate::room::Omvee;

/// The transcript of a long song fits; files go elsewhere.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Projects in one answer at most.
const ROWS_MAX: u32 = 1000;

/// Head and body of a request of somebody who is signed in.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    parts: Parts,
    body: Bytes,
}

impl FromRequest<Arc<Omvee>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<Omvee>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let caller = caller(&parts)?;
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(read) => Ok(Self {
                caller,
                parts,
                body: read.to_bytes(),
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is larger than 4 MiB",
            )),
            Err(_) => Err(ApiError::bad("The request body ended early")),
        }
    }
}

/// Who asks: a user, by a token of theirs. Keys are nobody here.
fn caller(parts: &Parts) -> Result<Caller> {
    let refused = |detail: &str| ApiError::new(StatusCode::UNAUTHORIZED, detail);
    let header = parts.headers.get(AUTHORIZATION);
    let header = header.ok_or_else(|| refused("Authorization header required"))?;
    let bearer = header.to_str().ok().and_then(|text| text.get(..7));
    if !bearer.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer ")) {
        return Err(refused("Bearer token required"));
    }
    let caller = Caller::of(parts).filter(|caller| {
        let claims: Value = serde_json::from_str(&caller.claims).unwrap_or_default();
        let subject = claims.get("sub").and_then(Value::as_str);
        caller.authenticated && subject.is_some_and(|subject| Uuid::parse_str(subject).is_ok())
    });
    match caller {
        Some(caller) if parts.extensions.get::<BadToken>().is_none() => Ok(caller.clone()),
        _ => Err(refused("Invalid or expired token")),
    }
}

impl Call {
    /// `skip` and `limit` of the address.
    pub(crate) fn page(&self) -> (String, String) {
        let query = self.parts.uri.query().unwrap_or_default();
        let number = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(key, _)| *key == name)?.1;
            value.parse::<u32>().ok()
        };
        let limit = number("limit").unwrap_or(50).min(ROWS_MAX);
        (number("skip").unwrap_or(0).to_string(), limit.to_string())
    }

    /// The body as an object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(ApiError::field(
                "model_attributes_type",
                "",
                "Input should be a valid dictionary",
            )),
        }
    }
}

/// An id; none for what cannot be one.
pub(crate) fn id(text: &str) -> Option<String> {
    Uuid::parse_str(text).ok().map(|id| id.to_string())
}

/// A text that must be there, of so many characters.
pub(crate) fn text(body: &Map<String, Value>, name: &'static str, most: usize) -> Result<String> {
    match body.get(name) {
        None => Err(ApiError::field("missing", name, "Field required")),
        Some(Value::String(text)) if text.is_empty() => Err(ApiError::field(
            "string_too_short",
            name,
            "String should have at least 1 character",
        )),
        Some(Value::String(text)) if text.chars().count() > most => Err(ApiError::field(
            "string_too_long",
            name,
            "String is longer than it may be",
        )),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(ApiError::field(
            "string_type",
            name,
            "Input should be a valid string",
        )),
    }
}

//! A request as handlers see it: who asks, and what.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{BadToken, Caller};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::error::{AppError, Result};
use crate::room::Lovable;

/// A prompt and what is said about it; files do not come this way.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Who asks, once they are let in.
pub(crate) struct Asker(pub(crate) Caller);

impl FromRequestParts<Arc<Lovable>> for Asker {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<Lovable>) -> Result<Self> {
        caller(parts, app).map(Self)
    }
}

/// Who asks. A token that does not hold is refused even where none is needed.
pub(crate) fn caller(parts: &Parts, app: &Lovable) -> Result<Caller> {
    if parts.extensions.get::<BadToken>().is_some() {
        return Err(AppError::unauthorized());
    }
    match Caller::of(parts) {
        Some(caller) if is_somebody(caller) => Ok(caller.clone()),
        _ => app.demo.clone().ok_or_else(AppError::unauthorized),
    }
}

/// A user. A key is nobody in particular, and a session is somebody's.
fn is_somebody(caller: &Caller) -> bool {
    let claims: Value = serde_json::from_str(&caller.claims).unwrap_or_default();
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    caller.authenticated && !subject.is_empty()
}

/// A body of JSON.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Lovable>> for Body<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &Arc<Lovable>) -> Result<Self> {
        let read = Limited::new(request.into_body(), BODY_BYTES_MAX)
            .collect()
            .await;
        let bytes = read.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let message = "The request body is larger than 256 KiB";
                return AppError::new(StatusCode::PAYLOAD_TOO_LARGE, "over_limit", message);
            }
            AppError::bad("The request body ended early")
        })?;
        let bytes = bytes.to_bytes();
        let text = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
        let read = serde_json::from_slice(text);
        read.map(Self)
            .map_err(|error| AppError::bad(format!("The request body cannot be read: {error}")))
    }
}

/// An id of an address; what is none names nothing.
pub(crate) fn id(text: &str, what: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| AppError::not_found(what))
}

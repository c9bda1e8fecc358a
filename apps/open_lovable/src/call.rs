//! A request as handlers see it: who asks, what in the address, what in the
//! body.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{BadToken, Caller};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{ApiError, Result};
use crate::room::OpenLovable;

/// A whole conversation fits; it is read into memory.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Rows in one answer at most.
const ROWS_MAX: u64 = 1000;

/// Head and body of a request whose caller is let in.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    parts: Parts,
    body: Bytes,
}

impl FromRequest<Arc<OpenLovable>> for Call {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<OpenLovable>) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let caller = caller(&parts, app)?;
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(read) => Ok(Self {
                caller,
                parts,
                body: read.to_bytes(),
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is larger than 8 MiB",
            )),
            Err(_) => Err(ApiError::bad("The request body ended early")),
        }
    }
}

/// Who asks. A token that does not hold is refused even where none is needed.
fn caller(parts: &Parts, app: &OpenLovable) -> Result<Caller> {
    let refused = || ApiError::new(StatusCode::UNAUTHORIZED, "Unauthorized");
    if parts.extensions.get::<BadToken>().is_some() {
        return Err(refused());
    }
    match Caller::of(parts) {
        Some(caller) if is_somebody(caller) => Ok(caller.clone()),
        _ => app.demo.clone().ok_or_else(refused),
    }
}

/// A user, or a secret key. An anonymous key proves no more than no key.
fn is_somebody(caller: &Caller) -> bool {
    let claims: Value = serde_json::from_str(&caller.claims).unwrap_or_default();
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    caller.authenticated && (!subject.is_empty() || &*caller.role == "service_role")
}

impl Call {
    /// A parameter of the address, decoded; none when empty.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// A number of the address; what is none counts as not said.
    pub(crate) fn number(&self, name: &str, usual: u64) -> u64 {
        let asked = self.asked(name).and_then(|text| text.parse::<u32>().ok());
        asked.map_or(usual, u64::from)
    }

    /// `limit` and `offset`.
    pub(crate) fn page(&self) -> (String, String) {
        let limit = self.number("limit", 50).min(ROWS_MAX);
        (limit.to_string(), self.number("offset", 0).to_string())
    }

    pub(crate) fn details(&self) -> bool {
        self.asked("details").as_deref() == Some("true")
    }

    /// The body as an object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(ApiError::bad("The request body is not a JSON object")),
        }
    }
}

/// An id; none for what cannot be one.
pub(crate) fn id(text: &str) -> Option<String> {
    Uuid::parse_str(text).ok().map(|id| id.to_string())
}

/// Refuses columns that the row does not have.
pub(crate) fn only(object: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => {
            let mut error = String::from("Unknown column: ");
            error.push_str(unknown);
            Err(ApiError::bad(error))
        }
        None => Ok(()),
    }
}

/// A field that is an object, when it is there at all.
pub(crate) fn object_or_none<'a>(
    body: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Value>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) if value.is_object() => Ok(Some(value)),
        Some(_) => Err(ApiError::bad([name, " must be an object"].concat())),
    }
}

/// A field that is a text, when it is there at all.
pub(crate) fn text_or_none(body: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ApiError::bad([name, " must be a string"].concat())),
    }
}

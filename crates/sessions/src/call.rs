//! A request as handlers see it: who asks, the body, and the few kinds of
//! values that addresses hold.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::Caller;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Result, SessionsError};

/// A file of eight megabytes as it is, or several small ones in one batch. More
/// would be held in memory for each request.
const BODY_BYTES_MAX: usize = 12 << 20;
/// Rows in one answer at most.
const ROWS_MAX: u32 = 1000;

/// Head and body of a request.
pub(crate) struct Call {
    pub(crate) caller: Caller,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = SessionsError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts).cloned().ok_or_else(|| {
            SessionsError::new(StatusCode::UNAUTHORIZED, "unauthorized", "nobody is asking")
        })?;
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(read) => Ok(Self {
                caller,
                parts,
                body: read.to_bytes(),
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(SessionsError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "over_limit",
                "the body of a request has at most 12 MiB",
            )),
            Err(_) => Err(SessionsError::invalid("the body ended early")),
        }
    }
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the address, decoded; none when empty.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// The same as a whole number that is not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.asked(name) else {
            return Ok(None);
        };
        let number = text
            .parse::<u64>()
            .ok()
            .filter(|n| i64::try_from(*n).is_ok());
        let refused = || SessionsError::invalid(format!("`{name}` is a whole number"));
        number.map(Some).ok_or_else(refused)
    }

    /// How many rows are wanted.
    pub(crate) fn limit(&self, usual: u32) -> Result<String> {
        let asked = self.number("limit")?.unwrap_or(u64::from(usual));
        Ok(asked.min(u64::from(ROWS_MAX)).to_string())
    }

    /// A number as a parameter of a statement.
    pub(crate) fn cursor(&self, name: &str) -> Result<Option<String>> {
        Ok(self.number(name)?.map(|n| n.to_string()))
    }

    /// A parameter that is an id.
    pub(crate) fn asked_id(&self, name: &str, what: &str) -> Result<Option<String>> {
        self.asked(name).map(|text| id(&text, what)).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.asked(name).as_deref(), Some("true" | "1"))
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .map_err(|_| SessionsError::invalid("the body is not JSON"))
    }

    /// The body as an object that has no other fields than these; an empty body
    /// is an empty object.
    pub(crate) fn object(&self, known: &[&str]) -> Result<Map<String, Value>> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match self.json()? {
            Value::Object(object) => only(&object, known).map(|()| object),
            _ => Err(SessionsError::invalid("the body is not an object")),
        }
    }
}

/// Refuses fields that nobody would read.
pub(crate) fn only(object: &Map<String, Value>, known: &[&str]) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => {
            let message = format!("there is no field `{unknown}` here");
            Err(SessionsError::new(
                StatusCode::BAD_REQUEST,
                "unknown_field",
                message,
            ))
        }
        None => Ok(()),
    }
}

/// An id. What is none is the id of nothing.
pub(crate) fn id(text: &str, what: &str) -> Result<String> {
    let parsed = Uuid::parse_str(text).map_err(|_| SessionsError::not_found(what))?;
    Ok(parsed.to_string())
}

//! The error page: compact `JSON` with all four keys, always.

use axum::response::{IntoResponse, Response};
use http::header::{
    CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::{IdempotencyFault, InTransaction, RangeFault, RestError};

/// The order of the keys is part of the dialect.
#[derive(Serialize)]
struct Body<'e> {
    code: &'e str,
    details: Option<Value>,
    hint: Option<String>,
    message: &'e str,
    /// Ours: which request of a transaction it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'e str>,
}

impl RestError {
    /// The body of the response.
    #[must_use]
    pub fn body(&self) -> String {
        let (code, message) = (self.code(), self.message());
        let body = Body {
            code: &code,
            details: self.details(),
            hint: self.hint(),
            message: &message,
            index: self.place().and_then(|place| place.index),
            id: self.place().and_then(|place| place.id.as_deref()),
        };
        // Strings and values of strings always serialise.
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The body without what could tell a stranger about the database.
    #[must_use]
    pub fn brief_body(&self) -> String {
        let mut body = serde_json::json!({"code": self.code(), "message": self.message()});
        let index = self.place().and_then(|place| place.index);
        if let (Some(index), Some(body)) = (index, body.as_object_mut()) {
            body.insert("index".to_owned(), index.into());
        }
        body.to_string()
    }

    /// The request of a transaction that failed.
    fn place(&self) -> Option<&InTransaction> {
        match self {
            Self::InTransaction(failed) => Some(failed),
            _ => None,
        }
    }

    /// The headers of the response.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        if let Self::InTransaction(failed) = self {
            return failed.error.headers();
        }
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
        let proxy_status = format!("PostgREST; error={}", self.code());
        if let Ok(value) = HeaderValue::try_from(proxy_status) {
            headers.insert(HeaderName::from_static("proxy-status"), value);
        }
        if let Some(value) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        if let Self::InvalidRange(RangeFault::OutOfBounds { total, .. }) = self {
            headers.insert(CONTENT_RANGE, out_of_bounds(*total));
        }
        if let Self::Idempotency(IdempotencyFault::InProgress) = self {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::Raised(raised) = self {
            for (name, value) in &raised.headers {
                let name = HeaderName::try_from(name);
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
        headers
    }

    /// How to identify oneself, for a 401.
    fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::JwtInvalid { message, .. } | Self::JwtClaims(message) => {
                let message = Value::from(message.as_str());
                let text = format!("Bearer error=\"invalid_token\", error_description={message}");
                HeaderValue::try_from(text).ok()
            }
            Self::Raised(_) => None,
            _ if self.status() == StatusCode::UNAUTHORIZED => {
                Some(HeaderValue::from_static("Bearer"))
            }
            _ => None,
        }
    }
}

/// `*/15`: no row of fifteen.
fn out_of_bounds(total: u64) -> HeaderValue {
    HeaderValue::try_from(format!("*/{total}")).unwrap_or(HeaderValue::from_static("*/*"))
}

impl RestError {
    /// The response of a server that tells strangers little.
    #[must_use]
    pub fn into_brief_response(self) -> Response {
        (self.status(), self.headers(), self.brief_body()).into_response()
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        (self.status(), self.headers(), self.body()).into_response()
    }
}

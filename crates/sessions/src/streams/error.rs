//! What a request about streams is refused with, and how that is worded.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::append::AppendError;

/// A refusal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// No such stream, or one that the caller may not see: nobody learns which.
    #[error("there is no such stream")]
    NotFound,
    /// Nobody in particular may not watch or write.
    #[error("this needs a user's token or a secret key")]
    Unauthorized,
    /// The caller may look but not write, or may not say such a thing.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// Too many watchers, of this caller or on this node.
    #[error("{message}")]
    TooMany {
        /// For people.
        message: &'static str,
        /// Whether it is this node's trouble and not the caller's.
        node: bool,
    },
    /// A piece was not taken.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The database did not answer.
    #[error("the database does not answer")]
    Database(#[source] Arc<pg::Error>),
}

/// What handlers return.
pub(super) type Result<T, E = StreamError> = std::result::Result<T, E>;

impl From<pg::Error> for StreamError {
    fn from(error: pg::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl StreamError {
    /// The machine's word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound | Self::Append(AppendError::NotFound) => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Invalid(_) | Self::Append(AppendError::Invalid(_)) => "invalid",
            Self::TooMany { .. } => "over_limit",
            Self::Append(AppendError::Stale) => "stale",
            Self::Append(AppendError::Gap { .. }) => "gap",
            Self::Append(AppendError::Busy) => "busy",
            Self::Append(AppendError::Unavailable(_) | AppendError::Stopping)
            | Self::Database(_) => "unavailable",
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooMany { node: false, .. } => StatusCode::TOO_MANY_REQUESTS,
            _ => match self.code() {
                "not_found" => StatusCode::NOT_FOUND,
                "unauthorized" => StatusCode::UNAUTHORIZED,
                "forbidden" => StatusCode::FORBIDDEN,
                "invalid" => StatusCode::BAD_REQUEST,
                "stale" | "gap" => StatusCode::CONFLICT,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// As every room of this dialect words it.
    #[must_use]
    pub fn body(&self) -> Value {
        let hint = match self {
            Self::Append(AppendError::Gap { next_n }) => {
                Some(format!("The producer's next event is {next_n}."))
            }
            _ => None,
        };
        json!({"code": self.code(), "message": self.to_string(), "details": null, "hint": hint})
    }

    /// Says in the log what is ours to know, once.
    pub(super) fn note(&self) {
        if let Self::Database(error) = self {
            tracing::warn!(%error, "A request about streams failed");
        }
    }
}

impl IntoResponse for StreamError {
    fn into_response(self) -> Response {
        self.note();
        let mut response = Response::new(Body::from(self.body().to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(
            self.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

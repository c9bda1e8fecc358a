//! The app's one shape of refusal: `{"detail": "a sentence"}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::json;

use crate::files::FileError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// HTTP's word for it.
    pub status: StatusCode,
    /// For people.
    pub detail: String,
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn no_asset() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Asset not found")
    }

    /// What the database said about something that was tried; what only we can
    /// mend is logged and not told.
    pub(crate) fn of(error: &pg::Error) -> Self {
        if matches!(error, pg::Error::Timeout | pg::Error::Busy) {
            let detail = "The server has too much to do";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        }
        let code = error.db().map(|said| said.code.as_str());
        match code {
            Some("42501" | "25006") => {
                Self::new(StatusCode::FORBIDDEN, "This is not yours to change")
            }
            // The account behind the token is gone.
            Some("23503") => Self::new(StatusCode::UNAUTHORIZED, "Invalid API key"),
            Some("23502" | "23514" | "22001" | "22003" | "22021" | "22P02" | "22P05") => {
                Self::bad("A field has a value that cannot be kept")
            }
            _ => {
                tracing::error!(%error, "the asset library's statement failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The library could not be asked",
                )
            }
        }
    }
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Refused { status, message } => Self::new(status, message),
            FileError::Failed => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Storage request failed")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"detail": self.detail}));
        let mut response = (self.status, body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

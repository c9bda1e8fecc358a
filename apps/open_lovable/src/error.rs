//! The app's one shape of refusal: `{"success": false, "error": "<text>"}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request cannot be met.
    #[error("{error}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// For people; clients compare some of these.
        error: String,
    },
    /// The database failed. Logged; only what was tried is told.
    #[error("{what}")]
    Failed {
        /// What was tried: `Failed to create job`.
        what: &'static str,
        /// Why it failed.
        source: pg::Error,
    },
}

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self::Refused {
            status,
            error: error.into(),
        }
    }

    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// What the database said about something that was tried. Its refusals are
    /// the caller's; everything else is ours.
    pub(crate) fn of(what: &'static str, source: pg::Error) -> Self {
        let refused = |status, message: &str| {
            let mut error = String::from(what);
            error.push_str(": ");
            error.push_str(message);
            Self::new(status, error)
        };
        let Some(said) = source.db() else {
            return match source {
                pg::Error::Timeout | pg::Error::Busy => refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the server has too much to do",
                ),
                source => Self::Failed { what, source },
            };
        };
        let raised = said.code.strip_prefix("PT").and_then(|n| n.parse().ok());
        if let Some(status) = raised.and_then(|n| StatusCode::from_u16(n).ok()) {
            return refused(status, &said.message);
        }
        let status = match said.code.as_str() {
            "42501" | "25006" => StatusCode::FORBIDDEN,
            "23505" | "40001" | "40P01" => StatusCode::CONFLICT,
            "23503" => StatusCode::NOT_FOUND,
            "23502" | "23514" | "22001" | "22003" | "22007" | "22008" | "22021" | "22023"
            | "22P02" | "22P05" => StatusCode::BAD_REQUEST,
            _ => return Self::Failed { what, source },
        };
        refused(status, &said.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Refused { status, error } => (status, error),
            Self::Failed { what, source } => {
                tracing::error!(error = %source, "{what}");
                (StatusCode::INTERNAL_SERVER_ERROR, what.to_owned())
            }
        };
        (status, Json(json!({"success": false, "error": error}))).into_response()
    }
}

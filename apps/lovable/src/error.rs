//! The app's one shape of refusal: `{"code": "<word>", "message": "<text>"}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// It cannot be met.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// For machines.
        code: String,
        /// For people.
        message: String,
    },
    /// The database failed. Logged; only what was tried is told.
    #[error("{what}")]
    Failed {
        /// What was tried: `Failed to begin the turn`.
        what: &'static str,
        /// Why it failed.
        source: pg::Error,
    },
}

pub(crate) type Result<T, E = AppError> = std::result::Result<T, E>;

impl AppError {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::Refused {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let message = ["There is no such ", what].concat();
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn unauthorized() -> Self {
        let message = "Sign in, and show the token";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// What the database said about something that was tried. Its refusals are
    /// the caller's; everything else is ours.
    pub(crate) fn of(what: &'static str, source: pg::Error) -> Self {
        let Some(said) = source.db() else {
            return match source {
                pg::Error::Timeout | pg::Error::Busy => Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "The server has too much to do",
                ),
                source => Self::Failed { what, source },
            };
        };
        let raised = said.code.strip_prefix("PT").and_then(|n| n.parse().ok());
        if let Some(status) = raised.and_then(|n| StatusCode::from_u16(n).ok()) {
            let code = said.detail.as_deref().unwrap_or("refused");
            return Self::new(status, code, said.message.clone());
        }
        let (status, code) = match said.code.as_str() {
            "42501" | "25006" => (StatusCode::FORBIDDEN, "forbidden"),
            "23505" | "40001" | "40P01" => (StatusCode::CONFLICT, "conflict"),
            "23502" | "23514" | "22001" | "22003" | "22007" | "22008" | "22021" | "22023"
            | "22P02" | "22P05" => (StatusCode::BAD_REQUEST, "invalid"),
            _ => return Self::Failed { what, source },
        };
        Self::new(status, code, said.message.clone())
    }

    /// Whether another try may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
            Self::Refused { status, .. } => {
                matches!(
                    *status,
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT
                )
            }
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Refused {
                status,
                code,
                message,
            } => (status, code, message),
            Self::Failed { what, source } => {
                tracing::error!(error = %source, "{what}");
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal".to_owned(),
                    what.to_owned(),
                )
            }
        };
        (status, Json(json!({"code": code, "message": message}))).into_response()
    }
}

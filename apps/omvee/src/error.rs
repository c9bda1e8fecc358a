//! The app's one shape of refusal: `{"detail": …}`, a sentence, or a list
//! about a body that is not what it must be.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::files::FileError;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The request cannot be met.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// For people.
        detail: String,
    },
    /// A field is missing or wrong.
    #[error("{message}")]
    Field {
        /// In the validator's word: `missing`, `string_type`.
        kind: &'static str,
        /// Which.
        name: &'static str,
        /// For people.
        message: &'static str,
    },
    /// The database failed. Logged; only what was tried is told.
    #[error("{what}")]
    Failed {
        /// What was tried: `Failed to create project`.
        what: &'static str,
        /// Why it failed.
        source: Box<pg::Error>,
    },
}

pub(crate) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::Refused {
            status,
            detail: detail.into(),
        }
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn no_project() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Project not found")
    }

    pub(crate) fn field(kind: &'static str, name: &'static str, message: &'static str) -> Self {
        Self::Field {
            kind,
            name,
            message,
        }
    }

    /// What the database said about something that was tried.
    pub(crate) fn of(what: &'static str, source: pg::Error) -> Self {
        let refused = |status, why: &str| Self::new(status, [what, ": ", why].concat());
        if matches!(source, pg::Error::Timeout | pg::Error::Busy) {
            let why = "the server has too much to do";
            return refused(StatusCode::SERVICE_UNAVAILABLE, why);
        }
        let Some(said) = source.db() else {
            return Self::Failed {
                what,
                source: Box::new(source),
            };
        };
        let status = match said.code.as_str() {
            "42501" | "25006" => StatusCode::FORBIDDEN,
            "40001" | "40P01" => StatusCode::CONFLICT,
            // The account behind the token is gone.
            "23503" => StatusCode::UNAUTHORIZED,
            "23502" | "23514" | "22001" | "22003" | "22021" | "22P02" | "22P05" => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => {
                return Self::Failed {
                    what,
                    source: Box::new(source),
                };
            }
        };
        refused(status, &said.message)
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Refused { status, message } => Self::new(status, message),
            FileError::Failed => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Storage request failed")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::Refused { status, detail } => (status, Value::from(detail)),
            Self::Field {
                kind,
                name,
                message,
            } => {
                let detail = json!([{"type": kind, "loc": ["body", name], "msg": message}]);
                (StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            Self::Failed { what, source } => {
                tracing::error!(error = %source, "{what}");
                (StatusCode::INTERNAL_SERVER_ERROR, Value::from(what))
            }
        };
        let mut response = (status, Json(json!({"detail": detail}))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

//! What the room refuses with: a status, a word for machines, a sentence for
//! people. What the database raises with a SQLSTATE `PTnnn` is such a refusal
//! already; everything else it says is ours to log and nobody's to read.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde_json::json;

/// What something is refused with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobsError {
    /// It is not done, and the asker can know why.
    #[error("{message}")]
    Refused {
        /// The status over HTTP.
        status: StatusCode,
        /// The word for machines: `invalid`, `not_found`, `stale` and so on.
        code: Cow<'static, str>,
        /// For people.
        message: Cow<'static, str>,
    },
    /// The database did not do it, or nobody knows whether it did.
    #[error("the database: {0}")]
    Database(Arc<pg::Error>),
    /// The room is being shut down.
    #[error("the server is stopping")]
    Stopping,
}

/// What functions of this room return.
pub type Result<T, E = JobsError> = std::result::Result<T, E>;

/// SQLSTATEs that begin like this carry a status.
const REFUSAL: &str = "PT";

impl JobsError {
    /// A refusal.
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Refused {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// 400 `invalid`.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// 404 `not_found`: it is not there, or not the caller's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such job")
    }

    /// 409 `stale`: whoever says so no longer holds the job.
    #[must_use]
    pub fn stale() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "stale",
            "The job is no longer held by this claim",
        )
    }

    /// 503 `busy`: more is queued than can be worked off in time.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too much is waiting to be written; try again",
        )
    }

    /// An answer of the database that does not have the shape it must have.
    #[must_use]
    pub fn odd(what: &str) -> Self {
        Self::Database(Arc::new(pg::Error::Protocol(what.to_owned())))
    }

    /// The word for machines.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Database(_) => "internal",
            Self::Stopping => "stopping",
        }
    }

    /// The status over HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Database(error) => match **error {
                pg::Error::Timeout | pg::Error::Busy | pg::Error::Connect { .. } => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether this is about what was asked, so that others who asked in the
    /// same breath may succeed without it.
    pub(crate) fn is_about_one(&self) -> bool {
        match self {
            Self::Refused { .. } => true,
            Self::Database(error) => error.db().is_some(),
            Self::Stopping => false,
        }
    }

    /// Whether the database undid it all because another transaction was in the
    /// way.
    pub(crate) fn is_lost_race(&self) -> bool {
        match self {
            Self::Database(error) => matches!(error.sqlstate(), Some("40P01" | "40001")),
            Self::Refused { .. } | Self::Stopping => false,
        }
    }

    /// Whether the same may well succeed at another try, without harm.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) => true,
            Self::Stopping => false,
        }
    }
}

impl From<pg::Error> for JobsError {
    fn from(error: pg::Error) -> Self {
        let refusal = error.db().and_then(|db| {
            let status = db.code.strip_prefix(REFUSAL)?.parse::<u16>().ok()?;
            let status = StatusCode::from_u16(status).ok()?;
            let code = db.detail.clone().unwrap_or_else(|| "refused".to_owned());
            Some(Self::new(status, code, db.message.clone()))
        });
        if let Some(refusal) = refusal {
            return refusal;
        }
        // What a value cannot be: too long, not a number, a null byte in JSON.
        // Only its kind is told, since messages may quote other rows.
        match error.sqlstate() {
            Some(state) if state.starts_with("22") || state.starts_with("23514") => {
                Self::invalid(format!("A value is not allowed there (SQLSTATE {state})"))
            }
            _ => Self::Database(Arc::new(error)),
        }
    }
}

impl IntoResponse for JobsError {
    fn into_response(self) -> Response {
        let status = self.status();
        let message = match &self {
            Self::Refused { message, .. } => message.to_string(),
            Self::Database(source) => {
                tracing::error!(error = %source, "A request about jobs failed");
                "Something went wrong inside; the server's log says what".to_owned()
            }
            Self::Stopping => "The server is stopping".to_owned(),
        };
        let body = json!({
            "code": self.code(), "message": message, "details": null, "hint": null,
        });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (status, headers, Body::from(body.to_string())).into_response()
    }
}

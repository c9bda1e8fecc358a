//! What a request is refused with: a status, a word for programs and a sentence
//! for people, in the shape of the data API.
//!
//! Functions of the database refuse with `PTnnn`, where nnn is the status, and
//! the word in the detail; constraints and policies refuse in PostgreSQL's own
//! codes, which [`SessionsError::of`] translates.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// The request cannot be met.
    #[error("{message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// The database failed, for no fault of the caller. Logged, not sent.
    #[error("the database failed")]
    Database(#[source] pg::Error),
}

/// What handlers return.
pub(crate) type Result<T, E = SessionsError> = std::result::Result<T, E>;

impl SessionsError {
    /// A refusal.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::Refused {
            status,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// A request that means nothing.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Something that does not exist, or not for this caller.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        let message = format!("there is no such {what}");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// What the database said, as a refusal where it is one.
    #[must_use]
    pub fn of(error: pg::Error, authenticated: bool) -> Self {
        let busy = matches!(error, pg::Error::Timeout | pg::Error::Busy);
        if busy {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "the server has too much to do; try again",
            );
        }
        let Some(said) = error.db() else {
            return Self::Database(error);
        };
        if let Some(status) = said.code.strip_prefix("PT") {
            let status = status
                .parse()
                .ok()
                .and_then(|n| StatusCode::from_u16(n).ok());
            return Self::Refused {
                status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                code: said.detail.clone().unwrap_or_else(|| "refused".to_owned()),
                message: said.message.clone(),
            };
        }
        let (status, code) = match said.code.as_str() {
            // Whoever has shown nothing is asked who they are.
            "42501" if !authenticated => (StatusCode::UNAUTHORIZED, "unauthorized"),
            "42501" | "25006" => (StatusCode::FORBIDDEN, "forbidden"),
            "23505" => (StatusCode::CONFLICT, "conflict"),
            "40001" | "40P01" | "55P03" => (StatusCode::CONFLICT, "try_again"),
            "23503" => (StatusCode::NOT_FOUND, "not_found"),
            "57014" => (StatusCode::GATEWAY_TIMEOUT, "too_slow"),
            // What a value may be: constraints, and casts of what was sent.
            "23502" | "23514" | "22001" | "22003" | "22007" | "22008" | "22021" | "22023"
            | "22P02" | "22P05" | "54000" => (StatusCode::BAD_REQUEST, "invalid"),
            _ => return Self::Database(error),
        };
        Self::new(status, code, said.message.clone())
    }
}

impl IntoResponse for SessionsError {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Refused {
                status,
                code,
                message,
            } => (status, code, message),
            Self::Database(error) => {
                tracing::error!(%error, "A request about sessions failed in the database");
                let message = "the server failed".to_owned();
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal".to_owned(),
                    message,
                )
            }
        };
        let body = json!({"code": code, "message": message, "details": null, "hint": null});
        (status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, detail: Option<&str>, authenticated: bool) -> (u16, String) {
        let said = pg::DbError {
            code: code.to_owned(),
            detail: detail.map(str::to_owned),
            ..pg::DbError::default()
        };
        match SessionsError::of(pg::Error::Db(Box::new(said)), authenticated) {
            SessionsError::Refused { status, code, .. } => (status.as_u16(), code),
            SessionsError::Database(_) => (500, String::new()),
        }
    }

    #[test]
    fn what_the_database_says_is_worded_for_clients() {
        let owned = |status, word: &str| (status, word.to_owned());
        assert_eq!(
            refused("PT412", Some("changed"), true),
            owned(412, "changed")
        );
        assert_eq!(refused("PT999999", None, true), owned(500, "refused"));
        assert_eq!(refused("42501", None, false), owned(401, "unauthorized"));
        assert_eq!(refused("42501", None, true), owned(403, "forbidden"));
        assert_eq!(refused("23514", None, true), owned(400, "invalid"));
        assert_eq!(refused("XX000", None, true), owned(500, ""));
    }
}

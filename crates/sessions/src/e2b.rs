//! E2B's API over the same sandboxes, so that its official clients work with
//! `E2B_API_URL` and `E2B_SANDBOX_URL` pointing here.
//!
//! * `api`: sandboxes made, listed, kept alive, ended, by a platform key.
//! * `door`: requests to one sandbox, by the key that its maker was given; it
//!   is known to this process alone, like the sandbox.
//! * `files`, `filesystem`: bytes in and out, and what lies where.
//! * `process`: programs, with what they say as a stream of frames (`frames`).
//! * `code`: Python that remembers what was run before.
//!
//! A sandbox that E2B's clients make is a row of a session like any other.
//! What is not offered is answered with 501, never with something made up.

mod api;
mod code;
mod door;
mod files;
mod filesystem;
mod frames;
mod process;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use serde_json::json;

use crate::error::SessionsError;
use crate::room::Sessions;

/// What the clients take for the age of what they talk to: it decides which
/// calls they make. This one has uploads without multipart and no metadata of
/// files.
const VERSION: &str = "0.5.7";

/// Addresses of both halves; no two of them are the same.
pub(crate) fn router(room: Arc<Sessions>) -> Router {
    Router::new()
        .route("/sandboxes", get(api::list).post(api::create))
        .route("/v2/sandboxes", get(api::list).post(api::create))
        .route("/sandboxes/{id}", get(api::show).delete(api::kill))
        .route("/sandboxes/{id}/{word}", post(api::act).get(api::look))
        .route("/v2/sandboxes/{id}/{word}", post(api::act))
        .route("/health", get(door::health))
        .route("/files", get(files::read).post(files::write))
        .route("/filesystem.Filesystem/{call}", post(filesystem::call))
        .route("/process.Process/{call}", post(process::call))
        .route("/execute", post(code::execute))
        .fallback(nothing)
        .method_not_allowed_fallback(nothing)
        .with_state(room)
}

async fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_IMPLEMENTED, "this is not offered here")
}

/// Why not, as the clients read it.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

type Result<T> = std::result::Result<T, Refusal>;

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Connect's word for the status.
    fn word(&self) -> &'static str {
        match self.status.as_u16() {
            400 => "invalid_argument",
            401 => "unauthenticated",
            403 => "permission_denied",
            404 => "not_found",
            409 => "already_exists",
            413 | 429 => "resource_exhausted",
            501 => "unimplemented",
            502 | 503 => "unavailable",
            _ => "internal",
        }
    }

    /// As calls of Connect are refused.
    fn of_call(self) -> Response {
        let body = json!({"code": self.word(), "message": self.message});
        (self.status, axum::Json(body)).into_response()
    }
}

impl From<SessionsError> for Refusal {
    fn from(error: SessionsError) -> Self {
        match error {
            SessionsError::Refused {
                status, message, ..
            } => {
                // What is over is no more there than what never was.
                let over = status == StatusCode::GONE;
                let status = if over { StatusCode::NOT_FOUND } else { status };
                Self { status, message }
            }
            SessionsError::Database(error) => {
                tracing::error!(%error, "A request about sandboxes failed in the database");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed")
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"code": self.status.as_u16(), "message": self.message});
        (self.status, axum::Json(body)).into_response()
    }
}

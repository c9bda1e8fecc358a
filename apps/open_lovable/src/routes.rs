//! Which address is answered where.

mod checkpoints;
mod conversation;
mod jobs;
mod migrate;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;

use crate::error::ApiError;
use crate::room::OpenLovable;

/// Below `/api/v2`.
pub(crate) fn v2() -> Router<Arc<OpenLovable>> {
    Router::new()
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route(
            "/sessions/{id}",
            get(sessions::show)
                .patch(sessions::change)
                .delete(sessions::delete),
        )
        .route(
            "/sessions/{id}/checkpoints",
            get(checkpoints::list).post(checkpoints::create),
        )
        .route("/jobs", get(jobs::list).post(jobs::create))
        .route(
            "/jobs/{id}",
            get(jobs::show).patch(jobs::change).post(jobs::act),
        )
        .route("/migrate", post(migrate::migrate))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

/// At `/api/conversation-state-v2`.
pub(crate) fn conversation() -> Router<Arc<OpenLovable>> {
    Router::new()
        .route(
            "/",
            get(conversation::show)
                .post(conversation::act)
                .delete(conversation::archive),
        )
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

async fn nothing() -> ApiError {
    ApiError::not_found("Not found")
}

async fn no_such_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
}

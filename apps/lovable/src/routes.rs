//! Which address is answered where. The gateway has taken `/lovable` and
//! `/preview` away before.

mod about;
mod previews;
mod sessions;

pub(crate) use previews::progress;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;

use crate::error::AppError;
use crate::page;
use crate::room::Lovable;

/// Below `/lovable`: the page, and what it asks.
pub(crate) fn router() -> Router<Arc<Lovable>> {
    Router::new()
        .route("/", get(page::index))
        .route("/assets/{file}", get(page::asset))
        .route("/s/{id}", get(page::index))
        .route("/api/about", get(about::about))
        .route("/api/sessions", get(sessions::list).post(sessions::create))
        .route(
            "/api/sessions/{id}",
            get(sessions::show).delete(sessions::delete),
        )
        .route("/api/sessions/{id}/turns", post(sessions::begin))
        .route("/api/sessions/{id}/stop", post(sessions::stop))
        .route("/api/sessions/{id}/refresh", post(sessions::refresh))
        .route("/api/sessions/{id}/restore", post(sessions::restore))
        .route("/api/sessions/{id}/fork", post(sessions::fork))
        .route("/api/sessions/{id}/file", get(sessions::file))
        .route("/api/sessions/{id}/zip", get(sessions::zip))
        .route("/api/sessions/{id}/events", get(sessions::events))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

/// Below `/preview`, as the original has it.
pub(crate) fn preview() -> Router<Arc<Lovable>> {
    Router::new()
        .route("/{session_id}", get(previews::show))
        .route("/{session_id}/build", get(previews::build))
        .route("/{session_id}/build/status", get(previews::status))
        .route("/{session_id}/build/logs", get(previews::logs))
        .route("/{session_id}/{*path}", get(previews::show_path))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

async fn nothing() -> AppError {
    AppError::not_found("address")
}

async fn no_such_method() -> AppError {
    let message = "This address does not take this method";
    AppError::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", message)
}

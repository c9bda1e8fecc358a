//! Which address is answered where.

mod projects;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;

use crate::error::ApiError;
use crate::room::Omvee;

/// Below `/api/projects`.
pub(crate) fn projects() -> Router<Arc<Omvee>> {
    Router::new()
        .route("/", get(projects::list).post(projects::create))
        .route(
            "/{id}",
            get(projects::show)
                .put(projects::change)
                .delete(projects::delete),
        )
        .route("/{id}/upload-audio", post(uploads::upload_audio))
        .route("/{id}/process-audio", post(uploads::process_audio))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

/// Below `/api/uploads`.
pub(crate) fn uploads() -> Router<Arc<Omvee>> {
    Router::new()
        .route("/presign", post(uploads::presign))
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

async fn nothing() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Not Found")
}

async fn no_such_method() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

//! Which address is answered where. The gateway has taken `/sessions/v1` away
//! before; `/streams` is another module's.

mod checkpoints;
mod files;
mod messages;
mod products;
mod said;
mod sandbox_files;
pub(crate) mod sandboxes;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};

use crate::error::SessionsError;
use crate::room::Sessions;

/// Everything but the streams.
pub(crate) fn router() -> Router<Arc<Sessions>> {
    Router::new()
        .route("/sessions", get(sessions::list).post(sessions::create))
        .route(
            "/sessions/{id}",
            get(sessions::show)
                .patch(sessions::change)
                .delete(sessions::delete),
        )
        .route("/sessions/{id}/archive", post(sessions::archive))
        .route("/sessions/{id}/claim_key", post(sessions::make_claim_key))
        .route("/claims", post(sessions::claim))
        .route("/sessions/{id}/timeline", get(sessions::timeline))
        .route(
            "/sessions/{id}/messages",
            get(messages::list).post(messages::append),
        )
        .route("/messages/search", get(messages::search))
        .route(
            "/messages/{id}",
            patch(messages::change).delete(messages::delete),
        )
        .route("/sessions/{id}/files", get(files::list).post(files::write))
        .route(
            "/sessions/{id}/files/{*path}",
            get(files::get).put(files::put).delete(files::delete),
        )
        .route(
            "/sessions/{id}/checkpoints",
            get(checkpoints::list).post(checkpoints::create),
        )
        .route(
            "/checkpoints/{id}",
            get(checkpoints::show).delete(checkpoints::delete),
        )
        .route("/checkpoints/{id}/restore", post(checkpoints::restore))
        .route("/checkpoints/{id}/fork", post(checkpoints::fork))
        .route("/checkpoints/{id}/diff", get(checkpoints::diff))
        .route(
            "/sessions/{id}/artifacts",
            get(products::artifacts).post(products::add_artifact),
        )
        .route(
            "/sessions/{id}/tool_runs",
            get(products::tool_runs).post(products::add_tool_run),
        )
        .route(
            "/sessions/{id}/sandboxes",
            get(products::sandboxes)
                .put(products::put_sandbox)
                .post(sandboxes::create),
        )
        .merge(of_sandboxes())
        .fallback(nothing)
        .method_not_allowed_fallback(no_such_method)
}

/// Where code runs.
fn of_sandboxes() -> Router<Arc<Sessions>> {
    Router::new()
        .route("/sessions/{id}/sandbox", post(sandboxes::ensure))
        .route("/sessions/{id}/zip", get(sandboxes::zip))
        .route(
            "/sessions/{id}/sandboxes/{sandbox}",
            get(sandboxes::show).delete(sandboxes::kill),
        )
        .route(
            "/sessions/{id}/sandboxes/{sandbox}/{word}",
            get(sandboxes::look).post(sandboxes::act),
        )
        .route(
            "/sessions/{id}/sandboxes/{sandbox}/files",
            get(sandbox_files::index).post(sandbox_files::write),
        )
        .route(
            "/sessions/{id}/sandboxes/{sandbox}/files/{*path}",
            get(sandbox_files::read)
                .put(sandbox_files::put)
                .delete(sandbox_files::delete),
        )
}

async fn nothing() -> SessionsError {
    SessionsError::not_found("address")
}

async fn no_such_method() -> SessionsError {
    SessionsError::new(
        http::StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        "this address does not take this method",
    )
}

//! Which address is answered where. The gateway has taken `/jobs/v1` away.
//!
//! `request` says who asks and reads bodies; `client` is what people and
//! programs do to whole jobs, `worker` what workers do, `steps` what a handler
//! does while it holds a job, `plans` is schedules and what may be spent.

mod client;
mod plans;
mod request;
mod steps;
mod worker;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use crate::error::JobsError;
use crate::room::Jobs;

pub(crate) fn router(jobs: Arc<Jobs>) -> Router {
    Router::new()
        .route("/jobs", post(client::submit))
        .route("/jobs/{id}", get(client::show))
        .route("/jobs/{id}/cancel", post(client::cancel))
        .route("/jobs/{id}/pause", post(client::pause))
        .route("/jobs/{id}/resume", post(client::resume))
        .route("/jobs/{id}/retry", post(client::retry))
        .route("/jobs/{id}/signals/{name}", post(client::signal))
        .route("/approvals", get(client::approvals))
        .route("/approvals/{id}", post(client::answer))
        .route("/schedules", get(plans::schedules).post(plans::create))
        .route(
            "/schedules/{id}",
            get(plans::show).patch(plans::update).delete(plans::delete),
        )
        .route("/jobs/{id}/budgets", get(plans::budgets))
        .route("/jobs/{id}/budgets/{unit}", put(plans::set_budget))
        .route("/jobs/{id}/limits/{key}/pause", post(plans::pause_limit))
        .route("/workers/{id}/claim", post(worker::claim))
        .route("/workers/{id}/heartbeat", post(worker::heartbeat))
        .route("/workers/{id}/exchange", post(worker::exchange))
        .route("/jobs/{id}/finish", post(worker::finish))
        .route("/jobs/{id}/fail", post(worker::fail))
        .route("/jobs/{id}/spawn", post(steps::spawn))
        .route("/jobs/{id}/suspend", post(steps::suspend))
        .route("/jobs/{id}/log", post(steps::log))
        .route("/jobs/{id}/steps/{key}/begin", post(steps::begin))
        .route("/jobs/{id}/steps/{key}/handle", post(steps::handle))
        .route("/jobs/{id}/steps/{key}/end", post(steps::end))
        .route("/jobs/{id}/steps/{key}/fail", post(steps::fail))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .with_state(jobs)
}

async fn nothing() -> JobsError {
    JobsError::new(
        ::http::StatusCode::NOT_FOUND,
        "not_found",
        "There is nothing at this address",
    )
}

async fn wrong_method() -> JobsError {
    JobsError::new(
        ::http::StatusCode::METHOD_NOT_ALLOWED,
        "invalid",
        "This address does not take that method",
    )
}

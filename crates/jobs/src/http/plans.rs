//! What is to be done and may be spent: schedules, budgets, and what a provider
//! says about its limits.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use pg::Rows;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::request::{Json, Place, Who, document, reply};
use crate::error::{JobsError, Result};
use crate::room::Jobs;
use crate::schedule::Timetable;
use crate::spec::{self, Spec};
use crate::store::{Sight, plans};

/// As many as an owner may have.
const SCHEDULES_MAX: usize = 1000;
/// Of one schedule: what fits on a screen.
const FIRES_SHOWN: usize = 50;

fn no_schedule() -> JobsError {
    JobsError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "There is no such schedule",
    )
}

fn first(rows: &Rows) -> Result<String> {
    rows.scalar().map(str::to_owned).ok_or_else(no_schedule)
}

/// What the database cannot read of a schedule's fields.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    cron: Option<String>,
    time_zone: Option<String>,
    /// Whose it is to be, where the asker may say so.
    owner: Option<String>,
    /// What it submits.
    job: Option<Box<RawValue>>,
}

/// A user's schedule may submit what the user may.
async fn admit(room: &Jobs, who: &Who, times: &Times) -> Result<()> {
    let (Sight::Of(owner), Some(job)) = (&who.sight, &times.job) else {
        return Ok(());
    };
    let job: Spec = serde_json::from_str(job.get()).map_err(|error| {
        JobsError::invalid(format!("The schedule's job cannot be read: {error}"))
    })?;
    room.core.store.admit(owner, &[job]).await
}

/// The fields, once the pattern in them is one that comes.
fn times(fields: &RawValue) -> Result<Times> {
    spec::payload("schedule", Some(fields))?;
    let unreadable = |error| JobsError::invalid(format!("The schedule cannot be read: {error}"));
    let times: Times = serde_json::from_str(fields.get()).map_err(unreadable)?;
    let zone = times.time_zone.as_deref().unwrap_or("UTC");
    // Only whether it ever comes; when it does is up to the database's clock.
    let comes = |cron: &String| Timetable::parse(cron, zone)?.next(Timestamp::UNIX_EPOCH);
    if let Some(Err(error)) = times.cron.as_ref().map(comes) {
        return Err(JobsError::invalid(error.to_string()));
    }
    Ok(times)
}

/// `GET /schedules`
pub(super) async fn schedules(State(room): State<Arc<Jobs>>, who: Who) -> Result<Response> {
    let statement = plans::schedules(&who.sight, SCHEDULES_MAX);
    let rows = room.core.store.read(statement).await?;
    Ok(document(StatusCode::OK, first(&rows)?))
}

/// `POST /schedules`
pub(super) async fn create(
    State(room): State<Arc<Jobs>>,
    who: Who,
    Json(fields): Json<Box<RawValue>>,
) -> Result<Response> {
    let times = times(&fields)?;
    admit(&room, &who, &times).await?;
    let owner = match &who.sight {
        Sight::Of(owner) => Some(owner.as_str()),
        Sight::All => times.owner.as_deref(),
    };
    let rows = room.core.store.one(plans::create(owner, &fields)).await?;
    Ok(document(StatusCode::CREATED, first(&rows)?))
}

/// `GET /schedules/{id}`, with when it fired last.
pub(super) async fn show(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    let statement = plans::schedule(schedule(&place)?, &who.sight, FIRES_SHOWN);
    let rows = room.core.store.read(statement).await?;
    Ok(document(StatusCode::OK, first(&rows)?))
}

/// `PATCH /schedules/{id}`
pub(super) async fn update(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(fields): Json<Box<RawValue>>,
) -> Result<Response> {
    admit(&room, &who, &times(&fields)?).await?;
    let statement = plans::update(schedule(&place)?, &who.sight, &fields);
    let rows = room.core.store.one(statement).await?;
    Ok(document(StatusCode::OK, first(&rows)?))
}

/// `DELETE /schedules/{id}`
pub(super) async fn delete(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    let statement = plans::delete(schedule(&place)?, &who.sight);
    room.core.store.one(statement).await?;
    Ok(reply(StatusCode::OK, &json!({})))
}

fn schedule(place: &Place) -> Result<uuid::Uuid> {
    place.id().map_err(|_| no_schedule())
}

/// `GET /jobs/{id}/budgets`
pub(super) async fn budgets(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    let statement = plans::budgets(place.id()?, &who.sight);
    let rows = room.core.store.read(statement).await?;
    let list = rows.scalar().ok_or_else(JobsError::not_found)?;
    Ok(document(StatusCode::OK, list.to_owned()))
}

#[derive(Deserialize)]
pub(super) struct Budget {
    cap: f64,
    #[serde(default)]
    soft_cap: Option<f64>,
    #[serde(default)]
    on_exceed: Option<String>,
}

/// `PUT /jobs/{id}/budgets/{unit}`. Whoever pays says how much: not a user,
/// whose jobs may be somebody else's cost. A user who shall decide is asked
/// (`on_exceed: ask`).
pub(super) async fn set_budget(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(budget): Json<Budget>,
) -> Result<Response> {
    if !who.is_service() {
        let message = "Budgets are set with a secret key";
        return Err(JobsError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let (id, unit) = (place.id()?, place.other()?);
    let on_exceed = budget.on_exceed.as_deref();
    let statement = plans::set_budget(id, unit, budget.cap, budget.soft_cap, on_exceed);
    let rows = room.core.store.one(statement).await?;
    let changed: Vec<_> = rows
        .iter()
        .map(|row| json!({ "id": row.get(0), "state": row.get(1) }))
        .collect();
    if !changed.is_empty() {
        room.core.may_be_ready();
    }
    Ok(reply(StatusCode::OK, &json!({ "changed": changed })))
}

#[derive(Deserialize)]
pub(super) struct NotBefore {
    epoch: i32,
    for_ms: u32,
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /jobs/{id}/limits/{key}/pause`: a provider said `Retry-After`, and
/// everybody who shares the key shall hear it.
pub(super) async fn pause_limit(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<NotBefore>,
) -> Result<Response> {
    let (id, key) = (place.id()?, place.other()?);
    if !who.is_service() {
        let message = "Limits are paused with a secret key: they hold for everybody";
        return Err(JobsError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    let reason = body.reason.as_deref().filter(|text| !text.contains('\0'));
    let statement = plans::pause_limit(id, body.epoch, key, body.for_ms, reason);
    let rows = room.core.store.one(statement).await?;
    if rows.scalar() != Some("t") {
        return Err(JobsError::stale());
    }
    Ok(reply(StatusCode::OK, &json!({})))
}

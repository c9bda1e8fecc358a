//! What a handler does while it holds a job: steps, children, waits, logs.
//! Each names the claim by its epoch, and what a claim that no longer holds
//! says is refused as `stale`; results that were paid for are kept all the same.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::client::read_specs;
use super::request::{Json, Place, Who, reply};
use crate::error::{JobsError, Result};
use crate::room::Jobs;
use crate::spec;
use crate::store::steps::{self, StepBegin, StepEnd, StepFail};

/// As the table has it.
const KEY_CHARS_MAX: usize = 500;
/// A log line; more belongs into an artifact.
const LOG_BYTES_MAX: usize = 64 << 10;
/// What a handler may say beside the engine's own words: they begin like this.
const OWN_KINDS: [&str; 2] = ["job.log", "job.chunk"];

/// The job that the asker speaks for.
async fn held(room: &Jobs, who: &Who, place: &Place) -> Result<Uuid> {
    let id = place.id()?;
    room.own(&who.sight, &[id]).await?;
    Ok(id)
}

fn key(place: &Place) -> Result<&str> {
    let key = place.other()?;
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(JobsError::invalid("A step's key takes 1 to 500 characters"));
    }
    Ok(key)
}

fn outcome(word: Option<&str>) -> Result<Response> {
    match word {
        None | Some("stale") => Err(JobsError::stale()),
        Some(word) => Ok(reply(StatusCode::OK, &json!({ "outcome": word }))),
    }
}

/// `POST /jobs/{id}/steps/{key}/begin`
pub(super) async fn begin(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(begin): Json<StepBegin>,
) -> Result<Response> {
    let (id, key) = (held(&room, &who, &place).await?, key(&place)?);
    begin.check()?;
    let verdict = room.step_begin(id, key, &begin).await?;
    Ok(reply(StatusCode::OK, &verdict))
}

#[derive(Deserialize)]
pub(super) struct Handle {
    epoch: i32,
    handle: Box<RawValue>,
}

/// `POST /jobs/{id}/steps/{key}/handle`
pub(super) async fn handle(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Handle>,
) -> Result<Response> {
    let (id, key) = (held(&room, &who, &place).await?, key(&place)?);
    spec::payload("handle", Some(&body.handle))?;
    let statement = steps::handle(id, body.epoch, key, &body.handle);
    let rows = room.actors.statement(id, statement).await?;
    outcome(rows.scalar())
}

/// `POST /jobs/{id}/steps/{key}/end`
pub(super) async fn end(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(end): Json<StepEnd>,
) -> Result<Response> {
    let (id, key) = (held(&room, &who, &place).await?, key(&place)?);
    let ended = room.step_end(id, key, &end).await?;
    Ok(reply(StatusCode::OK, &ended))
}

/// `POST /jobs/{id}/steps/{key}/fail`
pub(super) async fn fail(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(fail): Json<StepFail>,
) -> Result<Response> {
    let (id, key) = (held(&room, &who, &place).await?, key(&place)?);
    spec::payload("error", fail.error.as_deref())?;
    let rows = room
        .actors
        .statement(id, steps::fail(id, key, &fail))
        .await?;
    outcome(rows.scalar())
}

#[derive(Deserialize)]
struct Epoch {
    epoch: i32,
}

fn epoch(body: &RawValue) -> Result<i32> {
    let read = serde_json::from_str::<Epoch>(body.get());
    read.map(|read| read.epoch)
        .map_err(|_| JobsError::invalid("The body names no epoch"))
}

/// `POST /jobs/{id}/spawn`: children of the job that is held.
pub(super) async fn spawn(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Box<RawValue>>,
) -> Result<Response> {
    let id = held(&room, &who, &place).await?;
    let epoch = epoch(&body)?;
    let (mut specs, many) = read_specs(&body)?;
    if !many {
        return Err(JobsError::invalid("Children are given as jobs: […]"));
    }
    for spec in &mut specs {
        // Children are their parent's owner's, and no schedule's.
        spec.owner = None;
        spec.schedule_id = None;
    }
    if let crate::store::Sight::Of(owner) = &who.sight {
        room.core.store.admit(owner, &specs).await?;
    }
    let names: Vec<_> = specs.iter().map(|spec| spec.reference.clone()).collect();
    let made = room.spawn(id, epoch, specs).await?;
    let jobs = made.iter().zip(names).map(|(job, name)| {
        json!({ "ref": name, "id": job.id, "is_new": job.is_new, "state": job.state })
    });
    let jobs: Vec<_> = jobs.collect();
    Ok(reply(StatusCode::CREATED, &json!({ "jobs": jobs })))
}

#[derive(Deserialize)]
pub(super) struct Suspend {
    epoch: i32,
    waits: Box<RawValue>,
    /// `any` unless said, or `all`.
    #[serde(default)]
    mode: Option<String>,
}

/// Refuses forms that no answer could be held to.
fn usable_forms(waits: &RawValue) -> Result<()> {
    #[derive(Deserialize)]
    struct Wait {
        #[serde(default)]
        form: Option<serde_json::Value>,
    }
    let unreadable = |error| JobsError::invalid(format!("waits cannot be read: {error}"));
    let waits: Vec<Wait> = serde_json::from_str(waits.get()).map_err(unreadable)?;
    for form in waits.iter().filter_map(|wait| wait.form.as_ref()) {
        crate::form::usable(form).map_err(|error| JobsError::invalid(error.to_string()))?;
    }
    Ok(())
}

/// `POST /jobs/{id}/suspend`: waits without a worker.
pub(super) async fn suspend(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Suspend>,
) -> Result<Response> {
    let id = held(&room, &who, &place).await?;
    spec::payload("waits", Some(&body.waits))?;
    let all = match body.mode.as_deref() {
        None | Some("any") => false,
        Some("all") => true,
        Some(_) => return Err(JobsError::invalid("mode is any or all")),
    };
    usable_forms(&body.waits)?;
    let suspended = room.suspend(id, body.epoch, &body.waits, all).await?;
    Ok(reply(StatusCode::OK, &suspended))
}

#[derive(Deserialize)]
pub(super) struct Log {
    epoch: i32,
    /// `job.log` unless said; `job.chunk` for parts of an output as it comes.
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(default)]
    message: Option<String>,
}

/// `POST /jobs/{id}/log`: into the job's stream.
pub(super) async fn log(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(log): Json<Log>,
) -> Result<Response> {
    let id = held(&room, &who, &place).await?;
    let kind = log.kind.as_deref().unwrap_or("job.log");
    if !OWN_KINDS.contains(&kind) {
        return Err(JobsError::invalid("kind is job.log or job.chunk"));
    }
    let data = match (log.data, log.message) {
        (Some(data), _) => data,
        (None, Some(message)) => {
            let data = serde_json::value::to_raw_value(&json!({ "message": message }));
            data.map_err(|_| JobsError::invalid("The message is no text"))?
        }
        (None, None) => return Err(JobsError::invalid("There is no data and no message")),
    };
    if data.get().len() > LOG_BYTES_MAX {
        return Err(JobsError::invalid("A log entry takes at most 65536 bytes"));
    }
    room.log(id, log.epoch, kind, &data).await?;
    Ok(reply(StatusCode::OK, &json!({})))
}

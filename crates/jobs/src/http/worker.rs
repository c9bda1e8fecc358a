//! What workers do: take jobs, say that they live, end jobs. `exchange` is all
//! of it in one request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::request::{Json, Place, Who, reply};
use crate::error::{JobsError, Result};
use crate::room::Jobs;
use crate::store::Sight;
use crate::types::{Beat, Claimed, Directive, Finish, Outcome, Wants};

/// Jobs of one claim, and claims of one heartbeat, at most: what one worker
/// process can sensibly hold.
const SLOTS_MAX: usize = 1000;
/// As the tables have them.
const NAMES_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 200;
/// For people; more of it belongs into the log.
const MESSAGE_CHARS_MAX: usize = 1000;
/// A claim shorter than this would end while its heartbeat is on the way, one
/// longer keeps a dead worker's jobs for too long.
const LEASE_MIN: Duration = Duration::from_secs(2);
const LEASE_MAX: Duration = Duration::from_secs(3600);

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    queues: Vec<String>,
    types: Option<Vec<String>>,
    slots: Option<usize>,
    wait_ms: u64,
    lease_ms: Option<u64>,
    code_version: Option<String>,
    /// A server may work for one owner only.
    owner: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Heartbeats {
    jobs: Vec<HeldJob>,
    wait_ms: u64,
    lease_ms: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct HeldJob {
    id: Uuid,
    epoch: i32,
    #[serde(default)]
    progress: Option<f32>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct EndedJob {
    id: Uuid,
    #[serde(flatten)]
    end: Ended,
}

#[derive(Deserialize)]
pub(super) struct Ended {
    epoch: i32,
    #[serde(default)]
    outcome: Option<Outcome>,
    #[serde(default)]
    output: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    retryable: Option<bool>,
    #[serde(default)]
    delay_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Exchange {
    #[serde(flatten)]
    claim: Claim,
    heartbeat: Vec<HeldJob>,
    finish: Vec<EndedJob>,
}

fn lease(room: &Jobs, asked: Option<u64>) -> Duration {
    let lease = asked.map_or(room.core.config.lease, Duration::from_millis);
    lease.clamp(LEASE_MIN, LEASE_MAX)
}

fn names(what: &str, names: &[String]) -> Result<()> {
    let odd = |name: &String| {
        name.is_empty() || name.contains('\0') || name.chars().count() > NAME_CHARS_MAX
    };
    if names.len() > NAMES_MAX || names.iter().any(odd) {
        return Err(JobsError::invalid(format!(
            "{what} takes at most {NAMES_MAX} names of 1 to {NAME_CHARS_MAX} characters"
        )));
    }
    Ok(())
}

/// What a request asks for, and how many.
fn wants(room: &Jobs, who: &Who, place: &Place, claim: Claim) -> Result<(Arc<Wants>, usize)> {
    let mut queues = claim.queues;
    if queues.is_empty() {
        queues.push("default".to_owned());
    }
    names("queues", &queues)?;
    names("types", claim.types.as_deref().unwrap_or_default())?;
    let version = claim.code_version.as_slice();
    names("code_version", version)?;
    let (owner, any_owner) = match (&who.sight, claim.owner) {
        (Sight::Of(owner), _) => (Some(owner.clone()), false),
        (Sight::All, Some(owner)) => (Some(owner), false),
        (Sight::All, None) => (None, true),
    };
    let wants = Wants {
        worker: place.worker(who)?,
        queues,
        types: claim.types.filter(|types| !types.is_empty()),
        owner,
        any_owner,
        lease: lease(room, claim.lease_ms),
        code_version: claim.code_version,
    };
    let slots = claim.slots.unwrap_or(1);
    if slots > SLOTS_MAX {
        return Err(JobsError::invalid("slots is at most 1000"));
    }
    Ok((Arc::new(wants), slots))
}

/// `POST /workers/{id}/claim`
pub(super) async fn claim(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(claim): Json<Claim>,
) -> Result<Response> {
    let wait = Duration::from_millis(claim.wait_ms);
    let (wants, slots) = wants(&room, &who, &place, claim)?;
    let jobs = room.claim(&wants, slots.max(1), wait).await?;
    Ok(reply(StatusCode::OK, &json!({ "jobs": jobs })))
}

async fn beats(
    room: &Jobs,
    who: &Who,
    place: &Place,
    jobs: Vec<HeldJob>,
    lease_ms: Option<u64>,
) -> Result<Vec<Beat>> {
    if jobs.len() > SLOTS_MAX {
        return Err(JobsError::invalid("A heartbeat is for at most 1000 jobs"));
    }
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id).collect();
    room.own(&who.sight, &ids).await?;
    let worker = place.worker(who)?;
    let lease = lease(room, lease_ms);
    let beat = |job: HeldJob| Beat {
        worker: worker.clone(),
        id: job.id,
        epoch: job.epoch,
        progress: job
            .progress
            .filter(|p| p.is_finite())
            .map(|p| p.clamp(0.0, 1.0)),
        message: job.message.map(|text| {
            let shown = text.chars().filter(|c| *c != '\0');
            shown.take(MESSAGE_CHARS_MAX).collect()
        }),
        lease,
    };
    Ok(jobs.into_iter().map(beat).collect())
}

fn told(directives: Vec<(Uuid, Directive)>) -> Vec<Value> {
    let one = |(id, directive)| json!({ "id": id, "directive": directive });
    directives.into_iter().map(one).collect()
}

/// `POST /workers/{id}/heartbeat`
pub(super) async fn heartbeat(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Heartbeats>,
) -> Result<Response> {
    let beats = beats(&room, &who, &place, body.jobs, body.lease_ms).await?;
    let wait = Duration::from_millis(body.wait_ms);
    let directives = room.heartbeat(beats, wait).await?;
    Ok(reply(
        StatusCode::OK,
        &json!({ "directives": told(directives) }),
    ))
}

fn raw(value: Option<Value>) -> Result<Option<Box<RawValue>>> {
    value
        .map(|value| serde_json::value::to_raw_value(&value))
        .transpose()
        .map_err(|error| JobsError::invalid(format!("The value is no JSON: {error}")))
}

fn ended(id: Uuid, end: Ended, usual: Outcome) -> Result<Finish> {
    let outcome = end.outcome.unwrap_or(usual);
    let error = match (outcome, end.error) {
        (Outcome::Failed, None) => Some(json!({ "code": "failed" })),
        (Outcome::Failed, Some(Value::String(text))) => Some(json!({ "message": text })),
        (_, error) => error,
    };
    Ok(Finish {
        id,
        epoch: end.epoch,
        outcome,
        output: raw(end.output)?,
        error: raw(error)?,
        retryable: end.retryable.unwrap_or(true),
        delay: end.delay_ms.map(Duration::from_millis),
    })
}

async fn end(
    room: &Jobs,
    who: &Who,
    place: &Place,
    body: Ended,
    usual: Outcome,
) -> Result<Response> {
    let id = place.id()?;
    room.own(&who.sight, &[id]).await?;
    let state = room.finish(ended(id, body, usual)?).await?;
    let state = state.ok_or_else(JobsError::stale)?;
    Ok(reply(StatusCode::OK, &json!({ "id": id, "state": state })))
}

/// `POST /jobs/{id}/finish`
pub(super) async fn finish(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Ended>,
) -> Result<Response> {
    end(&room, &who, &place, body, Outcome::Completed).await
}

/// `POST /jobs/{id}/fail`
pub(super) async fn fail(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Ended>,
) -> Result<Response> {
    let body = Ended {
        outcome: Some(Outcome::Failed),
        ..body
    };
    end(&room, &who, &place, body, Outcome::Failed).await
}

/// `POST /workers/{id}/exchange`: ends jobs, says that the worker lives, and
/// takes new ones. It waits for new ones unless there is something to tell.
pub(super) async fn exchange(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Exchange>,
) -> Result<Response> {
    if body.finish.len() > SLOTS_MAX {
        return Err(JobsError::invalid("An exchange ends at most 1000 jobs"));
    }
    let ids: Vec<Uuid> = body.finish.iter().map(|job| job.id).collect();
    room.own(&who.sight, &ids).await?;
    let lease_ms = body.claim.lease_ms;
    let beats = beats(&room, &who, &place, body.heartbeat, lease_ms).await?;
    let mut wait = Duration::from_millis(body.claim.wait_ms);
    let claims = body.claim.slots != Some(0);
    let (wants, slots) = wants(&room, &who, &place, body.claim)?;

    let mut ends = Vec::with_capacity(ids.len());
    for job in body.finish {
        ends.push(ended(job.id, job.end, Outcome::Completed)?);
    }
    let ending = futures_util::future::join_all(ends.into_iter().map(|end| room.finish(end)));
    let living = room.heartbeat(beats.clone(), Duration::ZERO);
    let (ended, living) = futures_util::future::join(ending, living).await;
    let mut directives = living?;
    let finished: Vec<Value> = ids
        .iter()
        .zip(ended)
        .map(|(id, state)| match state {
            Ok(Some(state)) => json!({ "id": id, "state": state }),
            Ok(None) => json!({ "id": id, "state": null, "code": "stale" }),
            Err(error) => json!({ "id": id, "state": null, "code": error.code() }),
        })
        .collect();
    let mut jobs: Vec<Claimed> = Vec::new();
    if !directives.is_empty() || !finished.is_empty() && !claims {
        wait = Duration::ZERO;
    }
    if claims {
        if beats.is_empty() || wait.is_zero() {
            jobs = room.claim(&wants, slots, wait).await?;
        } else {
            // Whichever comes first: a job, or word about one that is held.
            let claim = room.claim(&wants, slots, wait);
            tokio::pin!(claim);
            let word = room.heartbeat(beats, wait);
            tokio::select! {
                claimed = &mut claim => jobs = claimed?,
                word = word => {
                    directives = word?;
                    if directives.is_empty() {
                        jobs = claim.await?;
                    }
                }
            }
        }
    }
    Ok(reply(
        StatusCode::OK,
        &json!({ "jobs": jobs, "directives": told(directives), "finished": finished }),
    ))
}

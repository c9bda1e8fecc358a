//! What people and programs do to whole jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::request::{Json, Place, Who, document, header, reply};
use crate::error::{JobsError, Result};
use crate::room::Jobs;
use crate::spec::{self, Spec};
use crate::store::{Sight, Verb, steps};

/// Approvals of one page.
const APPROVALS_MAX: usize = 200;
/// As the table has it.
const NAME_CHARS_MAX: usize = 200;

/// `POST /jobs`
pub(super) async fn submit(
    State(room): State<Arc<Jobs>>,
    who: Who,
    headers: HeaderMap,
    Json(body): Json<Box<RawValue>>,
) -> Result<Response> {
    let (mut specs, many) = read_specs(&body)?;
    if let Some(key) = header(&headers, "idempotency-key") {
        let [spec] = specs.as_mut_slice() else {
            return Err(JobsError::invalid(
                "Idempotency-Key is for one job; several have an idempotency_key each",
            ));
        };
        spec.idempotency_key = Some(key.to_owned());
    }
    assign(&room, &who, &mut specs).await?;
    let names: Vec<_> = specs.iter().map(|spec| spec.reference.clone()).collect();
    let made = room.submit(specs).await?;
    let status = if made.iter().any(|job| job.is_new) {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    if !many {
        return Ok(reply(status, &made.first()));
    }
    let jobs = made.iter().zip(names).map(|(job, name)| {
        json!({ "ref": name, "id": job.id, "is_new": job.is_new, "state": job.state })
    });
    Ok(reply(status, &json!({ "jobs": jobs.collect::<Vec<_>>() })))
}

/// Reads what is submitted; whether it said that it is several.
pub(super) fn read_specs(body: &RawValue) -> Result<(Vec<Spec>, bool)> {
    #[derive(Deserialize)]
    struct Many {
        jobs: Vec<Box<RawValue>>,
    }
    let failed = |error| JobsError::invalid(format!("The job cannot be read: {error}"));
    let Ok(many) = serde_json::from_str::<Many>(body.get()) else {
        let one = serde_json::from_str::<Spec>(body.get()).map_err(failed)?;
        return Ok((vec![one], false));
    };
    if many.jobs.len() > spec::JOBS_MAX {
        return Err(JobsError::invalid("A submission has at most 10000 jobs"));
    }
    let specs = many.jobs.iter().map(|raw| serde_json::from_str(raw.get()));
    let specs = specs.collect::<Result<Vec<Spec>, _>>().map_err(failed)?;
    Ok((specs, true))
}

/// Whose the jobs will be. A user's are the user's own, and refer to nothing
/// else.
async fn assign(room: &Jobs, who: &Who, specs: &mut [Spec]) -> Result<()> {
    let Sight::Of(owner) = &who.sight else {
        return Ok(());
    };
    for spec in specs.iter_mut() {
        spec.owner = Some(owner.clone());
        if spec.schedule_id.take().is_some() {
            return Err(JobsError::invalid("A schedule submits its jobs itself"));
        }
    }
    room.core.store.admit(owner, specs).await
}

/// `GET /jobs/{id}`, and with `?tree=1` everything below it.
pub(super) async fn show(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    uri: Uri,
) -> Result<Response> {
    let tree = uri.query().is_some_and(|query| {
        let mut pairs = query.split('&');
        pairs.any(|pair| matches!(pair, "tree=1" | "tree=true"))
    });
    let job = room.core.store.job(place.id()?, &who.sight, tree).await?;
    Ok(document(StatusCode::OK, job))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Because {
    reason: Option<String>,
}

async fn change(
    room: &Jobs,
    who: &Who,
    place: &Place,
    verb: Verb,
    because: Because,
) -> Result<Response> {
    let reason = because
        .reason
        .as_deref()
        .filter(|text| !text.contains('\0'));
    let reason = reason.map(|text| text.chars().take(NAME_CHARS_MAX).collect::<String>());
    let changed = room
        .change(verb, place.id()?, &who.sight, reason.as_deref())
        .await?;
    Ok(reply(StatusCode::OK, &json!({ "changed": changed })))
}

/// `POST /jobs/{id}/cancel`
pub(super) async fn cancel(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(because): Json<Because>,
) -> Result<Response> {
    change(&room, &who, &place, Verb::Cancel, because).await
}

/// `POST /jobs/{id}/pause`
pub(super) async fn pause(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    change(&room, &who, &place, Verb::Pause, Because::default()).await
}

/// `POST /jobs/{id}/resume`
pub(super) async fn resume(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    change(&room, &who, &place, Verb::Resume, Because::default()).await
}

/// `POST /jobs/{id}/retry`
pub(super) async fn retry(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
) -> Result<Response> {
    change(&room, &who, &place, Verb::Retry, Because::default()).await
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Signal {
    payload: Option<Box<RawValue>>,
    idempotency_key: Option<String>,
}

/// `POST /jobs/{id}/signals/{name}`
pub(super) async fn signal(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    headers: HeaderMap,
    Json(signal): Json<Signal>,
) -> Result<Response> {
    let (id, name) = (place.id()?, place.other()?);
    spec::payload("payload", signal.payload.as_deref())?;
    let key = header(&headers, "idempotency-key").or(signal.idempotency_key.as_deref());
    let statement = steps::signal(id, &who.sight, name, signal.payload.as_deref(), key);
    let rows = room.actors.statement(id, statement).await?;
    if rows.is_empty() {
        return Err(JobsError::not_found());
    }
    room.core.settled([id]);
    Ok(reply(StatusCode::OK, &json!({})))
}

/// `GET /approvals`: what waits for an answer.
pub(super) async fn approvals(State(room): State<Arc<Jobs>>, who: Who) -> Result<Response> {
    let statement = steps::approvals(&who.sight, APPROVALS_MAX);
    let rows = room.core.store.read(statement).await?;
    let list = rows.scalar().unwrap_or("[]").to_owned();
    Ok(document(StatusCode::OK, list))
}

/// Holds an answer to the whole of its form; the database knows a part of it.
fn satisfies(form: &str, answer: &RawValue) -> Result<()> {
    let odd = |_| JobsError::odd("a form and an answer in JSON");
    let form = serde_json::from_str(form).map_err(odd)?;
    let answer = serde_json::from_str(answer.get()).map_err(odd)?;
    crate::form::check(&form, &answer).map_err(|error| {
        JobsError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            error.to_string(),
        )
    })
}

#[derive(Deserialize)]
pub(super) struct Answer {
    answer: Box<RawValue>,
}

/// `POST /approvals/{id}`
pub(super) async fn answer(
    State(room): State<Arc<Jobs>>,
    who: Who,
    place: Place,
    Json(body): Json<Answer>,
) -> Result<Response> {
    let id = place.id()?;
    spec::payload("answer", Some(&body.answer))?;
    let by = who.subject.as_deref();
    let form = room.core.store.form(id, who.is_service(), by).await?;
    if let Some(form) = form {
        satisfies(&form, &body.answer)?;
    }
    let statement = steps::answer(id, who.is_service(), by, &body.answer);
    let rows = room.actors.statement(id, statement).await?;
    if rows.is_empty() {
        return Err(JobsError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such approval",
        ));
    }
    room.core.settled([]);
    Ok(reply(StatusCode::OK, &json!({})))
}

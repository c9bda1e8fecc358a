//! `/api/v2/jobs`: jobs of a session. Whoever runs them is outside, and says by
//! PATCH how far they are; the engine decides what may follow what.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Map, Value, json};

use super::sessions;
use crate::call::{Call, id, only, text_or_none};
use crate::error::{ApiError, Result};
use crate::room::OpenLovable;
use crate::store::{answer, json};

const NOT_FOUND: &str = "Job not found";
const SHAPE: &str = include_str!("../../sql/shape_job.sql");
const TYPES: [&str; 7] = [
    "scrape", "plan", "generate", "apply", "install", "restart", "zip",
];
/// Away from the queues that workers of the project take from.
const QUEUE: &str = "open_lovable";

/// Newest first; none when no session is named.
pub(crate) async fn list(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let (limit, offset) = call.page();
    let session = call.asked("sessionId").as_deref().and_then(id);
    let mut sql = SqlBuf::new();
    sql.lit("WITH asked AS (SELECT ")
        .param(session)
        .lit("::uuid AS session, ")
        .param(limit)
        .lit("::bigint AS most, ")
        .param(offset)
        .lit("::bigint AS skip), page AS (")
        .lit(include_str!("../../sql/list_jobs.sql"))
        .lit(") SELECT jsonb_build_object('success', true, 'jobs', (SELECT coalesce(jsonb_agg(")
        .lit(SHAPE)
        .lit(" ORDER BY j.created_at DESC, j.id DESC), '[]') FROM page AS j), 'pagination', jsonb_build_object(")
        .lit("'limit', a.most, 'offset', a.skip, 'count', (SELECT count(*) FROM page), 'total', ")
        .lit("(SELECT count(*) FROM work.jobs AS j WHERE j.session_id = a.session))) FROM asked AS a");
    let rows = app
        .store
        .one(&call.caller, "Failed to list jobs", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

pub(crate) async fn create(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let body = call.object()?;
    let text = |name| {
        body.get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let input = body.get("input").filter(|input| !input.is_null());
    let (Some(session), Some(kind), Some(input)) = (text("sessionId"), text("type"), input) else {
        return Err(ApiError::bad("sessionId, type, and input are required"));
    };
    if !TYPES.contains(&kind) {
        let known = TYPES.join(", ");
        return Err(ApiError::bad(
            ["Failed to create job: type must be one of ", &known].concat(),
        ));
    }
    let session = id(session).ok_or_else(|| ApiError::not_found(sessions::NOT_FOUND))?;
    let parent = match text_or_none(&body, "parentJobId")? {
        None => None,
        Some(parent) => {
            Some(id(&parent).ok_or_else(|| ApiError::not_found("Parent job not found"))?)
        }
    };
    let mut sql = SqlBuf::new();
    sql.lit("SELECT jsonb_build_object('success', true, 'job', ")
        .lit(SHAPE)
        .lit(") FROM work.sessions AS s CROSS JOIN LATERAL work.add_outside_job(s.id, ")
        .param(kind.to_owned())
        .lit(", ")
        .param(input.to_string())
        .lit("::jsonb, ")
        .param(parent)
        .lit("::uuid, ")
        .param(QUEUE.to_owned())
        .lit(") AS j WHERE s.id = ")
        .param(session)
        .lit("::uuid");
    let rows = app
        .store
        .one(&call.caller, "Failed to create job", sql)
        .await?;
    answer(StatusCode::CREATED, &rows, sessions::NOT_FOUND)
}

pub(crate) async fn show(
    State(app): State<Arc<OpenLovable>>,
    Path(job): Path<String>,
    call: Call,
) -> Result<Response> {
    let job = id(&job).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let mut sql = SqlBuf::new();
    sql.lit("SELECT jsonb_build_object('success', true, 'job', ")
        .lit(SHAPE);
    if call.details() {
        sql.lit(" || ")
            .lit(include_str!("../../sql/job_details.sql"))
            .lit(" || jsonb_build_object('tasks', (SELECT coalesce(jsonb_agg(")
            .lit(include_str!("../../sql/shape_task.sql"))
            .lit(" ORDER BY t.started_at, t.key), '[]') FROM (SELECT * FROM work.steps AS t")
            .lit(" WHERE t.job_id = j.id ORDER BY t.started_at, t.key LIMIT 1000) AS t))");
    }
    sql.lit(") FROM work.jobs AS j WHERE j.id = ")
        .param(job)
        .lit("::uuid");
    let rows = app
        .store
        .one(&call.caller, "Failed to get job", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

/// State, output and error, as the one who runs it says.
pub(crate) async fn change(
    State(app): State<Arc<OpenLovable>>,
    Path(job): Path<String>,
    call: Call,
) -> Result<Response> {
    let body = call.object()?;
    only(&body, &["state", "output", "error"])?;
    text_or_none(&body, "state")?;
    text_or_none(&body, "error")?;
    let row = report(&app, &call, &job, "Failed to update job", &body).await?;
    Ok(json(
        StatusCode::OK,
        json!({"success": true, "job": row}).to_string(),
    ))
}

/// `{"action": "cancel"}`. A job that is cancelled already stays so; one that
/// has ended otherwise is not changed any more.
pub(crate) async fn act(
    State(app): State<Arc<OpenLovable>>,
    Path(job): Path<String>,
    call: Call,
) -> Result<Response> {
    let body = call.object()?;
    if body.get("action").and_then(Value::as_str) != Some("cancel") {
        return Err(ApiError::bad("Invalid action. Use \"cancel\""));
    }
    let mut change = Map::new();
    change.insert("state".to_owned(), json!("cancelled"));
    let row = report(&app, &call, &job, "Failed to cancel job", &change).await?;
    let body = json!({"success": true, "message": "Job cancelled successfully", "job": row});
    Ok(json(StatusCode::OK, body.to_string()))
}

async fn report(
    app: &OpenLovable,
    call: &Call,
    job: &str,
    what: &'static str,
    change: &Map<String, Value>,
) -> Result<Value> {
    let job = id(job).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let change = Value::Object(change.clone()).to_string();
    let mut sql = SqlBuf::new();
    sql.lit("SELECT ")
        .lit(SHAPE)
        .lit(" FROM work.jobs AS seen CROSS JOIN LATERAL work.report_job(seen.id, ")
        .param(change)
        .lit("::jsonb) AS j WHERE seen.id = ")
        .param(job)
        .lit("::uuid");
    let rows = app.store.one(&call.caller, what, sql).await?;
    let text = rows
        .scalar()
        .ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    Ok(serde_json::from_str(text).unwrap_or_default())
}

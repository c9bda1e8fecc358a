//! `/api/v2/sessions`: rows of sessions, alone or with what belongs to them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Value, json};

use crate::call::{Call, id, object_or_none, only, text_or_none};
use crate::error::{ApiError, Result};
use crate::room::OpenLovable;
use crate::store::{answer, json};

pub(crate) const NOT_FOUND: &str = "Session not found";
pub(crate) const SHAPE: &str = include_str!("../../sql/shape_session.sql");
const STATES: [&str; 3] = ["active", "archived", "deleted"];
/// What the original shows of a session in detail.
const MESSAGES: i64 = 50;
const JOBS: i64 = 20;

/// All of them, archived and deleted ones too, latest change first.
pub(crate) async fn list(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let (limit, offset) = call.page();
    let mut sql = SqlBuf::new();
    sql.lit("SELECT jsonb_build_object('success', true, 'sessions', coalesce(jsonb_agg(")
        .lit(SHAPE)
        .lit(" ORDER BY s.updated_at DESC, s.id DESC), '[]'), 'pagination', jsonb_build_object('limit', ")
        .param(limit.clone())
        .lit("::bigint, 'offset', ")
        .param(offset.clone())
        .lit("::bigint, 'count', count(*), 'total', (SELECT count(*) FROM work.sessions))) FROM (")
        .lit("SELECT * FROM work.sessions AS s ORDER BY s.updated_at DESC, s.id DESC LIMIT ")
        .param(limit)
        .lit("::bigint OFFSET ")
        .param(offset)
        .lit("::bigint) AS s");
    let rows = app
        .store
        .one(&call.caller, "Failed to list sessions", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

pub(crate) async fn create(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let body = call.object()?;
    let title = text_or_none(&body, "title")?;
    let metadata = object_or_none(&body, "metadata")?;
    let mut sql = SqlBuf::new();
    sql.lit("INSERT INTO work.sessions AS s (title, metadata) VALUES (")
        .param(title)
        .lit(", ")
        .param(metadata.map_or_else(|| "{}".to_owned(), Value::to_string))
        .lit("::jsonb) RETURNING jsonb_build_object('success', true, 'session', ")
        .lit(SHAPE)
        .lit(")");
    let rows = app
        .store
        .one(&call.caller, "Failed to create session", sql)
        .await?;
    answer(StatusCode::CREATED, &rows, NOT_FOUND)
}

pub(crate) async fn show(
    State(app): State<Arc<OpenLovable>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let mut sql = SqlBuf::new();
    sql.lit("SELECT jsonb_build_object('success', true, 'session', ")
        .lit(SHAPE);
    if call.details() {
        sql.lit(" || ");
        details(&mut sql);
    }
    sql.lit(") FROM work.sessions AS s WHERE s.id = ")
        .param(session)
        .lit("::uuid");
    let rows = app
        .store
        .one(&call.caller, "Failed to get session", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

/// The newest messages in their order, the newest jobs, the latest active
/// sandbox and all checkpoints, of `s`.
fn details(sql: &mut SqlBuf) {
    sql.lit("jsonb_build_object('messages', (SELECT coalesce(jsonb_agg(")
        .lit(include_str!("../../sql/shape_message.sql"))
        .lit(" ORDER BY m.seq), '[]') FROM (SELECT * FROM work.messages AS m WHERE m.session_id = s.id")
        .lit(" AND m.superseded_at IS NULL AND m.role <> 'tool' ORDER BY m.seq DESC LIMIT ")
        .number(MESSAGES)
        .lit(") AS m), 'jobs', (SELECT coalesce(jsonb_agg(")
        .lit(include_str!("../../sql/shape_job.sql"))
        .lit(" ORDER BY j.created_at DESC, j.id DESC), '[]') FROM (SELECT * FROM work.jobs AS j")
        .lit(" WHERE j.session_id = s.id ORDER BY j.created_at DESC, j.id DESC LIMIT ")
        .number(JOBS)
        .lit(") AS j), 'sandbox', (SELECT ")
        .lit(include_str!("../../sql/shape_sandbox.sql"))
        .lit(" FROM work.sandboxes AS b WHERE b.session_id = s.id AND b.status = 'active'")
        .lit(" ORDER BY b.last_seen_at DESC, b.id DESC LIMIT 1), 'checkpoints', (SELECT coalesce(jsonb_agg(")
        .lit(include_str!("../../sql/shape_checkpoint.sql"))
        .lit(" ORDER BY c.created_at DESC, c.id DESC), '[]') FROM (SELECT * FROM work.checkpoints AS c")
        .lit(" WHERE c.session_id = s.id ORDER BY c.created_at DESC, c.id DESC LIMIT 1000) AS c))");
}

/// The columns that the row may change; others were always an error.
pub(crate) async fn change(
    State(app): State<Arc<OpenLovable>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let body = call.object()?;
    only(&body, &["title", "status", "metadata"])?;
    text_or_none(&body, "title")?;
    object_or_none(&body, "metadata")?;
    if let Some(status) = body.get("status") {
        let known = status
            .as_str()
            .is_some_and(|status| STATES.contains(&status));
        if !known {
            return Err(ApiError::bad("status must be active, archived or deleted"));
        }
    }
    let mut sql = SqlBuf::new();
    sql.lit("WITH given AS (SELECT ")
        .param(Value::Object(body).to_string())
        .lit("::jsonb AS f) UPDATE work.sessions AS s SET ")
        .lit("title = CASE WHEN g.f ? 'title' THEN g.f ->> 'title' ELSE s.title END, ")
        .lit("status = coalesce(g.f ->> 'status', s.status), ")
        .lit("metadata = coalesce(nullif(g.f -> 'metadata', 'null'), s.metadata) FROM given AS g WHERE s.id = ")
        .param(session)
        .lit("::uuid RETURNING jsonb_build_object('success', true, 'session', ")
        .lit(SHAPE)
        .lit(")");
    let rows = app
        .store
        .one(&call.caller, "Failed to update session", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

/// Marks it as deleted, and ends its jobs.
pub(crate) async fn delete(
    State(app): State<Arc<OpenLovable>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let exists = SqlBuf::fixed("SELECT FROM work.sessions AS s WHERE s.id = $1::uuid");
    let what = "Failed to delete session";
    let found = app
        .store
        .one(&call.caller, what, exists.bind(session.clone()))
        .await?;
    if found.is_empty() {
        return Err(ApiError::not_found(NOT_FOUND));
    }
    let mut sql = SqlBuf::new();
    sql.lit("SELECT ")
        .lit(SHAPE)
        .lit(" FROM work.delete_session(")
        .param(session)
        .lit("::uuid) AS s");
    let rows = app.store.one(&call.caller, what, sql).await?;
    let row: Value = rows
        .scalar()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let body = json!({
        "success": true, "message": "Session deleted successfully", "session": row,
    });
    Ok(json(StatusCode::OK, body.to_string()))
}

//! `/api/v2/sessions/{id}/checkpoints`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::Value;

use super::sessions::NOT_FOUND;
use crate::call::{Call, id, object_or_none};
use crate::error::{ApiError, Result};
use crate::room::OpenLovable;
use crate::store::answer;

const SHAPE: &str = include_str!("../../sql/shape_checkpoint.sql");

/// Newest first. Of a session that is not the caller's there are none to show.
pub(crate) async fn list(
    State(app): State<Arc<OpenLovable>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let mut sql = SqlBuf::new();
    sql.lit(
        "SELECT jsonb_build_object('success', true, 'checkpoints', (SELECT coalesce(jsonb_agg(",
    )
    .lit(SHAPE)
    .lit(" ORDER BY c.created_at DESC, c.id DESC), '[]') FROM (SELECT * FROM work.checkpoints AS c")
    .lit(" WHERE c.session_id = s.id ORDER BY c.created_at DESC, c.id DESC LIMIT 1000) AS c))")
    .lit(" FROM work.sessions AS s WHERE s.id = ")
    .param(session)
    .lit("::uuid");
    let rows = app
        .store
        .one(&call.caller, "Failed to list checkpoints", sql)
        .await?;
    answer(StatusCode::OK, &rows, NOT_FOUND)
}

pub(crate) async fn create(
    State(app): State<Arc<OpenLovable>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let body = call.object()?;
    let text = |name| {
        let text = body.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (Some(label), Some(snapshot)) = (text("label"), text("snapshotRef")) else {
        return Err(ApiError::bad("Label and snapshotRef are required"));
    };
    let metadata = object_or_none(&body, "metadata")?;
    let metadata = metadata.map_or_else(|| "{}".to_owned(), Value::to_string);
    let session = id(&session).ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    let mut sql = SqlBuf::new();
    // Only for a session that is seen, so that another's is a plain 404.
    sql.lit("SELECT jsonb_build_object('success', true, 'checkpoint', ")
        .lit(SHAPE)
        .lit(") FROM work.sessions AS s CROSS JOIN LATERAL work.create_checkpoint(s.id, ")
        .param(label)
        .lit(", ")
        .param(snapshot)
        .lit(", ")
        .param(metadata)
        .lit("::jsonb) AS c WHERE s.id = ")
        .param(session)
        .lit("::uuid");
    let rows = app
        .store
        .one(&call.caller, "Failed to create checkpoint", sql)
        .await?;
    answer(StatusCode::CREATED, &rows, NOT_FOUND)
}

//! What jobs leave behind: artifacts, tool runs, and sandboxes with their
//! states.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::Value;

use crate::call::{Call, id};
use crate::error::Result;
use crate::room::Sessions;
use crate::store::document;

const WHAT: &str = "session";
/// Rows in a list, when nobody says how many.
const LISTED: u32 = 100;

pub(crate) async fn artifacts(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = include_str!("../../sql/list_artifacts.sql");
    list(&room, &session, &call, sql).await
}

pub(crate) async fn tool_runs(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = include_str!("../../sql/list_tool_runs.sql");
    list(&room, &session, &call, sql).await
}

async fn list(room: &Sessions, session: &str, call: &Call, sql: &'static str) -> Result<Response> {
    let sql = SqlBuf::fixed(sql)
        .bind(id(session, WHAT)?)
        .bind(call.asked_id("job_id", "job")?)
        .bind(call.limit(LISTED)?)
        .bind(call.cursor("offset")?.unwrap_or_else(|| "0".to_owned()));
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn add_artifact(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let known = [
        "job_id", "type", "name", "uri", "size", "sha256", "metadata",
    ];
    let sql = include_str!("../../sql/create_artifact.sql");
    add(&room, &session, &call, &known, sql).await
}

pub(crate) async fn add_tool_run(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let known = ["job_id", "tool", "input", "output", "error", "duration_ms"];
    let sql = include_str!("../../sql/create_tool_run.sql");
    add(&room, &session, &call, &known, sql).await
}

async fn add(
    room: &Sessions,
    session: &str,
    call: &Call,
    known: &[&str],
    sql: &'static str,
) -> Result<Response> {
    let fields = call.object(known)?;
    let sql = SqlBuf::fixed(sql)
        .bind(id(session, WHAT)?)
        .bind(Value::Object(fields).to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::CREATED, &rows, WHAT)
}

pub(crate) async fn sandboxes(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/list_sandboxes.sql"));
    let sql = sql.bind(id(&session, WHAT)?);
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

/// A sandbox by its provider's id: new, or seen again.
pub(crate) async fn put_sandbox(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["sandbox_id", "url", "status", "metadata"])?;
    let sql = SqlBuf::fixed(include_str!("../../sql/put_sandbox.sql"))
        .bind(id(&session, WHAT)?)
        .bind(Value::Object(fields).to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

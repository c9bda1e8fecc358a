//! Checkpoints: made, gone back to, forked from, compared.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::diff;
use crate::error::{Result, SessionsError};
use crate::room::Sessions;
use crate::store::{document, json as answer};

const WHAT: &str = "checkpoint";
/// Checkpoints in a list, when nobody says how many.
const LISTED: u32 = 100;
/// Files whose difference is shown line by line. More is no reading matter.
const TEXTS: &str = "200";

pub(crate) async fn list(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/list_checkpoints.sql"))
        .bind(id(&session, "session")?)
        .bind(call.limit(LISTED)?)
        .bind(call.cursor("offset")?.unwrap_or_else(|| "0".to_owned()));
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "session")
}

/// Without a label it is automatic, and makes room for later ones.
pub(crate) async fn create(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["label", "snapshot_ref", "metadata"])?;
    let text = |name| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let metadata = fields.get("metadata").filter(|value| !value.is_null());
    let sql = SqlBuf::fixed(
        "SELECT to_jsonb(c) - 'messages' FROM work.create_checkpoint($1::uuid, $2::text, $3::text, $4::jsonb) AS c",
    );
    let sql = sql
        .bind(id(&session, "session")?)
        .bind(text("label"))
        .bind(text("snapshot_ref"))
        .bind(metadata.map_or_else(|| "{}".to_owned(), Value::to_string));
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::CREATED, &rows, "session")
}

pub(crate) async fn show(
    State(room): State<Arc<Sessions>>,
    Path(checkpoint): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(
        "SELECT to_jsonb(c) - 'messages' FROM work.checkpoints AS c WHERE c.id = $1::uuid",
    );
    let rows = room
        .store
        .read(&call.caller, sql.bind(id(&checkpoint, WHAT)?))
        .await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn delete(
    State(room): State<Arc<Sessions>>,
    Path(checkpoint): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(
        "DELETE FROM work.checkpoints AS c WHERE c.id = $1::uuid RETURNING to_jsonb(c) - 'messages'",
    );
    let rows = room
        .store
        .write(&call.caller, sql.bind(id(&checkpoint, WHAT)?))
        .await?;
    document(StatusCode::OK, &rows, WHAT)
}

/// `{"messages": true, "jobs": "keep" | "cancel" | "pause"}`.
pub(crate) async fn restore(
    State(room): State<Arc<Sessions>>,
    Path(checkpoint): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["messages", "jobs"])?;
    let messages = match fields.get("messages") {
        None => false,
        Some(value) => value
            .as_bool()
            .ok_or_else(|| SessionsError::invalid("`messages` is true or false"))?,
    };
    let jobs = fields.get("jobs").map_or(Some("keep"), Value::as_str);
    let sql = SqlBuf::fixed("SELECT work.restore_checkpoint($1::uuid, $2::boolean, $3::text)")
        .bind(id(&checkpoint, WHAT)?)
        .bind(messages.to_string())
        .bind(jobs.map(str::to_owned));
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn fork(
    State(room): State<Arc<Sessions>>,
    Path(checkpoint): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["title", "key", "metadata"])?;
    let text = |name| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let metadata = fields.get("metadata").filter(|value| !value.is_null());
    let sql = SqlBuf::fixed(
        "SELECT to_jsonb(s) FROM work.fork_session($1::uuid, $2::text, $3::text, $4::jsonb) AS s",
    );
    let sql = sql
        .bind(id(&checkpoint, WHAT)?)
        .bind(text("title"))
        .bind(text("key"))
        .bind(metadata.map_or_else(|| "{}".to_owned(), Value::to_string));
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::CREATED, &rows, WHAT)
}

/// `?with=<checkpoint>`; without it, what has changed since.
pub(crate) async fn diff(
    State(room): State<Arc<Sessions>>,
    Path(checkpoint): Path<String>,
    call: Call,
) -> Result<Response> {
    let one = id(&checkpoint, WHAT)?;
    let two = call.asked_id("with", WHAT)?;
    let files = SqlBuf::fixed(
        "SELECT d.path, d.change, d.before_sha256, d.after_sha256, d.before_size, d.after_size, \
         d.before_mode, d.after_mode, d.before_content, d.after_content \
         FROM work.diff_files($1::uuid, $2::uuid, $3::integer) AS d",
    );
    let files = files
        .bind(one.clone())
        .bind(two.clone())
        .bind(TEXTS.to_owned());
    let rows = room.store.read(&call.caller, files).await?;
    // Comparing takes long enough to hold up whoever shares this thread.
    let files = tokio::task::spawn_blocking(move || diff::files(&rows)).await;
    let files = files.map_err(|_| SessionsError::invalid("these files cannot be compared"))?;
    let messages = SqlBuf::fixed(include_str!("../../sql/diff_messages.sql"));
    let rows = room
        .store
        .read(&call.caller, messages.bind(one).bind(two))
        .await?;
    let messages: Value = rows
        .scalar()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    Ok(answer(
        StatusCode::OK,
        json!({"files": files, "messages": messages}).to_string(),
    ))
}

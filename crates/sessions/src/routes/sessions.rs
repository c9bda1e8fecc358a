//! Sessions themselves: listing, making, changing, deleting, taking over, and
//! what happened in them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Value, json};

use crate::call::{Call, id};
use crate::error::{Result, SessionsError};
use crate::room::Sessions;
use crate::store::{document, json as answer};

const WHAT: &str = "session";
/// Sessions in a list, when nobody says how many.
const LISTED: u32 = 50;
/// Events in a timeline, likewise.
const EVENTS: u32 = 100;

pub(crate) async fn list(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/list_sessions.sql"))
        .bind(call.asked("status"))
        .bind(call.asked("key"))
        .bind(call.limit(LISTED)?)
        .bind(call.cursor("offset")?.unwrap_or_else(|| "0".to_owned()));
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

/// A session; with a key that is known, the one that has it.
pub(crate) async fn create(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let fields = call.object(&[
        "id",
        "key",
        "owner",
        "title",
        "metadata",
        "keep_checkpoints",
    ])?;
    let sql = SqlBuf::fixed(include_str!("../../sql/create_session.sql"))
        .bind(Value::Object(fields).to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    let Some(row) = rows.first() else {
        // Somebody made one with this key at this very moment.
        let message = "a session with this key is being made; try again";
        return Err(SessionsError::new(
            StatusCode::CONFLICT,
            "try_again",
            message,
        ));
    };
    let status = match row.get(1) {
        Some("t") => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    document(status, &rows, WHAT)
}

/// A session alone, or with everything that one wants to see first.
pub(crate) async fn show(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session, WHAT)?;
    let sql = if call.flag("details") {
        let many = |name, usual: u64| {
            let asked = call.number(name)?.unwrap_or(usual);
            Ok::<_, SessionsError>(asked.min(1000).to_string())
        };
        SqlBuf::fixed("SELECT work.session_details($1::uuid, $2::integer, $3::integer)")
            .bind(session)
            .bind(many("messages", 50)?)
            .bind(many("jobs", 20)?)
    } else {
        SqlBuf::fixed(include_str!("../../sql/session.sql")).bind(session)
    };
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn change(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["key", "title", "status", "metadata", "keep_checkpoints"])?;
    changed(&room, &session, &call, &Value::Object(fields)).await
}

pub(crate) async fn archive(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    changed(&room, &session, &call, &json!({"status": "archived"})).await
}

async fn changed(room: &Sessions, session: &str, call: &Call, fields: &Value) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/change_session.sql"))
        .bind(id(session, WHAT)?)
        .bind(fields.to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

/// Marks a session as deleted, or deletes it with `?hard=true`.
pub(crate) async fn delete(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql =
        SqlBuf::fixed("SELECT to_jsonb(s) FROM work.delete_session($1::uuid, $2::boolean) AS s")
            .bind(id(&session, WHAT)?)
            .bind(call.flag("hard").to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn make_claim_key(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed("SELECT work.make_claim_key($1::uuid)").bind(id(&session, WHAT)?);
    let rows = room.store.write(&call.caller, sql).await?;
    let key = rows.scalar().unwrap_or_default();
    Ok(answer(
        StatusCode::CREATED,
        json!({"claim_key": key}).to_string(),
    ))
}

pub(crate) async fn claim(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let fields = call.object(&["claim_key"])?;
    let Some(key) = fields.get("claim_key").and_then(Value::as_str) else {
        return Err(SessionsError::invalid("`claim_key` is missing"));
    };
    let sql = SqlBuf::fixed("SELECT to_jsonb(s) FROM work.claim_session($1::text) AS s");
    let rows = room
        .store
        .write(&call.caller, sql.bind(key.to_owned()))
        .await?;
    document(StatusCode::OK, &rows, WHAT)
}

pub(crate) async fn timeline(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/timeline.sql"))
        .bind(id(&session, WHAT)?)
        .bind(call.cursor("after")?)
        .bind(call.cursor("before")?)
        .bind(call.limit(EVENTS)?);
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, WHAT)
}

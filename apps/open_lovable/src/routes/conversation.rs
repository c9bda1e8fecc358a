//! `/api/conversation-state-v2`: a session in the shape that the first version
//! kept in its process.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Map, Value, json};

use super::sessions::NOT_FOUND;
use crate::call::{Call, id, object_or_none, text_or_none};
use crate::error::{ApiError, Result};
use crate::room::OpenLovable;
use crate::state::exported;
use crate::store::json;

const WHAT: &str = "Failed to process conversation state";
/// What clearing leaves, as in the first version.
const MESSAGES_KEPT: &str = "5";
const EDITS_KEPT: &str = "3";
const CHANGES_KEPT: &str = "2";

fn done(body: &Value) -> Response {
    json(StatusCode::OK, body.to_string())
}

/// Without a session there is no state, which is no error.
pub(crate) async fn show(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let none = |why: &str| json!({"success": true, "state": null, "message": why});
    let Some(asked) = call.asked("sessionId") else {
        return Ok(done(&none("No session ID provided")));
    };
    let mut found = None;
    if let Some(session) = id(&asked) {
        let sql = SqlBuf::fixed(include_str!("../../sql/conversation.sql")).bind(session);
        let rows = app.store.one(&call.caller, WHAT, sql).await?;
        found = rows
            .scalar()
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
    }
    Ok(done(&match found {
        Some(session) => json!({"success": true, "state": exported(&session)}),
        None => none(NOT_FOUND),
    }))
}

/// `reset`, `clear-old` or `update`.
pub(crate) async fn act(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let body = call.object()?;
    let empty = Map::new();
    let data = body
        .get("data")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let action = body.get("action").and_then(Value::as_str);
    match action {
        Some("reset") => reset(&app, &call, data).await,
        Some("clear-old") => {
            let session = needed(body.get("sessionId").and_then(Value::as_str))?;
            clear_old(&app, &call, session).await
        }
        Some("update") => {
            let session = needed(body.get("sessionId").and_then(Value::as_str))?;
            update(&app, &call, session, data).await
        }
        _ => Err(ApiError::bad(
            "Invalid action. Use \"reset\", \"clear-old\", or \"update\"",
        )),
    }
}

/// An id that must be there; what cannot be one is nobody's.
fn needed(session: Option<&str>) -> Result<String> {
    let session = session.filter(|session| !session.is_empty());
    let session = session.ok_or_else(|| ApiError::bad("sessionId is required"))?;
    id(session).ok_or_else(|| ApiError::not_found(NOT_FOUND))
}

async fn reset(app: &OpenLovable, call: &Call, data: &Map<String, Value>) -> Result<Response> {
    let title = text_or_none(data, "title")?.filter(|title| !title.is_empty());
    let metadata = object_or_none(data, "metadata")?;
    let sql = SqlBuf::fixed(
        "INSERT INTO work.sessions (title, metadata) VALUES ($1, $2::jsonb) RETURNING id",
    );
    let sql = sql
        .bind(title.unwrap_or_else(|| "New Session".to_owned()))
        .bind(metadata.map_or_else(|| "{}".to_owned(), Value::to_string));
    let rows = app.store.one(&call.caller, WHAT, sql).await?;
    Ok(done(&json!({
        "success": true, "message": "New session created", "sessionId": rows.scalar(),
    })))
}

/// Leaves the newest messages, edits and changes; the others are gone.
async fn clear_old(app: &OpenLovable, call: &Call, session: String) -> Result<Response> {
    let messages = SqlBuf::fixed(include_str!("../../sql/clear_messages.sql"))
        .bind(session.clone())
        .bind(MESSAGES_KEPT.to_owned());
    let notes = SqlBuf::fixed(include_str!("../../sql/clear_notes.sql"))
        .bind(session)
        .bind(EDITS_KEPT.to_owned())
        .bind(CHANGES_KEPT.to_owned());
    let rows = app
        .store
        .all(&call.caller, WHAT, vec![messages, notes])
        .await?;
    told(rows.scalar(), "Old messages cleared")
}

/// Topic and preferences; whatever else the metadata hold stays.
async fn update(
    app: &OpenLovable,
    call: &Call,
    session: String,
    data: &Map<String, Value>,
) -> Result<Response> {
    let preferences = object_or_none(data, "userPreferences")?;
    let sql = SqlBuf::fixed(include_str!("../../sql/update_conversation.sql"))
        .bind(session)
        .bind(text_or_none(data, "currentTopic")?)
        .bind(preferences.map_or_else(|| "{}".to_owned(), Value::to_string));
    let rows = app.store.one(&call.caller, WHAT, sql).await?;
    told(rows.scalar(), "Session updated")
}

fn told(session: Option<&str>, message: &str) -> Result<Response> {
    let session = session.ok_or_else(|| ApiError::not_found(NOT_FOUND))?;
    Ok(done(
        &json!({"success": true, "message": message, "sessionId": session}),
    ))
}

pub(crate) async fn archive(State(app): State<Arc<OpenLovable>>, call: Call) -> Result<Response> {
    let session = needed(call.asked("sessionId").as_deref())?;
    let sql = SqlBuf::fixed(
        "UPDATE work.sessions AS s SET status = 'archived' WHERE s.id = $1::uuid RETURNING s.id",
    );
    let rows = app.store.one(&call.caller, WHAT, sql.bind(session)).await?;
    if rows.is_empty() {
        return Err(ApiError::not_found(NOT_FOUND));
    }
    Ok(done(
        &json!({"success": true, "message": "Session archived"}),
    ))
}

//! Messages of a session: appended in order, read in windows, searched.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use pg::SqlBuf;
use serde_json::{Map, Value};

use crate::call::{Call, id, only};
use crate::error::{Result, SessionsError};
use crate::room::Sessions;
use crate::store::document;

/// Messages in a window, when nobody says how many.
const WINDOW: u32 = 50;
/// Messages that a search finds, likewise.
const FOUND: u32 = 20;
const FIELDS: [&str; 8] = [
    "id",
    "key",
    "role",
    "content",
    "parts",
    "metadata",
    "job_id",
    "created_at",
];

/// One message, or `{"messages": […]}`. Those whose key is there already are
/// answered as they are.
pub(crate) async fn append(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = id(&session, "session")?;
    let given = match call.json()? {
        Value::Object(mut object) if object.contains_key("messages") => {
            only(&object, &["messages"])?;
            object.remove("messages").unwrap_or_default()
        }
        Value::Array(many) => Value::Array(many),
        one => Value::Array(vec![one]),
    };
    for message in given.as_array().into_iter().flatten() {
        let object = message.as_object();
        let object = object.ok_or_else(|| SessionsError::invalid("a message is an object"))?;
        check(object)?;
    }
    let sql = SqlBuf::fixed(include_str!("../../sql/append_messages.sql"))
        .bind(session)
        .bind(given.to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::CREATED, &rows, "session")
}

fn check(message: &Map<String, Value>) -> Result<()> {
    only(message, &FIELDS)?;
    if message
        .get("content")
        .is_some_and(|content| !content.is_string())
    {
        return Err(SessionsError::invalid(
            "`content` is text; other things are `parts`",
        ));
    }
    Ok(())
}

pub(crate) async fn list(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(include_str!("../../sql/list_messages.sql"))
        .bind(id(&session, "session")?)
        .bind(call.cursor("after")?)
        .bind(call.cursor("before")?)
        .bind(call.flag("superseded").to_string())
        .bind(call.limit(WINDOW)?);
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "session")
}

pub(crate) async fn search(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let Some(words) = call.asked("q") else {
        return Err(SessionsError::invalid("`q` says what to look for"));
    };
    let sql = SqlBuf::fixed(include_str!("../../sql/search_messages.sql"))
        .bind(words)
        .bind(call.asked_id("session_id", "session")?)
        .bind(call.limit(FOUND)?);
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "message")
}

pub(crate) async fn change(
    State(room): State<Arc<Sessions>>,
    Path(message): Path<String>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["content", "parts", "metadata"])?;
    check(&fields)?;
    let sql = SqlBuf::fixed(include_str!("../../sql/change_message.sql"))
        .bind(id(&message, "message")?)
        .bind(Value::Object(fields).to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "message")
}

pub(crate) async fn delete(
    State(room): State<Arc<Sessions>>,
    Path(message): Path<String>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(
        "DELETE FROM work.messages AS m WHERE m.id = $1::uuid RETURNING to_jsonb(m) - 'search'",
    );
    let sql = sql.bind(id(&message, "message")?);
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "message")
}

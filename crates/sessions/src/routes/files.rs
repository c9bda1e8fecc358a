//! The files of a session: listed, read and written as bytes, one by one or
//! many in one transaction.
//!
//! A file's `ETag` is the hash of its bytes. `If-Match` and `If-None-Match: *`
//! refuse a write when the file is not what its writer believes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pg::{Row, SqlBuf};
use serde_json::{Value, json};

use crate::call::{Call, id, only};
use crate::error::{Result, SessionsError};
use crate::hex;
use crate::room::Sessions;
use crate::store::document;

/// Files in a list, when nobody says how many.
const LISTED: u32 = 1000;
/// `644` or `755`.
static FILE_MODE: HeaderName = HeaderName::from_static("x-file-mode");

pub(crate) async fn list(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let checkpoint = call.asked_id("checkpoint", "checkpoint")?;
    let (sql, what) = match &checkpoint {
        None => (include_str!("../../sql/list_files.sql"), "session"),
        Some(_) => (include_str!("../../sql/list_tree.sql"), "checkpoint"),
    };
    let folder = call.asked("folder");
    let folder = folder.map(|folder| folder.trim_end_matches('/').to_owned());
    let mut sql = SqlBuf::fixed(sql)
        .bind(id(&session, "session")?)
        .bind(folder)
        .bind(call.asked("after"))
        .bind(call.limit(LISTED)?);
    if let Some(checkpoint) = checkpoint {
        sql = sql.bind(checkpoint);
    }
    let rows = room.store.read(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, what)
}

pub(crate) async fn get(
    State(room): State<Arc<Sessions>>,
    Path((session, path)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let session = id(&session, "session")?;
    let sql = match call.asked_id("checkpoint", "checkpoint")? {
        None => SqlBuf::fixed(include_str!("../../sql/file.sql"))
            .bind(session)
            .bind(path),
        Some(checkpoint) => SqlBuf::fixed(include_str!("../../sql/tree_file.sql"))
            .bind(session)
            .bind(path)
            .bind(checkpoint),
    };
    let rows = room.store.read(&call.caller, sql).await?;
    let row = rows.first();
    let row = row.ok_or_else(|| SessionsError::not_found("file"))?;
    let known = call.header("if-none-match").map(unquoted);
    if known.is_some() && known == row.get(0) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        tag(response.headers_mut(), &row);
        return Ok(response);
    }
    let bytes = row.get(2).and_then(hex::decode);
    let bytes = bytes.ok_or_else(|| SessionsError::not_found("file"))?;
    let mut response = Response::new(Body::from(bytes));
    tag(response.headers_mut(), &row);
    // Somebody's page must not run as ours, whatever its name says it is.
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert("x-content-type-options", nosniff);
    Ok(response)
}

fn tag(headers: &mut HeaderMap, row: &Row<'_>) {
    let mut hash = String::from("\"");
    hash.push_str(row.get(0).unwrap_or_default());
    hash.push('"');
    if let Ok(hash) = HeaderValue::try_from(hash) {
        headers.insert(ETAG, hash);
    }
    if let Ok(mode) = HeaderValue::from_str(row.get(1).unwrap_or_default()) {
        headers.insert(&FILE_MODE, mode);
    }
}

fn unquoted(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

/// What the file must be now for the write to count: a hash, `null` for none,
/// or nothing when it does not matter.
fn expected(call: &Call) -> Option<Value> {
    match call.header("if-match").map(unquoted) {
        Some(hash) if hash != "*" => Some(json!(hash)),
        _ => (call.header("if-none-match") == Some("*")).then_some(Value::Null),
    }
}

pub(crate) async fn put(
    State(room): State<Arc<Sessions>>,
    Path((session, path)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let sql = SqlBuf::fixed(
        "SELECT f, f ->> 'change' = 'added' FROM work.put_file($1::uuid, $2::text, $3::bytea, $4::text, $5::jsonb) AS f",
    );
    let sql = sql
        .bind(id(&session, "session")?)
        .bind(path)
        .bind(hex::encode(&call.body))
        .bind(call.header(FILE_MODE.as_str()).map(str::to_owned))
        .bind(expected(&call).map(|hash| hash.to_string()));
    let rows = room.store.write(&call.caller, sql).await?;
    let status = match rows.first().and_then(|row| row.get(1)) {
        Some("t") => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    document(status, &rows, "session")
}

pub(crate) async fn delete(
    State(room): State<Arc<Sessions>>,
    Path((session, path)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let mut change = json!({"op": "delete", "path": path});
    if let (Some(object), Some(hash)) = (change.as_object_mut(), expected(&call)) {
        object.insert("if_sha256".to_owned(), hash);
    }
    let sql = SqlBuf::fixed("SELECT work.write_files($1::uuid, $2::jsonb) -> 0");
    let sql = sql
        .bind(id(&session, "session")?)
        .bind(json!([change]).to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "session")
}

/// `{"changes": […]}`: all of them or none.
pub(crate) async fn write(
    State(room): State<Arc<Sessions>>,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let Value::Object(object) = call.json()? else {
        return Err(SessionsError::invalid("the body is not an object"));
    };
    only(&object, &["changes"])?;
    let changes = object.get("changes").unwrap_or(&Value::Null);
    let sql = SqlBuf::fixed(
        "SELECT jsonb_build_object('changes', work.write_files($1::uuid, $2::jsonb))",
    );
    let sql = sql.bind(id(&session, "session")?).bind(changes.to_string());
    let rows = room.store.write(&call.caller, sql).await?;
    document(StatusCode::OK, &rows, "session")
}

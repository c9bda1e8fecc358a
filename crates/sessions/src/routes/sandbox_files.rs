//! Files inside a sandbox. Its workspace outside does not change by them; a
//! snapshot does that.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};

use super::sandboxes::{opened, reply};
use crate::call::{Call, only};
use crate::error::{Result, SessionsError};
use crate::room::Sessions;

/// Changes of one request; a body has 12 MiB anyway.
const CHANGES_MAX: usize = 1000;
/// Named in lists, not looked into, unless they are what is asked for.
const CLOSED: &[&str] = &["node_modules", ".git"];

type At = Path<(String, String, String)>;

pub(crate) async fn index(
    State(room): State<Arc<Sessions>>,
    Path((session, id)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    let folder = call.asked("folder").unwrap_or_default();
    let depth = call.number("depth")?.unwrap_or(1).max(1);
    let depth = u32::try_from(depth).unwrap_or(u32::MAX);
    let files = open.list(&folder, depth, CLOSED).await?;
    reply(StatusCode::OK, &json!({"files": files}))
}

pub(crate) async fn read(
    State(room): State<Arc<Sessions>>,
    Path((session, id, path)): At,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    let mut response = Response::new(Body::from(open.read(&path).await?));
    let headers = response.headers_mut();
    // Somebody's page must not run as ours, whatever its name says it is.
    let kind = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, kind);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert("x-content-type-options", nosniff);
    Ok(response)
}

pub(crate) async fn put(
    State(room): State<Arc<Sessions>>,
    Path((session, id, path)): At,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    let size = call.body.len();
    open.write(&[(path.clone(), call.body)]).await?;
    reply(StatusCode::OK, &json!({"path": path, "size": size}))
}

pub(crate) async fn delete(
    State(room): State<Arc<Sessions>>,
    Path((session, id, path)): At,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    open.remove(std::slice::from_ref(&path)).await?;
    reply(StatusCode::OK, &json!({"path": path}))
}

enum Change {
    Put(String, Bytes),
    Delete(String),
}

/// `{"changes": [{path, content | content_base64} | {"op": "delete", path}]}`,
/// one after the other.
pub(crate) async fn write(
    State(room): State<Arc<Sessions>>,
    Path((session, id)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let fields = call.object(&["changes"])?;
    let changes = fields.get("changes").and_then(Value::as_array);
    let changes = changes.filter(|changes| (1..=CHANGES_MAX).contains(&changes.len()));
    let changes =
        changes.ok_or_else(|| SessionsError::invalid("`changes` is a list of 1 to 1000"))?;
    // All are understood before one is made.
    let changes = changes.iter().map(change).collect::<Result<Vec<_>>>()?;
    let open = opened(&room, &call, (&session, &id)).await?;
    let count = changes.len();
    for change in changes {
        match change {
            Change::Put(path, bytes) => open.write(&[(path, bytes)]).await?,
            Change::Delete(path) => open.remove(&[path]).await?,
        }
    }
    reply(StatusCode::OK, &json!({"changed": count}))
}

fn change(value: &Value) -> Result<Change> {
    let wrong = || SessionsError::invalid("a change is {path, content} or {op: delete, path}");
    let fields: &Map<String, Value> = value.as_object().ok_or_else(wrong)?;
    only(fields, &["op", "path", "content", "content_base64"])?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let path = text("path").ok_or_else(wrong)?.to_owned();
    match (
        text("op").unwrap_or("put"),
        text("content"),
        text("content_base64"),
    ) {
        ("delete", None, None) => Ok(Change::Delete(path)),
        ("put", Some(content), None) => Ok(Change::Put(path, content.to_owned().into())),
        ("put", None, Some(content)) => {
            let bytes = STANDARD.decode(content).map_err(|_| wrong())?;
            Ok(Change::Put(path, bytes.into()))
        }
        _ => Err(wrong()),
    }
}

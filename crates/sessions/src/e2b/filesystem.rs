//! What lies where, by calls of Connect with JSON.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::door::{full, kind, open, path};
use super::{Refusal, Result};
use crate::call::Call;
use crate::ports::{Entry, Kind};
use crate::room::Sessions;
use crate::sandboxes::{Open, refused};

pub(super) async fn call(
    State(room): State<Arc<Sessions>>,
    Path(name): Path<String>,
    call: Call,
) -> Response {
    match answer(&room, &name, &call).await {
        Ok(body) => axum::Json(body).into_response(),
        Err(refusal) => refusal.of_call(),
    }
}

async fn answer(room: &Sessions, name: &str, call: &Call) -> Result<Value> {
    let open = open(room, call)?;
    let asked = call.json()?;
    let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default();
    let contained = &open.live.contained;
    match name {
        "Stat" => Ok(json!({"entry": stat(&open, &path(text("path"))?).await?})),
        "ListDir" => {
            let depth = asked.get("depth").and_then(Value::as_u64).unwrap_or(1);
            let depth = u32::try_from(depth.max(1)).unwrap_or(u32::MAX);
            let folder = path(text("path"))?;
            let found = open.list(&folder, depth, &[]).await?;
            let entries: Vec<_> = found.iter().map(described).collect();
            Ok(json!({"entries": entries}))
        }
        "MakeDir" => {
            let at = path(text("path"))?;
            if !contained.make_folder(at.clone()).await.map_err(refused)? {
                let message = format!("directory already exists: {}", full(&at));
                return Err(Refusal::new(StatusCode::CONFLICT, message));
            }
            Ok(json!({"entry": stat(&open, &at).await?}))
        }
        "Move" => {
            let (from, to) = (path(text("source"))?, path(text("destination"))?);
            contained.rename(from, to.clone()).await.map_err(refused)?;
            Ok(json!({"entry": stat(&open, &to).await?}))
        }
        "Remove" => {
            let at = path(text("path"))?;
            contained.remove(at).await.map_err(refused)?;
            Ok(json!({}))
        }
        _ => Err(super::nothing().await),
    }
}

async fn stat(open: &Open, at: &str) -> Result<Value> {
    let found = open.live.contained.stat(at.to_owned()).await;
    Ok(described(&found.map_err(refused)?))
}

fn described(entry: &Entry) -> Value {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let modified = jiff::Timestamp::from_nanosecond(entry.modified_ns).ok();
    json!({
        "name": name,
        "type": kind(entry.kind),
        "path": full(&entry.path),
        // Numbers of 64 bits are texts in this JSON.
        "size": entry.size.to_string(),
        "mode": entry.mode & 0o7777,
        "permissions": permissions(entry),
        "owner": "user",
        "group": "user",
        "modifiedTime": modified.map(|time| time.to_string()),
    })
}

/// As `ls -l` has it.
fn permissions(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::Folder => 'd',
        Kind::Link => 'l',
        Kind::File | Kind::Other => '-',
    };
    let mut text = String::from(kind);
    for shift in [6, 3, 0] {
        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
            let set = entry.mode >> shift & bit != 0;
            text.push(if set { letter } else { '-' });
        }
    }
    text
}

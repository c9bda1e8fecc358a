//! The original's `/preview`: the same shapes, but no page. What a model has
//! written is shown on an origin of its own, never on the API's, so a browser
//! is sent there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use kernel::Caller;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::Asker;
use crate::error::{AppError, Result};
use crate::room::Lovable;
use crate::turns;

type App = State<Arc<Lovable>>;

pub(crate) async fn show(
    State(app): App,
    Path(name): Path<String>,
    Asker(caller): Asker,
) -> Result<Response> {
    there(&app, &caller, &name, "").await
}

pub(crate) async fn show_path(
    State(app): App,
    Path((name, path)): Path<(String, String)>,
    Asker(caller): Asker,
) -> Result<Response> {
    there(&app, &caller, &name, &path).await
}

async fn there(app: &Lovable, caller: &Caller, name: &str, path: &str) -> Result<Response> {
    let session = session(app, caller, name).await?;
    let address = app.address(caller, session).await;
    let address = address.ok_or_else(|| AppError::not_found("preview: build it first"))?;
    let address = address.trim_end_matches('/');
    // Only a path: nothing of it can change whose origin this is.
    let whole = [address, "/", path.trim_start_matches('/')].concat();
    Ok(Redirect::temporary(&whole).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Build {
    #[serde(default)]
    background: Option<String>,
}

/// A build is a turn that only installs and shows. It always goes on in the
/// background; without `background=true` this waits for as long as a request may.
pub(crate) async fn build(
    State(app): App,
    Path(name): Path<String>,
    Query(asked): Query<Build>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = session(&app, &caller, &name).await?;
    let before = progress(&app, &caller, session).await?;
    if before.status() == "building" {
        return Ok(Json(
            json!({"status": "building", "message": "Build already in progress"}),
        ));
    }
    turns::refresh(&app.store, &caller, session).await?;
    if asked.background.as_deref() == Some("true") {
        return Ok(Json(
            json!({"status": "building", "message": "Build started in background"}),
        ));
    }
    for _ in 0..WAITS {
        tokio::time::sleep(WAIT).await;
        let now = progress(&app, &caller, session).await?;
        match now.status() {
            "success" => {
                return Ok(Json(json!({
                    "status": "success", "message": "Build completed", "build_time": now.build_time
                })));
            }
            "error" => return Ok(Json(json!({"status": "error", "error": now.error}))),
            _ => {}
        }
    }
    Ok(Json(
        json!({"status": "building", "message": "Build is still running"}),
    ))
}

/// How long a request waits for a build: less than the gateway gives it.
const WAIT: std::time::Duration = std::time::Duration::from_millis(500);
const WAITS: u32 = 40;

pub(crate) async fn status(
    State(app): App,
    Path(name): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = session(&app, &caller, &name).await?;
    let now = progress(&app, &caller, session).await?;
    let first = now.logs.len().saturating_sub(20);
    Ok(Json(json!({
        "status": now.status(), "error": now.error, "build_time": now.build_time,
        "logs": now.logs.get(first..).unwrap_or_default()
    })))
}

pub(crate) async fn logs(
    State(app): App,
    Path(name): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = session(&app, &caller, &name).await?;
    let now = progress(&app, &caller, session).await?;
    Ok(Json(json!({"logs": now.logs})))
}

/// The last build, as the original names it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Progress {
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) build_time: Option<f64>,
    #[serde(default)]
    logs: Vec<String>,
}

impl Progress {
    fn status(&self) -> &'static str {
        match self.state.as_deref() {
            Some("queued" | "running" | "paused") => "building",
            Some("completed") if self.url.is_some() => "success",
            Some(_) => "error",
            None => "pending",
        }
    }
}

/// How far the last build is.
pub(crate) async fn progress(app: &Lovable, caller: &Caller, session: Uuid) -> Result<Progress> {
    let sql = SqlBuf::fixed(include_str!("../../sql/last_build.sql")).bind(session.to_string());
    let what = "Failed to read the last build";
    let read = app.store.document(caller, what, sql).await?;
    Ok(read.unwrap_or_default())
}

async fn session(app: &Lovable, caller: &Caller, name: &str) -> Result<Uuid> {
    let sql = SqlBuf::fixed("SELECT to_jsonb(lovable.session_of($1))").bind(name.to_owned());
    let found = app
        .store
        .document(caller, "Failed to find the session", sql)
        .await?;
    found.ok_or_else(|| AppError::not_found("session"))
}

//! What the page asks about sessions. Turns are begun here and done elsewhere;
//! what they do is in the session's log, which `events` follows.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use kernel::Caller;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::{self, Asker, Body, id};
use crate::error::{AppError, Result};
use crate::files;
use crate::room::Lovable;
use crate::turns;
use crate::zip::Zip;

type App = State<Arc<Lovable>>;

/// Bytes of an archive at most; a session's files may be as large.
const ZIP_BYTES_MAX: usize = 256 << 20;

/// The caller's sessions, the last changed first.
pub(crate) async fn list(State(app): App, Asker(caller): Asker) -> Result<Json<Value>> {
    let sql = SqlBuf::fixed(include_str!("../../sql/list_sessions.sql"));
    let what = "Failed to list the sessions";
    let read: Option<Value> = app.store.document(&caller, what, sql).await?;
    Ok(Json(json!({"sessions": read.unwrap_or_default()})))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Create {
    /// The client's own name for it: the same name is the same session.
    session_id: Option<String>,
}

pub(crate) async fn create(
    State(app): App,
    Asker(caller): Asker,
    Body(body): Body<Create>,
) -> Result<Response> {
    let name = body
        .session_id
        .unwrap_or_else(|| app.rng.uuid().to_string());
    let opened = turns::open(&app.store, &caller, &name).await?;
    let status = if opened.exists {
        http::StatusCode::OK
    } else {
        http::StatusCode::CREATED
    };
    Ok((status, Json(json!({"id": opened.id, "session_id": name}))).into_response())
}

/// All that is shown of one.
pub(crate) async fn show(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let mut state = turns::state(&app.store, &caller, session).await?;
    let preview = app.address(&caller, session).await;
    if let Some(state) = state.as_object_mut() {
        state.insert("preview".to_owned(), json!(preview));
    }
    Ok(Json(state))
}

pub(crate) async fn delete(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let sql = SqlBuf::fixed(include_str!("../../sql/delete_session.sql")).bind(session.to_string());
    let what = "Failed to delete the session";
    let gone: Option<Value> = app.store.document(&caller, what, sql).await?;
    Ok(Json(json!({"deleted": gone})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    text: String,
    /// Sent again, it is the same turn.
    #[serde(default)]
    key: Option<String>,
}

pub(crate) async fn begin(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
    Body(body): Body<Begin>,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let begun = turns::begin(&app.store, &caller, session, &body.text, body.key).await?;
    Ok(Json(json!(begun)))
}

/// Stops every turn that is not over.
pub(crate) async fn stop(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let sql = SqlBuf::fixed(include_str!("../../sql/stop_turns.sql")).bind(session.to_string());
    let what = "Failed to stop the turn";
    let stopped: Option<Value> = app.store.document(&caller, what, sql).await?;
    Ok(Json(json!({"stopped": stopped.unwrap_or_default()})))
}

/// Installs and shows what the files are now.
pub(crate) async fn refresh(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let job = turns::refresh(&app.store, &caller, session).await?;
    Ok(Json(json!({"job_id": job})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    checkpoint_id: Uuid,
    #[serde(default)]
    title: Option<String>,
}

pub(crate) async fn restore(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
    Body(body): Body<Checkpoint>,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let done = turns::restore(&app.store, &caller, session, body.checkpoint_id).await?;
    Ok(Json(done))
}

pub(crate) async fn fork(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
    Body(body): Body<Checkpoint>,
) -> Result<Json<Value>> {
    id(&session, "session")?;
    let done = turns::fork(&app.store, &caller, body.checkpoint_id, body.title).await?;
    Ok(Json(done))
}

#[derive(Deserialize)]
pub(crate) struct At {
    path: String,
    #[serde(default)]
    checkpoint: Option<Uuid>,
}

/// A file's text, now or as it was at a checkpoint.
pub(crate) async fn file(
    State(app): App,
    Path(session): Path<String>,
    Query(at): Query<At>,
    Asker(caller): Asker,
) -> Result<Json<Value>> {
    let session = id(&session, "session")?;
    let text = files::text(&app.store, &caller, session, &at.path, at.checkpoint).await?;
    let text = text.ok_or_else(|| AppError::not_found("text file"))?;
    Ok(Json(json!({"path": at.path, "content": text})))
}

/// The log, on whichever wire is asked for: see the sessions room.
pub(crate) async fn events(
    State(app): App,
    Path(session): Path<String>,
    request: Request,
) -> Result<Response> {
    let session = id(&session, "session")?;
    let (mut parts, body) = request.into_parts();
    // Where the app is open, the log is read as its demo owner.
    let caller = call::caller(&parts, &app)?;
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, body);
    Ok(app.sessions.streams().serve(session, request).await)
}

/// All files as an archive, read one after the other while it is sent.
pub(crate) async fn zip(
    State(app): App,
    Path(session): Path<String>,
    Asker(caller): Asker,
) -> Result<Response> {
    let session = id(&session, "session")?;
    // A session of somebody else has no files; it must not look like an empty one.
    turns::state(&app.store, &caller, session).await?;
    let listed = files::list(&app.store, &caller, session).await?;
    let paths: Vec<String> = listed.into_iter().map(|file| file.path).collect();
    let body = HttpBody::from_stream(stream::try_unfold(
        Archive {
            app,
            caller,
            session,
            paths: paths.into_iter(),
            zip: Some(Zip::default()),
            bytes: 0,
        },
        Archive::next,
    ));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (
            CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"app.zip\""),
        ),
    ];
    Ok((headers, body).into_response())
}

struct Archive {
    app: Arc<Lovable>,
    caller: Caller,
    session: Uuid,
    paths: std::vec::IntoIter<String>,
    zip: Option<Zip>,
    bytes: usize,
}

impl Archive {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, std::io::Error> {
        let too_large = |_| std::io::Error::other("the archive is too large");
        for path in self.paths.by_ref() {
            let read = files::bytes(&self.app.store, &self.caller, self.session, &path).await;
            // Gone since it was listed.
            let Some(content) = read.map_err(|error| std::io::Error::other(error.to_string()))?
            else {
                continue;
            };
            self.bytes += content.len();
            if self.bytes > ZIP_BYTES_MAX {
                return Err(std::io::Error::other("the archive is too large"));
            }
            let Some(zip) = &mut self.zip else {
                return Ok(None);
            };
            let piece = zip.file(&path, &content).map_err(too_large)?;
            return Ok(Some((piece.into(), self)));
        }
        match self.zip.take() {
            Some(zip) => Ok(Some((zip.end().map_err(too_large)?.into(), self))),
            None => Ok(None),
        }
    }
}

//! Where a song is sent to, and saying that it has arrived.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use pg::SqlBuf;
use serde_json::{Value, json};

use crate::call::{Call, id, text};
use crate::error::{ApiError, Result};
use crate::files::{BUCKET, audio_path};
use crate::room::Omvee;
use crate::store::json;

/// What a song may be.
const AUDIO: [&str; 9] = [
    "audio/mpeg",
    "audio/mp3",
    "audio/wav",
    "audio/m4a",
    "audio/aac",
    "audio/ogg",
    "audio/flac",
    "audio/x-wav",
    "audio/mp4",
];

const TEXT_CHARS_MAX: usize = 1000;
/// What is written about a file whose size says nothing.
const SECONDS_UNKNOWN: f64 = 180.0;
/// The original's guess: a minute for each megabyte.
const SECONDS_PER_BYTE: f64 = 60.0 / 1_048_576.0;

/// `POST /api/uploads/presign`.
pub(crate) async fn presign(State(app): State<Arc<Omvee>>, call: Call) -> Result<Response> {
    let body = call.object()?;
    let filename = text(&body, "filename", TEXT_CHARS_MAX)?;
    text(&body, "content_type", TEXT_CHARS_MAX)?;
    let project = text(&body, "project_id", TEXT_CHARS_MAX)?;
    let project = id(&project).ok_or(ApiError::field(
        "uuid_parsing",
        "project_id",
        "Input should be a valid UUID",
    ))?;
    Ok(json(
        signed(&app, &call, &project, &filename).await?.to_string(),
    ))
}

/// `POST /api/projects/{id}/upload-audio`.
pub(crate) async fn upload_audio(
    State(app): State<Arc<Omvee>>,
    Path(project): Path<String>,
    call: Call,
) -> Result<Response> {
    let project = id(&project).ok_or_else(ApiError::no_project)?;
    let body = call.object()?;
    let filename = text(&body, "filename", TEXT_CHARS_MAX)?;
    let kind = text(&body, "content_type", TEXT_CHARS_MAX)?;
    if !AUDIO.contains(&kind.as_str()) {
        let allowed = AUDIO.join(", ");
        return Err(ApiError::bad(format!(
            "Content type {kind} not allowed. Allowed types: {allowed}"
        )));
    }
    let mut answer = signed(&app, &call, &project, &filename).await?;
    if let Value::Object(answer) = &mut answer {
        let how = json!({"method": "PUT", "content_type": kind, "headers": {"Content-Type": kind}});
        answer.insert("upload_instructions".to_owned(), how);
    }
    Ok(json(answer.to_string()))
}

/// An address for a file of the caller's project. Storage asks its own
/// policies as the caller; that the project is theirs is asked first, because
/// somebody else's project does not exist.
async fn signed(app: &Omvee, call: &Call, project: &str, filename: &str) -> Result<Value> {
    let sql = SqlBuf::fixed("SELECT p.id FROM omvee.projects AS p WHERE p.id = $1::uuid");
    let what = "Failed to presign upload";
    let found = app
        .store
        .one(&call.caller, what, sql.bind(project.to_owned()))
        .await?;
    if found.is_empty() {
        return Err(ApiError::no_project());
    }
    let path = audio_path(project, filename);
    let url = app.files.sign_upload(&call.caller, BUCKET, &path).await?;
    Ok(json!({
        "signed_url": url,
        "file_path": path,
        "public_url": app.files.public_url(BUCKET, &path),
    }))
}

/// `POST /api/projects/{id}/process-audio`: the song has arrived. Which one is
/// said by its public address; nothing is fetched, Storage is asked.
pub(crate) async fn process_audio(
    State(app): State<Arc<Omvee>>,
    Path(project): Path<String>,
    call: Call,
) -> Result<Response> {
    let project = id(&project).ok_or_else(ApiError::no_project)?;
    let body = call.object()?;
    let url = text(&body, "audio_url", TEXT_CHARS_MAX)?;
    let folder = app.files.public_url(BUCKET, &audio_path(&project, "x"));
    let folder = folder.strip_suffix('x').unwrap_or(&folder);
    let name = url
        .split('?')
        .next()
        .and_then(|url| url.strip_prefix(folder));
    // Names that were given out need no escapes but for brackets and the like;
    // whatever else is behind the prefix was not given out.
    let name = name.map(|name| audio_path(&project, &name.replace("%28", "(").replace("%29", ")")));
    let path = name.ok_or_else(|| ApiError::bad("audio_url is not a file of this project"))?;
    let stored = app.files.stored(&call.caller, BUCKET, &path).await?;
    let Some(stored) = stored else {
        return Err(ApiError::bad("Audio file not found. Upload audio first."));
    };
    let format = match body.get("audio_format") {
        Some(Value::String(format)) => format.clone(),
        _ => path
            .rsplit_once('.')
            .map_or("mp3", |(_, end)| end)
            .to_owned(),
    };
    let seconds = duration(stored.size);
    let mut sql = SqlBuf::new();
    sql.lit("UPDATE omvee.projects AS p SET transcription_status = 'ready', audio_path = ")
        .param(path)
        .lit(", audio_url = ")
        .param(url.clone())
        .lit(", audio_format = ")
        .param(format.clone())
        .lit(", audio_duration = ")
        .param(seconds.to_string())
        .lit("::float8 WHERE p.id = ")
        .param(project)
        .lit("::uuid RETURNING p.id");
    let what = "Failed to process audio";
    let rows = app.store.one(&call.caller, what, sql).await?;
    if rows.is_empty() {
        return Err(ApiError::no_project());
    }
    let answer = json!({
        "audio_url": url,
        "audio_duration": seconds,
        "audio_format": format,
        "ready_for_transcription": true,
    });
    Ok(json(answer.to_string()))
}

/// The transcription says it exactly later.
fn duration(size: u64) -> f64 {
    match u32::try_from(size) {
        Ok(size) if size > 0 => (f64::from(size) * SECONDS_PER_BYTE).round().max(1.0),
        _ => SECONDS_UNKNOWN,
    }
}

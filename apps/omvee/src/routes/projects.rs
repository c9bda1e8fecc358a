//! `/api/projects`: what is there, and changing it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use pg::SqlBuf;
use serde_json::{Map, Value, json};

use crate::call::{Call, id, text};
use crate::error::{ApiError, Result};
use crate::files::BUCKET;
use crate::room::Omvee;
use crate::store::{answer, json};

pub(crate) const SHAPE: &str = include_str!("../../sql/shape_project.sql");
/// As long as the original's columns.
const NAME_CHARS_MAX: usize = 255;

/// What of a project a client may change, and what each is.
const FIELDS: [(&str, Kind); 10] = [
    ("name", Kind::Text),
    ("audio_path", Kind::Text),
    ("audio_url", Kind::Text),
    ("audio_duration", Kind::Number),
    ("audio_format", Kind::Text),
    ("transcript_text", Kind::Text),
    ("transcription_status", Kind::Text),
    ("transcription_data", Kind::Object),
    ("transcription_edited", Kind::Flag),
    ("status", Kind::Text),
];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Object,
    Flag,
}

/// The caller's, latest change first.
pub(crate) async fn list(State(app): State<Arc<Omvee>>, call: Call) -> Result<Response> {
    let (skip, limit) = call.page();
    let mut sql = SqlBuf::new();
    sql.lit("SELECT jsonb_build_object('projects', coalesce(jsonb_agg(")
        .lit(SHAPE)
        .lit(" ORDER BY p.updated_at DESC, p.id DESC), '[]'), 'total', ")
        .lit("(SELECT count(*) FROM omvee.projects)) FROM (SELECT * FROM omvee.projects AS p ")
        .lit("ORDER BY p.updated_at DESC, p.id DESC LIMIT ")
        .param(limit)
        .lit("::bigint OFFSET ")
        .param(skip)
        .lit("::bigint) AS p");
    let what = "Failed to list projects";
    answer(&app.store.one(&call.caller, what, sql).await?)
}

pub(crate) async fn create(State(app): State<Arc<Omvee>>, call: Call) -> Result<Response> {
    let name = text(&call.object()?, "name", NAME_CHARS_MAX)?;
    let mut sql = SqlBuf::new();
    sql.lit("INSERT INTO omvee.projects AS p (name) VALUES (")
        .param(name)
        .lit(") RETURNING ")
        .lit(SHAPE);
    let what = "Failed to create project";
    answer(&app.store.one(&call.caller, what, sql).await?)
}

pub(crate) async fn show(
    State(app): State<Arc<Omvee>>,
    Path(project): Path<String>,
    call: Call,
) -> Result<Response> {
    let project = id(&project).ok_or_else(ApiError::no_project)?;
    let mut sql = SqlBuf::new();
    sql.lit("SELECT ")
        .lit(SHAPE)
        .lit(" FROM omvee.projects AS p WHERE p.id = ")
        .param(project)
        .lit("::uuid");
    let what = "Failed to get project";
    answer(&app.store.one(&call.caller, what, sql).await?)
}

/// What is not said, or null, stays as it is; what is not known is not read.
pub(crate) async fn change(
    State(app): State<Arc<Omvee>>,
    Path(project): Path<String>,
    call: Call,
) -> Result<Response> {
    let project = id(&project).ok_or_else(ApiError::no_project)?;
    let given = changes(&call.object()?)?;
    let mut sql = SqlBuf::new();
    sql.lit("WITH given AS (SELECT * FROM jsonb_to_record(")
        .param(Value::Object(given).to_string())
        .lit("::jsonb) AS g (name text, audio_path text, audio_url text, audio_duration float8, ")
        .lit("audio_format text, transcript_text text, transcription_status text, ")
        .lit("transcription_data jsonb, transcription_edited boolean, status text)) ")
        .lit("UPDATE omvee.projects AS p SET name = coalesce(g.name, p.name), ")
        .lit("audio_path = coalesce(g.audio_path, p.audio_path), ")
        .lit("audio_url = coalesce(g.audio_url, p.audio_url), ")
        .lit("audio_duration = coalesce(g.audio_duration, p.audio_duration), ")
        .lit("audio_format = coalesce(g.audio_format, p.audio_format), ")
        .lit("transcript_text = coalesce(g.transcript_text, p.transcript_text), ")
        .lit("transcription_status = coalesce(g.transcription_status, p.transcription_status), ")
        .lit("transcription_data = coalesce(g.transcription_data, p.transcription_data), ")
        .lit("transcription_edited = coalesce(g.transcription_edited, p.transcription_edited), ")
        .lit("status = coalesce(g.status, p.status) FROM given AS g WHERE p.id = ")
        .param(project)
        .lit("::uuid RETURNING ")
        .lit(SHAPE);
    let what = "Failed to update project";
    answer(&app.store.one(&call.caller, what, sql).await?)
}

/// The known fields that say something, each of its kind.
fn changes(body: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut given = Map::new();
    for (name, kind) in FIELDS {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
            continue;
        };
        let wrong = match kind {
            Kind::Text if !value.is_string() => {
                Some(("string_type", "Input should be a valid string"))
            }
            Kind::Number if !value.is_number() => {
                Some(("float_type", "Input should be a valid number"))
            }
            Kind::Object if !value.is_object() => {
                Some(("dict_type", "Input should be a valid dictionary"))
            }
            Kind::Flag if !value.is_boolean() => {
                Some(("bool_type", "Input should be a valid boolean"))
            }
            Kind::Text | Kind::Number | Kind::Object | Kind::Flag => None,
        };
        if let Some((kind, message)) = wrong {
            return Err(ApiError::field(kind, name, message));
        }
        given.insert(name.to_owned(), value.clone());
    }
    if given.contains_key("name") {
        text(&given, "name", NAME_CHARS_MAX)?;
    }
    Ok(given)
}

/// Its files, then the row: who may delete files is said by the project, so it
/// has to be there. What ends in between is done by asking again.
pub(crate) async fn delete(
    State(app): State<Arc<Omvee>>,
    Path(project): Path<String>,
    call: Call,
) -> Result<Response> {
    let project = id(&project).ok_or_else(ApiError::no_project)?;
    let seen = SqlBuf::fixed("SELECT p.id FROM omvee.projects AS p WHERE p.id = $1::uuid");
    let what = "Failed to delete project";
    let seen = seen.bind(project.clone());
    if app.store.one(&call.caller, what, seen).await?.is_empty() {
        return Err(ApiError::no_project());
    }
    let folder = [&project, "/"].concat();
    app.files
        .delete_folder(&call.caller, BUCKET, &folder)
        .await?;
    let sql = SqlBuf::fixed("DELETE FROM omvee.projects AS p WHERE p.id = $1::uuid RETURNING p.id");
    let rows = app.store.one(&call.caller, what, sql.bind(project)).await?;
    if rows.is_empty() {
        return Err(ApiError::no_project());
    }
    let body = json!({"message": "Project deleted successfully"});
    Ok(json(body.to_string()))
}

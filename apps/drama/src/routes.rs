//! `/asset-library`: the original's routes and words.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{Refusal, Result};
use crate::form::{self, Form};
use crate::layout::{Kind, Tag};
use crate::library::{NewAsset, Which};
use crate::room::Drama;
use crate::who::User;

/// The fields that an upload cannot do without.
const WANTED: [&str; 3] = ["project_name", "asset_type", "tag"];

pub(crate) fn library() -> Router<Arc<Drama>> {
    Router::new()
        .route("/list", get(list))
        .route("/upload", post(upload))
        .route("/{asset}", get(bytes).delete(remove))
        .route("/{asset}/metadata", get(metadata))
}

async fn list(State(app): State<Arc<Drama>>, request: Request) -> Result<Response> {
    let (parts, _) = request.into_parts();
    let user = User::of(&parts)?;
    let asked = Asked::of(&parts);
    user.may_be(asked.get("user_id"))?;
    let project = asked.get("project_name").filter(|name| !name.is_empty());
    let project = project.ok_or_else(|| Refusal::bad("project_name is required"))?;
    let (kind, tag) = (asked.kind()?, asked.get("tag").map(tag).transpose()?);
    let found = app.library.list(&user.caller, project, (kind, tag)).await?;
    let (assets, total) = found;
    let answer = json!({
        "assets": assets, "total": total, "user_id": user.id, "project_name": project,
    });
    Ok(Json(answer).into_response())
}

async fn upload(State(app): State<Arc<Drama>>, request: Request) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let user = User::of(&parts)?;
    let Form { fields, file } = form::read(&parts.headers, body, &WANTED).await?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    user.may_be(field("user_id"))?;
    let must =
        |name: &'static str| field(name).ok_or_else(|| Refusal::bad(format!("{name} is required")));
    let metadata = match field("metadata").filter(|text| !text.is_empty()) {
        None => Map::new(),
        Some(text) => {
            serde_json::from_str(text).map_err(|_| Refusal::bad("metadata is no JSON object"))?
        }
    };
    let (project, kind, tag) = (
        must("project_name")?.to_owned(),
        kind(must("asset_type")?)?,
        tag(must("tag")?)?,
    );
    let file = file.ok_or_else(|| Refusal::bad("file is required"))?;
    let new = NewAsset {
        project,
        kind,
        tag,
        filename: file.filename,
        content_type: file.content_type,
        metadata,
    };
    let asset = app.library.add(&user.caller, new, file.bytes).await?;
    let told = [
        "asset_id",
        "asset_type",
        "tag",
        "r2_key",
        "public_url",
        "created_at",
    ];
    let told = told.map(|name| {
        (
            name.to_owned(),
            asset.get(name).cloned().unwrap_or_default(),
        )
    });
    Ok(Json(Value::Object(told.into_iter().collect())).into_response())
}

async fn bytes(
    State(app): State<Arc<Drama>>,
    Path(asset): Path<String>,
    request: Request,
) -> Result<Response> {
    let (user, which) = which(&request.into_parts().0, &asset)?;
    let opened = app.library.open(&user.caller, &which).await?;
    let mut response = Response::new(opened.body);
    response.headers_mut().extend(opened.headers);
    Ok(response)
}

async fn metadata(
    State(app): State<Arc<Drama>>,
    Path(asset): Path<String>,
    request: Request,
) -> Result<Response> {
    let (user, which) = which(&request.into_parts().0, &asset)?;
    let asset = app.library.find(&user.caller, &which).await?;
    Ok(Json(asset).into_response())
}

async fn remove(
    State(app): State<Arc<Drama>>,
    Path(asset): Path<String>,
    request: Request,
) -> Result<Response> {
    let (user, which) = which(&request.into_parts().0, &asset)?;
    app.library.remove(&user.caller, &which).await?;
    let answer = json!({"success": true, "message": "Asset deleted successfully"});
    Ok(Json(answer).into_response())
}

/// Who asks, and for which asset. What cannot be an id is none.
fn which(parts: &Parts, asset: &str) -> Result<(User, Which)> {
    let user = User::of(parts)?;
    let asked = Asked::of(parts);
    user.may_be(asked.get("user_id"))?;
    let which = Which {
        id: Uuid::parse_str(asset).map_err(|_| Refusal::no_asset())?,
        project: asked.get("project_name").map(str::to_owned),
        kind: asked.kind()?,
    };
    Ok((user, which))
}

/// The address's parameters; the first of a name counts.
struct Asked(Vec<(String, String)>);

impl Asked {
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    fn kind(&self) -> Result<Option<Kind>> {
        self.get("asset_type").map(kind).transpose()
    }
}

fn kind(word: &str) -> Result<Kind> {
    Kind::of(word).ok_or_else(|| Refusal::bad("asset_type must be one of: image, video, text"))
}

fn tag(word: &str) -> Result<Tag> {
    Tag::of(word).ok_or_else(|| Refusal::bad("tag must be one of: character, storyboard, clip"))
}

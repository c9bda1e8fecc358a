//! Bytes of files in and out: as they are, or as a form with several.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::door::{full, open, path};
use super::{Refusal, Result};
use crate::call::Call;
use crate::room::Sessions;

/// Files of one form.
const FILES_MAX: usize = 1000;

pub(super) async fn read(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let open = open(&room, &call)?;
    let bytes = open.read(&path(&asked(&call)?)?).await?;
    let mut response = Response::new(Body::from(bytes));
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn asked(call: &Call) -> Result<String> {
    let missing = || Refusal::invalid("`path` is missing");
    call.asked("path").ok_or_else(missing)
}

pub(super) async fn write(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let open = open(&room, &call)?;
    if call.parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::invalid(
            "uploads are taken as they are, not packed",
        ));
    }
    let kind = call.header("content-type").unwrap_or_default();
    let files = match multer::parse_boundary(kind) {
        Ok(boundary) => form(&call, boundary).await?,
        Err(_) => vec![(path(&asked(&call)?)?, call.body.clone())],
    };
    let mut written = Vec::new();
    for (path, bytes) in files {
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let told = json!({"name": name, "path": full(&path), "type": "file"});
        open.write(&[(path, bytes)]).await?;
        written.push(told);
    }
    Ok(axum::Json(Value::Array(written)).into_response())
}

async fn form(call: &Call, boundary: String) -> Result<Vec<(String, Bytes)>> {
    let body = call.body.clone();
    let stream = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(body) });
    let mut form = multer::Multipart::new(stream, boundary);
    let mut files = Vec::new();
    let broken = |_| Refusal::invalid("the form cannot be read");
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if files.len() >= FILES_MAX {
            return Err(Refusal::invalid("a form has at most 1000 files"));
        }
        // The address names the only file, a part its own.
        let named = call
            .asked("path")
            .or_else(|| field.file_name().map(str::to_owned));
        let named = named.ok_or_else(|| Refusal::invalid("a file has no path"))?;
        files.push((path(&named)?, field.bytes().await.map_err(broken)?));
    }
    Ok(files)
}

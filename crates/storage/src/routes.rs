//! The REST routes of `/storage/v1`, which is no more when they see a path.
//!
//! One table says what there is ([`answer`]). It reads the path by hand because
//! names of objects have slashes in them, and because what is not there is
//! answered in the official server's words.

mod bucket;
mod call;
mod download;
mod fields;
mod form;
mod listing;
mod objects;
mod render;
mod robots;
mod sign;
mod upload;

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, StatusCode};
use serde_json::json;

use crate::Storage;
use crate::error::Result;
use crate::who::operations as op;

use call::Call;

pub(crate) use upload::keep;

pub(crate) fn router(room: Arc<Storage>) -> Router {
    let s3 = room.s3_router();
    Router::new().fallback(handle).with_state(room).merge(s3)
}

async fn handle(State(room): State<Arc<Storage>>, request: Request) -> Response {
    let call = Call::new(request);
    let mut response = match Box::pin(answer(&room, call)).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

async fn answer(room: &Storage, call: Call) -> Result<Response> {
    let method = call.parts.method.clone();
    let path = call.parts.uri.path().to_owned();
    let mut steps = path.trim_start_matches('/').splitn(2, '/');
    let (first, rest) = (
        steps.next().unwrap_or_default(),
        steps.next().unwrap_or_default(),
    );
    match (&method, first, rest) {
        (&Method::GET, "status", "") => Ok(StatusCode::OK.into_response()),
        (&Method::GET, "version", "") => Ok(env!("CARGO_PKG_VERSION").into_response()),
        (&Method::GET, "health", "") => {
            call.authenticated(op::BUCKET_LIST)?;
            Ok(Json(json!({"healthy": room.store.is_there().await})).into_response())
        }
        (_, "bucket", rest) => match bucket::route(room, call, rest).await? {
            Some(response) => Ok(response),
            None => Ok(no_route(&method, &path)),
        },
        (_, "object", rest) => match object(room, call, rest).await? {
            Some(response) => Ok(response),
            None => Ok(no_route(&method, &path)),
        },
        (_, "render", rest) => match render::route(room, &call, rest).await? {
            Some(response) => Ok(response),
            None => Ok(no_route(&method, &path)),
        },
        _ => Ok(no_route(&method, &path)),
    }
}

/// Everything below `/object`.
async fn object(room: &Storage, call: Call, path: &str) -> Result<Option<Response>> {
    let method = call.parts.method.clone();
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let (second, third) = rest.split_once('/').unwrap_or((rest, ""));
    let read = method == Method::GET || method == Method::HEAD;
    let response = match (method.as_str(), first, second, third) {
        (_, "public", bucket, name) if read && !name.is_empty() => {
            download::public(room, &call, (bucket, name)).await
        }
        (_, "authenticated", bucket, name) if read && !name.is_empty() => {
            download::authenticated(room, &call, (bucket, name)).await
        }
        (_, "sign", bucket, name) if read && !name.is_empty() => {
            download::signed(room, &call, (bucket, name)).await
        }
        (_, "info", "public", path) if read && path.contains('/') => {
            download::info(room, &call, two(path), download::Door::Public).await
        }
        (_, "info", "authenticated", path) if read && path.contains('/') => {
            download::info(room, &call, two(path), download::Door::Closed).await
        }
        (_, "info", bucket, name) if read && !name.is_empty() => {
            download::info(room, &call, (bucket, name), download::Door::Either).await
        }
        ("PUT", "upload", "sign", path) if path.contains('/') => {
            upload::signed(room, call, two(path)).await
        }
        ("POST", "upload", "sign", path) if path.contains('/') => {
            sign::upload(room, &call, two(path)).await
        }
        ("POST", "sign", bucket, "") if !bucket.is_empty() => sign::batch(room, call, bucket).await,
        ("POST", "sign", bucket, name) if !name.is_empty() => {
            sign::one(room, call, (bucket, name)).await
        }
        ("POST", "list", bucket, "") => listing::v1(room, call, bucket).await,
        ("POST", "list-v2", bucket, "") => listing::v2(room, call, bucket).await,
        ("POST", "copy", "", "") => objects::copy(room, call).await,
        ("POST", "move", "", "") => objects::rename(room, call).await,
        ("DELETE", bucket, "", "") => objects::delete_many(room, call, bucket).await,
        ("DELETE", bucket, ..) => objects::delete(room, &call, (bucket, rest)).await,
        ("POST", bucket, ..) if !rest.is_empty() => {
            upload::create(room, call, (bucket, rest)).await
        }
        ("PUT", bucket, ..) if !rest.is_empty() => upload::update(room, call, (bucket, rest)).await,
        (_, bucket, ..) if read && !rest.is_empty() => {
            download::either(room, &call, (bucket, rest)).await
        }
        _ => return Ok(None),
    };
    response.map(Some)
}

/// A bucket and the name behind it.
fn two(path: &str) -> (&str, &str) {
    path.split_once('/').unwrap_or((path, ""))
}

fn no_route(method: &Method, path: &str) -> Response {
    let body = json!({
        "statusCode": "404",
        "error": "Not Found",
        "message": format!("Route {method}:{path} not found"),
        "code": "InvalidRequest",
    });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// A response that is JSON already.
fn json_text(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

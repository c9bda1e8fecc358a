//! The way of a request: signature, caller, operation, answer.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Method, Version};

use super::body::{Incoming, Proof};
use super::call::{Call, Operation, is_form};
use super::error::{Result, S3Error};
use super::keys;
use super::ops::upload::Form;
use super::ops::{Scene, bucket, copy, delete, list, multipart, object, parts, upload};
use super::sigv4::{Claim, Target};
use super::{encode, policy};
use crate::room::Storage;
use crate::who::Who;

/// Where the room is, which is part of what clients sign and which the room
/// does not see.
const PREFIX: &str = "/storage/v1";

fn router() -> Router<Arc<Storage>> {
    Router::new()
        .route("/s3", any(handle))
        .route("/s3/", any(handle))
        .route("/s3/{*path}", any(handle))
}

async fn handle(State(room): State<Arc<Storage>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let uploads = matches!(parts.method, Method::PUT | Method::POST);
    let keeps = parts.version < Version::HTTP_2;
    let resource = parts.uri.path().trim_start_matches("/s3").trim_matches('/');
    let resource = resource.to_owned();
    match Box::pin(answer(&room, parts, body)).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = error.render(&resource);
            if head {
                *response.body_mut() = Body::empty();
            }
            if uploads && keeps {
                // What is left of a refused body would be read as the next
                // request; a client that knows takes another connection.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        }
    }
}

async fn answer(room: &Arc<Storage>, mut parts: Parts, body: Body) -> Result<Response> {
    let query = encode::pairs(parts.uri.query().unwrap_or_default());
    let query =
        query.ok_or_else(|| S3Error::bad("InvalidURI", "Couldn't parse the specified URI."))?;
    let claim = Claim::parse(&parts, &query)?;
    let Some(claim) = claim else {
        return form(room, parts, (query, body)).await;
    };
    let (caller, key) = {
        let hosts = hosts(room, &parts);
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let path = format!("{PREFIX}{}", parts.uri.path());
        let target = Target {
            method: &parts.method,
            path: &path,
            query: &query,
            headers: &parts.headers,
            hosts: &hosts,
        };
        keys::signer(room, &claim, &target).await?
    };
    parts.extensions.insert(caller);
    let call = Call::parse(&parts, query)?;
    if call.operation == Operation::PostForm {
        return Err(S3Error::denied("A form is signed in its fields"));
    }
    let scene = scene(room, &parts, call)?;
    let proof = Proof {
        payload: claim.payload,
        key,
    };
    run(&scene, body, proof).await
}

fn scene(room: &Arc<Storage>, parts: &Parts, call: Call) -> Result<Scene> {
    Ok(Scene {
        room: Arc::clone(room),
        who: Who::of(parts, call.operation.name())?,
        call,
    })
}

async fn run(scene: &Scene, body: Body, proof: Proof) -> Result<Response> {
    let incoming = || Incoming::new(body, &scene.call.headers, proof);
    let run: BoxFuture<'_, Result<Response>> = match scene.call.operation {
        Operation::ListBuckets => Box::pin(bucket::list(scene)),
        Operation::HeadBucket => Box::pin(bucket::head(scene)),
        Operation::CreateBucket => Box::pin(bucket::create(scene)),
        Operation::DeleteBucket => Box::pin(bucket::delete(scene)),
        Operation::BucketLocation => Box::pin(bucket::location(scene)),
        Operation::BucketVersioning => Box::pin(bucket::versioning(scene)),
        Operation::ListObjects => Box::pin(list::first(scene)),
        Operation::ListObjectsV2 => Box::pin(list::second(scene)),
        Operation::ListUploads => Box::pin(parts::uploads(scene)),
        Operation::DeleteObjects => Box::pin(delete::many(scene, incoming()?)),
        Operation::HeadObject => Box::pin(object::head(scene)),
        Operation::GetObject => Box::pin(object::get(scene)),
        Operation::ObjectTagging => Box::pin(object::tagging(scene)),
        Operation::PutObject => Box::pin(upload::put(scene, incoming()?)),
        Operation::CopyObject => Box::pin(copy::copy(scene)),
        Operation::DeleteObject => Box::pin(delete::one(scene)),
        Operation::CreateUpload => Box::pin(multipart::create(scene)),
        Operation::UploadPart => Box::pin(multipart::part(scene, incoming()?)),
        Operation::UploadPartCopy => Box::pin(multipart::part_copy(scene)),
        Operation::CompleteUpload => Box::pin(multipart::complete(scene, incoming()?)),
        Operation::AbortUpload => Box::pin(multipart::abort(scene)),
        Operation::ListParts => Box::pin(parts::parts(scene)),
        // It has a way of its own: its signature is in its body.
        Operation::PostForm => return Err(S3Error::denied("A form is signed in its fields")),
    };
    run.await
}

/// A browser's form, or nobody at all.
async fn form(
    room: &Arc<Storage>,
    mut parts: Parts,
    (query, body): (Vec<(String, String)>, Body),
) -> Result<Response> {
    if parts.method != Method::POST || !is_form(&parts.headers) {
        return Err(S3Error::denied("Missing signature"));
    }
    let form = Form::read(&parts.headers, body).await?;
    let claim = Claim::by_form(&form.fields)?;
    let target = Target {
        method: &parts.method,
        path: parts.uri.path(),
        query: &query,
        headers: &parts.headers,
        hosts: &[],
    };
    let (caller, _) = keys::signer(room, &claim, &target).await?;
    parts.extensions.insert(caller);
    let call = Call::parse(&parts, query)?;
    if call.operation != Operation::PostForm {
        return Err(S3Error::denied("Missing signature"));
    }
    let mut fields = form.fields.clone();
    fields.retain(|(name, _)| name != "bucket");
    fields.push(("bucket".to_owned(), call.bucket.clone()));
    let policy = form.get("policy").unwrap_or_default();
    let length = policy::check(policy, &fields, room.clock.now())?;
    let scene = scene(room, &parts, call)?;
    upload::post(&scene, form, length).await
}

/// The names under which a client may have known us: the one it wrote, the one
/// that a proxy says it wrote, and the project's own.
fn hosts(room: &Storage, parts: &Parts) -> Vec<String> {
    let header = |name: &str| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        Some(value.trim().to_ascii_lowercase())
    };
    let mut hosts: Vec<String> = Vec::new();
    hosts.extend(header("host"));
    hosts.extend(
        parts
            .uri
            .authority()
            .map(|authority| authority.as_str().to_owned()),
    );
    if let Some(host) = header("x-forwarded-host") {
        let port = header("x-forwarded-port").filter(|port| port != "80" && port != "443");
        hosts.extend(
            port.map(|port| format!("{}:{port}", host.split(':').next().unwrap_or_default())),
        );
        hosts.push(host);
    }
    let own = room.config.url.split_once("://");
    hosts.extend(own.map(|(_, rest)| rest.split('/').next().unwrap_or_default().to_owned()));
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

impl Storage {
    /// The S3 protocol, under `/s3`.
    pub(crate) fn s3_router(self: &Arc<Self>) -> Router {
        router().with_state(Arc::clone(self))
    }
}

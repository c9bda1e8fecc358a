//! The gateway for clients, in the dialects that official libraries speak:
//! `OpenAI`'s chat completions, responses, embeddings and models, Anthropic's
//! messages. A dialect is one file under `http/`: its request becomes a
//! [`ChatRequest`], a [`Reply`] or a stream of events becomes its answer.
//!
//! Callers show their own token or key; what providers are shown never leaves
//! the server. Start at [`Models::router`].

mod anthropic;
mod anthropic_out;
mod chat_in;
mod chat_out;
mod embeddings;
mod error;
mod fields;
mod frames;
mod listing;
mod responses;
mod responses_out;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{BadToken, Caller};
use serde_json::Value;

use crate::answer::{Answer, Head};
use crate::asker::Asker;
use crate::chat::ChatRequest;
use crate::demo::LABEL;
use crate::reply::Reply;
use crate::room::Models;
use error::{Dialect, Refused};

/// Conversations with pictures; more would be held in memory for each request.
const BODY_BYTES_MAX: usize = 24 << 20;
/// Names the session that a call belongs to.
const SESSION: HeaderName = HeaderName::from_static("x-session-id");

impl Models {
    /// The routes, under `/ai/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/chat/completions", post(chat_completions))
            .route("/responses", post(create_response))
            .route("/embeddings", post(create_embeddings))
            .route("/messages", post(create_message))
            .route("/messages/count_tokens", post(count_tokens))
            .route("/models", get(list_models))
            .route("/models/{*name}", get(one_model))
            .route("/usage", get(usage))
            .fallback(async || Refused::route(Dialect::Openai).into_response())
            .with_state(self)
    }
}

async fn chat_completions(State(room): State<Arc<Models>>, request: Request) -> Response {
    answered(
        Dialect::Openai,
        Box::pin(chat_completions_inner(&room, request)),
    )
    .await
}

async fn chat_completions_inner(room: &Models, request: Request) -> Result<Response, Refused> {
    let (asker, body) = read(Dialect::Openai, request).await?;
    let wanted = chat_in::read(&body)?;
    let made = room.books.clock.now().as_second();
    if wanted.stream {
        let answer = room.ask(asker, wanted.request).await?;
        let head = answer.head.clone();
        return Ok(streamed(
            &head,
            chat_out::stream(answer, made, wanted.include_usage),
        ));
    }
    let reply = room.complete(asker, wanted.request).await?;
    Ok(whole(&reply, &chat_out::whole(&reply, made)))
}

async fn create_response(State(room): State<Arc<Models>>, request: Request) -> Response {
    answered(
        Dialect::Openai,
        Box::pin(create_response_inner(&room, request)),
    )
    .await
}

async fn create_response_inner(room: &Models, request: Request) -> Result<Response, Refused> {
    let (asker, body) = read(Dialect::Openai, request).await?;
    let wanted = responses::read(&body)?;
    let made = room.books.clock.now().as_second();
    if wanted.stream {
        let answer = room.ask(asker, wanted.request).await?;
        let head = answer.head.clone();
        return Ok(streamed(&head, responses_out::stream(answer, made)));
    }
    let reply = room.complete(asker, wanted.request).await?;
    Ok(whole(&reply, &responses_out::whole(&reply, made)))
}

async fn create_message(State(room): State<Arc<Models>>, request: Request) -> Response {
    answered(
        Dialect::Anthropic,
        Box::pin(create_message_inner(&room, request)),
    )
    .await
}

async fn create_message_inner(room: &Models, request: Request) -> Result<Response, Refused> {
    let (asker, body) = read(Dialect::Anthropic, request).await?;
    let wanted = anthropic::read(&body)?;
    if wanted.stream {
        let input = crate::budget::input_tokens(&wanted.request);
        let answer = room.ask(asker, wanted.request).await?;
        let head = answer.head.clone();
        return Ok(streamed(&head, anthropic_out::stream(answer, input)));
    }
    let reply = room.complete(asker, wanted.request).await?;
    Ok(whole(&reply, &anthropic_out::whole(&reply)))
}

async fn count_tokens(State(_): State<Arc<Models>>, request: Request) -> Response {
    let counted = async {
        let (_, mut body) = read(Dialect::Anthropic, request).await?;
        // A count has no answer, so nobody says how long one may be.
        if let Some(object) = body.as_object_mut() {
            object.entry("max_tokens").or_insert(1.into());
        }
        let wanted = anthropic::read(&body)?;
        let tokens = crate::budget::input_tokens(&wanted.request);
        Ok(json(&serde_json::json!({"input_tokens": tokens})))
    };
    answered(Dialect::Anthropic, counted).await
}

async fn create_embeddings(State(room): State<Arc<Models>>, request: Request) -> Response {
    let made = async {
        let (asker, body) = read(Dialect::Openai, request).await?;
        let wanted = embeddings::read(&body)?;
        let made = room.embed(asker, wanted.request).await?;
        let mut response = json(&embeddings::whole(&made, wanted.base64));
        mark(response.headers_mut(), &made.head);
        cost(response.headers_mut(), made.cost);
        Ok(response)
    };
    answered(Dialect::Openai, made).await
}

async fn list_models(State(room): State<Arc<Models>>, request: Request) -> Response {
    let dialect = listing::dialect(request.headers());
    let listed = async {
        who(dialect, &request.into_parts().0)?;
        Ok(json(&listing::all(&room, dialect)))
    };
    answered(dialect, listed).await
}

async fn one_model(State(room): State<Arc<Models>>, request: Request) -> Response {
    let dialect = listing::dialect(request.headers());
    let found = async {
        let (parts, _) = request.into_parts();
        who(dialect, &parts)?;
        let name = parts.uri.path().trim_start_matches("/models/");
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        let model = listing::one(&room, dialect, &name);
        model
            .map(|model| json(&model))
            .ok_or_else(|| Refused::no_model(dialect, &name))
    };
    answered(dialect, found).await
}

/// What the caller's calls of the last month used, of the session named or all.
async fn usage(State(room): State<Arc<Models>>, request: Request) -> Response {
    let spent = async {
        let asker = who(Dialect::Openai, &request.into_parts().0)?;
        Ok(as_json(room.spent(&asker).await?))
    };
    answered(Dialect::Openai, spent).await
}

async fn answered(
    dialect: Dialect,
    answer: impl Future<Output = Result<Response, Refused>>,
) -> Response {
    match answer.await {
        Ok(response) => response,
        Err(refused) => refused.said_in(dialect).into_response(),
    }
}

/// Who asks. Models cost money, so nobody in particular may not.
fn who(dialect: Dialect, parts: &Parts) -> Result<Asker, Refused> {
    if let Some(bad) = parts.extensions.get::<BadToken>() {
        return Err(Refused::nobody(dialect, &bad.reason));
    }
    let caller = Caller::of(parts).filter(|caller| caller.authenticated);
    let caller = caller
        .ok_or_else(|| Refused::nobody(dialect, "this needs a user's token or a secret key"))?;
    let mut asker = Asker::direct(caller.clone());
    if let Some(session) = parts.headers.get(SESSION) {
        let session = session.to_str().ok().and_then(|id| id.parse().ok());
        let wrong = || Refused::invalid("x-session-id is the id of a session", None);
        asker.session = Some(session.ok_or_else(wrong)?);
    }
    Ok(asker)
}

/// Who asks what.
async fn read(dialect: Dialect, request: Request) -> Result<(Asker, Value), Refused> {
    let (parts, body) = request.into_parts();
    let asker = who(dialect, &parts)?;
    // A key that may only read has no business here, whatever let it through.
    if asker.caller.read_only {
        return Err(Refused::reads_only(dialect));
    }
    let bytes = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(read) => read.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Refused::too_large(dialect));
        }
        Err(_) => return Err(Refused::invalid("the body ended early", None)),
    };
    let body: Value = serde_json::from_slice(&bytes)
        .map_err(|_| Refused::invalid("the body is not JSON", None))?;
    if !body.is_object() {
        return Err(Refused::invalid("the body is not an object", None));
    }
    Ok((asker, body))
}

/// A request of some dialect, understood.
struct Asked {
    request: ChatRequest,
    stream: bool,
    /// `OpenAI`'s `stream_options`.
    include_usage: bool,
}

fn json(value: &Value) -> Response {
    as_json(value.to_string())
}

fn as_json(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn whole(reply: &Reply, value: &Value) -> Response {
    let mut response = json(value);
    mark(response.headers_mut(), &reply.head);
    cost(response.headers_mut(), reply.cost);
    if reply.fallback {
        put(response.headers_mut(), "x-schema-fallback", "true");
    }
    response
}

/// Events as they come. Proxies are wanted not to hold them back.
fn streamed(
    head: &Head,
    frames: impl futures_util::Stream<Item = Bytes> + Send + 'static,
) -> Response {
    use futures_util::StreamExt as _;
    let frames = frames.map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(frames));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    put(headers, "x-accel-buffering", "no");
    mark(headers, head);
    response
}

/// Who answered, and after how many tries.
fn mark(headers: &mut HeaderMap, head: &Head) {
    put(
        headers,
        "x-model",
        &format!("{}/{}", head.provider, head.model),
    );
    put(headers, "x-attempts", &head.attempts.to_string());
    put(headers, "x-call-id", &head.call.to_string());
    if head.cached {
        put(headers, "x-cached", "true");
    }
    if head.is_scripted() {
        put(headers, "x-model-notice", LABEL);
    }
}

/// What it cost in US dollars; no header where nobody knows.
fn cost(headers: &mut HeaderMap, cost: Option<f64>) {
    if let Some(cost) = cost {
        put(headers, "x-cost", &crate::store::dollars(cost));
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // A model's name that is no header's value is only left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The model that an answer names.
fn model_of(answer: &Answer) -> String {
    format!("{}/{}", answer.head.provider, answer.head.model)
}

//! A provider of chat completions: what it answers is said beforehand, what it
//! was asked is kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};
use kernel::Tasks;
use serde_json::{Value, json};

/// One answer.
#[derive(Clone)]
pub(crate) enum Say {
    /// A status with a body, and headers.
    Refuse(u16, &'static str, Value),
    /// These frames, then the end of the body.
    Stream(Vec<Value>, bool),
    /// One frame, then nothing for as long as the client stays.
    Hang(Value),
    /// Vectors.
    Vectors(usize),
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<(HeaderMap, Value)>,
    pub(crate) says: VecDeque<Say>,
}

#[derive(Clone, Default)]
pub(crate) struct Provider {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) url: String,
}

pub(crate) fn text(piece: &str) -> Value {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": null}]})
}

pub(crate) fn end(input: u64, output: u64) -> Value {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": input, "completion_tokens": output}})
}

pub(crate) fn answer(words: &str, input: u64, output: u64) -> Say {
    Say::Stream(vec![text(words), end(input, output)], true)
}

impl Provider {
    pub(crate) async fn start(tasks: &Tasks) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let provider = Self {
            url,
            ..Self::default()
        };
        let router = Router::new()
            .route("/v1/chat/completions", post(asked))
            .route("/v1/embeddings", post(asked))
            .with_state(provider.clone());
        tasks.spawn("provider", async move {
            axum::serve(listener, router).await.unwrap();
        });
        provider
    }

    pub(crate) fn says(&self, says: impl IntoIterator<Item = Say>) {
        self.seen.lock().unwrap().says.extend(says);
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().asked.len()
    }

    pub(crate) fn last(&self) -> (HeaderMap, Value) {
        self.seen.lock().unwrap().asked.last().unwrap().clone()
    }
}

async fn asked(State(provider): State<Provider>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let say = {
        let mut seen = provider.seen.lock().unwrap();
        seen.asked.push((headers, body));
        seen.says.pop_front()
    };
    match say.unwrap_or_else(|| answer("hello", 10, 2)) {
        Say::Refuse(status, retry_after, body) => {
            let mut response = Response::new(Body::from(body.to_string()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            if !retry_after.is_empty() {
                let value = retry_after.parse().unwrap();
                response.headers_mut().insert("retry-after", value);
            }
            response
        }
        Say::Stream(frames, done) => {
            let lines: Vec<String> = frames.iter().map(|f| format!("data: {f}\n\n")).collect();
            let mut text = lines.concat();
            if done {
                text.push_str("data: [DONE]\n\n");
            }
            events(Body::from(text))
        }
        Say::Hang(frame) => {
            let first =
                futures_util::stream::iter([Ok::<_, std::io::Error>(format!("data: {frame}\n\n"))]);
            let never = futures_util::stream::once(async {
                tokio::time::sleep(Duration::from_secs(600)).await;
                Ok(String::new())
            });
            events(Body::from_stream(first.chain(never)))
        }
        Say::Vectors(many) => {
            let data: Vec<Value> = (0..many)
                .map(|i| json!({"index": i, "embedding": [0.5, -1.0]}))
                .collect();
            let body = json!({"data": data, "model": "e", "usage": {"prompt_tokens": 4, "total_tokens": 4}});
            let mut response = Response::new(Body::from(body.to_string()));
            response
                .headers_mut()
                .insert("content-type", "application/json".parse().unwrap());
            response
        }
    }
}

fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    response
}

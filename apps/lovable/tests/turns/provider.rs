//! A provider imitated at its wire: chat completions as server-sent events, as
//! slowly as a test says. It knows idempotency keys, and counts what it was
//! paid for. And a client of it, as the app's port asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use lovable::ports::{Answer, Coder, CoderError, Piece, Pieces, Question};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the provider remembers.
pub(crate) struct Provider {
    pub(crate) address: String,
    /// Calls by their key: asked how often, and what was asked first.
    calls: Mutex<Vec<(String, Value)>>,
    answers: Mutex<HashMap<&'static str, Vec<Value>>>,
    /// How many pieces of an answer of this role are let through.
    gate: watch::Sender<(&'static str, usize)>,
}

const PIECES: usize = 20;

impl Provider {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Arc::new(Self {
            address: listener.local_addr().unwrap().to_string(),
            calls: Mutex::default(),
            answers: Mutex::default(),
            gate: watch::Sender::new(("", usize::MAX)),
        });
        let router = Router::new().route("/v1/chat/completions", post(complete));
        let router = router.with_state(Arc::clone(&provider));
        kernel::Tasks::new().spawn(
            "provider",
            async move { axum::serve(listener, router).await },
        );
        provider
    }

    /// What the coder answers next.
    pub(crate) fn will_write(&self, path: &str, content: &str) {
        let answer = json!({"plan": "done", "files": [{"path": path, "content": content}],
            "deleted_files": [], "package_json": ""});
        self.will_answer(answer);
    }

    pub(crate) fn will_answer(&self, answer: Value) {
        self.answers
            .lock()
            .unwrap()
            .entry("coder")
            .or_default()
            .push(answer);
    }

    /// Answers of this role stop after so many pieces, until they may go on.
    pub(crate) fn hold(&self, role: &'static str, pieces: usize) {
        self.gate.send_replace((role, pieces));
    }

    pub(crate) fn go_on(&self) {
        self.gate.send_replace(("", usize::MAX));
    }

    /// Calls that were paid for: those with keys of their own.
    pub(crate) fn paid(&self) -> usize {
        let calls = self.calls.lock().unwrap();
        let keys: std::collections::HashSet<&String> = calls.iter().map(|(key, _)| key).collect();
        keys.len()
    }

    pub(crate) fn asked(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// What was asked, in order, of one role.
    pub(crate) fn questions(&self, role: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .filter(|(_, body)| body["model"] == role)
            .map(|(_, body)| body.clone())
            .collect()
    }

    fn answer(&self, key: &str, body: &Value) -> String {
        let role = body["model"].as_str().unwrap().to_owned();
        let mut calls = self.calls.lock().unwrap();
        // The same key is the same answer: what was asked first counts.
        let place = calls
            .iter()
            .filter(|(_, known)| known["model"] == body["model"]);
        let mut keys: Vec<String> = Vec::new();
        for (known, _) in place {
            if !keys.contains(known) {
                keys.push(known.clone());
            }
        }
        let n = keys
            .iter()
            .position(|known| known == key)
            .unwrap_or(keys.len());
        calls.push((key.to_owned(), body.clone()));
        if role == "planner" {
            return format!("Plan {n}: build what was asked for, with care and a blue button.");
        }
        self.answers.lock().unwrap()["coder"][n].to_string()
    }
}

async fn complete(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap();
    let text = provider.answer(key, &body);
    let chars: Vec<char> = text.chars().collect();
    let size = chars.len().div_ceil(PIECES).max(1);
    let pieces: Vec<String> = chars
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect();
    let gate = provider.gate.subscribe();
    let sent = stream::iter(pieces.into_iter().enumerate()).then(move |(n, piece)| {
        let (mut gate, role) = (gate.clone(), body["model"].as_str().unwrap().to_owned());
        async move {
            let _ = gate
                .wait_for(|(held, open)| *held != role || *open > n)
                .await;
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let chunk = json!({"choices": [{"delta": {"content": piece}}]});
            Ok::<_, std::io::Error>(Bytes::from(format!("data: {chunk}\n\n")))
        }
    });
    let end = stream::iter([Ok(Bytes::from_static(b"data: [DONE]\n\n"))]);
    Response::new(Body::from_stream(sent.chain(end)))
}

/// A client of that wire. HTTP/1.0, so that the answer ends with its socket.
pub(crate) struct Client(pub(crate) String);

impl Coder for Client {
    fn ask(&self, question: Question) -> BoxFuture<'_, Result<Pieces, CoderError>> {
        Box::pin(async move {
            let messages: Vec<Value> = question.said.iter()
                .map(|said| json!({"role": if said.by_model { "assistant" } else { "user" }, "content": said.text}))
                .collect();
            let body = json!({"model": question.role.name(), "stream": true, "messages": messages})
                .to_string();
            let head = format!(
                "POST /v1/chat/completions HTTP/1.0\r\nhost: provider\r\ncontent-type: application/json\r\n\
                 idempotency-key: {}\r\ncontent-length: {}\r\n\r\n",
                question.token,
                body.len()
            );
            let mut socket = TcpStream::connect(&self.0).await.map_err(broken)?;
            socket.write_all(head.as_bytes()).await.map_err(broken)?;
            socket.write_all(body.as_bytes()).await.map_err(broken)?;
            let lines = BufReader::new(socket).lines();
            let is_value = question.schema.is_some();
            let state = Some((lines, String::new()));
            let pieces = stream::try_unfold(state, move |state| async move {
                let Some((mut lines, mut text)) = state else {
                    return Ok(None);
                };
                while let Some(line) = lines.next_line().await.map_err(broken)? {
                    let Some(data) = line.strip_prefix("data: ") else {
                        continue;
                    };
                    if data == "[DONE]" {
                        let value = is_value.then(|| serde_json::from_str(&text).unwrap());
                        let answer = Answer {
                            text,
                            value,
                            model: "test/model".into(),
                            cost: 0.25,
                            usage: json!({}),
                        };
                        return Ok(Some((Piece::End(answer), None)));
                    }
                    let chunk: Value = serde_json::from_str(data).unwrap();
                    let piece = chunk["choices"][0]["delta"]["content"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    text.push_str(&piece);
                    return Ok(Some((Piece::Text(piece), Some((lines, text)))));
                }
                Err(broken(std::io::Error::other("it ended early")))
            });
            Ok(pieces.boxed())
        })
    }

    fn demo(&self) -> Option<String> {
        None
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn broken(error: std::io::Error) -> CoderError {
    CoderError {
        code: "connect",
        message: error.to_string(),
        again: Some(std::time::Duration::from_millis(50)),
    }
}

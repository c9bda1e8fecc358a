//! The wires against a socket that answers byte by byte as providers do.
//!
//! [`Double`] is the provider: each answer is what a provider sends, written in
//! pieces of a few bytes, so that characters and lines are cut anywhere.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod anthropic;
mod gemini;
mod openai_chat;
mod openai_responses;
mod others;
mod troubles;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use kernel::{Clock, Secret, Tasks};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::event::ChatEvent;
use crate::wires::provider::Timeouts;

/// What the provider does when its words are spoken.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Closes, as it should.
    Close,
    /// Says nothing more, and does not close.
    Hang,
}

/// One answer of the provider.
#[derive(Clone)]
struct Canned {
    head: String,
    body: String,
    /// Bytes in one write.
    piece: usize,
    then: Then,
}

impl Canned {
    fn new(status: &str, headers: &str, body: impl Into<String>) -> Self {
        Self {
            head: format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n"),
            body: body.into(),
            piece: usize::MAX,
            then: Then::Close,
        }
    }

    fn sse(body: impl Into<String>) -> Self {
        Self::new("200 OK", "content-type: text/event-stream\r\n", body)
    }

    fn json(status: &str, body: impl Into<String>) -> Self {
        Self::new(status, "content-type: application/json\r\n", body)
    }

    fn pieces(mut self, bytes: usize) -> Self {
        self.piece = bytes;
        self
    }

    fn then_hang(mut self) -> Self {
        self.then = Then::Hang;
        self
    }
}

/// A request as the provider saw it.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: String,
    body: Value,
}

impl Seen {
    fn has(&self, header: &str) -> bool {
        self.headers.lines().any(|line| line == header)
    }
}

/// A provider that says what it is told to, one answer for each connection.
struct Double {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: Tasks,
}

impl Double {
    async fn new(answers: Vec<Canned>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (tasks, all) = (Tasks::new(), seen.clone());
        tasks.spawn("double", async move {
            for answer in answers {
                let (stream, _) = listener.accept().await.expect("a client");
                serve(stream, answer, &all).await;
            }
        });
        Self { url, seen, tasks }
    }

    fn provider(&self, kind: WireKind) -> Provider {
        let mut provider =
            Provider::new("double", kind, Some(&self.url)).key(Secret::new("key-of-the-test"));
        provider.timeouts = Timeouts {
            first: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(30),
        };
        provider
    }

    fn http(&self) -> Http {
        Http::new(&self.tasks, Clock::manual(Timestamp::UNIX_EPOCH)).expect("a client")
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("unpoisoned").clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Canned, seen: &Mutex<Vec<Seen>>) {
    stream.set_nodelay(true).expect("a socket");
    let request = read(&mut stream).await;
    seen.lock().expect("unpoisoned").push(request);
    // A client that has heard enough closes: that is no failure.
    let _ = stream.write_all(answer.head.as_bytes()).await;
    for piece in answer.body.as_bytes().chunks(answer.piece) {
        if stream.write_all(piece).await.is_err() {
            return;
        }
        // Lets the reader see this piece alone.
        tokio::task::yield_now().await;
    }
    if answer.then == Then::Hang {
        let mut rest = [0; 16];
        // Until the client goes away.
        let _ = stream.read(&mut rest).await;
    }
}

async fn read(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |it| it.parse().expect("a number"));
            if body.len() >= length {
                let (line, headers) = head.split_once("\r\n").expect("headers");
                return Seen {
                    line: line.to_owned(),
                    headers: headers.replace("\r\n", "\n"),
                    body: serde_json::from_str(body).unwrap_or_default(),
                };
            }
        }
        let read = stream.read(&mut buffer).await.expect("a request");
        assert!(read > 0, "the client closed early: {text}");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

fn call(request: ChatRequest) -> Call {
    Call {
        model: "some-model".to_owned(),
        request: Arc::new(request),
        token: None,
    }
}

fn hello() -> ChatRequest {
    ChatRequest::to("x").user("hello")
}

/// All events of the answer to this request, and the error at its end.
async fn events(
    kind: WireKind,
    answer: Canned,
    request: ChatRequest,
) -> (Vec<ChatEvent>, Option<ModelError>) {
    let http = Http::new(&Tasks::new(), Clock::system()).expect("a client");
    events_by(&http, kind, answer, request).await
}

async fn events_by(
    http: &Http,
    kind: WireKind,
    answer: Canned,
    request: ChatRequest,
) -> (Vec<ChatEvent>, Option<ModelError>) {
    let double = Double::new(vec![answer]).await;
    let wire = connect(double.provider(kind), http).expect("a wire");
    let stream = match wire.chat(call(request)).await {
        Ok(stream) => stream,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut all = Vec::new();
    let mut failed = None;
    for item in stream.collect::<Vec<_>>().await {
        assert!(failed.is_none(), "nothing comes after an error");
        match item {
            Ok(event) => all.push(event),
            Err(error) => failed = Some(error),
        }
    }
    (all, failed)
}

/// An answer in one line for each event; usage by its sums.
async fn told(kind: WireKind, body: &str) -> Vec<String> {
    let mut all: Option<Vec<String>> = None;
    let http = Http::new(&Tasks::new(), Clock::system()).expect("a client");
    // However the bytes are cut, the same is understood.
    for piece in [usize::MAX, 1, 7] {
        let answer = Canned::sse(body).pieces(piece);
        let (events, failed) = events_by(&http, kind, answer, hello()).await;
        let mut lines: Vec<String> = events.iter().map(line).collect();
        lines.extend(failed.map(|error| format!("error {}", error.kind.code())));
        if let Some(all) = &all {
            assert_eq!(all, &lines, "in pieces of {piece}");
        }
        all = Some(lines);
    }
    all.expect("at least one")
}

fn line(event: &ChatEvent) -> String {
    match event {
        ChatEvent::Start {
            id,
            provider,
            model,
        } => format!("start {id} {provider} {model}"),
        ChatEvent::Text(text) => format!("text {text}"),
        ChatEvent::Reasoning(text) => format!("reasoning {text}"),
        ChatEvent::ReasoningSignature(text) => format!("signature {text}"),
        ChatEvent::ToolStart {
            index,
            id,
            name,
            signature,
        } => {
            let signature = signature.as_deref().unwrap_or("-");
            format!("tool {index} {id} {name} {signature}")
        }
        ChatEvent::ToolArgs { index, delta } => format!("args {index} {delta}"),
        ChatEvent::ToolEnd { index, args } => format!("called {index} {args}"),
        ChatEvent::Usage(it) => format!(
            "usage in {} read {} write {} out {} thought {} cost {:?}",
            it.input, it.cache_read, it.cache_write, it.output, it.reasoning, it.cost
        ),
        ChatEvent::End(stop) => format!("end {}", stop.as_str()),
        ChatEvent::Partial(_) | ChatEvent::Attempt { .. } => panic!("not of a wire"),
    }
}

/// What the provider was asked.
async fn asked(kind: WireKind, change: impl Fn(&mut Provider), call: Call) -> Seen {
    let double = Double::new(vec![Canned::json("500 No", "{}")]).await;
    let mut provider = double.provider(kind);
    change(&mut provider);
    let wire = connect(provider, &double.http()).expect("a wire");
    assert!(wire.chat(call).await.is_err());
    double.seen().remove(0)
}

//! One HTTP client for all providers, and the loop that turns an answer's
//! bytes into events.
//!
//! Start with [`HttpWire`]: a [`Protocol`] says what is sent and how answers
//! are read, everything else is the same for all. The client reaches only what
//! the operator configured, this machine included, and follows no redirect.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use kernel::{Clock, Tasks};
use outbound::{Reach, StreamError, Streams};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::error::{ModelError, ModelErrorKind as Kind};
use crate::event::{ChatEvent, ChatStream};
use crate::wires::provider::{Provider, WireKind};
use crate::wires::sse::{Event, Parser};
use crate::wires::{Call, Wire, fault};

/// What is read of an answer that is an error.
const FAULT_MAX: usize = 64 << 10;

/// The longest answer that does not stream: vectors, or a picture as text.
const WHOLE_MAX: usize = 32 << 20;

/// How long the end of an answer may take to come after its last word. It is
/// read so that the connection can be used again.
const DRAIN: Duration = Duration::from_millis(50);

/// The version of Anthropic's protocol that we speak.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// Calls providers. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Streams<Full<Bytes>>,
    clock: Clock,
    skipped: Arc<AtomicU64>,
}

impl Http {
    /// A client that reaches what the operator configured.
    pub fn new(tasks: &Tasks, clock: Clock) -> io::Result<Self> {
        Ok(Self {
            client: Streams::new(Reach::Configured, &[], tasks)?,
            clock,
            skipped: Arc::default(),
        })
    }

    /// How many events and pieces of events nobody understood so far.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Sends a request; an answer that is an error becomes one.
    async fn send(&self, provider: &Provider, ask: Ask) -> Result<Response<Incoming>, ModelError> {
        let request = request(provider, ask)?;
        let wait = provider.timeouts.first;
        let answer = self.client.call(request, wait).await;
        let answer = answer.map_err(|error| unanswered(provider, &error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (head, body) = answer.into_parts();
        // An error whose text does not come is an error all the same.
        let read = timeout(provider.timeouts.idle, whole(body, FAULT_MAX)).await;
        let body = read.ok().and_then(Result::ok).unwrap_or_default();
        let now = self.clock.now();
        Err(fault::from_answer(
            provider,
            head.status,
            &head.headers,
            &body,
            now,
        ))
    }

    /// Sends a request and reads the whole answer as JSON.
    pub(crate) async fn json(&self, provider: &Provider, ask: Ask) -> Result<Value, ModelError> {
        let answer = self.send(provider, ask).await?;
        let total = provider.timeouts.total;
        let body = match timeout(total, whole(answer.into_body(), WHOLE_MAX)).await {
            Ok(body) => body.map_err(|error| error.of(&provider.name))?,
            Err(_) => return Err(late(provider, "not over", total)),
        };
        serde_json::from_slice(&body).map_err(|_| no_json(provider))
    }
}

/// A request to a provider.
#[derive(Debug)]
pub(crate) struct Ask {
    pub method: Method,
    /// Below the provider's base address, or a whole address below it.
    pub path: String,
    pub body: Option<Value>,
    pub token: Option<Uuid>,
    /// More headers of the protocol.
    pub headers: Vec<(&'static str, String)>,
}

impl Ask {
    pub(crate) fn post(path: impl Into<String>, body: Value, token: Option<Uuid>) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            body: Some(body),
            token,
            headers: Vec::new(),
        }
    }
}

fn request(provider: &Provider, ask: Ask) -> Result<Request<Full<Bytes>>, ModelError> {
    let unusable = || {
        let text = "the provider's address or one of its headers cannot be used";
        ModelError::new(Kind::NoProvider, text).of(&provider.name)
    };
    let address = format!("{}{}", provider.base_url, ask.path);
    let uri: Uri = address.parse().map_err(|_| unusable())?;
    let body = match &ask.body {
        Some(body) => Bytes::from(body.to_string()),
        None => Bytes::new(),
    };
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = ask.method;
    *request.uri_mut() = uri;
    let headers = headers(provider, &ask.headers, ask.token).ok_or_else(unusable)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn headers(
    provider: &Provider,
    more: &[(&'static str, String)],
    token: Option<Uuid>,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accept = "text/event-stream, application/json";
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(USER_AGENT, HeaderValue::from_static("ferrobase"));
    if let Some(key) = &provider.key {
        let (name, value) = match provider.kind {
            WireKind::Anthropic => (
                HeaderName::from_static("x-api-key"),
                key.expose().to_owned(),
            ),
            WireKind::Gemini => (
                HeaderName::from_static("x-goog-api-key"),
                key.expose().to_owned(),
            ),
            _ => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        };
        headers.insert(name, secret(&value)?);
    }
    if provider.kind == WireKind::Anthropic {
        headers.insert(
            "anthropic-version",
            HeaderValue::from_static(ANTHROPIC_VERSION),
        );
    }
    if let Some(token) = token {
        headers.insert("idempotency-key", secret(&token.to_string())?);
    }
    for (name, value) in more {
        headers.insert(*name, HeaderValue::try_from(value).ok()?);
    }
    for (name, value) in &provider.headers {
        headers.insert(HeaderName::try_from(name).ok()?, secret(value.expose())?);
    }
    Some(headers)
}

/// A value that hyper does not print either.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

async fn whole(mut body: Incoming, max: usize) -> Result<Bytes, ModelError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| cut())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if read.len() + data.len() > max {
            let text = format!("the answer is longer than {max} bytes");
            return Err(ModelError::new(Kind::Protocol, text));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

fn unanswered(provider: &Provider, error: &StreamError) -> ModelError {
    match error {
        StreamError::Timeout(wait) => late(provider, "no word", *wait),
        StreamError::Connect(_) | StreamError::Broken(_) => {
            ModelError::new(Kind::Connect, error.to_string()).of(&provider.name)
        }
    }
}

fn late(provider: &Provider, what: &str, wait: Duration) -> ModelError {
    let text = format!("{what} within {wait:?}");
    ModelError::new(Kind::Timeout, text).of(&provider.name)
}

fn no_json(provider: &Provider) -> ModelError {
    ModelError::new(Kind::Protocol, "the answer is not JSON").of(&provider.name)
}

pub(crate) fn cut() -> ModelError {
    ModelError::new(Kind::Truncated, "the answer stopped in the middle")
}

/// What makes a provider's protocol its own.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// What is sent for a question.
    fn ask(&self, provider: &Provider, call: &Call) -> Result<Ask, ModelError>;

    /// What reads the answer.
    fn decoder(&self, call: &Call) -> Box<dyn Decoder>;
}

/// Reads one answer.
pub(crate) trait Decoder: Send {
    /// Takes the next event.
    fn event(&mut self, event: &Event, out: &mut Out) -> Result<(), ModelError>;

    /// The bytes are over. Whoever has not heard the last word says nothing:
    /// the answer has been cut.
    fn eof(&mut self, out: &mut Out) -> Result<(), ModelError> {
        let _ = out;
        Ok(())
    }
}

/// What an answer's reader has found.
#[derive(Debug)]
pub(crate) struct Out {
    /// Who answers.
    pub provider: Arc<Provider>,
    /// The events, oldest first.
    pub events: Vec<ChatEvent>,
    /// What was not understood.
    pub skipped: u64,
}

impl Out {
    /// Something that this version does not know, which is no error.
    pub(crate) fn skip(&mut self, what: &str) {
        self.skipped += 1;
        tracing::debug!(provider = %self.provider.name, what, "skipped an unknown event");
    }

    /// The event's data as JSON.
    pub(crate) fn json(&self, event: &Event) -> Result<Value, ModelError> {
        serde_json::from_str(&event.data).map_err(|_| no_json(&self.provider))
    }
}

/// A provider reached by HTTP.
#[derive(Clone)]
pub(crate) struct HttpWire<P> {
    pub protocol: Arc<P>,
    pub provider: Arc<Provider>,
    pub http: Http,
}

impl<P: Protocol> HttpWire<P> {
    pub(crate) fn new(protocol: P, provider: Arc<Provider>, http: &Http) -> Self {
        Self {
            protocol: Arc::new(protocol),
            provider,
            http: http.clone(),
        }
    }

    /// Asks and returns the answer as a stream.
    pub(crate) fn stream(&self, call: &Call) -> BoxFuture<'static, Result<ChatStream, ModelError>> {
        let ask = self.protocol.ask(&self.provider, call);
        let decoder = self.protocol.decoder(call);
        let (provider, http) = (self.provider.clone(), self.http.clone());
        Box::pin(async move {
            let ask = ask.map_err(|error| error.of(&provider.name))?;
            let begun = Instant::now();
            let answer = http.send(&provider, ask).await?;
            let reading = Reading::new(answer, decoder, provider, &http, begun);
            let events = stream::unfold(Box::new(reading), |mut reading| async move {
                let item = reading.next().await?;
                Some((item, reading))
            });
            Ok(Box::pin(events) as ChatStream)
        })
    }
}

impl<P: Protocol> Wire for HttpWire<P> {
    fn chat(&self, call: Call) -> BoxFuture<'static, Result<ChatStream, ModelError>> {
        self.stream(&call)
    }
}

/// An answer while it is read.
struct Reading {
    body: Incoming,
    /// The whole body is one JSON value: some servers never stream.
    whole: bool,
    parser: Parser,
    decoder: Box<dyn Decoder>,
    out: Out,
    skipped: Arc<AtomicU64>,
    queue: VecDeque<ChatEvent>,
    /// The model has said something.
    spoken: bool,
    /// Nothing more is read.
    over: bool,
    failed: Option<ModelError>,
    begun: Instant,
}

impl Reading {
    fn new(
        answer: Response<Incoming>,
        decoder: Box<dyn Decoder>,
        provider: Arc<Provider>,
        http: &Http,
        begun: Instant,
    ) -> Self {
        let (head, body) = answer.into_parts();
        let kind = head.headers.get(CONTENT_TYPE);
        let whole = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        Self {
            body,
            whole,
            parser: Parser::default(),
            decoder,
            out: Out {
                provider,
                events: Vec::new(),
                skipped: 0,
            },
            skipped: http.skipped.clone(),
            queue: VecDeque::new(),
            spoken: false,
            over: false,
            failed: None,
            begun,
        }
    }

    async fn next(&mut self) -> Option<Result<ChatEvent, ModelError>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(Ok(event));
            }
            if let Some(error) = self.failed.take() {
                return Some(Err(error.of(&self.out.provider.name)));
            }
            if self.over {
                self.drain().await;
                return None;
            }
            if let Err(error) = self.step().await {
                self.failed = Some(error);
                self.over = true;
            }
            self.collect();
        }
    }

    /// Reads one piece and decodes what it completes.
    async fn step(&mut self) -> Result<(), ModelError> {
        if self.whole {
            let data = self.read_whole().await?;
            let event = Event {
                name: String::new(),
                data: String::from_utf8_lossy(&data).into_owned(),
            };
            self.decoder.event(&event, &mut self.out)?;
            return self.end();
        }
        let mut events = Vec::new();
        let Some(bytes) = self.read().await? else {
            if let Some(event) = self.parser.finish()? {
                self.decoder.event(&event, &mut self.out)?;
            }
            return self.end();
        };
        self.parser.push(&bytes, &mut events)?;
        for event in events {
            self.decoder.event(&event, &mut self.out)?;
            if self.ended() {
                self.over = true;
                break;
            }
        }
        Ok(())
    }

    /// The bytes are over: was that the last word?
    fn end(&mut self) -> Result<(), ModelError> {
        self.over = true;
        if !self.ended() {
            self.decoder.eof(&mut self.out)?;
        }
        if self.ended() { Ok(()) } else { Err(cut()) }
    }

    fn ended(&self) -> bool {
        matches!(self.out.events.last(), Some(ChatEvent::End(_)))
    }

    fn collect(&mut self) {
        self.skipped
            .fetch_add(std::mem::take(&mut self.out.skipped), Ordering::Relaxed);
        self.spoken = self.spoken || self.out.events.iter().any(ChatEvent::is_content);
        self.queue.extend(self.out.events.drain(..));
    }

    async fn read(&mut self) -> Result<Option<Bytes>, ModelError> {
        let times = self.out.provider.timeouts;
        let idle = Instant::now() + times.idle;
        let total = self.begun + times.total;
        let first = self.begun + times.first;
        let mut until = idle.min(total);
        if !self.spoken {
            until = until.min(first);
        }
        loop {
            let frame = match timeout_at(until, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame.map_err(|_| cut())?,
                Err(_) if until == total => {
                    return Err(late(&self.out.provider, "not over", times.total));
                }
                Err(_) if until == first && !self.spoken => {
                    return Err(late(&self.out.provider, "no word", times.first));
                }
                Err(_) => return Err(late(&self.out.provider, "no sign of life", times.idle)),
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    async fn read_whole(&mut self) -> Result<Bytes, ModelError> {
        let mut read = BytesMut::new();
        while let Some(bytes) = self.read().await? {
            if read.len() + bytes.len() > WHOLE_MAX {
                let text = format!("the answer is longer than {WHOLE_MAX} bytes");
                return Err(ModelError::new(Kind::Protocol, text));
            }
            read.extend_from_slice(&bytes);
        }
        Ok(read.freeze())
    }

    async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.body.frame().await {} };
        let _ = timeout(DRAIN, rest).await;
    }
}

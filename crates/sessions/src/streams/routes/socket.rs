//! Many streams on one web socket. Every message of ours is one JSON object: an
//! event as it is, or something about watching (`watching`, `ended`, `error`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Aborted, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use http::request::Parts;
use kernel::Caller;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::access::End;
use super::super::error::{Result, StreamError};
use super::super::watching::{Ended, Step, Watching};
use super::super::{Frame, Streams};

/// What a client sends is short.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Of each socket, instead of the library's 128 KiB: memory for ten thousand.
const BUFFER_BYTES: usize = 4 << 10;
/// What may wait to be sent before the socket is given up.
const UNSENT_BYTES_MAX: usize = 256 << 10;
/// Streams on one socket.
const WATCHES_MAX: usize = 100;
/// A ping this often; who says nothing for three of them is gone.
const PING_EVERY: Duration = Duration::from_secs(15);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A client that takes nothing for so long is gone, or as good as.
const SEND_MAX: Duration = Duration::from_secs(30);
/// A socket that watches nothing.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Close codes: of RFC 6455 and its registry, and of our own for a token.
const NORMAL: u16 = 1000;
const INVALID: u16 = 1003;
const RESTART: u16 = 1012;
const EXPIRED: u16 = 4401;

/// What a client says: `{"watch": id, "after": n}` or `{"unwatch": id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    watch: Option<String>,
    #[serde(default)]
    after: i64,
    unwatch: Option<String>,
}

/// What became of one stream's next step.
type Turn = Result<(Uuid, Watching, Step), Aborted>;

struct Socket {
    streams: Arc<Streams>,
    caller: Caller,
    wire: WebSocket,
    turns: FuturesUnordered<BoxFuture<'static, Turn>>,
    watched: HashMap<Uuid, AbortHandle>,
    heard_at: Instant,
    ping_at: Instant,
    /// Since when nothing has been watched.
    idle_since: Instant,
}

/// Why a socket is closed by us.
struct Close(u16, &'static str);

/// Upgrades; the socket lives in a task of ours.
pub(super) async fn open(
    streams: &Arc<Streams>,
    parts: &mut Parts,
    caller: Caller,
    first: Option<(Uuid, Watching)>,
) -> Result<Response> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    let upgrade = upgrade.map_err(|_| StreamError::Invalid("this is no web socket's handshake"))?;
    let streams = Arc::clone(streams);
    let serving = move |wire| async move {
        let tasks = streams.tasks.clone();
        let mut socket = Socket {
            streams,
            caller,
            wire,
            turns: FuturesUnordered::new(),
            watched: HashMap::new(),
            heard_at: Instant::now(),
            ping_at: Instant::now() + PING_EVERY,
            idle_since: Instant::now(),
        };
        if let Some((stream, watching)) = first {
            socket.begin(stream, watching);
        }
        // So that a stop waits for the farewell.
        let _ = tasks.spawn("stream-socket", socket.run()).await;
    };
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(UNSENT_BYTES_MAX)
        .on_upgrade(serving))
}

impl Socket {
    async fn run(mut self) {
        let close = loop {
            match self.turn().await {
                Ok(()) => {}
                Err(close) => break close,
            }
        };
        if let Some(Close(code, reason)) = close {
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::from_static(reason),
            };
            let _ = self.send(Message::Close(Some(frame))).await;
        }
    }

    /// One thing that happens; the error ends the socket, with our reason for
    /// it if we have one.
    async fn turn(&mut self) -> Result<(), Option<Close>> {
        if self.turns.is_empty() && self.idle_since.elapsed() > IDLE_MAX {
            return Err(Some(Close(NORMAL, "nothing is watched")));
        }
        if self.heard_at.elapsed() > SILENCE_MAX {
            return Err(None);
        }
        tokio::select! {
            biased;
            () = self.streams.leaving.cancelled() => {
                Err(Some(Close(RESTART, End::Stopping.code())))
            }
            said = self.wire.recv() => match said {
                Some(Ok(message)) => self.hear(message).await,
                Some(Err(_)) | None => Err(None),
            },
            () = tokio::time::sleep_until(self.ping_at) => {
                self.ping_at = Instant::now() + PING_EVERY;
                self.send(Message::Ping(bytes::Bytes::new())).await
            }
            Some(turn) = self.turns.next(), if !self.turns.is_empty() => match turn {
                Ok((stream, watching, step)) => self.tell(stream, watching, step).await,
                // Not watched any more.
                Err(Aborted) => Ok(()),
            },
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Option<Close>> {
        self.heard_at = Instant::now();
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Some(Close(INVALID, "text is expected"))),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(None),
        };
        let wish: Option<Wish> = serde_json::from_str(text.as_str()).ok();
        match wish {
            Some(Wish {
                watch: Some(id),
                after,
                unwatch: None,
            }) => match self.watch(&id, after).await {
                Ok((stream, watching)) => {
                    let told = json!({"watching": stream, "after": watching.after()});
                    self.begin(stream, watching);
                    self.say(&told).await
                }
                Err(error) => {
                    error.note();
                    self.say(&json!({"stream_id": id, "error": error.body()}))
                        .await
                }
            },
            Some(Wish {
                unwatch: Some(id),
                watch: None,
                ..
            }) => {
                let known = Uuid::try_parse(&id).ok();
                if let Some(handle) = known.and_then(|id| self.watched.remove(&id)) {
                    handle.abort();
                    self.idle_since = Instant::now();
                }
                self.say(&json!({"ended": id, "code": "unwatched"})).await
            }
            _ => {
                let error = StreamError::Invalid("expected {\"watch\": id, \"after\": n}");
                self.say(&json!({"error": error.body()})).await
            }
        }
    }

    /// The stream to be watched, if one more may be.
    fn check(&self, id: &str, after: i64) -> Result<Uuid> {
        let stream = super::uuid(id)?;
        if self.watched.contains_key(&stream) {
            return Err(StreamError::Invalid("this stream is watched already"));
        }
        // Those that were unwatched count until their turn is over.
        if self.turns.len() >= WATCHES_MAX {
            return Err(StreamError::TooMany {
                message: "too many streams on one socket",
                node: false,
            });
        }
        if after < 0 {
            return Err(StreamError::Invalid("a cursor is the number of an event"));
        }
        Ok(stream)
    }

    async fn watch(&mut self, id: &str, after: i64) -> Result<(Uuid, Watching)> {
        let stream = self.check(id, after)?;
        let watching = self.streams.watch(&self.caller, stream, after).await?;
        Ok((stream, watching))
    }

    /// Waits for the stream's next step beside the others.
    fn begin(&mut self, stream: Uuid, mut watching: Watching) {
        let (turn, handle) = abortable(async move {
            let step = watching.next().await;
            (stream, watching, step)
        });
        self.watched.insert(stream, handle);
        self.turns.push(Box::pin(turn));
    }

    async fn tell(
        &mut self,
        stream: Uuid,
        watching: Watching,
        step: Step,
    ) -> Result<(), Option<Close>> {
        // A step may be over just when the stream is unwatched.
        if self.watched.remove(&stream).is_none() {
            return Ok(());
        }
        match step {
            Step::Frames(frames) => {
                for frame in &frames {
                    self.send(text(frame)).await?;
                }
                self.begin(stream, watching);
                Ok(())
            }
            Step::End(Ended(End::Expired)) => Err(Some(Close(EXPIRED, End::Expired.code()))),
            Step::End(Ended(End::Renew)) => Err(Some(Close(RESTART, End::Renew.code()))),
            Step::End(ended) => {
                self.idle_since = Instant::now();
                self.say(&json!({"ended": stream, "code": ended.code()}))
                    .await
            }
        }
    }

    async fn say(&mut self, what: &Value) -> Result<(), Option<Close>> {
        self.send(Message::Text(what.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Option<Close>> {
        match tokio::time::timeout(SEND_MAX, self.wire.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(None),
        }
    }
}

/// An event's text as it was worded once; nothing is copied.
fn text(frame: &Frame) -> Message {
    match Utf8Bytes::try_from(frame.json()) {
        Ok(text) => Message::Text(text),
        // It came as text from the database.
        Err(_) => Message::Text(Utf8Bytes::from_static("null")),
    }
}

//! One connection of the original's client.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::StreamExt as _;
use kernel::Caller;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sessions::streams::{Step, Watching};
use tokio::time::Instant;
use uuid::Uuid;

use super::frames::{Built, Event, Frame, Known, Says, Teller};
use crate::error::{AppError, Result};
use crate::files;
use crate::room::Lovable;
use crate::routes::progress;
use crate::turns;

/// A ping this often; who says nothing for three of them is gone.
const PING_EVERY: Duration = Duration::from_secs(15);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A client that takes nothing for so long is gone, or as good as.
const SEND_MAX: Duration = Duration::from_secs(30);
/// Close codes of RFC 6455 and its registry.
const NORMAL: u16 = 1000;
const RESTART: u16 = 1012;

/// One connection.
pub(super) struct Socket {
    app: Arc<Lovable>,
    caller: Caller,
    wire: WebSocket,
    open: Option<Open>,
    heard_at: Instant,
    ping_at: Instant,
}

/// The session that the client works in.
struct Open {
    id: Uuid,
    name: String,
    watching: Watching,
    teller: Teller,
}

/// What a client says.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Map<String, Value>,
}

/// Why a socket is closed by us.
struct Close(u16, &'static str);

enum Turn {
    Heard(Option<Message>),
    Log(Step),
    Ping,
    Leaving,
}

impl Socket {
    pub(super) fn new(app: Arc<Lovable>, caller: Caller, wire: WebSocket) -> Self {
        let now = Instant::now();
        Self {
            app,
            caller,
            wire,
            open: None,
            heard_at: now,
            ping_at: now + PING_EVERY,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            if let Err(close) = self.turn().await {
                if let Some(Close(code, reason)) = close {
                    let reason = Utf8Bytes::from_static(reason);
                    let _ = self
                        .send(Message::Close(Some(CloseFrame { code, reason })))
                        .await;
                }
                return;
            }
        }
    }

    /// One thing that happens.
    async fn turn(&mut self) -> Result<(), Option<Close>> {
        let watched = async {
            match &mut self.open {
                Some(open) => open.watching.next().await,
                None => std::future::pending().await,
            }
        };
        let leaving = self.app.leaving.clone();
        let turn = tokio::select! {
            () = leaving.cancelled() => Turn::Leaving,
            heard = self.wire.next() => Turn::Heard(heard.and_then(Result::ok)),
            step = watched => Turn::Log(step),
            () = tokio::time::sleep_until(self.ping_at) => Turn::Ping,
        };
        match turn {
            Turn::Leaving => Err(Some(Close(RESTART, "restarting"))),
            Turn::Heard(Some(Message::Text(text))) => {
                self.heard_at = Instant::now();
                self.answer(&text).await
            }
            Turn::Heard(Some(Message::Close(_)) | None) => Err(None),
            Turn::Heard(Some(_)) => {
                self.heard_at = Instant::now();
                Ok(())
            }
            Turn::Log(Step::Frames(frames)) => {
                for frame in frames {
                    self.tell(&frame.json()).await?;
                }
                Ok(())
            }
            // What comes next is another connection's: it says again who it is.
            Turn::Log(Step::End(ended)) => match ended.code() {
                "not_found" => Err(Some(Close(NORMAL, "the session is gone"))),
                _ => Err(Some(Close(RESTART, "come back"))),
            },
            Turn::Ping => {
                if self.heard_at.elapsed() > SILENCE_MAX {
                    return Err(None);
                }
                self.ping_at = Instant::now() + PING_EVERY;
                self.send(Message::Ping(bytes::Bytes::new())).await
            }
        }
    }

    async fn answer(&mut self, text: &str) -> Result<(), Option<Close>> {
        let Ok(said) = serde_json::from_str::<Said>(text) else {
            return self
                .refuse("The message is not a JSON object with a type")
                .await;
        };
        let name = said
            .data
            .get("session_id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let done = match said.kind.as_str() {
            "init" => self.init(&name).await,
            "user" => self.user(&name, &said).await,
            "load_code" => self.load_code(&name).await,
            // An answer to a ping of the server.
            "ping" => return Ok(()),
            other => {
                let shown: String = other.chars().take(80).collect();
                return self.refuse(&format!("Unknown message type: {shown}")).await;
            }
        };
        match done {
            Ok(Some(frame)) => self.frame(frame).await,
            Ok(None) => Ok(()),
            Err(error) => {
                if let AppError::Failed { what, source } = &error {
                    tracing::error!(error = %source, "{what}");
                }
                self.refuse(&error.to_string()).await
            }
        }
    }

    /// Finds or makes the session, and watches it from here on: from the
    /// beginning of a turn that is under way, so that it is shown whole.
    async fn init(&mut self, name: &str) -> Result<Option<Frame>> {
        let exists = self.enter(name).await?;
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let url = self.app.address(&self.caller, open.id).await;
        let data = json!({"exists": exists, "session_id": name, "url": url});
        Ok(Some(Frame {
            id: self.app.rng.uuid(),
            kind: "init",
            data,
        }))
    }

    async fn enter(&mut self, name: &str) -> Result<bool> {
        let opened = turns::open(&self.app.store, &self.caller, name).await?;
        if self.open.as_ref().is_some_and(|open| open.id == opened.id) {
            return Ok(opened.exists);
        }
        let sql =
            SqlBuf::fixed(include_str!("../../sql/where_to_begin.sql")).bind(opened.id.to_string());
        let what = "Failed to read the session's log";
        let after: Option<i64> = self.app.store.document(&self.caller, what, sql).await?;
        let streams = self.app.sessions.streams();
        let watching = streams
            .watch(&self.caller, opened.id, after.unwrap_or_default())
            .await;
        let watching = watching.map_err(|error| {
            AppError::new(
                http::StatusCode::SERVICE_UNAVAILABLE,
                error.code(),
                error.to_string(),
            )
        })?;
        self.open = Some(Open {
            id: opened.id,
            name: name.to_owned(),
            watching,
            teller: Teller::default(),
        });
        Ok(opened.exists)
    }

    async fn user(&mut self, name: &str, said: &Said) -> Result<Option<Frame>> {
        self.enter(name).await?;
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let text = said
            .data
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        turns::begin(
            &self.app.store,
            &self.caller,
            open.id,
            text,
            said.id.clone(),
        )
        .await?;
        // The rest is in the log.
        Ok(None)
    }

    async fn load_code(&mut self, name: &str) -> Result<Option<Frame>> {
        self.enter(name).await?;
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let sources = files::sources(&self.app.store, &self.caller, open.id).await?;
        let mut code = Map::new();
        let mut package = "{}".to_owned();
        for source in sources {
            match (source.path.strip_prefix("src/"), source.content) {
                (Some(path), Some(content)) => {
                    drop(code.insert(path.to_owned(), Value::String(content)));
                }
                (None, Some(content)) if source.path == "package.json" => package = content,
                _ => {}
            }
        }
        let data = json!({"code_map": code, "package_json": package});
        Ok(Some(Frame {
            id: self.app.rng.uuid(),
            kind: "load_code",
            data,
        }))
    }

    /// An event of the log.
    async fn tell(&mut self, json: &[u8]) -> Result<(), Option<Close>> {
        let Ok(event) = serde_json::from_slice::<Event>(json) else {
            return Ok(());
        };
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if event.job_id.is_some_and(|job| !open.teller.knows(job)) && event.kind == "job.started" {
            // A turn that somebody has begun: here, in another window, or before.
            let sql =
                SqlBuf::fixed(include_str!("../../sql/turns_jobs.sql")).bind(open.id.to_string());
            let what = "Failed to read the session's turns";
            let known: Result<Option<Vec<Known>>> =
                self.app.store.document(&self.caller, what, sql).await;
            open.teller.learn(known.ok().flatten().unwrap_or_default());
        }
        let frames = match open.teller.tell(&event) {
            Says::Frames(frames) => frames,
            Says::Built => {
                let now = progress(&self.app, &self.caller, open.id)
                    .await
                    .unwrap_or_default();
                let end = Built {
                    url: now.url,
                    error: now.error,
                    build_time: now.build_time,
                    session_id: open.name.clone(),
                };
                Teller::built(open.id, event.seq, &end)
            }
        };
        for frame in frames {
            self.frame(frame).await?;
        }
        Ok(())
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Option<Close>> {
        let name = self.open.as_ref().map_or("", |open| &open.name);
        let text = json!({
            "id": frame.id, "type": frame.kind, "data": frame.data,
            "timestamp": self.app.clock.now().as_millisecond(), "session_id": name,
        });
        self.send(Message::Text(text.to_string().into())).await
    }

    /// The original answers with `error` alone, which its client drops; with a
    /// type, the client shows it.
    async fn refuse(&mut self, error: &str) -> Result<(), Option<Close>> {
        let name = self.open.as_ref().map_or("", |open| &open.name);
        let text = json!({
            "id": self.app.rng.uuid(), "type": "error", "data": {"error": error},
            "timestamp": self.app.clock.now().as_millisecond(), "session_id": name, "error": error,
        });
        self.send(Message::Text(text.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Option<Close>> {
        match tokio::time::timeout(SEND_MAX, self.wire.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(None),
        }
    }
}

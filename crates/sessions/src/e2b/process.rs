//! Programs: started with a stream of what they say, listed, spoken to, ended,
//! and watched again by those who had left.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::unfold;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::{Refusal, Result, door, frames};
use crate::call::Call;
use crate::ports::{Command, Ended, Output};
use crate::room::Sessions;
use crate::routes::sandboxes::variables;
use crate::sandboxes::{Exec, Open, Running, refused};

/// Between signs of life, when a client asks for none in particular.
const PING: Duration = Duration::from_secs(50);

pub(super) async fn call(
    State(room): State<Arc<Sessions>>,
    Path(name): Path<String>,
    call: Call,
) -> Response {
    if matches!(name.as_str(), "Start" | "Connect") {
        // Refusals of streams are at their end.
        let said = match stream(&room, &name, &call).await {
            Ok(said) => said,
            Err(refusal) if refusal.status == StatusCode::BAD_GATEWAY => {
                return refusal.into_response();
            }
            Err(refusal) => return streamed(Body::from(frames::last(Some(&refusal)))),
        };
        return streamed(said);
    }
    match answer(&room, &name, &call).await {
        Ok(body) => axum::Json(body).into_response(),
        Err(refusal) => refusal.of_call(),
    }
}

fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/connect+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn stream(room: &Sessions, name: &str, call: &Call) -> Result<Body> {
    let open = door::open(room, call)?;
    let asked = frames::only(&call.body)?;
    let ping = call.header("keepalive-ping-interval");
    let ping = ping
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let ping = ping.filter(|ping| !ping.is_zero()).unwrap_or(PING);
    if name == "Connect" {
        let running = selected(&open, &asked)?;
        return Ok(said(running.pid, Source::Watching(running.watch()), ping));
    }
    let exec = exec(&asked, call)?;
    let started = open.exec(exec).await?;
    Ok(said(started.pid, Source::Started(started.output), ping))
}

/// A program as they ask for it.
fn exec(asked: &Value, call: &Call) -> Result<Exec> {
    let process = asked.get("process").unwrap_or(&Value::Null);
    let text = |name: &str| process.get(name).and_then(Value::as_str);
    let args = process.get("args").and_then(Value::as_array);
    let args = args.map_or(&[][..], Vec::as_slice).iter();
    let args = args.map(|arg| arg.as_str().map(str::to_owned));
    let args = args.collect::<Option<Vec<_>>>();
    let program = text("cmd").filter(|cmd| !cmd.is_empty());
    let (Some(program), Some(args)) = (program, args) else {
        return Err(Refusal::invalid("there is no program"));
    };
    let pty = asked.pointer("/pty/size");
    let count = |name: &str| {
        let number = pty.and_then(|pty| pty.get(name)).and_then(Value::as_u64);
        number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number > 0)
    };
    let timeout = call.header("connect-timeout-ms");
    let timeout = timeout
        .and_then(|text| text.parse().ok())
        .map(Duration::from_millis);
    let cwd = text("cwd").filter(|cwd| !cwd.is_empty());
    let command = Command {
        program: program.to_owned(),
        args,
        cwd: cwd.map(str::to_owned),
        env: variables(process.get("envs"))?,
        timeout,
        // Theirs is open unless a client says otherwise.
        stdin: asked.get("stdin").and_then(Value::as_bool).unwrap_or(false),
        pty: count("cols").zip(count("rows")),
        service: false,
    };
    Ok(Exec {
        command,
        tag: asked.get("tag").and_then(Value::as_str).map(str::to_owned),
        job: None,
        tool: Some("sandbox.exec"),
    })
}

/// Where a stream's messages come from.
enum Source {
    Started(mpsc::Receiver<Output>),
    Watching(broadcast::Receiver<Output>),
}

impl Source {
    /// What was said next; none when no more comes.
    async fn next(&mut self) -> Option<std::result::Result<Output, Refusal>> {
        match self {
            Self::Started(output) => output.recv().await.map(Ok),
            Self::Watching(output) => match output.recv().await {
                Ok(output) => Some(Ok(output)),
                Err(RecvError::Closed) => None,
                Err(RecvError::Lagged(_)) => Some(Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "the client was too slow for what the program says",
                ))),
            },
        }
    }
}

enum Step {
    Begins(u32),
    Goes,
    Ends,
    Over,
}

fn said(pid: u32, from: Source, ping: Duration) -> Body {
    let chunks = unfold(
        (Step::Begins(pid), from),
        move |(step, mut from)| async move {
            let (chunk, step) = match step {
                Step::Begins(pid) => {
                    let start = json!({"event": {"start": {"pid": pid}}});
                    (frames::frame(&start), Step::Goes)
                }
                Step::Goes => tokio::select! {
                    output = from.next() => match output {
                        Some(Ok(Output::Exit(ended))) => (frames::frame(&end(&ended)), Step::Ends),
                        Some(Ok(output)) => (frames::frame(&data(&output)), Step::Goes),
                        Some(Err(refusal)) => (frames::last(Some(&refusal)), Step::Over),
                        None => (frames::last(None), Step::Over),
                    },
                    () = tokio::time::sleep(ping) => {
                        let alive = json!({"event": {"keepalive": {}}});
                        (frames::frame(&alive), Step::Goes)
                    }
                },
                Step::Ends => (frames::last(None), Step::Over),
                Step::Over => return None,
            };
            Some((Ok::<Bytes, Infallible>(chunk), (step, from)))
        },
    );
    Body::from_stream(chunks)
}

fn data(output: &Output) -> Value {
    let (stream, bytes) = match output {
        Output::Stderr(bytes) => ("stderr", bytes),
        Output::Stdout(bytes) => ("stdout", bytes),
        Output::Exit(ended) => return end(ended),
    };
    json!({"event": {"data": {stream: STANDARD.encode(bytes)}}})
}

fn end(ended: &Ended) -> Value {
    let status = match (ended.code, ended.signal) {
        (None, Some(9)) => "signal: killed".to_owned(),
        (None, Some(signal)) => format!("signal: {signal}"),
        _ => format!("exit status {}", ended.status()),
    };
    let mut end = json!({
        "exitCode": ended.status(), "exited": ended.code.is_some(), "status": status,
    });
    if let (Some(why), Some(end)) = (&ended.why, end.as_object_mut()) {
        end.insert("error".to_owned(), json!(why));
    }
    json!({"event": {"end": end}})
}

fn selected(open: &Open, asked: &Value) -> Result<Arc<Running>> {
    let process = asked.get("process").unwrap_or(&Value::Null);
    let pid = process.get("pid").and_then(Value::as_u64);
    let pid = pid.map(|pid| u32::try_from(pid).unwrap_or(0));
    let tag = process.get("tag").and_then(Value::as_str);
    let none = || Refusal::new(StatusCode::NOT_FOUND, "there is no such process");
    open.live.process(pid, tag).ok_or_else(none)
}

async fn answer(room: &Sessions, name: &str, call: &Call) -> Result<Value> {
    let open = door::open(room, call)?;
    let asked = call.json()?;
    match name {
        "List" => {
            let all = open.live.processes().into_iter().map(|process| {
                json!({
                    "pid": process.pid, "tag": process.tag,
                    "config": {
                        "cmd": process.command, "args": process.args, "envs": {}, "cwd": process.cwd,
                    },
                })
            });
            Ok(json!({"processes": all.collect::<Vec<_>>()}))
        }
        "SendSignal" => {
            let running = selected(&open, &asked)?;
            let number = match asked.get("signal") {
                Some(Value::String(word)) if word == "SIGNAL_SIGKILL" => 9,
                Some(Value::String(word)) if word == "SIGNAL_SIGTERM" => 15,
                Some(Value::Number(number)) if number.as_u64() == Some(9) => 9,
                Some(Value::Number(number)) if number.as_u64() == Some(15) => 15,
                _ => return Err(Refusal::invalid("there is no such signal")),
            };
            running.control.signal(number).await.map_err(refused)?;
            Ok(json!({}))
        }
        "SendInput" => {
            let running = selected(&open, &asked)?;
            let input = asked.get("input").unwrap_or(&Value::Null);
            let text = input.get("stdin").or_else(|| input.get("pty"));
            let bytes = text
                .and_then(Value::as_str)
                .map(|text| STANDARD.decode(text));
            let Some(Ok(bytes)) = bytes else {
                return Err(Refusal::invalid("there is no input"));
            };
            let written = running.control.write(bytes.into()).await;
            written.map_err(refused)?;
            Ok(json!({}))
        }
        "CloseStdin" => {
            let running = selected(&open, &asked)?;
            running.control.close().await.map_err(refused)?;
            Ok(json!({}))
        }
        "Update" => {
            let running = selected(&open, &asked)?;
            let side = |name: &str| {
                let number = asked
                    .pointer("/pty/size")
                    .and_then(|size| size.get(name)?.as_u64());
                number.and_then(|number| u16::try_from(number).ok())
            };
            let (Some(columns), Some(rows)) = (side("cols"), side("rows")) else {
                return Err(Refusal::invalid("there is no size"));
            };
            running
                .control
                .resize(columns, rows)
                .await
                .map_err(refused)?;
            Ok(json!({}))
        }
        _ => Err(super::nothing().await),
    }
}

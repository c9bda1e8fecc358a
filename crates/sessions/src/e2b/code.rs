//! Python that remembers: one interpreter for each sandbox, started when it is
//! first asked for. It runs in the sandbox like everything else; here is only
//! what passes lines of JSON on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Refusal, Result, door};
use crate::call::Call;
use crate::ports::{Command, Output};
use crate::room::Sessions;
use crate::routes::sandboxes::variables;
use crate::sandboxes::{Exec, Execution, Interpreter, Open, refused};

const PROGRAM: &str = include_str!("code.py");
/// Messages that wait for the client.
const WAITING: usize = 64;
/// Of one message. What a program prints comes in pieces of far less; a value
/// may be large.
const LINE_BYTES_MAX: usize = 16 << 20;
/// What was interrupted ends in this time, or its interpreter does.
const END_TIME: Duration = Duration::from_secs(5);
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;

pub(super) async fn execute(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    let open = door::open(&room, &call)?;
    let asked = call.json()?;
    let text = |name: &str| asked.get(name).and_then(Value::as_str);
    let code = text("code").ok_or_else(|| Refusal::invalid("`code` is missing"))?;
    let language = text("language").unwrap_or("python");
    if language != "python" || text("context_id").is_some() {
        let message = "only Python in the sandbox's own context is offered here";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    let env: serde_json::Map<String, Value> = variables(asked.get("env_vars"))?
        .into_iter()
        .map(|(name, value)| (name, json!(value)))
        .collect();
    let ask = json!({"code": code, "env": env});
    let (to_client, mut lines) = mpsc::channel::<Bytes>(WAITING);
    let tasks = open.tasks().clone();
    // Started before the answer begins, so that a failure has a status.
    let interpreter = interpreter(&open).await?;
    tasks.spawn("run-code", async move {
        let mut place = interpreter.lock_owned().await;
        if let Some(one) = place.as_mut() {
            let healthy = run(one, ask, to_client).await;
            if !healthy {
                // Ended, so that the next code gets a new one.
                let _ = one.execution.running.control.signal(SIGKILL).await;
                *place = None;
            }
        }
    });
    let lines = futures_util::stream::poll_fn(move |context| {
        lines
            .poll_recv(context)
            .map(|line| line.map(Ok::<_, Infallible>))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

type Place = Arc<tokio::sync::Mutex<Option<Interpreter>>>;

async fn interpreter(open: &Open) -> Result<Place> {
    let place = Arc::clone(&open.live.interpreter);
    let mut one = place.lock().await;
    let alive = one.as_ref().is_some_and(|one| {
        let pid = one.execution.pid;
        open.live.process(Some(pid), None).is_some()
    });
    if !alive {
        let command = Command {
            program: "python3".to_owned(),
            args: ["-u", "-c", PROGRAM].map(str::to_owned).into(),
            stdin: true,
            ..Command::default()
        };
        let exec = Exec {
            command,
            tag: Some("code-interpreter".to_owned()),
            ..Exec::default()
        };
        let execution = open.exec(exec).await?;
        *one = Some(Interpreter {
            execution,
            asked: 0,
            rest: Vec::new(),
        });
    }
    drop(one);
    Ok(place)
}

/// Hands one piece of code over and passes on what comes of it; says whether
/// the interpreter can be asked again.
async fn run(one: &mut Interpreter, mut ask: Value, to_client: mpsc::Sender<Bytes>) -> bool {
    one.asked += 1;
    if let Some(fields) = ask.as_object_mut() {
        fields.insert("id".to_owned(), json!(one.asked));
    }
    let control = Arc::clone(&one.execution.running.control);
    if let Err(error) = control.write(format!("{ask}\n").into()).await {
        let error = refused(error).to_string();
        let _ = to_client.send(failed(&error)).await;
        return false;
    }
    let mut left = false;
    loop {
        let line = tokio::select! {
            line = next(&mut one.execution, &mut one.rest) => line,
            // Nobody listens any more: what runs is interrupted, once.
            () = to_client.closed(), if !left => {
                left = true;
                let _ = control.signal(SIGINT).await;
                continue;
            }
            () = tokio::time::sleep(END_TIME), if left => return false,
        };
        let Some(line) = line else {
            let _ = to_client.send(failed("the interpreter ended")).await;
            return false;
        };
        let Ok(mut message) = serde_json::from_slice::<Value>(&line) else {
            continue;
        };
        let id = message
            .as_object_mut()
            .and_then(|fields| fields.remove("id"));
        if id != Some(json!(one.asked)) {
            continue;
        }
        if message.get("type") == Some(&json!("end")) {
            return true;
        }
        if !left {
            let _ = to_client.send(format!("{message}\n").into()).await;
        }
    }
}

fn failed(why: &str) -> Bytes {
    let message =
        json!({"type": "error", "name": "InterpreterEnded", "value": why, "traceback": ""});
    format!("{message}\n").into()
}

/// The next line; none when there are no more, or one has no end.
async fn next(execution: &mut Execution, rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let after = rest.split_off(end + 1);
            return Some(std::mem::replace(rest, after));
        }
        if rest.len() > LINE_BYTES_MAX {
            return None;
        }
        match execution.output.recv().await? {
            Output::Stdout(bytes) => rest.extend_from_slice(&bytes),
            Output::Stderr(_) => {}
            Output::Exit(_) => return None,
        }
    }
}

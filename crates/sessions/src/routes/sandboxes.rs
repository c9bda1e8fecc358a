//! Sandboxes of a session: made and ended, programs, packages, the dev server,
//! and their files to the session and back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::stream::unfold;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::error::{Result, SessionsError};
use crate::ports::{Command, Network};
use crate::room::Sessions;
use crate::routes::said;
use crate::sandboxes::{Exec, NewSandbox, Open, Sandboxes, Seen};
use crate::store::json as answer;

/// What is collected of each stream when a program is waited for.
const COLLECTED_MAX: usize = 1 << 20;
/// A program that nobody gave a time.
const USUAL_TIME: Duration = Duration::from_secs(120);

type Room = State<Arc<Sessions>>;

pub(super) fn boxes(room: &Sessions) -> Result<&Arc<Sandboxes>> {
    room.sandboxes().ok_or_else(|| {
        SessionsError::new(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported",
            "this server runs no sandboxes",
        )
    })
}

pub(super) fn uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| SessionsError::not_found("session"))
}

pub(super) async fn opened(room: &Sessions, call: &Call, path: (&str, &str)) -> Result<Open> {
    let session = uuid(path.0)?;
    boxes(room)?.open(&call.caller, Some(session), path.1).await
}

pub(super) fn reply(status: StatusCode, value: &impl serde::Serialize) -> Result<Response> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|_| SessionsError::invalid("the answer is no JSON"))?;
    Ok(answer(status, text))
}

/// A whole number of seconds.
fn seconds(fields: &Map<String, Value>, name: &str) -> Result<Option<Duration>> {
    match fields.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds @ 1..) => Ok(Some(Duration::from_secs(seconds))),
            _ => Err(SessionsError::invalid(format!(
                "`{name}` is a whole number of seconds"
            ))),
        },
    }
}

fn flag(fields: &Map<String, Value>, name: &str, usual: bool) -> Result<bool> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(usual),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(SessionsError::invalid(format!("`{name}` is true or false"))),
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(SessionsError::invalid(format!("`{name}` is a text"))),
    }
}

fn texts(fields: &Map<String, Value>, name: &str) -> Result<Vec<String>> {
    let wrong = || SessionsError::invalid(format!("`{name}` is a list of texts"));
    match fields.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// `{"NAME": "value"}`.
pub(crate) fn variables(value: Option<&Value>) -> Result<Vec<(String, String)>> {
    let wrong = || SessionsError::invalid("variables are an object of texts");
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().ok_or_else(wrong)?;
                Ok((name.clone(), value.to_owned()))
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// `"none"`, `"registries"`, or a list of hosts.
fn network(value: Option<&Value>) -> Result<Network> {
    match value {
        None | Some(Value::Null) => Ok(Network::Registries),
        Some(Value::String(word)) if word == "none" => Ok(Network::None),
        Some(Value::String(word)) if word == "registries" => Ok(Network::Registries),
        Some(Value::Array(hosts)) => {
            let hosts = hosts.iter().map(|host| host.as_str().map(str::to_owned));
            let hosts = hosts.collect::<Option<Vec<_>>>();
            hosts
                .map(Network::Hosts)
                .ok_or_else(|| SessionsError::invalid("`network` is a list of hosts"))
        }
        Some(_) => Err(SessionsError::invalid(
            "`network` is `none`, `registries` or a list of hosts",
        )),
    }
}

pub(crate) async fn create(
    State(room): Room,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let known = [
        "template", "private", "timeout", "stays", "network", "env", "metadata",
    ];
    let fields = call.object(&known)?;
    let metadata = match fields.get("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(_) => return Err(SessionsError::invalid("`metadata` is an object")),
    };
    let new = NewSandbox {
        template: text(&fields, "template")?,
        private: flag(&fields, "private", false)?,
        lives: seconds(&fields, "timeout")?,
        stays: flag(&fields, "stays", true)?,
        network: network(fields.get("network"))?,
        env: variables(fields.get("env"))?,
        metadata,
    };
    let made = boxes(&room)?
        .create(&call.caller, uuid(&session)?, new)
        .await?;
    reply(StatusCode::CREATED, &made.seen)
}

/// The session's sandbox: the one it has, or a new one with its files.
pub(crate) async fn ensure(
    State(room): Room,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    call.object(&[])?;
    let session = uuid(&session)?;
    let (open, new) = boxes(&room)?.ensure(&call.caller, session).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    reply(status, &open.seen)
}

pub(crate) async fn show(
    State(room): Room,
    Path((session, id)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let session = uuid(&session)?;
    let seen = boxes(&room)?.show(&call.caller, Some(session), &id).await?;
    reply(StatusCode::OK, &seen)
}

pub(crate) async fn kill(
    State(room): Room,
    Path((session, id)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    reply(StatusCode::OK, &open.kill().await?)
}

/// `pause`, `resume`, `extend`, `snapshot`, `restore`: one word each.
pub(crate) async fn act(
    State(room): Room,
    Path((session, id, word)): Path<(String, String, String)>,
    call: Call,
) -> Result<Response> {
    let fields = match word.as_str() {
        "extend" => call.object(&["timeout"])?,
        "install" => return install(&room, (&session, &id), &call).await,
        "exec" => return exec(&room, (&session, &id), &call).await,
        _ => call.object(&[])?,
    };
    let open = opened(&room, &call, (&session, &id)).await?;
    let seen = |seen: Seen| reply(StatusCode::OK, &seen);
    match word.as_str() {
        "pause" => seen(open.pause().await?),
        "resume" => seen(open.resume().await?.seen),
        "extend" => {
            let span = seconds(&fields, "timeout")?;
            let wanted = || SessionsError::invalid("`timeout` says for how many seconds");
            seen(open.extend(span.ok_or_else(wanted)?).await?)
        }
        "snapshot" => reply(StatusCode::OK, &open.snapshot().await?),
        "restore" => reply(StatusCode::OK, &open.restore().await?),
        "dev_server" => {
            let url = open.start_dev_server().await?;
            reply(StatusCode::OK, &json!({"url": url}))
        }
        "restart" => {
            open.stop_dev_server().await?;
            let url = open.start_dev_server().await?;
            reply(StatusCode::OK, &json!({"url": url}))
        }
        _ => Err(SessionsError::not_found("address")),
    }
}

pub(crate) async fn look(
    State(room): Room,
    Path((session, id, word)): Path<(String, String, String)>,
    call: Call,
) -> Result<Response> {
    let open = opened(&room, &call, (&session, &id)).await?;
    match word.as_str() {
        "health" => reply(StatusCode::OK, &open.health().await?),
        "processes" => reply(StatusCode::OK, &json!({"processes": open.live.processes()})),
        "logs" => {
            let said = open.logs().await;
            let logs = said.as_deref().map(String::from_utf8_lossy);
            reply(StatusCode::OK, &json!({"logs": logs}))
        }
        "preview" => {
            let port = call.number("port")?.map(u16::try_from).transpose();
            let port = port.map_err(|_| SessionsError::invalid("`port` is a port"))?;
            let url = open.preview_url(port.unwrap_or(5173));
            reply(StatusCode::OK, &json!({"url": url}))
        }
        _ => Err(SessionsError::not_found("address")),
    }
}

/// `{"command": "a line for the shell"}` or `{"command": ["program", "argument"]}`.
async fn exec(room: &Sessions, path: (&str, &str), call: &Call) -> Result<Response> {
    let fields = call.object(&["command", "cwd", "env", "timeout", "job_id"])?;
    let exec = match fields.get("command") {
        Some(Value::String(line)) if !line.is_empty() => Exec::shell(line.clone()),
        Some(Value::Array(_)) => {
            let mut words = texts(&fields, "command")?.into_iter();
            let program = words.next().filter(|program| !program.is_empty());
            let program = program.ok_or_else(|| SessionsError::invalid("there is no program"))?;
            Exec::program(program, words.collect())
        }
        _ => {
            return Err(SessionsError::invalid(
                "`command` is a line or a list of words",
            ));
        }
    };
    let timeout = seconds(&fields, "timeout")?.unwrap_or(USUAL_TIME);
    let command = Command {
        cwd: text(&fields, "cwd")?,
        env: variables(fields.get("env"))?,
        ..exec.command.clone()
    };
    let exec = Exec { command, ..exec }
        .within(timeout)
        .of_job(job(&fields)?);
    let open = opened(room, call, path).await?;
    told(&open, open.exec(exec).await?, call).await
}

fn job(fields: &Map<String, Value>) -> Result<Option<Uuid>> {
    let parsed = text(fields, "job_id")?.map(|id| Uuid::parse_str(&id));
    let parsed = parsed.transpose();
    parsed.map_err(|_| SessionsError::not_found("job"))
}

async fn install(room: &Sessions, path: (&str, &str), call: &Call) -> Result<Response> {
    let fields = call.object(&["packages", "job_id"])?;
    let packages = texts(&fields, "packages")?;
    let job = job(&fields)?;
    let open = opened(room, call, path).await?;
    told(&open, open.install(&packages, job).await?, call).await
}

/// As it is said, for those who want events; else when it is over.
async fn told(
    open: &Open,
    execution: crate::sandboxes::Execution,
    call: &Call,
) -> Result<Response> {
    let events = call.header("accept").unwrap_or_default();
    if events.contains("text/event-stream") {
        return Ok(said::events(execution));
    }
    let run = execution.run;
    let all = execution.collect(COLLECTED_MAX).await;
    let body = json!({
        "run": run, "sandbox_id": open.id(),
        "exit_code": all.ended.status(), "signal": all.ended.signal, "why": all.ended.why,
        "stdout": String::from_utf8_lossy(&all.stdout), "stderr": String::from_utf8_lossy(&all.stderr),
        "truncated": all.truncated,
    });
    reply(StatusCode::OK, &body)
}

/// The workspace as a zip.
pub(crate) async fn zip(
    State(room): Room,
    Path(session): Path<String>,
    call: Call,
) -> Result<Response> {
    let session = uuid(&session)?;
    let pieces = boxes(&room)?.zip(&call.caller, session).await?;
    let body = unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = HeaderValue::from_static("attachment; filename=\"project.zip\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

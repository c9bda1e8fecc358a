//! Sandboxes made, listed, kept alive and ended, as E2B's clients ask for it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::HeaderValue;
use pg::SqlBuf;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Refusal, Result, VERSION};
use crate::call::Call;
use crate::ports::Network;
use crate::room::Sessions;
use crate::routes::sandboxes::variables;
use crate::sandboxes::{NewSandbox, Open, Sandboxes, Seen, template};

/// Templates of theirs that mean: nothing but the tools.
const BARE: &[&str] = &["base", "code-interpreter-v1"];
/// As their clients have it when nobody says.
const USUAL_TIME: u64 = 300;
/// Sandboxes of one page.
const PAGE: u32 = 100;

pub(super) fn boxes(room: &Sessions) -> Result<&Arc<Sandboxes>> {
    let none = || Refusal::new(StatusCode::NOT_IMPLEMENTED, "this server runs no sandboxes");
    room.sandboxes().ok_or_else(none)
}

/// Nobody makes sandboxes without having shown who they are.
fn known(call: &Call) -> Result<()> {
    if call.caller.authenticated {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNAUTHORIZED,
        "show a platform key in X-API-Key",
    ))
}

/// The fields of a body; their clients send some that are newer than we are,
/// and mean nothing by most of them.
fn fields(call: &Call) -> Result<Map<String, Value>> {
    if call.body.is_empty() {
        return Ok(Map::new());
    }
    match call.json()? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::invalid("the body is not an object")),
    }
}

fn seconds(fields: &Map<String, Value>, name: &str) -> Result<Option<Duration>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(seconds) => Ok(Some(Duration::from_secs(seconds))),
            None => Err(Refusal::invalid(format!("`{name}` is a number of seconds"))),
        },
    }
}

/// Whom it may reach. Their `true` means everybody; ours means registries.
fn network(fields: &Map<String, Value>) -> Result<Network> {
    if fields.get("allow_internet_access") == Some(&Value::Bool(false)) {
        return Ok(Network::None);
    }
    let hosts = fields
        .get("network")
        .and_then(|network| network.get("allowOut"));
    match hosts.and_then(Value::as_array) {
        None => Ok(Network::Registries),
        Some(hosts) => {
            let hosts = hosts.iter().map(|host| host.as_str().map(str::to_owned));
            let hosts = hosts.collect::<Option<Vec<_>>>();
            hosts
                .map(Network::Hosts)
                .ok_or_else(|| Refusal::invalid("`allowOut` is a list of hosts"))
        }
    }
}

pub(super) async fn create(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    known(&call)?;
    let fields = fields(&call)?;
    for unheard in ["volumeMounts", "mcp", "iam"] {
        if fields.get(unheard).is_some_and(|value| !value.is_null()) {
            let message = format!("`{unheard}` is not offered here");
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message));
        }
    }
    let name = fields.get("templateID").and_then(Value::as_str);
    let name = name.unwrap_or("base");
    let bare = BARE.contains(&name);
    if !bare && template(name).is_none() {
        let message = format!("template '{name}' not found");
        return Err(Refusal::new(StatusCode::NOT_FOUND, message));
    }
    let mut metadata = Map::new();
    let theirs = fields.get("metadata").cloned().unwrap_or_default();
    metadata.insert(
        "e2b".to_owned(),
        json!({"template": name, "metadata": theirs}),
    );
    let new = NewSandbox {
        template: (!bare).then(|| name.to_owned()),
        private: false,
        lives: Some(seconds(&fields, "timeout")?.unwrap_or(Duration::from_secs(USUAL_TIME))),
        stays: false,
        network: network(&fields)?,
        env: variables(fields.get("envVars"))?,
        metadata,
    };
    let boxes = boxes(&room)?;
    let session = session(&room, &call).await?;
    let open = boxes.create(&call.caller, session, new).await?;
    let given = entrance(boxes, &open);
    Ok((StatusCode::CREATED, axum::Json(given)).into_response())
}

/// Their sandboxes have no session; ours do.
async fn session(room: &Sessions, call: &Call) -> Result<Uuid> {
    let sql = SqlBuf::fixed(include_str!("../../sql/create_session.sql"));
    let about = json!({"title": "E2B sandbox", "metadata": {"made_by": "e2b"}});
    let rows = room
        .store
        .write(&call.caller, sql.bind(about.to_string()))
        .await?;
    let row: Option<Value> = rows
        .scalar()
        .and_then(|text| serde_json::from_str(text).ok());
    let id = row.as_ref().and_then(|row| row.get("id")?.as_str());
    let id = id.and_then(|id| Uuid::parse_str(id).ok());
    id.ok_or_else(|| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed"))
}

/// What a client needs to talk to the sandbox itself.
fn entrance(boxes: &Sandboxes, open: &Open) -> Value {
    let rng = &boxes.rng;
    let key = open.live.give_key(&open.caller, || {
        format!("{}{}", rng.uuid().simple(), rng.uuid().simple())
    });
    let mut body = described(boxes, &open.seen);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("envdAccessToken".to_owned(), json!(key));
    }
    body
}

fn described(boxes: &Sandboxes, seen: &Seen) -> Value {
    let theirs = seen.metadata.get("e2b");
    let of = |name: &str| theirs.and_then(|theirs| theirs.get(name)).cloned();
    let number = |name: &str| seen.limits.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cores and megabytes of our own limits"
    )]
    let whole = |number: f64| number.ceil() as u64;
    let mebibytes = 1024.0 * 1024.0;
    json!({
        "sandboxID": seen.sandbox_id,
        "templateID": of("template").unwrap_or_else(|| json!(seen.template)),
        "clientID": "ferrobase",
        "envdVersion": VERSION,
        "domain": boxes.preview_domain,
        "state": if seen.status == "paused" { "paused" } else { "running" },
        "startedAt": seen.created_at,
        "endAt": seen.expires_at,
        "cpuCount": whole(number("cpu")),
        "memoryMB": whole(number("memory_bytes") / mebibytes),
        "diskSizeMB": whole(number("disk_bytes") / mebibytes),
        "metadata": of("metadata").filter(Value::is_object).unwrap_or_else(|| json!({})),
    })
}

pub(super) async fn list(State(room): State<Arc<Sessions>>, call: Call) -> Result<Response> {
    known(&call)?;
    let limit = call.number("limit")?.unwrap_or(u64::from(PAGE));
    let limit = u32::try_from(limit.clamp(1, u64::from(PAGE))).unwrap_or(PAGE);
    let offset = call.number("nextToken")?.unwrap_or(0);
    let boxes = boxes(&room)?;
    let page = boxes.mine(&call.caller, limit, offset).await?;
    let full = page.len() == limit as usize;
    let wanted = call.asked("metadata").unwrap_or_default();
    let wanted: Vec<(String, String)> = url::form_urlencoded::parse(wanted.as_bytes())
        .into_owned()
        .collect();
    let states = call.asked("state").unwrap_or_default();
    let fits = |body: &Value| {
        let metadata = wanted.iter().all(|(name, value)| {
            body.pointer("/metadata").and_then(|all| all.get(name)) == Some(&json!(value))
        });
        let state = body
            .get("state")
            .and_then(Value::as_str)
            .unwrap_or_default();
        metadata && (states.is_empty() || states.split(',').any(|word| word == state))
    };
    let bodies: Vec<Value> = page.iter().map(|seen| described(boxes, seen)).collect();
    let bodies: Vec<Value> = bodies.into_iter().filter(fits).collect();
    let mut response = axum::Json(bodies).into_response();
    if full && let Ok(next) = HeaderValue::try_from((offset + u64::from(limit)).to_string()) {
        response.headers_mut().insert("x-next-token", next);
    }
    Ok(response)
}

pub(super) async fn show(
    State(room): State<Arc<Sessions>>,
    Path(id): Path<String>,
    call: Call,
) -> Result<Response> {
    known(&call)?;
    let boxes = boxes(&room)?;
    let open = boxes.open(&call.caller, None, &id).await?;
    Ok(axum::Json(entrance(boxes, &open)).into_response())
}

pub(super) async fn kill(
    State(room): State<Arc<Sessions>>,
    Path(id): Path<String>,
    call: Call,
) -> Result<StatusCode> {
    known(&call)?;
    let open = boxes(&room)?.open(&call.caller, None, &id).await?;
    open.kill().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn look(
    State(room): State<Arc<Sessions>>,
    Path((id, word)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    known(&call)?;
    let boxes = boxes(&room)?;
    let open = boxes.open(&call.caller, None, &id).await?;
    if word != "metrics" {
        return Err(super::nothing().await);
    }
    let usage = open.live.contained.usage().await;
    let usage = usage.map_err(crate::sandboxes::refused)?;
    let described = described(boxes, &open.seen);
    let now = boxes.clock.now();
    let total = |name: &str| described.get(name).and_then(Value::as_u64).unwrap_or(0) << 20;
    let body = json!([{
        "timestamp": now.to_string(), "timestampUnix": now.as_second(),
        "cpuCount": described.get("cpuCount"), "cpuUsedPct": 0,
        "memUsed": usage.memory_bytes, "memTotal": total("memoryMB"), "memCache": 0,
        "diskUsed": usage.disk_bytes, "diskTotal": total("diskSizeMB"),
    }]);
    Ok(axum::Json(body).into_response())
}

pub(super) async fn act(
    State(room): State<Arc<Sessions>>,
    Path((id, word)): Path<(String, String)>,
    call: Call,
) -> Result<Response> {
    known(&call)?;
    let fields = fields(&call)?;
    let boxes = boxes(&room)?;
    let mut open = boxes.open(&call.caller, None, &id).await?;
    let done = StatusCode::NO_CONTENT.into_response();
    match word.as_str() {
        "timeout" => {
            let span = seconds(&fields, "timeout")?;
            let span = span.ok_or_else(|| Refusal::invalid("`timeout` is missing"))?;
            open.extend(span).await?;
            Ok(done)
        }
        "refreshes" => {
            let span = seconds(&fields, "duration")?;
            open.extend(span.unwrap_or(Duration::from_secs(USUAL_TIME)))
                .await?;
            Ok(done)
        }
        "pause" if open.seen.status == "paused" => Err(Refusal::new(
            StatusCode::CONFLICT,
            "the sandbox is paused already",
        )),
        "pause" => {
            open.pause().await?;
            Ok(done)
        }
        "connect" | "resume" => {
            let was_paused = open.seen.status == "paused";
            if was_paused {
                open = open.resume().await?;
            }
            if let Some(span) = seconds(&fields, "timeout")? {
                let seen = open.at_least(span).await?;
                open = open.with(seen);
            }
            let status = if was_paused {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            Ok((status, axum::Json(entrance(boxes, &open))).into_response())
        }
        _ => Err(super::nothing().await),
    }
}

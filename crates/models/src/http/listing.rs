//! What can be asked for, as both dialects list models. Pure.

use http::HeaderMap;
use serde_json::{Value, json};

use super::error::Dialect;
use crate::room::Models;
use crate::route::DEMO;

/// Anthropic's libraries say which version they speak; nobody else does.
pub(super) fn dialect(headers: &HeaderMap) -> Dialect {
    if headers.contains_key("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::Openai
    }
}

pub(super) fn all(room: &Models, dialect: Dialect) -> Value {
    let names = room.targets();
    let models: Vec<Value> = names.iter().map(|name| model(dialect, name)).collect();
    match dialect {
        Dialect::Openai => json!({"object": "list", "data": models}),
        Dialect::Anthropic => json!({
            "data": models, "has_more": false,
            "first_id": names.first(), "last_id": names.last(),
        }),
    }
}

pub(super) fn one(room: &Models, dialect: Dialect, name: &str) -> Option<Value> {
    let known = room.targets().iter().any(|target| target == name);
    known.then(|| model(dialect, name))
}

fn model(dialect: Dialect, name: &str) -> Value {
    let owner = name
        .split_once('/')
        .map_or("role", |(provider, _)| provider);
    let shown = if owner == DEMO {
        format!("{name} (a script, no model)")
    } else {
        name.to_owned()
    };
    match dialect {
        Dialect::Openai => json!({"id": name, "object": "model", "created": 0, "owned_by": owner}),
        Dialect::Anthropic => json!({
            "id": name, "type": "model", "display_name": shown, "created_at": "1970-01-01T00:00:00Z",
        }),
    }
}

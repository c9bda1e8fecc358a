//! Reading members of a client's JSON: what is there has the right type, or the
//! refusal names the member.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::Refused;
use crate::chat::{Effort, Image};

type Result<T> = std::result::Result<T, Refused>;

fn wrong<T>(name: &str, expected: &str) -> Result<T> {
    Err(Refused::invalid(
        &format!("`{name}` is {expected}"),
        Some(name),
    ))
}

/// A member that is there and not null.
pub(super) fn given<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(body: &'a Value, name: &str) -> Result<Option<&'a str>> {
    match given(body, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => wrong(name, "a text"),
    }
}

pub(super) fn needed<'a>(body: &'a Value, name: &str) -> Result<&'a str> {
    match text(body, name)? {
        Some(text) if !text.is_empty() => Ok(text),
        _ => wrong(name, "a text, and is needed"),
    }
}

pub(super) fn flag(body: &Value, name: &str) -> Result<bool> {
    match given(body, name) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => wrong(name, "true or false"),
    }
}

pub(super) fn count(body: &Value, name: &str) -> Result<Option<u32>> {
    let Some(value) = given(body, name) else {
        return Ok(None);
    };
    let number = value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0);
    number.map_or_else(|| wrong(name, "a whole number above 0"), |n| Ok(Some(n)))
}

pub(super) fn number(body: &Value, name: &str, most: f64) -> Result<Option<f32>> {
    let Some(value) = given(body, name) else {
        return Ok(None);
    };
    let number = value.as_f64().filter(|n| (0.0..=most).contains(n));
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 2")]
    number.map_or_else(
        || wrong(name, &format!("a number from 0 to {most}")),
        |n| Ok(Some(n as f32)),
    )
}

pub(super) fn list<'a>(body: &'a Value, name: &str) -> Result<&'a [Value]> {
    match given(body, name) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => wrong(name, "an array"),
    }
}

/// A text, or several.
pub(super) fn texts(body: &Value, name: &str) -> Result<Vec<String>> {
    match given(body, name) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) => {
            let all: Option<Vec<_>> = items
                .iter()
                .map(|i| i.as_str().map(str::to_owned))
                .collect();
            all.map_or_else(|| wrong(name, "a text or an array of texts"), Ok)
        }
        Some(_) => wrong(name, "a text or an array of texts"),
    }
}

pub(super) fn effort(body: &Value, name: &str) -> Result<Option<Effort>> {
    Ok(Some(match text(body, name)? {
        None | Some("none") => return Ok(None),
        Some("minimal") => Effort::Minimal,
        Some("low") => Effort::Low,
        Some("medium") => Effort::Medium,
        Some("high") => Effort::High,
        Some("xhigh" | "max") => Effort::Max,
        Some(_) => return wrong(name, "minimal, low, medium, high or max"),
    }))
}

/// A picture at an address, or in one.
pub(super) fn picture(url: &str) -> Result<Image> {
    let Some(data) = url.strip_prefix("data:") else {
        // Whoever fetches it may stand in a network with unguarded neighbours.
        if url.starts_with("https://") {
            return Ok(Image::Url(url.to_owned()));
        }
        return wrong("image_url", "an https: or data: address");
    };
    let (mime, data) = data.split_once(";base64,").unwrap_or_default();
    picture_data(mime, data)
}

pub(super) fn picture_data(mime: &str, data: &str) -> Result<Image> {
    let bytes = STANDARD.decode(data);
    match bytes {
        Ok(bytes) if mime.starts_with("image/") && !bytes.is_empty() => Ok(Image::Data {
            mime: mime.to_owned(),
            data: bytes.into(),
        }),
        _ => wrong("image", "a picture in base64 with its type"),
    }
}

/// Arguments of a tool call, as text of JSON.
pub(super) fn arguments(text: &str) -> Result<Value> {
    if text.is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_str(text).or_else(|_| wrong("arguments", "JSON as text"))
}

/// Text of an answer of a tool: a text, or parts with texts.
pub(super) fn content_text(content: Option<&Value>) -> Result<String> {
    match content {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            Ok(texts.collect())
        }
        Some(_) => wrong("content", "a text or an array of parts"),
    }
}

/// Adds a member to an object of ours.
pub(super) fn set(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}

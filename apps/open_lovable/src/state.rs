//! The conversation state that the original keeps in its process, and a session
//! with messages: each becomes the other without loss.
//!
//! What a session has no column for (edits, major changes, preferences) is in
//! its metadata, under the names that the state has. A message's own id is its
//! key, so that migrating again finds it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::{ApiError, Result};

/// Messages of one state at most; the original trims to twenty.
const MESSAGES_MAX: usize = 10_000;
/// Edits and changes, likewise.
const NOTES_MAX: usize = 1000;
/// Characters of a key, as in the table.
const KEY_CHARS_MAX: usize = 200;
/// What a state becomes that has no topic.
const TITLE: &str = "Migrated Session";

/// A state, read and checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Imported {
    /// The session that the state was made from, if it says so.
    pub(crate) session: Option<String>,
    /// Names the session otherwise: the conversation, or all of its content.
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) metadata: Value,
    pub(crate) started: Option<String>,
    pub(crate) updated: Option<String>,
    /// As `work.append_messages` takes them.
    pub(crate) messages: Vec<Value>,
}

impl Imported {
    /// Reads a state.
    pub(crate) fn read(state: &Value) -> Result<Self> {
        let bad =
            |text: &str| ApiError::bad(["Failed to migrate conversation state: ", text].concat());
        let Some(outer) = state.as_object() else {
            return Err(bad("it is not an object"));
        };
        let empty = Map::new();
        let context = outer
            .get("context")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let messages =
            list(context.get("messages"), MESSAGES_MAX).ok_or_else(|| bad("too many messages"))?;
        let edits = list(context.get("edits"), NOTES_MAX).ok_or_else(|| bad("too many edits"))?;
        let evolution = context.get("projectEvolution").cloned().unwrap_or_default();
        list(evolution.get("majorChanges"), NOTES_MAX).ok_or_else(|| bad("too many changes"))?;
        let messages = messages.iter().enumerate();
        let messages = messages.map(|(n, message)| read_message(n, message));
        let messages = messages.collect::<Option<Vec<_>>>();
        let messages = messages
            .ok_or_else(|| bad("a message has no role of user or assistant, or no text"))?;
        let conversation = outer
            .get("conversationId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let topic = context.get("currentTopic").and_then(Value::as_str);
        let title = topic.filter(|topic| !topic.is_empty()).unwrap_or(TITLE);
        let number = |name| outer.get(name).and_then(Value::as_i64);
        let metadata = json!({
            "migratedFrom": "global_conversation_state",
            "conversationId": outer.get("conversationId"),
            "lastUpdated": number("lastUpdated").unwrap_or(0),
            "edits": edits,
            "projectEvolution": evolution,
            "userPreferences": context.get("userPreferences").cloned().unwrap_or_else(|| json!({})),
        });
        let named = !conversation.is_empty();
        let name = if named {
            conversation.to_owned()
        } else {
            fingerprint(state)
        };
        Ok(Self {
            session: Uuid::parse_str(conversation).ok().map(|id| id.to_string()),
            key: key(&["open_lovable:", &name].concat()),
            title: title.chars().take(1000).collect(),
            metadata,
            started: number("startedAt").and_then(time),
            updated: number("lastUpdated").and_then(time),
            messages,
        })
    }
}

/// An array with no more than so many items; what is missing is empty.
fn list(value: Option<&Value>, most: usize) -> Option<Vec<Value>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) if items.len() <= most => Some(items.clone()),
        Some(_) => None,
    }
}

fn read_message(n: usize, message: &Value) -> Option<Value> {
    let role = message.get("role")?.as_str()?;
    let content = message.get("content")?.as_str()?;
    if !["user", "assistant", "system"].contains(&role) {
        return None;
    }
    let named = message
        .get("id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty());
    // Without an id, its place and content are what it is.
    let name = named.map_or_else(
        || ["message:", &n.to_string(), ":", &fingerprint(message)].concat(),
        str::to_owned,
    );
    let metadata = message.get("metadata").filter(|value| value.is_object());
    Some(json!({
        "key": key(&name), "role": role, "content": content,
        "metadata": metadata.cloned().unwrap_or_else(|| json!({})),
        "created_at": message.get("timestamp").and_then(Value::as_i64).and_then(time),
    }))
}

/// A name as it is, or its fingerprint when it is too long for a key.
fn key(name: &str) -> String {
    if name.chars().count() <= KEY_CHARS_MAX {
        return name.to_owned();
    }
    fingerprint(&json!(name))
}

/// Of a value's content: the order of an object's fields does not count.
fn fingerprint(value: &Value) -> String {
    let digest = Sha256::digest(sorted(value).to_string());
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            let fields = fields.into_iter();
            Value::Object(
                fields
                    .map(|(name, value)| (name.clone(), sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        plain => plain.clone(),
    }
}

/// Milliseconds since 1970 as the database reads them; none beyond its years.
fn time(ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(ms).ok()?;
    Some(time.to_string())
}

/// A session in the shape of the state. `session` is its row with `messages`.
pub(crate) fn exported(session: &Value) -> Value {
    let metadata = session.get("metadata").cloned().unwrap_or_default();
    let field = |name: &str| metadata.get(name).cloned();
    let at = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).and_then(millis);
    let messages = session.get("messages").and_then(Value::as_array);
    let messages = messages.into_iter().flatten().map(|message| {
        json!({
            "id": message.get("key").filter(|key| key.is_string()).or(message.get("id")),
            "role": message.get("role"), "content": message.get("content"),
            "timestamp": at(message, "created_at"), "metadata": message.get("metadata"),
        })
    });
    let evolution = field("projectEvolution").filter(Value::is_object);
    let mut evolution = evolution.unwrap_or_else(|| json!({}));
    if let Some(object) = evolution.as_object_mut() {
        object.entry("majorChanges").or_insert_with(|| json!([]));
    }
    json!({
        "conversationId": session.get("id"),
        "startedAt": at(session, "created_at"),
        "lastUpdated": at(session, "updated_at"),
        "context": {
            "messages": messages.collect::<Value>(),
            "edits": field("edits").filter(Value::is_array).unwrap_or_else(|| json!([])),
            "currentTopic": session.get("title"),
            "projectEvolution": evolution,
            "userPreferences": field("userPreferences").filter(Value::is_object).unwrap_or_else(|| json!({})),
        },
    })
}

fn millis(time: &str) -> Option<i64> {
    let time: Timestamp = time.parse().ok()?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_state_says_is_kept() {
        let state = json!({"conversationId": "conv-5", "startedAt": 1_700_000_000_123_i64, "context": {
            "messages": [{"id": "msg-1", "role": "user", "content": "hi", "timestamp": 1_700_000_000_456_i64}],
            "edits": [{"editType": "ADD_FEATURE"}],
        }});
        let read = Imported::read(&state).expect("it is one");
        assert_eq!(
            (read.key.as_str(), read.title.as_str()),
            ("open_lovable:conv-5", "Migrated Session")
        );
        assert_eq!(read.started.as_deref(), Some("2023-11-14T22:13:20.123Z"));
        let message = read.messages.first().expect("one");
        assert_eq!(message.get("key"), Some(&json!("msg-1")));
        assert_eq!(
            message.get("created_at"),
            Some(&json!("2023-11-14T22:13:20.456Z"))
        );
        assert_eq!(
            read.metadata.get("edits"),
            Some(&json!([{"editType": "ADD_FEATURE"}]))
        );
    }

    #[test]
    fn without_a_name_the_content_is_the_name() {
        let one =
            json!({"startedAt": 1, "context": {"messages": [{"role": "user", "content": "a"}]}});
        let same =
            json!({"context": {"messages": [{"content": "a", "role": "user"}]}, "startedAt": 1});
        let other =
            json!({"startedAt": 2, "context": {"messages": [{"role": "user", "content": "a"}]}});
        let key = |state| Imported::read(state).expect("a state").key;
        assert_eq!(key(&one), key(&same));
        assert_ne!(key(&one), key(&other));
    }

    #[test]
    fn what_is_no_state_is_refused() {
        for bad in [
            json!("conv"),
            json!({"context": {"messages": [{"role": "robot", "content": "x"}]}}),
            json!({"context": {"messages": [{"role": "user"}]}}),
            json!({"context": {"messages": {}}}),
            json!({"context": {"messages": vec![json!({"role": "user", "content": ""}); 10_001]}}),
        ] {
            assert!(Imported::read(&bad).is_err(), "{bad}");
        }
    }
}

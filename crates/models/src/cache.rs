//! Which questions are the same. Pure.
//!
//! A digest is over canonical JSON: members sorted, whatever order a client
//! sent them in. For the cache it has the owner and the model in it, so that
//! nobody is given another's answer.

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::chat::ChatRequest;
use crate::route::Route;

/// An answer longer than this is not kept, neither for its token nor in the
/// cache: rows are no place for it.
pub(crate) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Tells the requests of one token apart.
pub(crate) fn of_request(request: &ChatRequest) -> String {
    hex(&serde_json::to_value(request).unwrap_or_default())
}

/// The same for texts to be turned into vectors.
pub(crate) fn of_texts(target: &str, texts: &[String], dimensions: Option<u32>) -> String {
    hex(&json!([target, texts, dimensions]))
}

/// Names an answer of this model to this question of this owner.
pub(crate) fn key(owner: Option<&str>, role: &str, route: &Route, request: &ChatRequest) -> String {
    let mut asked = serde_json::to_value(request).unwrap_or_default();
    if let Some(object) = asked.as_object_mut() {
        object.remove("target");
    }
    hex(&json!([owner, role, route.to_string(), asked]))
}

/// What a provider knows a call of a memoised step by.
pub(crate) fn derived(token: Uuid, digest_of_request: &str, route: &Route) -> Uuid {
    let text = format!("{token} {digest_of_request} {route}");
    let hash = digest(&SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn hex(value: &Value) -> String {
    use std::fmt::Write as _;
    let text = sorted(value).to_string();
    let mut out = String::with_capacity(64);
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            let members = members.into_iter().map(|(k, v)| (k.clone(), sorted(v)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::chat::OutputSchema;

    #[test]
    fn the_order_of_members_does_not_count_and_everything_else_does() {
        let schema = |text: &str| {
            let schema = OutputSchema::strict("s", serde_json::from_str(text).unwrap());
            ChatRequest::to("r").user("hello").schema(schema)
        };
        let one = of_request(&schema(r#"{"a": 1, "b": {"c": [1, 2], "d": 2}}"#));
        let same = of_request(&schema(r#"{"b": {"d": 2, "c": [1, 2]}, "a": 1}"#));
        let other = of_request(&schema(r#"{"b": {"d": 2, "c": [2, 1]}, "a": 1}"#));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn owners_and_models_do_not_share_answers() {
        let request = ChatRequest::to("r").user("hello");
        let route = Route::parse("a/x").unwrap();
        let mine = key(Some("me"), "anon", &route, &request);
        assert_ne!(mine, key(Some("you"), "anon", &route, &request));
        assert_ne!(mine, key(None, "anon", &route, &request));
        assert_ne!(
            key(None, "anon", &route, &request),
            key(None, "service_role", &route, &request)
        );
        let other = Route::parse("a/y").unwrap();
        assert_ne!(mine, key(Some("me"), "anon", &other, &request));
        let again = ChatRequest::to("another_role").user("hello");
        assert_eq!(mine, key(Some("me"), "anon", &route, &again));
    }
}

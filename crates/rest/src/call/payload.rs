//! The body of a request, checked as far as it can be without the catalog.
//!
//! `JSON` travels on as the bytes that came in: only its top-level keys are
//! read, by `json.rs`. CSV and forms become `JSON`. Start at `read`.

mod csv;
mod json;

use std::collections::BTreeSet;

use bytes::Bytes;

use super::form;
use super::media::MediaType;
use crate::error::RestError;

/// A checked body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A valid `JSON` object, or an array of objects that all have `keys`.
    Json {
        /// The text as sent, or as made from CSV or a form.
        text: Text,
        /// The keys of every object.
        keys: BTreeSet<String>,
        /// Whether the text is an array.
        shape: Shape,
    },
    /// `JSON` that was not looked at because `columns=` names its keys.
    /// Postgres will say if it is not valid.
    RawJson(Text),
    /// A form sent to a function: arguments in the order written, of which
    /// variadic ones may repeat.
    Form(Vec<(String, String)>),
    /// The whole body as the one unnamed argument of a function.
    Raw(Bytes),
}

/// Whether a `JSON` body is one row or a list of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

/// Bytes that are known to be UTF-8, shared with the request's body.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Bytes);

impl Text {
    fn new(bytes: Bytes) -> Option<Self> {
        std::str::from_utf8(&bytes).is_ok().then_some(Self(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl std::fmt::Debug for Text {
    /// Bodies are private: only the size may show in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// Who the body is for, as far as it matters to its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Rows of a table or view.
    Relation,
    /// Arguments of a function.
    Routine,
}

/// Checks a body. `columns_given` says that `columns=` applies to it.
pub(super) fn read(
    body: Bytes,
    content_type: &MediaType,
    target: Target,
    columns_given: bool,
) -> Result<Payload, RestError> {
    match (content_type, target) {
        (MediaType::Json, _) if columns_given => Text::new(body)
            .map(Payload::RawJson)
            .ok_or(RestError::InvalidEncoding),
        (MediaType::Json, Target::Routine) if body.is_empty() => {
            Ok(object(Text::from("{}".to_owned()), BTreeSet::new()))
        }
        (MediaType::Json, _) => checked_json(body),
        (MediaType::Csv, _) => {
            let text = Text::new(body).ok_or(RestError::InvalidEncoding)?;
            let (rows, keys) = csv::to_json(text.as_str())?;
            Ok(Payload::Json {
                text: rows.into(),
                keys,
                shape: Shape::Array,
            })
        }
        (MediaType::UrlEncoded, Target::Routine) => form_pairs(&body).map(Payload::Form),
        (MediaType::UrlEncoded, Target::Relation) => form_object(&body),
        (MediaType::Text | MediaType::Xml, Target::Routine) => {
            let text = Text::new(body).ok_or(RestError::InvalidEncoding)?;
            Ok(Payload::Raw(text.0))
        }
        (MediaType::OctetStream, Target::Routine) => Ok(Payload::Raw(body)),
        (other, _) => Err(RestError::InvalidBody(format!(
            "Content-Type not acceptable: {}",
            other.mime()
        ))),
    }
}

fn object(text: Text, keys: BTreeSet<String>) -> Payload {
    Payload::Json {
        text,
        keys,
        shape: Shape::Object,
    }
}

fn checked_json(body: Bytes) -> Result<Payload, RestError> {
    let invalid = || RestError::InvalidBody("Empty or invalid json".to_owned());
    let text = Text::new(body).ok_or_else(invalid)?;
    match json::top_level(text.as_str()).map_err(|fault| match fault {
        json::Fault::Invalid => invalid(),
        json::Fault::KeysDiffer => RestError::InvalidBody("All object keys must match".to_owned()),
    })? {
        json::Top::Object(keys) => Ok(object(text, keys)),
        json::Top::Objects(keys) => Ok(Payload::Json {
            text,
            keys,
            shape: Shape::Array,
        }),
        // Numbers, strings and the like are taken as no rows at all.
        json::Top::Other => Ok(Payload::Json {
            text: Text::from("[]".to_owned()),
            keys: BTreeSet::new(),
            shape: Shape::Array,
        }),
    }
}

fn form_pairs(body: &[u8]) -> Result<Vec<(String, String)>, RestError> {
    let text = std::str::from_utf8(body).map_err(|_| RestError::InvalidEncoding)?;
    form::pairs(text)?
        .into_iter()
        .map(|(name, value)| {
            Ok((
                name.into_owned(),
                value.map(std::borrow::Cow::into_owned).unwrap_or_default(),
            ))
        })
        .collect()
}

fn form_object(body: &[u8]) -> Result<Payload, RestError> {
    let map: serde_json::Map<String, serde_json::Value> = form_pairs(body)?
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect();
    let keys = map.keys().cloned().collect();
    let text = serde_json::Value::Object(map).to_string();
    Ok(object(text.into(), keys))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn body(content_type: &str, target: Target, text: &'static [u8]) -> String {
        let content_type = MediaType::parse(content_type);
        match read(Bytes::from_static(text), &content_type, target, false) {
            Ok(Payload::Json { text, keys, shape }) => {
                let keys: Vec<_> = keys.into_iter().collect();
                format!("{shape:?} {} {}", keys.join("+"), text.as_str())
            }
            Ok(Payload::Form(pairs)) => format!("{pairs:?}"),
            Ok(Payload::Raw(bytes)) => format!("{bytes:?}"),
            Ok(Payload::RawJson(text)) => text.as_str().to_owned(),
            Err(error) => format!("{} {}", error.code(), error.message()),
        }
    }

    #[test]
    fn json_is_checked_and_passed_on() {
        let json = |text| body("application/json", Target::Relation, text);
        assert_eq!(
            json(b" {\"b\":1,\"a\":[{}]} "),
            "Object a+b  {\"b\":1,\"a\":[{}]} "
        );
        assert_eq!(json(b"[]"), "Array  []");
        assert_eq!(json(b"3"), "Array  []");
        assert_eq!(
            json(b"[{\"a\":1,\"b\":2},{\"b\":1,\"a\":2}]"),
            "Array a+b [{\"a\":1,\"b\":2},{\"b\":1,\"a\":2}]"
        );
        let invalid = "PGRST102 Empty or invalid json";
        for text in [
            b"".as_slice(),
            b"}{ x = 2",
            b"\xef\xbb\xbf{}",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\0\"}",
        ] {
            assert_eq!(json(text), invalid);
        }
        let differ = "PGRST102 All object keys must match";
        assert_eq!(json(b"[{\"a\":1},{\"b\":2}]"), differ);
        assert_eq!(json(b"[{\"a\":1},123]"), differ);
        assert_eq!(json(b"[1]"), differ);
        assert_eq!(body("application/json", Target::Routine, b""), "Object  {}");
    }

    #[test]
    fn other_types_become_json_or_stay_raw() {
        let form = "application/x-www-form-urlencoded";
        assert_eq!(
            body(form, Target::Relation, b"a=1&b=x+y&a=2"),
            "Object a+b {\"a\":\"2\",\"b\":\"x y\"}"
        );
        assert_eq!(
            body(form, Target::Routine, b"a=1&a=2"),
            "[(\"a\", \"1\"), (\"a\", \"2\")]"
        );
        assert_eq!(
            body("text/csv", Target::Relation, b"a,b\n1,NULL\n\"x,\"\"y\",\n"),
            "Array a+b [{\"a\":\"1\",\"b\":null},{\"a\":\"x,\\\"y\",\"b\":\"\"}]"
        );
        assert_eq!(
            body("text/csv", Target::Relation, b"a,b\nfoo,bar\nbaz"),
            "PGRST102 All lines must have same number of fields"
        );
        assert_eq!(body("text/plain", Target::Routine, b"hi"), "b\"hi\"");
        assert_eq!(
            body("text/plain", Target::Relation, b"hi"),
            "PGRST102 Content-Type not acceptable: text/plain"
        );
        assert_eq!(
            body("text/plain", Target::Routine, b"\xff"),
            "22021 invalid byte sequence for encoding \"UTF8\""
        );
    }

    #[test]
    fn columns_spare_the_check() {
        let payload = read(
            Bytes::from_static(b"not json"),
            &MediaType::Json,
            Target::Relation,
            true,
        );
        assert_eq!(
            payload.unwrap(),
            Payload::RawJson("not json".to_owned().into())
        );
    }
}

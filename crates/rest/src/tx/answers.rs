//! The answers of a transaction so far, as the array they will be, and what
//! references find in them.

use std::fmt;
use std::ops::Range;

use axum::response::Response;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{RestError, TxFault};
use crate::json;

/// A reference is found by reading the answer once more, up to what it names.
/// All references of a transaction together may read this much: some tenths
/// of a second.
const SEARCHED_BYTES_MAX: usize = 64 << 20;

/// The answers so far.
#[derive(Debug)]
pub(super) struct Answers {
    list: Vec<Answer>,
    bytes: usize,
    bytes_max: usize,
    searched: usize,
}

#[derive(Debug)]
struct Answer {
    id: Option<String>,
    /// `{"status":…,"headers":…,"body":…}`
    text: String,
    /// The body in it.
    body: Range<usize>,
}

impl Answers {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            list: Vec::new(),
            bytes: 0,
            bytes_max,
            searched: 0,
        }
    }

    /// Adds the answer of the next request.
    pub(super) async fn add(
        &mut self,
        id: Option<&str>,
        response: Response,
    ) -> Result<(), RestError> {
        let (head, body) = response.into_parts();
        // Made by us and in memory: it cannot fail.
        let body = body.collect().await.map_err(|_| RestError::Internal)?;
        let body = body.to_bytes();
        self.count(body.len())?;
        let mut text = format!("{{\"status\":{},\"headers\":", head.status.as_u16()).into_bytes();
        write_headers(&mut text, &head.headers);
        text.extend(b",\"body\":");
        let start = text.len();
        write_body(&mut text, &head.headers, &body)?;
        self.count(start)?;
        let body = start..text.len();
        text.push(b'}');
        self.list.push(Answer {
            id: id.map(str::to_owned),
            text: String::from_utf8(text).map_err(|_| RestError::Internal)?,
            body,
        });
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), RestError> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max {
            let max = self.bytes_max;
            return Err(RestError::Tx(TxFault::AnswerTooLarge { max }));
        }
        Ok(())
    }

    /// The JSON text that a reference names.
    pub(super) fn find(&mut self, reference: &str) -> Result<String, RestError> {
        let fault = |reason: String| {
            RestError::Tx(TxFault::Reference {
                reference: reference.to_owned(),
                reason,
            })
        };
        let mut path = reference.split('.');
        let first = path.next().unwrap_or_default();
        let by_index = first.parse::<usize>().ok();
        let place = by_index.or_else(|| {
            let named = |answer: &Answer| answer.id.as_deref() == Some(first);
            self.list.iter().position(named)
        });
        let answer = place.and_then(|place| self.list.get(place));
        let Some(answer) = answer else {
            return Err(fault(format!("no request before this one is '{first}'")));
        };
        self.searched = self.searched.saturating_add(answer.text.len());
        if self.searched > SEARCHED_BYTES_MAX {
            return Err(fault(format!(
                "the references of one transaction may search {SEARCHED_BYTES_MAX} bytes of answers"
            )));
        }
        // A number is the whole answer, a name its body.
        let mut here = match by_index {
            Some(_) => answer.text.as_str(),
            None => answer.text.get(answer.body.clone()).unwrap_or_default(),
        };
        for part in path {
            here = step(here, part).ok_or_else(|| fault(format!("there is no '{part}'")))?;
        }
        Ok(here.to_owned())
    }

    /// The answers as one array.
    pub(super) fn into_array(self) -> String {
        let texts: Vec<String> = self.list.into_iter().map(|answer| answer.text).collect();
        format!("[{}]", texts.join(","))
    }
}

/// The member or element called `part`.
fn step<'t>(text: &'t str, part: &str) -> Option<&'t str> {
    let text = text.trim_start();
    if text.starts_with('{') {
        let members: Members<'t> = serde_json::from_str(text).ok()?;
        let found = members.0.into_iter().rfind(|(name, _)| name == part);
        return found.map(|(_, value)| value.get());
    }
    let index: usize = part.parse().ok()?;
    let elements: Vec<&'t RawValue> = serde_json::from_str(text).ok()?;
    elements.get(index).map(|value| value.get())
}

/// An object whose values are left as text, in the order written.
pub(super) struct Members<'t>(pub(super) Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The headers as an object; several of one name as a list.
fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    out.push(b'{');
    for (count, name) in headers.keys().enumerate() {
        if count > 0 {
            out.push(b',');
        }
        json::string(out, name.as_str().as_bytes());
        out.push(b':');
        let texts: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        if let [text] = texts.as_slice() {
            json::string(out, text.as_bytes());
            continue;
        }
        out.push(b'[');
        for (count, text) in texts.iter().enumerate() {
            if count > 0 {
                out.push(b',');
            }
            json::string(out, text.as_bytes());
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// JSON as it is, other text as a string, nothing as null.
fn write_body(out: &mut Vec<u8>, headers: &HeaderMap, body: &[u8]) -> Result<(), RestError> {
    let text = std::str::from_utf8(body).map_err(|_| {
        let reason = "The answer is no text, which a transaction cannot carry";
        RestError::Tx(TxFault::Malformed(reason.to_owned()))
    })?;
    let media = headers.get(http::header::CONTENT_TYPE);
    let is_json = media
        .and_then(|value| value.to_str().ok())
        .is_some_and(|media| media.contains("json"));
    if body.is_empty() {
        out.extend(b"null");
    } else if is_json && serde_json::from_str::<&RawValue>(text).is_ok() {
        out.extend(body);
    } else {
        json::string(out, body);
    }
    Ok(())
}

//! The requests of a transaction, as the client wrote them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, request::Parts};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{InTransaction, RestError, TxFault};

/// One request of a transaction.
#[derive(Debug)]
pub(super) struct Request<'b> {
    /// What later ones call its answer.
    pub(super) id: Option<String>,
    pub(super) method: Method,
    /// Path and query, with references.
    pub(super) path: Cow<'b, str>,
    headers: HeaderMap,
    /// The text as sent: numbers stay as they are.
    pub(super) body: Option<&'b str>,
    /// Whether references are looked for.
    pub(super) refs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'b> {
    id: Option<String>,
    method: String,
    #[serde(borrow)]
    path: Cow<'b, str>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow)]
    body: Option<&'b RawValue>,
    #[serde(default = "yes")]
    refs: bool,
}

fn yes() -> bool {
    true
}

/// A name is a word: no dots, which separate the parts of a reference, and no
/// digit in front, which would be an index.
const NAME_CHARS_MAX: usize = 64;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Headers that say who is calling or belong to the transaction as a whole.
const OF_THE_WHOLE: [&str; 6] = [
    "authorization",
    "apikey",
    "cookie",
    IDEMPOTENCY_KEY,
    "content-length",
    "transfer-encoding",
];

/// Headers of the outer request that mean only that one.
const OUTER_ONLY: [&str; 10] = [
    "accept",
    "content-type",
    "content-length",
    "transfer-encoding",
    "range",
    "range-unit",
    "prefer",
    IDEMPOTENCY_KEY,
    ACCEPT_PROFILE,
    CONTENT_PROFILE,
];

const ACCEPT_PROFILE: &str = "accept-profile";
const CONTENT_PROFILE: &str = "content-profile";

/// Reads the array, at most `max` requests.
pub(super) fn read(body: &Bytes, max: usize) -> Result<Vec<Request<'_>>, RestError> {
    let malformed = |text: &str| RestError::Tx(TxFault::Malformed(text.to_owned()));
    let items: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|_| malformed("A transaction is a JSON array of requests"))?;
    if items.len() > max {
        return Err(RestError::Tx(TxFault::TooManyRequests { max }));
    }
    let mut requests: Vec<Request<'_>> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let request = Request::read(item);
        let taken = |id: &String| requests.iter().any(|other| other.id.as_ref() == Some(id));
        let request = request.and_then(|request| match &request.id {
            Some(id) if taken(id) => Err(format!("the id '{id}' stands for another request")),
            _ => Ok(request),
        });
        let request = request.map_err(|reason| {
            RestError::InTransaction(Box::new(InTransaction {
                index: Some(index),
                id: None,
                error: malformed(&format!("Request {index} cannot be read: {reason}")),
            }))
        })?;
        requests.push(request);
    }
    Ok(requests)
}

impl<'b> Request<'b> {
    fn read(item: &'b RawValue) -> Result<Self, String> {
        let written: Written<'b> =
            serde_json::from_str(item.get()).map_err(|error| error.to_string())?;
        let method = match written.method.as_str() {
            "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE" => {
                Method::try_from(written.method.as_str()).map_err(|error| error.to_string())?
            }
            other => return Err(format!("the method '{other}' has no place here")),
        };
        if !written.path.starts_with('/') {
            return Err("a path begins with '/'".to_owned());
        }
        if written.id.as_deref().is_some_and(|id| !is_name(id)) {
            return Err(format!(
                "an id is a word of at most {NAME_CHARS_MAX} letters, digits, '_' and '-' \
                 that does not begin with a digit"
            ));
        }
        Ok(Self {
            id: written.id,
            method,
            path: written.path,
            headers: headers(&written.headers)?,
            body: written.body.map(RawValue::get),
            refs: written.refs,
        })
    }

    /// The body for what it says it is: text of another type than JSON is
    /// sent as a JSON string.
    pub(super) fn has_json(&self) -> bool {
        let media = self.headers.get(header::CONTENT_TYPE);
        media
            .and_then(|value| value.to_str().ok())
            .is_none_or(|text| text.to_ascii_lowercase().contains("json"))
    }

    /// The request as it would have come alone: with what the outer one says
    /// about the client, and its profile unless it has one of its own.
    pub(super) fn parts(&self, address: &str, outer: &HeaderMap) -> Result<Parts, RestError> {
        let mut headers = outer.clone();
        for name in OUTER_ONLY {
            headers.remove(name);
        }
        let profile = match self.method {
            Method::GET | Method::HEAD => ACCEPT_PROFILE,
            _ => CONTENT_PROFILE,
        };
        if let Some(value) = outer.get(CONTENT_PROFILE) {
            headers.insert(profile, value.clone());
        }
        for name in self.headers.keys() {
            headers.remove(name);
        }
        headers.extend(self.headers.clone());
        let request = http::Request::builder()
            .method(self.method.clone())
            .uri(address)
            .body(());
        let (mut parts, ()) = request.map_err(|_| RestError::InvalidPath)?.into_parts();
        parts.headers = headers;
        Ok(parts)
    }
}

fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && text.len() <= NAME_CHARS_MAX && text.chars().all(word)
}

fn headers(written: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(written.len());
    for (name, value) in written {
        let lower = name.to_ascii_lowercase();
        if OF_THE_WHOLE.contains(&lower.as_str()) {
            return Err(format!(
                "the header '{lower}' belongs to the transaction as a whole"
            ));
        }
        let pair = (HeaderName::try_from(lower), HeaderValue::try_from(value));
        let (Ok(name), Ok(value)) = pair else {
            return Err(format!("the header '{name}' cannot be sent"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

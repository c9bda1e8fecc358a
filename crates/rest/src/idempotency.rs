//! `Idempotency-Key`: a write that comes twice is carried out once, and both
//! get the same answer.
//!
//! The transaction that writes also keeps the answer, so that there is never
//! one without the other. The key is held from its first statement on, and who
//! comes with the same key meanwhile waits in `ferrobase.idempotency_find`.
//!
//! What is kept is sealed with a secret that the database does not have. A
//! caller's function that got hold of our own role could write rows there, but
//! none that [`Seal::open`] takes, and it could read none. Start at [`begin`]
//! and [`keep`]; why it is so is in ADR 9.

mod seal;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, request};
use http_body_util::BodyExt as _;
use kernel::Caller;
use pg::{OpenTx, Opening, Pool, SqlBuf};
use ring::digest;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{IdempotencyFault, RestError};
use crate::execute::refused;
pub(crate) use seal::Seal;

/// The largest answer whose body is kept: it is one row among many, and a
/// client that writes this much can ask for less in return.
const KEPT_BODY_MAX: usize = 1 << 20;

/// The longest key. A UUID has 36 characters; more than a line is a mistake.
const KEY_CHARS_MAX: usize = 255;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The headers that change what a request means.
const MEANINGFUL: [&str; 7] = [
    "accept",
    "accept-profile",
    "content-profile",
    "content-type",
    "prefer",
    "range",
    "range-unit",
];

const FIND: &str = "SELECT encode(found.salt, 'hex'), encode(found.answer, 'hex') \
                    FROM ferrobase.idempotency_find(decode($1, 'hex')) AS found";
const KEEP: &str = "SELECT ferrobase.idempotency_keep(pg_catalog.decode($1, 'hex'), \
                    pg_catalog.decode($2, 'hex'), pg_catalog.decode($3, 'hex'))";

type Hash = [u8; 32];

/// A request that came with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Who used which key.
    id: Hash,
    /// For which request.
    fingerprint: Hash,
}

/// How a transaction with a key begins.
pub(crate) enum Begun {
    /// Nobody has used it: the work is still to be done.
    Open(OpenTx),
    /// It was done before.
    Answered(Response),
}

impl Key {
    /// The key of a request, for methods that may write.
    pub(crate) fn of(
        parts: &request::Parts,
        caller: &Caller,
        body: &[u8],
    ) -> Result<Option<Self>, RestError> {
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(None);
        }
        let mut given = parts.headers.get_all(KEY).iter();
        let Some(key) = given.next() else {
            return Ok(None);
        };
        let key = key.as_bytes();
        let readable = (1..=KEY_CHARS_MAX).contains(&key.len())
            && key.iter().all(u8::is_ascii_graphic)
            && given.next().is_none();
        if !readable {
            return Err(RestError::Idempotency(IdempotencyFault::Malformed));
        }
        let subject = subject(caller);
        let id = hash([caller.role.as_bytes(), subject.as_bytes(), key]);
        let head = [
            parts.method.as_str().as_bytes(),
            parts.uri.path().as_bytes(),
            parts.uri.query().unwrap_or_default().as_bytes(),
            body,
        ];
        let headers = MEANINGFUL.iter().flat_map(|name| {
            let values = parts.headers.get_all(*name).iter();
            std::iter::once(name.as_bytes()).chain(values.map(HeaderValue::as_bytes))
        });
        let fingerprint = hash(head.into_iter().chain(headers));
        Ok(Some(Self { id, fingerprint }))
    }
}

/// Whom the token names; empty for keys and for nobody.
fn subject(caller: &Caller) -> String {
    #[derive(Deserialize)]
    struct Claims<'c> {
        #[serde(borrow)]
        sub: Option<&'c RawValue>,
    }
    let claims: Result<Claims<'_>, _> = serde_json::from_str(&caller.claims);
    let sub = claims.ok().and_then(|claims| claims.sub);
    sub.map(|sub| sub.get().to_owned()).unwrap_or_default()
}

/// Each part with its length, so that no two lists of parts look the same.
fn hash<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = Hash::default();
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// Begins a transaction and takes the key, or finds the answer. Waits for whom
/// has the key now.
pub(crate) async fn begin(
    pool: &Pool,
    caller: &Caller,
    opening: Opening,
    key: &Key,
    seal: Option<&Seal>,
) -> Result<Begun, RestError> {
    let unavailable = RestError::Idempotency(IdempotencyFault::Unavailable);
    let Some(seal) = seal else {
        return Err(unavailable);
    };
    let find = SqlBuf::fixed(FIND).bind(hex(&key.id));
    let begun = OpenTx::begin(pool, opening, vec![find]).await;
    let (open, results) = begun.map_err(|error| match error.sqlstate() {
        // No such function or schema, or not for us; or the transaction must
        // not write at all, as on a standby.
        Some("42883" | "3F000" | "42501" | "25006") => unavailable,
        // The lock or the statement took too long.
        Some("55P03" | "57014") => RestError::Idempotency(IdempotencyFault::InProgress),
        _ => refused(error, caller),
    })?;
    let found = results.first().and_then(pg::Rows::first);
    let Some(row) = found else {
        return Ok(Begun::Open(open));
    };
    let stored = |column| row.get(column).and_then(unhex);
    let opened = stored(0)
        .zip(stored(1))
        .and_then(|(salt, sealed)| seal.open(&key.id, &salt, sealed));
    let answer = opened.as_deref().and_then(Answer::read);
    // Nothing was written.
    open.rollback()
        .await
        .map_err(|error| refused(error, caller))?;
    replay(answer, key)
        .map(Begun::Answered)
        .map_err(RestError::Idempotency)
}

fn replay(answer: Option<Answer>, key: &Key) -> Result<Response, IdempotencyFault> {
    let answer = answer.ok_or(IdempotencyFault::Unreadable)?;
    if answer.fingerprint != key.fingerprint {
        return Err(IdempotencyFault::Reused);
    }
    let body = answer.body.ok_or(IdempotencyFault::NotKept)?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, yes);
    Ok(response)
}

/// Keeps the answer in the transaction that it is the answer of, which is to
/// be committed next.
pub(crate) async fn keep(
    open: &mut OpenTx,
    caller: &Caller,
    key: &Key,
    seal: Option<&Seal>,
    response: Response,
) -> Result<Response, RestError> {
    let Some(seal) = seal.filter(|_| !open.rolls_back()) else {
        return Ok(response);
    };
    let (head, body) = response.into_parts();
    // Made by us and in memory: it cannot fail.
    let body = body.collect().await.map_err(|_| RestError::Internal)?;
    let body = body.to_bytes();
    let answer = Answer {
        fingerprint: key.fingerprint,
        status: head.status,
        headers: head.headers.clone(),
        body: (body.len() <= KEPT_BODY_MAX).then(|| body.clone()),
    };
    let (salt, sealed) = seal
        .close(&key.id, answer.written())
        .ok_or(RestError::Internal)?;
    let keep = SqlBuf::fixed(KEEP)
        .bind(hex(&key.id))
        .bind(hex(&salt))
        .bind(hex(&sealed));
    open.own(vec![keep])
        .await
        .map_err(|error| refused(error, caller))?;
    Ok(Response::from_parts(head, Body::from(body)))
}

/// What is kept.
#[derive(Debug)]
struct Answer {
    fingerprint: Hash,
    status: StatusCode,
    headers: HeaderMap,
    /// None when it was too large.
    body: Option<Bytes>,
}

impl Answer {
    /// The fingerprint; status, number of headers and whether there is a body;
    /// the headers with the lengths of their parts; the body.
    fn written(&self) -> Vec<u8> {
        let mut out = self.fingerprint.to_vec();
        out.extend(self.status.as_u16().to_be_bytes());
        out.push(u8::from(self.body.is_some()));
        let count = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        out.extend(count.to_be_bytes());
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
                out.extend(length.to_be_bytes());
                out.extend(part);
            }
        }
        out.extend(self.body.iter().flatten());
        out
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (fingerprint, rest) = text.split_first_chunk::<32>()?;
        let (status, rest) = rest.split_first_chunk::<2>()?;
        let (has_body, rest) = rest.split_first()?;
        let (count, mut rest) = rest.split_first_chunk::<4>()?;
        let mut headers = HeaderMap::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let name = HeaderName::from_bytes(part(&mut rest)?).ok()?;
            let value = HeaderValue::from_bytes(part(&mut rest)?).ok()?;
            headers.append(name, value);
        }
        Some(Self {
            fingerprint: *fingerprint,
            status: StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?,
            headers,
            body: (*has_body == 1).then(|| Bytes::copy_from_slice(rest)),
        })
    }
}

fn part<'r>(rest: &mut &'r [u8]) -> Option<&'r [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;

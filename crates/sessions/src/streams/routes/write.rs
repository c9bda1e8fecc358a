//! Appending over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::super::Streams;
use super::super::access::{is_service, owner};
use super::super::append::{NewEvent, PIECE_BYTES_MAX, Piece, Producer};
use super::super::error::{Result, StreamError};
use super::caller;

/// The body of a request at most: a piece and its punctuation.
const BODY_BYTES_MAX: usize = PIECE_BYTES_MAX * 2;

/// Kinds that the engine says; whoever may change jobs by functions only must
/// not be able to claim that one completed.
const ENGINE_KINDS: [&str; 4] = ["job.", "step.", "approval.", "budget."];
/// Of those, what a worker says for its job.
const WORKER_KINDS: [&str; 3] = ["job.chunk", "job.log", "job.progress"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    events: Vec<Event>,
    producer: Option<String>,
    /// The number of the first event; counts with a producer only.
    n: Option<i64>,
    job_id: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    kind: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

/// Appends and answers once it is committed.
pub(super) async fn answer(
    streams: &Arc<Streams>,
    stream: Uuid,
    request: Request,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let caller = caller(&parts.extensions)?;
    let owner = owner(caller)?;
    if caller.read_only {
        return Err(StreamError::Forbidden("this key may only read"));
    }
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|_| StreamError::Invalid("the body ended early or is too large"))?;
    let said: Said = serde_json::from_slice(&body.to_bytes())
        .map_err(|_| StreamError::Invalid("the body is not as it should be; see the docs"))?;
    let producer = match (said.producer, said.n) {
        (Some(name), Some(first_n)) => Some(Producer { name, first_n }),
        (None, None) => None,
        _ => return Err(StreamError::Invalid("a producer and its n belong together")),
    };
    let events = said.events.into_iter().map(|event| NewEvent {
        kind: event.kind,
        data: event.data.unwrap_or_else(nothing),
    });
    let piece = Piece {
        stream,
        owner,
        producer,
        job: said.job_id,
        events: events.collect(),
    };
    if !is_service(caller) {
        check_words(&piece)?;
    }
    let appended = streams.appender.append(piece).await?;
    let told = serde_json::json!({"next_n": appended.next_n, "appended": appended.fresh});
    let mut response = Response::new(Body::from(told.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// What a caller may say who is not the project itself.
fn check_words(piece: &Piece) -> Result<()> {
    let names_claim = piece
        .producer
        .as_ref()
        .is_some_and(|producer| is_claim(&producer.name));
    if piece.job.is_some() && !names_claim {
        return Err(StreamError::Forbidden(
            "only the producer of a claim speaks for a job",
        ));
    }
    for event in &piece.events {
        let of_engine = ENGINE_KINDS.iter().any(|kind| event.kind.starts_with(kind));
        let of_worker = names_claim && WORKER_KINDS.contains(&event.kind.as_str());
        if of_engine && !of_worker {
            return Err(StreamError::Forbidden(
                "such an event is the engine's to tell",
            ));
        }
    }
    Ok(())
}

/// Whether the database will hold it against a claim: `<job>:<epoch>:<channel>`,
/// written as it expects it.
fn is_claim(name: &str) -> bool {
    let mut parts = name.splitn(3, ':');
    let (job, epoch, channel) = (parts.next(), parts.next(), parts.next());
    let job = job.filter(|text| Uuid::try_parse(text).is_ok_and(|id| id.to_string() == *text));
    let epoch = epoch.filter(|text| {
        (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    });
    job.is_some() && epoch.is_some() && channel.is_some()
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_what_the_database_takes_for_one() {
        let id = Uuid::from_u128(0xab);
        assert!(is_claim(&format!("{id}:3:text")));
        assert!(is_claim(&format!("{id}:3:")));
        for name in [
            format!("{id}:3"),
            format!("{id}::text"),
            format!("{id}:-1:text"),
            format!("{id}:1234567890:text"),
            format!("{}:3:text", id.simple()),
            format!("{}:3:text", id.to_string().to_uppercase()),
            "me".to_owned(),
        ] {
            assert!(!is_claim(&name), "{name}");
        }
    }
}

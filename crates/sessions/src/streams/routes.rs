//! Streams over HTTP. `GET …/events` is one address with three wires: a web
//! socket when it is asked to upgrade, server-sent events when those are
//! accepted, else a page of JSON that waits for a while.

mod poll;
mod socket;
mod sse;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderMap;
use http::header::{ACCEPT, UPGRADE};
use http::request::Parts;
use kernel::Caller;
use uuid::Uuid;

use super::Streams;
use super::access;
use super::error::{Result, StreamError};

impl Streams {
    /// Its routes, under the sessions room's prefix.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/streams", get(many))
            .route("/streams/{id}/events", get(one).post(append))
            .with_state(self)
    }

    /// Answers a request for the events of a stream, on whichever wire it asks
    /// for.
    pub async fn serve(self: &Arc<Self>, stream: Uuid, request: Request) -> Response {
        let (mut parts, _) = request.into_parts();
        let served = self.on_some_wire(stream, &mut parts).await;
        served.unwrap_or_else(IntoResponse::into_response)
    }

    /// What the jobs room's addresses lack: a job's events are in a stream.
    pub fn job_router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/jobs/{id}/events", get(of_job))
            .with_state(self)
    }

    async fn serve_job(self: &Arc<Self>, job: Uuid, request: Request) -> Response {
        let found = match caller(request.extensions()) {
            Ok(caller) => match self.store.stream_of_job(caller, job).await {
                Ok(found) => found.ok_or(StreamError::NotFound),
                Err(error) => Err(access::refused(caller, error)),
            },
            Err(error) => Err(error),
        };
        match found {
            Ok(stream) => self.serve(stream, request).await,
            Err(error) => error.into_response(),
        }
    }

    async fn on_some_wire(self: &Arc<Self>, stream: Uuid, parts: &mut Parts) -> Result<Response> {
        let caller = caller(&parts.extensions)?.clone();
        let after = cursor(parts)?;
        if is_socket(&parts.headers) {
            // Looked at before the upgrade, for a proper status.
            let watching = self.watch(&caller, stream, after).await?;
            return socket::open(self, parts, caller, Some((stream, watching))).await;
        }
        let watching = self.watch(&caller, stream, after).await?;
        if accepts_events(&parts.headers) {
            return Ok(sse::open(watching, self.leaving.clone()));
        }
        poll::answer(watching, parts, &self.leaving).await
    }
}

/// The events of one stream.
async fn one(
    State(streams): State<Arc<Streams>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    match uuid(&id) {
        Ok(stream) => streams.serve(stream, request).await,
        Err(error) => error.into_response(),
    }
}

async fn of_job(
    State(streams): State<Arc<Streams>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    match uuid(&id) {
        Ok(job) => streams.serve_job(job, request).await,
        Err(error) => error.into_response(),
    }
}

/// Many streams on one web socket.
async fn many(State(streams): State<Arc<Streams>>, request: Request) -> Result<Response> {
    let (mut parts, _) = request.into_parts();
    let caller = caller(&parts.extensions)?.clone();
    if !caller.authenticated {
        return Err(StreamError::Unauthorized);
    }
    if !is_socket(&parts.headers) {
        return Err(StreamError::Invalid("this address is for web sockets"));
    }
    socket::open(&streams, &mut parts, caller, None).await
}

/// Appends to a stream.
async fn append(
    State(streams): State<Arc<Streams>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response> {
    write::answer(&streams, uuid(&id)?, request).await
}

/// What is no uuid names nothing.
fn uuid(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| StreamError::NotFound)
}

fn caller(extensions: &http::Extensions) -> Result<&Caller> {
    extensions.get::<Caller>().ok_or(StreamError::Unauthorized)
}

/// A parameter of the address. Those that we take need no decoding.
fn asked<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts
        .uri
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Behind which event to begin. A browser that comes back sends the address as
/// it was first, so what it says it has seen counts more.
fn cursor(parts: &Parts) -> Result<i64> {
    let seen = parts.headers.get("last-event-id");
    let seen = seen.map(|value| value.to_str().unwrap_or("?").trim());
    seen.filter(|text| !text.is_empty())
        .or_else(|| asked(parts, "after"))
        .map_or(Ok(0), number)
}

fn number(text: &str) -> Result<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or(StreamError::Invalid("a cursor is the number of an event"))
}

fn is_socket(headers: &HeaderMap) -> bool {
    let asked = headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    asked.is_some_and(|asked| asked.eq_ignore_ascii_case("websocket"))
}

fn accepts_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor_of(uri: &str, seen: Option<&str>) -> Result<i64, &'static str> {
        let mut request = http::Request::builder().uri(uri);
        if let Some(seen) = seen {
            request = request.header("last-event-id", seen);
        }
        let parts = request.body(()).map(|request| request.into_parts().0);
        let parts = parts.map_err(|_| "no request")?;
        cursor(&parts).map_err(|error| error.code())
    }

    #[test]
    fn what_was_seen_counts_more_than_the_address() {
        assert_eq!(cursor_of("/x", None), Ok(0));
        assert_eq!(cursor_of("/x?apikey=a&after=7", None), Ok(7));
        assert_eq!(cursor_of("/x?after=7", Some("9")), Ok(9));
        assert_eq!(cursor_of("/x?after=7", Some("")), Ok(7));
        for garbage in ["-1", "1e3", "", "9223372036854775808", "0x1", "%31", "1;2"] {
            let uri = format!("/x?after={garbage}");
            assert_eq!(cursor_of(&uri, None), Err("invalid"), "{garbage}");
        }
        assert_eq!(cursor_of("/x", Some("abc")), Err("invalid"));
    }
}

//! Server-sent events: `id:` is the number, `event:` the kind.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio_util::sync::CancellationToken;

use super::super::Frame;
use super::super::access::End;
use super::super::watching::{Ended, Step, Watching};

/// Proxies close what is silent for a minute, some for less.
const HEARTBEAT: Duration = Duration::from_secs(15);
const BEAT: Bytes = Bytes::from_static(b":\n\n");
/// Comes first, so that a client knows that it is let in: where to wait, and
/// how long before it comes back.
const HELLO: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// Where a connection is.
enum State {
    Begins(Box<Watching>, CancellationToken),
    Goes(Box<Watching>, CancellationToken),
    Over,
}

/// The answer that goes on.
pub(super) fn open(watching: Watching, leaving: CancellationToken) -> Response {
    let state = State::Begins(Box::new(watching), leaving);
    let chunks = futures_util::stream::unfold(state, |state| async {
        let (chunk, state) = step(state).await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), state))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    let event_stream = HeaderValue::from_static("text/event-stream");
    headers.insert(CONTENT_TYPE, event_stream);
    let never = HeaderValue::from_static("no-cache, no-transform");
    headers.insert(CACHE_CONTROL, never);
    // Proxies that collect answers are asked not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

async fn step(state: State) -> Option<(Bytes, State)> {
    let (mut watching, leaving) = match state {
        State::Begins(watching, leaving) => return Some((HELLO, State::Goes(watching, leaving))),
        State::Goes(watching, leaving) => (watching, leaving),
        State::Over => return None,
    };
    let step = tokio::select! {
        biased;
        () = leaving.cancelled() => Step::End(Ended(End::Stopping)),
        step = watching.next() => step,
        () = tokio::time::sleep(HEARTBEAT) => return Some((BEAT, State::Goes(watching, leaving))),
    };
    Some(match step {
        Step::Frames(frames) => (joined(&frames), State::Goes(watching, leaving)),
        Step::End(end) => (farewell(end), State::Over),
    })
}

/// One piece for the socket.
fn joined(frames: &[Frame]) -> Bytes {
    if let [one] = frames {
        return one.sse();
    }
    let mut out = BytesMut::new();
    for frame in frames {
        out.extend_from_slice(&frame.sse());
    }
    out.freeze()
}

/// Without an `id:`, so that the cursor stays where it is.
fn farewell(Ended(end): Ended) -> Bytes {
    let data = serde_json::json!({"code": end.code(), "reconnect": end.come_back()});
    let mut out = BytesMut::from(&b"event: end\ndata: "[..]);
    out.extend_from_slice(data.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

//! One page of JSON, at once or as soon as there is one.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, BytesMut};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::Frame;
use super::super::access::End;
use super::super::error::{Result, StreamError};
use super::super::watching::{Ended, Step, Watching};
use super::{asked, number};

/// Shorter than proxies and our own limit for a request wait.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// What is there is given in any case; reading it is no wait.
const READ_MAX: Duration = Duration::from_secs(20);

/// Waits for events behind the cursor, as long as is asked for.
pub(super) async fn answer(
    mut watching: Watching,
    parts: &Parts,
    leaving: &CancellationToken,
) -> Result<Response> {
    let wait = asked(parts, "wait_ms").map_or(Ok(0), number)?;
    let wait = Duration::from_millis(wait.unsigned_abs()).min(WAIT_MAX);
    let begun = Instant::now();
    let is_behind = watching.is_behind();
    let limit = if is_behind { READ_MAX } else { wait };
    let step = tokio::select! {
        biased;
        step = tokio::time::timeout_at(begun + limit, watching.next()) => step,
        // Nothing is as good as anything: the client asks another node.
        () = leaving.cancelled(), if !is_behind => return Ok(page(&[], watching.after())),
    };
    match step {
        Ok(Step::Frames(frames)) => Ok(page(&frames, watching.after())),
        Ok(Step::End(Ended(End::NotFound))) => Err(StreamError::NotFound),
        // Nothing came; whoever asks again is looked at again.
        Ok(Step::End(_)) | Err(_) => Ok(page(&[], watching.after())),
    }
}

fn page(frames: &[Frame], after: i64) -> Response {
    let mut out = BytesMut::from(&b"{\"events\":["[..]);
    for (index, frame) in frames.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.extend_from_slice(&frame.json());
    }
    out.extend_from_slice(b"],\"after\":");
    out.extend_from_slice(after.to_string().as_bytes());
    out.put_u8(b'}');
    let mut response = Response::new(Body::from(out.freeze()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! No body beyond its limit. A declared length is checked before anything is
//! read; a body without one is counted as it comes, and cut off.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Tells afterwards whether a body was cut off: the room only saw a read fail
/// and cannot know why.
#[derive(Clone, Debug, Default)]
pub(super) struct Overrun(Arc<AtomicBool>);

impl Overrun {
    pub(super) fn happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bounds the request's body; refuses at once when its length says too much.
pub(super) fn limit(request: &mut Request<Body>, limit: u64) -> Result<Option<Overrun>, ()> {
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match declared {
        Some(length) if length > limit => Err(()),
        // hyper holds a client to the length it declared.
        Some(_) => Ok(None),
        None if request.body().is_end_stream() => Ok(None),
        None => {
            let overrun = Overrun::default();
            let inner = std::mem::take(request.body_mut());
            *request.body_mut() = Body::new(Counted {
                inner,
                left: limit,
                overrun: overrun.clone(),
            });
            Ok(Some(overrun))
        }
    }
}

/// What a room's read fails with. The room need not know it: the gateway
/// replaces its answer.
#[derive(Debug, thiserror::Error)]
#[error("request body is too large")]
struct TooLarge;

struct Counted {
    inner: Body,
    left: u64,
    overrun: Overrun,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let size = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(left) = self.left.checked_sub(size) else {
                self.overrun.0.store(true, Ordering::Relaxed);
                return Poll::Ready(Some(Err(axum::Error::new(TooLarge))));
            };
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

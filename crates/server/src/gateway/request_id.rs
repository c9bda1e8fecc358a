//! The name under which a request is found again in logs of both sides.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use kernel::Rng;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id of the client's would only fill logs.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 128;

/// Ids for requests: the client's when it is fit to print, else one of ours, a
/// random start and a counter, which costs no system call.
pub(super) struct RequestIds {
    start: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(rng: &Rng) -> Self {
        Self {
            start: format!("{:016x}", u64::from_le_bytes(rng.bytes())),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let fit = |id: &&HeaderValue| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        if let Some(id) = headers.get(REQUEST_ID).filter(fit) {
            return id.clone();
        }
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{}-{count:x}", self.start))
            .unwrap_or(HeaderValue::from_static("-"))
    }
}

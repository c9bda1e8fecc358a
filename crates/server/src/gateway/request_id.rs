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
            start: format!("{:016x}-", u64::from_le_bytes(rng.bytes())),
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
        let mut id = String::with_capacity(self.start.len() + HEX_DIGITS_MAX);
        id.push_str(&self.start);
        push_hex(&mut id, count);
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Digits of the largest count.
const HEX_DIGITS_MAX: usize = 16;

/// As `{:x}` does, at a fraction of its cost: every request gets an id.
fn push_hex(out: &mut String, number: u64) {
    let digits = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        let nibble = u32::try_from(number >> (digit * 4) & 0xf).unwrap_or(0);
        out.push(char::from_digit(nibble, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_as_the_standard_library_writes_it() {
        for number in [0, 1, 15, 16, 255, 4096, 0xdead_beef, u64::MAX] {
            let mut out = String::new();
            push_hex(&mut out, number);
            assert_eq!(out, format!("{number:x}"));
        }
    }
}

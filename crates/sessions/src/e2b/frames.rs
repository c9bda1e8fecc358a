//! Connect's stream of messages: each behind a byte of flags and four of
//! length, the last one flagged and with the error, if there is one.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};

use super::{Refusal, Result};

/// Marks the last frame.
const LAST: u8 = 2;
/// What comes before a message.
const HEAD: usize = 5;

/// A message.
pub(super) fn frame(message: &Value) -> Bytes {
    framed(0, message)
}

/// The end, good or bad.
pub(super) fn last(refusal: Option<&Refusal>) -> Bytes {
    let end = match refusal {
        None => json!({}),
        Some(refusal) => json!({"error": {"code": refusal.word(), "message": refusal.message}}),
    };
    framed(LAST, &end)
}

fn framed(flags: u8, message: &Value) -> Bytes {
    let text = message.to_string();
    let mut frame = BytesMut::with_capacity(HEAD + text.len());
    frame.put_u8(flags);
    frame.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    frame.put_slice(text.as_bytes());
    frame.freeze()
}

/// The only message of a request whose answer is a stream.
pub(super) fn only(body: &[u8]) -> Result<Value> {
    let wrong = || Refusal::invalid("the request is not one message in a frame");
    let (head, rest) = body.split_at_checked(HEAD).ok_or_else(wrong)?;
    let [0, length @ ..] = head else {
        return Err(wrong());
    };
    let length: [u8; 4] = length.try_into().map_err(|_| wrong())?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| wrong())?;
    let message = rest.get(..length).ok_or_else(wrong)?;
    serde_json::from_slice(message).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_message_comes_back() {
        let message = json!({"process": {"cmd": "x"}});
        assert_eq!(only(&frame(&message)).unwrap(), message);
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\x02\0\0\0\x02{}",
            b"\0\0\0\0\x03{}",
            b"\0\0\0\0\x01{",
        ] {
            assert!(only(bad).is_err(), "{bad:?}");
        }
        assert_eq!(&last(None)[..], b"\x02\0\0\0\x02{}");
    }
}

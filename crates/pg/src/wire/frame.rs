//! What the server says, message by message.

use bytes::{Buf as _, BytesMut};

use crate::error::{DbError, Error};
use crate::rows::Column;

/// A message larger than this is not one: Postgres itself refuses values of
/// 1 GiB, so a larger length means that we lost the thread.
const MESSAGE_LIMIT: usize = 1 << 30;

/// The length of a message's header: its tag and its length.
pub(crate) const HEADER: usize = 5;

/// The tag and the whole length of the message at the start of `buffer`, when
/// all of it has arrived.
pub(crate) fn peek(buffer: &[u8]) -> Result<Option<(u8, usize)>, Error> {
    let Some((header, _)) = buffer.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [tag, length @ ..] = *header;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(4..=MESSAGE_LIMIT).contains(&length) {
        return Err(Error::protocol(format!("a message of {length} bytes")));
    }
    let total = length + 1;
    Ok((buffer.len() >= total).then_some((tag, total)))
}

/// Takes the next whole message off `buffer`: its tag and its body.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<(u8, BytesMut)>, Error> {
    let Some((tag, total)) = peek(buffer)? else {
        return Ok(None);
    };
    let mut message = buffer.split_to(total);
    message.advance(HEADER);
    Ok(Some((tag, message)))
}

/// Reads a `RowDescription`.
pub(crate) fn row_description(body: &[u8]) -> Result<Vec<Column>, Error> {
    let bad = || Error::protocol("a row description that ends early");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(bad)?;
    let count = usize::from(u16::from_be_bytes(*count));
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, after) = c_string(rest).ok_or_else(bad)?;
        // table oid (4), attribute number (2), type oid (4), type size (2),
        // type modifier (4), format (2)
        let (fixed, after) = after.split_first_chunk::<18>().ok_or_else(bad)?;
        let [_, _, _, _, _, _, a, b, c, d, ..] = *fixed;
        columns.push(Column {
            name: name.to_owned(),
            type_oid: u32::from_be_bytes([a, b, c, d]),
        });
        rest = after;
    }
    Ok(columns)
}

/// The text up to the next null byte, and what follows it.
pub(crate) fn c_string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.get(1..)?))
}

/// Reads a `CommandComplete`.
pub(crate) fn command_tag(body: &[u8]) -> String {
    c_string(body).map_or_else(String::new, |(tag, _)| tag.to_owned())
}

/// Reads an `ErrorResponse`.
pub(crate) fn error_response(body: &[u8]) -> Error {
    Error::Db(Box::new(DbError::parse(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_only_when_whole() {
        let mut buffer = BytesMut::from(&b"Z\0\0\0\x05"[..]);
        assert!(take(&mut buffer).expect("valid").is_none());
        buffer.extend_from_slice(b"I");
        let (tag, body) = take(&mut buffer).expect("valid").expect("whole");
        assert_eq!((tag, &body[..]), (b'Z', &b"I"[..]));
    }

    #[test]
    fn a_senseless_length_is_an_error_not_an_allocation() {
        assert!(peek(b"D\xff\xff\xff\xff").is_err());
        assert!(peek(b"D\0\0\0\0").is_err());
    }
}

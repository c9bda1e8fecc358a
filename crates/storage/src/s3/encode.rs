//! Percent-encoding as S3 has it, and hexadecimal.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters of RFC 3986.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same with slashes left alone, for paths and keys.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// A query's part, encoded.
pub(crate) fn strict(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// A path or a key, encoded.
pub(crate) fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// The text behind a percent-encoded path; none if it is no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// The pairs of a query, decoded, in their order. A plus is a space, as
/// clients' libraries read it.
pub(crate) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let decoded = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        Some((plain(name)?, plain(value)?))
    });
    decoded.collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes behind so many lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *slot = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_told_apart_once() {
        let read = pairs("prefix=a%26b&x=1=2&list-type=2&uploads&s=a+b%2B").unwrap_or_default();
        let read: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            read,
            [
                ("prefix", "a&b"),
                ("x", "1=2"),
                ("list-type", "2"),
                ("uploads", ""),
                ("s", "a b+")
            ]
        );
        assert_eq!(pairs("a=%ff"), None);
    }

    #[test]
    fn hexadecimal_goes_both_ways_and_is_strict() {
        assert_eq!(unhex::<2>("0aff"), Some([10, 255]));
        assert_eq!(hex(&[10, 255]), "0aff");
        for wrong in ["0aFF", "0af", "0aff0", "0ag1", "0a\u{e9}"] {
            assert_eq!(unhex::<2>(wrong), None, "{wrong}");
        }
    }
}

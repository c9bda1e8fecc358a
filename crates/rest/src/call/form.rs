//! `name=value&…`, as query strings and forms write it.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::error::RestError;

/// A decoded name with its value, if it had one.
pub(super) type Pair<'t> = (Cow<'t, str>, Option<Cow<'t, str>>);

/// Splits at `&` and `;`, then decodes. A plus is a space and a stray percent
/// sign stands for itself. Postgres takes neither NUL nor invalid UTF-8, and
/// a NUL in a name would cut a statement short, so both end here.
pub(super) fn pairs(text: &str) -> Result<Vec<Pair<'_>>, RestError> {
    let mut parts: Vec<&str> = text.split(['&', ';']).collect();
    // A separator at the very end starts nothing.
    if parts.last() == Some(&"") {
        parts.pop();
    }
    parts
        .into_iter()
        .map(|part| match part.split_once('=') {
            Some((name, value)) => Ok((decoded(name)?, Some(decoded(value)?))),
            None => Ok((decoded(part)?, None)),
        })
        .collect()
}

fn decoded(text: &str) -> Result<Cow<'_, str>, RestError> {
    let decoded = if text.contains('+') {
        Cow::Owned(utf8(&text.replace('+', " "))?.into_owned())
    } else {
        utf8(text)?
    };
    if decoded.contains('\0') {
        return Err(RestError::InvalidEncoding);
    }
    Ok(decoded)
}

fn utf8(text: &str) -> Result<Cow<'_, str>, RestError> {
    percent_decode(text.as_bytes())
        .decode_utf8()
        .map_err(|_| RestError::InvalidEncoding)
}

/// All parameters by name, encoded again: what `Content-Location` shows.
/// Values of one name are joined by commas.
pub(super) fn canonical(pairs: &[Pair<'_>]) -> String {
    let mut sorted: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_deref().unwrap_or_default()))
        .collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut text = String::new();
    let mut previous = None;
    for (name, value) in sorted {
        if previous == Some(name) {
            text.push(',');
        } else {
            if previous.is_some() {
                text.push('&');
            }
            encode(&mut text, name);
            text.push('=');
            previous = Some(name);
        }
        encode(&mut text, value);
    }
    text
}

fn encode(into: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).map_or('0', |d| char::from(*d));
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(digit(byte >> 4));
            into.push(digit(byte & 15));
        }
    }
}

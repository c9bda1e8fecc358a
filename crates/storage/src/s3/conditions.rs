//! What a request makes its answer depend on: conditions and ranges.

use std::ops::Range;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::error::{Result, S3Error};

/// What an object is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now<'a> {
    /// Without quotes.
    pub(crate) etag: &'a str,
    pub(crate) modified: Timestamp,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// 304: the client has it already.
    NotModified,
    /// 412.
    Failed,
}

/// The four conditions, under a prefix (`x-amz-copy-source-` when they are
/// about the source of a copy).
pub(crate) fn check(headers: &HeaderMap, prefix: &str, now: Now<'_>) -> Result<(), Unmet> {
    let header = |name: &str| {
        let value = headers.get(format!("{prefix}{name}"))?;
        value.to_str().ok()
    };
    // The server's dates have no fractions, so they are not compared either.
    let modified = now.modified.as_second();
    let since = |text: &str| {
        rfc2822::parse(text)
            .ok()
            .map(|at| at.timestamp().as_second())
    };
    match header("if-match") {
        Some(tags) if !matches(tags, now.etag) => return Err(Unmet::Failed),
        Some(_) => {}
        None => {
            let at = header("if-unmodified-since").and_then(since);
            if at.is_some_and(|at| modified > at) {
                return Err(Unmet::Failed);
            }
        }
    }
    match header("if-none-match") {
        Some(tags) if matches(tags, now.etag) => Err(Unmet::NotModified),
        Some(_) => Ok(()),
        None => {
            let at = header("if-modified-since").and_then(since);
            match at {
                Some(at) if modified <= at => Err(Unmet::NotModified),
                _ => Ok(()),
            }
        }
    }
}

/// Whether a list of tags has this one, or any will do.
pub(crate) fn matches(tags: &str, etag: &str) -> bool {
    let mut tags = tags.split(',').map(|tag| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
    });
    tags.any(|tag| tag == "*" || tag == etag)
}

/// 412.
pub(crate) fn failed() -> S3Error {
    let message = "At least one of the pre-conditions you specified did not hold";
    S3Error::new(
        StatusCode::PRECONDITION_FAILED,
        "PreconditionFailed",
        message,
    )
}

/// The bytes that `Range` asks for; none for all of them, which is also what
/// several ranges and other units mean.
pub(crate) fn range(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>> {
    let Some(text) = headers
        .get(http::header::RANGE)
        .and_then(|value| value.to_str().ok())
    else {
        return Ok(None);
    };
    let Some((first, last)) = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|r| r.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim().is_empty(), number(first), number(last)) {
        (true, _, Some(count)) => size.saturating_sub(count)..size,
        (false, Some(first), None) if last.trim().is_empty() => first..size,
        (false, Some(first), Some(last)) if first <= last => {
            first..size.min(last.saturating_add(1))
        }
        _ => return Ok(None),
    };
    if range.is_empty() {
        let message = "The requested range is not satisfiable";
        return Err(S3Error::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            message,
        ));
    }
    Ok(Some(range))
}

/// `x-amz-copy-source-range`, which must be whole and within the source.
pub(crate) fn copy_range(text: &str, size: u64) -> Result<Range<u64>> {
    let wrong = || {
        S3Error::argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy",
        )
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let (first, last) = text
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .and_then(|(first, last)| Some((number(first)?, number(last)?)))
        .ok_or_else(wrong)?;
    if first > last || last >= size {
        let message = "Range specified is not valid for source object";
        return Err(S3Error::bad("InvalidRange", message));
    }
    Ok(first..last + 1)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    #[test]
    fn conditions_are_those_of_http() {
        let now = Now {
            etag: "abc",
            modified: "2026-11-21T22:00:00.7Z".parse().expect("a time"),
        };
        let (same, later, before) = (
            "Sat, 21 Nov 2026 22:00:00 GMT",
            "Sat, 21 Nov 2026 22:00:01 GMT",
            "Sat, 21 Nov 2026 21:59:59 GMT",
        );
        let (not_modified, failed) = (Err(Unmet::NotModified), Err(Unmet::Failed));
        for (sent, expected) in [
            (&[][..], Ok(())),
            (&[("if-match", "\"abc\"")], Ok(())),
            (&[("if-match", "*")], Ok(())),
            (&[("if-match", "\"x\", \"abc\"")], Ok(())),
            (&[("if-match", "\"x\"")], failed),
            (&[("if-none-match", "W/\"abc\"")], not_modified),
            (&[("if-none-match", "\"x\"")], Ok(())),
            (&[("if-modified-since", same)], not_modified),
            (&[("if-modified-since", later)], not_modified),
            (&[("if-modified-since", before)], Ok(())),
            (&[("if-modified-since", "yesterday")], Ok(())),
            (&[("if-unmodified-since", same)], Ok(())),
            (&[("if-unmodified-since", before)], failed),
            (
                &[("if-match", "abc"), ("if-unmodified-since", before)],
                Ok(()),
            ),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", later)],
                Ok(()),
            ),
        ] {
            assert_eq!(check(&headers(sent), "", now), expected, "{sent:?}");
        }
    }

    #[test]
    fn ranges_are_within_the_object() {
        for (sent, expected) in [
            ("bytes=0-9", Ok(Some(0..10))),
            ("bytes=5-", Ok(Some(5..20))),
            ("bytes=-5", Ok(Some(15..20))),
            ("bytes=-50", Ok(Some(0..20))),
            ("bytes=19-99", Ok(Some(19..20))),
            ("bytes=0-18446744073709551615", Ok(Some(0..20))),
            ("bytes=20-", Err("InvalidRange")),
            ("bytes=-0", Err("InvalidRange")),
            ("bytes=9-5", Ok(None)),
            ("bytes=0-1,3-4", Ok(None)),
            ("lines=0-1", Ok(None)),
        ] {
            let read = range(&headers(&[("range", sent)]), 20);
            assert_eq!(read.map_err(|error| error.code), expected, "{sent}");
        }
        assert_eq!(
            copy_range("bytes=0-19", 20).map_err(|error| error.code),
            Ok(0..20)
        );
        for wrong in ["bytes=-5", "bytes=5-", "0-5", "bytes=5-4", "bytes=0-20"] {
            assert!(copy_range(wrong, 20).is_err(), "{wrong}");
        }
    }
}

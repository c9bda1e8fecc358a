//! Which rows: `limit`, `offset` and the `Range` header, brought together.
//!
//! Ranges are intersected as upstream does it, including its oddities:
//! `limit=0` is the one empty range that is allowed, and a limit that is not
//! a number is ignored. Start at [`top_level`].

use http::{HeaderMap, Method, header};

use super::ast::RowRange;
use crate::error::{RangeFault, RestError};

/// Rows from `lower` up to and including `upper`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    lower: i64,
    upper: Option<i64>,
}

const ALL: Span = Span {
    lower: 0,
    upper: None,
};

/// What `limit=0` becomes: empty, but asked for.
const NONE: Span = Span {
    lower: 0,
    upper: Some(-1),
};

/// `limit=` or `offset=` as written: whether it was there, and its number.
pub(super) type Written = Option<Option<i64>>;

impl Span {
    /// The rows that `limit` and `offset` ask for, when either was written.
    pub(super) fn written(limit: Written, offset: Written) -> Option<Self> {
        match (limit, offset) {
            (None, None) => None,
            (Some(limit), None) => Some(Self {
                lower: 0,
                upper: limit.map(|limit| limit.saturating_sub(1)),
            }),
            (None, Some(offset)) => Some(Self {
                lower: offset.unwrap_or(0),
                upper: None,
            }),
            (Some(limit), Some(offset)) => {
                let offset = offset.unwrap_or(0);
                let last = offset.saturating_add(limit.unwrap_or(0)).saturating_sub(1);
                Some(Self {
                    lower: offset,
                    upper: Some(last),
                })
            }
        }
    }

    fn is_empty(self) -> bool {
        self.upper.is_some_and(|upper| upper < self.lower)
    }

    fn asks_for_nothing(self) -> bool {
        self.upper == NONE.upper
    }

    fn intersect(self, other: Self) -> Self {
        let upper = match (self.upper, other.upper) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self {
            lower: self.lower.max(other.lower),
            upper,
        }
    }

    /// The range as SQL wants it. Fails for a negative limit or offset.
    pub(super) fn rows(self) -> Result<RowRange, RestError> {
        let negative = || RestError::InvalidRange(RangeFault::NegativeLimit);
        let offset = u64::try_from(self.lower).map_err(|_| negative())?;
        let Some(upper) = self.upper else {
            return Ok(RowRange {
                offset,
                limit: None,
            });
        };
        let limit = upper.saturating_sub(self.lower).saturating_add(1);
        let limit = u64::try_from(limit).map_err(|_| negative())?;
        Ok(RowRange {
            offset,
            limit: Some(limit),
        })
    }
}

/// A number as upstream reads one: anything else is as if not written.
pub(super) fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or_else(|_| {
        if text.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        }
    }))
}

/// The rows of the outermost relation: the `Range` header of a GET within
/// what `limit` and `offset` allow.
pub(super) fn top_level(
    method: &Method,
    headers: &HeaderMap,
    written: Option<Span>,
) -> Result<RowRange, RestError> {
    let header = if *method == Method::GET {
        requested(headers)
    } else {
        ALL
    };
    let written = written.unwrap_or(ALL);
    let both = header.intersect(written);
    let top = if written.asks_for_nothing() {
        NONE
    } else if header.is_empty() {
        return Err(RestError::InvalidRange(RangeFault::LowerGreaterThanUpper));
    } else if written.is_empty() || both.is_empty() {
        return Err(RestError::InvalidRange(RangeFault::NegativeLimit));
    } else {
        both
    };
    if *method == Method::PUT && top != ALL {
        return Err(RestError::PutLimitNotAllowed);
    }
    top.rows()
}

/// The `Range` header: `0-9` or `10-`. Any other text is no range at all.
fn requested(headers: &HeaderMap) -> Span {
    headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(parse_header)
        .unwrap_or(ALL)
}

fn parse_header(text: &str) -> Option<Span> {
    let (lower, upper) = text.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if lower.is_empty() || !digits(lower) || !digits(upper) {
        return None;
    }
    Some(Span {
        lower: number(lower)?,
        upper: number(upper),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(method: &Method, range: Option<&'static str>, limit: &str, offset: &str) -> String {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(header::RANGE, http::HeaderValue::from_static(range));
        }
        let written = |text: &str| (!text.is_empty()).then(|| number(text));
        let span = Span::written(written(limit), written(offset));
        match top_level(method, &headers, span) {
            Ok(rows) => match rows.limit {
                Some(limit) => format!("{limit}@{}", rows.offset),
                None => format!("all@{}", rows.offset),
            },
            Err(error) => error.code().into_owned(),
        }
    }

    #[test]
    fn limits_and_headers_meet() {
        let get = &Method::GET;
        assert_eq!(top(get, None, "", ""), "all@0");
        assert_eq!(top(get, None, "5", ""), "5@0");
        assert_eq!(top(get, None, "5", "2"), "5@2");
        assert_eq!(top(get, None, "", "2"), "all@2");
        assert_eq!(top(get, None, "0", ""), "0@0");
        assert_eq!(top(get, None, "-1", ""), "PGRST103");
        assert_eq!(top(get, None, "x", ""), "all@0");
        assert_eq!(top(get, None, "", "-4"), "all@0");
        assert_eq!(top(get, Some("0-1"), "", ""), "2@0");
        assert_eq!(top(get, Some("3-"), "", ""), "all@3");
        assert_eq!(top(get, Some("0-9"), "3", "2"), "3@2");
        assert_eq!(top(get, Some("1-0"), "", ""), "PGRST103");
        assert_eq!(top(get, Some("what"), "", ""), "all@0");
        assert_eq!(top(&Method::POST, Some("0-1"), "", ""), "all@0");
        assert_eq!(top(&Method::PUT, None, "1", ""), "PGRST114");
        assert_eq!(
            top(get, None, "99999999999999999999999", ""),
            "9223372036854775807@0"
        );
    }
}

//! Reading a row value by value, and writing values as Postgres reads them.

use std::str::FromStr;
use std::time::Duration;

use pg::{Row, Values};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{JobsError, Result};

/// The values of a row, from the left.
pub(crate) struct Fields<'a> {
    values: Values<'a>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(row: &Row<'a>) -> Self {
        Self {
            values: row.values(),
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        let bytes = self.values.next().flatten()?;
        std::str::from_utf8(bytes).ok()
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        self.next().map(str::to_owned)
    }

    pub(crate) fn must(&mut self) -> Result<String> {
        self.text().ok_or_else(|| JobsError::odd("a value"))
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.next() == Some("t")
    }

    pub(crate) fn number<T: FromStr>(&mut self) -> Result<T> {
        let number = self.next().and_then(|text| text.parse().ok());
        number.ok_or_else(|| JobsError::odd("a number"))
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid> {
        self.maybe_uuid().ok_or_else(|| JobsError::odd("a uuid"))
    }

    pub(crate) fn maybe_uuid(&mut self) -> Option<Uuid> {
        self.next().and_then(|text| Uuid::parse_str(text).ok())
    }

    pub(crate) fn json(&mut self) -> Result<Option<Box<RawValue>>> {
        let Some(text) = self.next() else {
            return Ok(None);
        };
        let raw = RawValue::from_string(text.to_owned());
        raw.map(Some).map_err(|_| JobsError::odd("JSON"))
    }
}

/// An array of one dimension as Postgres reads it. Every element is quoted:
/// then nothing in it means anything but a quote and a backslash.
pub(crate) fn array<'a>(items: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut out = String::from("{");
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let Some(item) = item else {
            out.push_str("NULL");
            continue;
        };
        out.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

/// A length of time as Postgres reads it.
pub(crate) fn millis(length: Duration) -> String {
    format!("{} milliseconds", length.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_element_ends_it() {
        let items = [Some("a,b"), None, Some(r#"{"k":"\""}"#), Some("")];
        assert_eq!(array(items), r#"{"a,b",NULL,"{\"k\":\"\\\"\"}",""}"#);
        assert_eq!(array([]), "{}");
    }
}

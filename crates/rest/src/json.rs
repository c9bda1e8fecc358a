//! Rows become JSON without Postgres: the text of each value on the wire is
//! JSON already or needs quotes. `json_agg` would be more than half of the
//! database's work for a list.
//!
//! The text is what `json_agg` writes, separators included, since clients
//! compare `Content-Length`. Which columns may come here is decided by
//! `pg::catalog::JsonShape`; all others were asked for as `to_json(…)`.

use pg::{Column, Rows, Values};

/// What `json_agg` writes between objects.
const BETWEEN_OBJECTS: &[u8] = b", \n ";

/// What `json_agg` writes between plain values.
const BETWEEN_VALUES: &[u8] = b", ";

/// How a type's text becomes JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// It is JSON.
    Json,
    /// A number, unless it is NaN or infinite.
    Number,
    Boolean,
    /// ISO 8601 has a `T` where Postgres has a space.
    Timestamp,
    /// Besides, JSON wants minutes in the offset.
    TimestampTz,
    Text,
}

impl Writer {
    /// By the OIDs of `pg_type.dat`, which never change.
    fn of(type_oid: u32) -> Self {
        match type_oid {
            114 | 3802 => Self::Json,
            20 | 21 | 23 | 700 | 701 | 1700 => Self::Number,
            16 => Self::Boolean,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            _ => Self::Text,
        }
    }

    fn write(self, out: &mut Vec<u8>, value: &[u8]) {
        match self {
            Self::Json => out.extend_from_slice(value),
            Self::Number => {
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                if digits.first().is_some_and(u8::is_ascii_digit) {
                    out.extend_from_slice(value);
                } else {
                    string(out, value);
                }
            }
            Self::Boolean => out.extend_from_slice(if value == b"t" { b"true" } else { b"false" }),
            Self::Timestamp => timestamp(out, value, false),
            Self::TimestampTz => timestamp(out, value, true),
            Self::Text => string(out, value),
        }
    }
}

fn timestamp(out: &mut Vec<u8>, value: &[u8], zone: bool) {
    out.push(b'"');
    let mut parts = value.splitn(2, |byte| *byte == b' ');
    out.extend_from_slice(parts.next().unwrap_or_default());
    if let Some(time) = parts.next() {
        out.push(b'T');
        // `12:00:00+00 BC`: the era stays behind the offset.
        let era = time.iter().position(|byte| *byte == b' ');
        let (time, era) = time.split_at(era.unwrap_or(time.len()));
        out.extend_from_slice(time);
        let hours_only = match time {
            [.., sign, _, _] => matches!(sign, b'+' | b'-'),
            _ => false,
        };
        if zone && hours_only {
            out.extend_from_slice(b":00");
        }
        out.extend_from_slice(era);
    }
    out.push(b'"');
}

/// Cannot stand in a JSON string as it is.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches, many bytes are looked at together"
)]
fn is_special(byte: u8) -> bool {
    (byte < b' ') | (byte == b'"') | (byte == b'\\')
}

/// A JSON string, escaped as Postgres escapes it.
pub(crate) fn string(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    let mut rest = value;
    // Looking at every byte without stopping early is done many at a time;
    // hardly any text is searched again.
    if value
        .iter()
        .fold(false, |found, byte| found | is_special(*byte))
    {
        while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
            let (plain, tail) = rest.split_at(at);
            out.extend_from_slice(plain);
            if let Some((special, tail)) = tail.split_first() {
                escape(out, *special);
                rest = tail;
            }
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        8 => out.extend_from_slice(b"\\b"),
        9 => out.extend_from_slice(b"\\t"),
        10 => out.extend_from_slice(b"\\n"),
        12 => out.extend_from_slice(b"\\f"),
        13 => out.extend_from_slice(b"\\r"),
        other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
    }
}

/// What stands before each value of an object: `{"id":`, `,"name":` …, all in
/// one buffer.
struct Layout {
    prefixes: Vec<u8>,
    /// Where each prefix ends, and how the value behind it is written.
    columns: Vec<(usize, Writer)>,
}

impl Layout {
    fn of(columns: &[Column]) -> Self {
        let names: usize = columns.iter().map(|column| column.name.len() + 4).sum();
        let mut layout = Self {
            prefixes: Vec::with_capacity(names),
            columns: Vec::with_capacity(columns.len()),
        };
        for column in columns {
            let first = layout.columns.is_empty();
            layout.prefixes.push(if first { b'{' } else { b',' });
            string(&mut layout.prefixes, column.name.as_bytes());
            layout.prefixes.push(b':');
            let end = layout.prefixes.len();
            layout.columns.push((end, Writer::of(column.type_oid)));
        }
        layout
    }

    fn write(&self, out: &mut Vec<u8>, values: Values<'_>) {
        if self.columns.is_empty() {
            out.push(b'{');
        }
        let mut start = 0;
        for ((end, writer), value) in self.columns.iter().zip(values) {
            out.extend_from_slice(self.prefixes.get(start..*end).unwrap_or_default());
            start = *end;
            match value {
                Some(value) => writer.write(out, value),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }
}

/// All rows as an array of objects.
pub(crate) fn array(rows: &Rows) -> Vec<u8> {
    let layout = Layout::of(rows.columns());
    let per_row = layout.prefixes.len() + 2 * layout.columns.len() + 6;
    let mut out = Vec::with_capacity(rows.byte_len() + rows.len() * per_row + 2);
    out.push(b'[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(BETWEEN_OBJECTS);
        }
        layout.write(&mut out, row.values());
    }
    out.push(b']');
    out
}

/// The first row as an object; `null` when there is none.
pub(crate) fn object(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.byte_len() + 64);
    match rows.first() {
        Some(row) => Layout::of(rows.columns()).write(&mut out, row.values()),
        None => out.extend_from_slice(b"null"),
    }
    out
}

/// The first value of each row, as an array.
pub(crate) fn values(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.byte_len() + 2);
    out.push(b'[');
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(BETWEEN_VALUES);
        }
        first_value(&mut out, rows, row.values());
    }
    out.push(b']');
    out
}

/// The first value of the first row; `null` when there is none.
pub(crate) fn value(rows: &Rows) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.byte_len());
    match rows.first() {
        Some(row) => first_value(&mut out, rows, row.values()),
        None => out.extend_from_slice(b"null"),
    }
    out
}

fn first_value(out: &mut Vec<u8>, rows: &Rows, mut values: Values<'_>) {
    let writer = rows
        .columns()
        .first()
        .map_or(Writer::Text, |column| Writer::of(column.type_oid));
    match values.next().flatten() {
        Some(value) => writer.write(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(type_oid: u32, value: &str) -> String {
        let mut out = Vec::new();
        Writer::of(type_oid).write(&mut out, value.as_bytes());
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn numbers_that_json_does_not_know_are_quoted() {
        assert_eq!(written(1700, "-12.50"), "-12.50");
        assert_eq!(written(701, "1e+300"), "1e+300");
        assert_eq!(written(701, "-Infinity"), "\"-Infinity\"");
        assert_eq!(written(1700, "NaN"), "\"NaN\"");
    }

    #[test]
    fn times_are_written_as_json_agg_writes_them() {
        let tz = |text| written(1184, text);
        assert_eq!(
            tz("2026-01-02 03:04:05.6+00"),
            "\"2026-01-02T03:04:05.6+00:00\""
        );
        assert_eq!(
            tz("2026-01-02 03:04:05+05:30"),
            "\"2026-01-02T03:04:05+05:30\""
        );
        assert_eq!(
            tz("0044-03-15 00:00:00-08 BC"),
            "\"0044-03-15T00:00:00-08:00 BC\""
        );
        assert_eq!(tz("infinity"), "\"infinity\"");
        assert_eq!(
            written(1114, "2026-01-02 03:04:05"),
            "\"2026-01-02T03:04:05\""
        );
        assert_eq!(written(1082, "2026-01-02"), "\"2026-01-02\"");
    }

    #[test]
    fn text_is_escaped_as_postgres_escapes_it() {
        assert_eq!(
            written(25, "a\"b\\c\n\t\u{1}ü\u{7f}"),
            "\"a\\\"b\\\\c\\n\\t\\u0001ü\u{7f}\""
        );
        assert_eq!(written(16, "t"), "true");
        assert_eq!(written(3802, "{\"a\": 1}"), "{\"a\": 1}");
    }
}

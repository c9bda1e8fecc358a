//! An event as it leaves: worded once, shared by all who watch.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use pg::Row;
use uuid::Uuid;

/// One event of a stream. Cloning it copies no text.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its number in the stream.
    pub seq: i64,
    /// As server-sent event; the JSON is a part of it.
    sse: Bytes,
    json: Range<usize>,
}

impl Frame {
    /// Reads a row of `tails.sql` or `events_after.sql`; none without a number.
    pub(super) fn of_row(row: &Row<'_>) -> Option<(Uuid, Self)> {
        let stream = Uuid::parse_str(row.get(0)?).ok()?;
        let seq = row.get(1)?.parse().ok()?;
        let event = Event {
            stream,
            seq,
            job: row.get(2),
            kind: row.get(3).unwrap_or_default(),
            data: row.get(4).unwrap_or("null"),
            at: row.get(5).unwrap_or_default(),
        };
        Some((stream, event.frame()))
    }

    /// `id:`, `event:` and `data:` with the blank line behind them.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        self.sse.clone()
    }

    /// The event as one JSON object.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.sse.slice(self.json.clone())
    }

    /// What it takes to keep.
    pub(super) fn size(&self) -> usize {
        self.sse.len()
    }
}

/// What a frame is made of.
struct Event<'a> {
    stream: Uuid,
    seq: i64,
    job: Option<&'a str>,
    kind: &'a str,
    /// JSON of the database, which has no line breaks.
    data: &'a str,
    at: &'a str,
}

impl Event<'_> {
    fn frame(&self) -> Frame {
        let kind: String = self
            .kind
            .chars()
            // A line break would end the field and begin another.
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let mut head = String::with_capacity(kind.len() + 48);
        // Writing to a String cannot fail.
        let _ = write!(head, "id: {}\nevent: {kind}\ndata: ", self.seq);
        let mut json = String::with_capacity(self.data.len() + kind.len() + 192);
        let _ = write!(
            json,
            "{{\"stream_id\":\"{}\",\"seq\":{},\"job_id\":",
            self.stream, self.seq
        );
        match self.job {
            Some(job) => {
                let _ = write!(json, "\"{job}\"");
            }
            None => json.push_str("null"),
        }
        json.push_str(",\"kind\":");
        json.push_str(&quoted(&kind));
        let _ = write!(json, ",\"at\":\"{}\",\"data\":{}}}", self.at, self.data);
        let mut out = BytesMut::with_capacity(head.len() + json.len() + 2);
        out.put_slice(head.as_bytes());
        out.put_slice(json.as_bytes());
        out.put_slice(b"\n\n");
        Frame {
            seq: self.seq,
            sse: out.freeze(),
            json: head.len()..head.len() + json.len(),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wording_serves_both_wires() {
        let stream = Uuid::nil();
        let frame = Event {
            stream,
            seq: 7,
            job: None,
            kind: "a\nid: 9\"",
            data: r#"{"x": 1}"#,
            at: "2026-01-01T00:00:00Z",
        }
        .frame();
        let json = frame.json();
        let text = std::str::from_utf8(&json).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        assert_eq!(
            value.get("kind").and_then(|kind| kind.as_str()),
            Some("a id: 9\"")
        );
        assert_eq!(
            value.get("seq").and_then(serde_json::Value::as_i64),
            Some(7)
        );
        let sse = frame.sse();
        let sse = std::str::from_utf8(&sse).unwrap_or_default();
        assert_eq!(
            sse,
            format!("id: 7\nevent: a id: 9\"\ndata: {text}\n\n"),
            "a kind cannot begin a field"
        );
    }
}

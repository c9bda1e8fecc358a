//! Server-sent events as bytes come: any split, any line ending.
//!
//! Lines are cut as bytes, so a character that arrives in two pieces is whole
//! again before anybody looks at it.

use crate::error::{ModelError, ModelErrorKind};

/// The longest event: a picture within a chunk is some megabytes as text.
const EVENT_MAX: usize = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `event:` field; empty where there is none.
    pub name: String,
    /// Its `data:` lines, joined.
    pub data: String,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    /// The last byte was a carriage return that ended a line: a line feed after
    /// it belongs to it.
    after_cr: bool,
    /// The very first line may begin with a byte order mark.
    begun: bool,
}

impl Parser {
    /// Takes the next bytes and appends the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), ModelError> {
        let mut rest = bytes;
        while let Some((&byte, tail)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                rest = tail;
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let Some(end) = end else {
                self.keep(rest)?;
                break;
            };
            let (line, ending) = rest.split_at(end);
            self.keep(line)?;
            self.after_cr = ending.first() == Some(&b'\r');
            rest = ending.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.line);
            if let Some(event) = self.line(&line)? {
                out.push(event);
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), ModelError> {
        if self.line.len() + bytes.len() > EVENT_MAX {
            return Err(too_long());
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Event>, ModelError> {
        let mut line = line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.event());
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.data.len() + value.len() > EVENT_MAX {
                    return Err(too_long());
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.name),
            // A comment has no field name; `id` and `retry` are for
            // connections that begin again, which ours never do.
            _ => {}
        }
        Ok(None)
    }

    fn event(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then_some(Event { name, data })
    }

    /// What an answer without a last empty line leaves: an event is complete
    /// when its line is. Some servers close right after the last line.
    pub(crate) fn finish(&mut self) -> Result<Option<Event>, ModelError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty()
            && let Some(event) = self.line(&line)?
        {
            return Ok(Some(event));
        }
        Ok(self.event())
    }
}

fn too_long() -> ModelError {
    ModelError::new(
        ModelErrorKind::Protocol,
        format!("an event is longer than {EVENT_MAX} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for piece in pieces {
            parser.push(piece, &mut out).expect("short enough");
        }
        out.extend(parser.finish().expect("short enough"));
        out.into_iter().map(|e| (e.name, e.data)).collect()
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    const MIXED: &str = "\u{feff}: hello\r\nevent: a\r\ndata: ein\u{df} \u{1f980}\r\ndata:two\r\n\r\n\
        data\n\nid: 7\nretry: 5\nevent: lost\n\nfoo: bar\rdata:  x:y\r\rdata: last";

    #[test]
    fn lines_end_in_three_ways_and_comments_say_nothing() {
        let expected = vec![
            pair("a", "einß 🦀\ntwo"),
            pair("", ""),
            pair("", " x:y"),
            pair("", "last"),
        ];
        assert_eq!(all(&[MIXED.as_bytes()]), expected);
    }

    proptest! {
        #[test]
        fn where_it_is_cut_does_not_matter(mut cuts in proptest::collection::vec(0..MIXED.len(), 0..12)) {
            cuts.sort_unstable();
            let bytes = MIXED.as_bytes();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(bytes.get(from..cut).expect("in order"));
                from = cut;
            }
            pieces.push(bytes.get(from..).expect("in order"));
            prop_assert_eq!(all(&pieces), all(&[bytes]));
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..20).any(|_| parser.push(&piece, &mut out).is_err());
        assert!(refused);
        let mut parser = Parser::default();
        let mut line = b"data: ".to_vec();
        line.extend_from_slice(&piece);
        line.push(b'\n');
        let refused = (0..20).any(|_| parser.push(&line, &mut out).is_err());
        assert!(refused);
        assert!(out.is_empty());
    }
}

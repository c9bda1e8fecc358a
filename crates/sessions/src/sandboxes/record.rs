//! What a program says, as events of the session's log: `sandbox.exec`, then
//! `sandbox.output` in pieces, then `sandbox.exit`.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::ports::{Ended, Output};
use crate::streams::{Appender, NewEvent, Piece};

/// What was said waits so long for more of it.
const PAUSE: Duration = Duration::from_millis(120);
/// So much is written at once.
const PIECE_BYTES: usize = 8 << 10;
/// JSON of one piece of text at most; an event may have 16 KiB.
const JSON_BYTES: usize = 12 << 10;
/// Of one program, in the log: who wants all of a flood listens to it.
const RECORDED_MAX: usize = 256 << 10;
/// Of each stream, in the row of the tool run.
const TAIL_BYTES: usize = 4 << 10;

/// Writes down what one program says.
pub(super) struct Recorder {
    appender: Appender,
    session: Uuid,
    run: Uuid,
    job: Option<Uuid>,
    tool: &'static str,
    about: Value,
    stdout: Text,
    stderr: Text,
    since: Option<Instant>,
    recorded: usize,
    truncated: bool,
}

/// One stream of a program: what is not written yet, and the last of it all.
#[derive(Default)]
struct Text {
    waiting: Vec<u8>,
    tail: Vec<u8>,
}

impl Text {
    fn hear(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.tail.extend_from_slice(bytes);
        let beyond = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..beyond);
    }

    /// What can be read as text; the beginning of a letter waits for its rest.
    fn take(&mut self, all: bool) -> String {
        let end = if all {
            self.waiting.len()
        } else {
            whole(&self.waiting)
        };
        let taken: Vec<u8> = self.waiting.drain(..end).collect();
        String::from_utf8_lossy(&taken).into_owned()
    }
}

/// How many bytes there are before a letter that is not complete.
pub(crate) fn whole(bytes: &[u8]) -> usize {
    let begins = |byte: u8| byte & 0xC0 != 0x80;
    for back in 1..=bytes.len().min(4) {
        let at = bytes.len() - back;
        let Some(byte) = bytes.get(at).copied() else {
            break;
        };
        if begins(byte) {
            let long = match byte {
                0xC0..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF7 => 4,
                _ => 1,
            };
            return if long > back { at } else { bytes.len() };
        }
    }
    bytes.len()
}

impl Recorder {
    pub(super) fn new(
        appender: Appender,
        (session, run, job): (Uuid, Uuid, Option<Uuid>),
        (tool, about): (&'static str, Value),
    ) -> Self {
        Self {
            appender,
            session,
            run,
            job,
            tool,
            about,
            stdout: Text::default(),
            stderr: Text::default(),
            since: None,
            recorded: 0,
            truncated: false,
        }
    }

    pub(super) async fn begin(&mut self, pid: u32) {
        let mut data = self.about.clone();
        if let Some(fields) = data.as_object_mut() {
            fields.insert("run".to_owned(), json!(self.run));
            fields.insert("pid".to_owned(), json!(pid));
            if let Some(Value::String(command)) = fields.get_mut("command") {
                *command = command.chars().take(1000).collect();
            }
        }
        self.say("sandbox.exec", vec![data], false).await;
    }

    /// When what waits is to be written.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.since.map(|since| since + PAUSE)
    }

    pub(super) async fn hear(&mut self, output: &Output) {
        match output {
            Output::Stdout(bytes) => self.stdout.hear(bytes),
            Output::Stderr(bytes) => self.stderr.hear(bytes),
            Output::Exit(_) => return,
        }
        self.since.get_or_insert_with(Instant::now);
        if self.stdout.waiting.len() + self.stderr.waiting.len() >= PIECE_BYTES {
            self.flush().await;
        }
    }

    pub(super) async fn flush(&mut self) {
        self.write(false).await;
    }

    async fn write(&mut self, all: bool) {
        self.since = None;
        let said = [
            ("stdout", self.stdout.take(all)),
            ("stderr", self.stderr.take(all)),
        ];
        let mut events = Vec::new();
        for (stream, text) in said {
            for piece in pieces(&text) {
                if self.recorded >= RECORDED_MAX {
                    if !self.truncated {
                        events.push(json!({"run": self.run, "truncated": true}));
                    }
                    self.truncated = true;
                    break;
                }
                self.recorded += piece.len();
                events.push(json!({"run": self.run, "stream": stream, "text": piece}));
            }
        }
        self.say("sandbox.output", events, false).await;
    }

    /// Writes the end; answers the row of the tool run.
    pub(super) async fn end(&mut self, ended: &Ended, millis: i32) -> Value {
        self.write(true).await;
        let data = json!({
            "run": self.run, "code": ended.code, "signal": ended.signal, "why": ended.why,
            "duration_ms": millis,
        });
        self.say("sandbox.exit", vec![data], true).await;
        let failed = (ended.status() != 0).then(|| match &ended.why {
            Some(why) => format!("ended: {why}"),
            None => format!("exit status {}", ended.status()),
        });
        json!({
            "tool": self.tool,
            "job_id": self.job,
            "input": self.about,
            "output": {
                "run": self.run, "code": ended.code, "signal": ended.signal, "why": ended.why,
                "stdout": clean(&self.stdout.tail), "stderr": clean(&self.stderr.tail),
            },
            "error": failed,
            "duration_ms": millis,
        })
    }

    async fn say(&self, kind: &str, data: Vec<Value>, wait: bool) {
        let events = data.iter().filter_map(|data| {
            let data = RawValue::from_string(data.to_string()).ok()?;
            let kind = kind.to_owned();
            Some(NewEvent { kind, data })
        });
        let events: Vec<_> = events.collect();
        if events.is_empty() {
            return;
        }
        let piece = Piece {
            stream: self.session,
            owner: None,
            producer: None,
            job: self.job,
            events,
        };
        let taken = if wait {
            self.appender.append(piece).await.map(drop)
        } else {
            self.appender.hand_in(piece).await.map(drop)
        };
        if let Err(error) = taken {
            tracing::debug!(%error, "What a program said is not in the log");
        }
    }
}

/// Text that fits into rows: PostgreSQL's JSON knows no zero.
fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}

/// Text in pieces whose JSON fits into an event.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece, mut cost) = (Vec::new(), String::new(), 0);
    for c in text.chars() {
        // The log's JSON knows no zero.
        let c = if c == '\0' { '\u{fffd}' } else { c };
        let more = match c {
            '"' | '\\' => 2,
            c if c < ' ' => 6,
            c => c.len_utf8(),
        };
        if cost + more > JSON_BYTES {
            pieces.push(std::mem::take(&mut piece));
            cost = 0;
        }
        piece.push(c);
        cost += more;
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn a_letter_is_not_torn() {
        let bytes = "aé€😀".as_bytes();
        for cut in 0..=bytes.len() {
            let end = whole(&bytes[..cut]);
            assert!(std::str::from_utf8(&bytes[..end]).is_ok(), "{cut}");
            assert!(cut - end < 4, "{cut}");
        }
        // What is no text at all does not wait for ever.
        assert_eq!(whole(&[0x80, 0x80, 0x80, 0x80, 0x80]), 5);
    }

    #[test]
    fn every_piece_fits_an_event_and_nothing_is_lost() {
        let text: String = "\u{1}\"x€".chars().cycle().take(20_000).collect();
        let parts = pieces(&text);
        assert_eq!(parts.concat(), text);
        for part in &parts {
            assert!(json!({"text": part}).to_string().len() < 16 << 10);
        }
        assert_eq!(pieces("\0"), ["\u{fffd}"]);
    }
}

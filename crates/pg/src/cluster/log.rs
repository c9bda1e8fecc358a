//! What PostgreSQL and initdb say on standard error.
//!
//! PostgreSQL blocks when nobody reads its pipe, so [`follow`] reads until the
//! pipe ends, whatever comes; the last lines are kept for error messages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// How many lines an error message can show.
const LINES_MAX: usize = 50;

/// What is kept of one line: a statement in a log line can have megabytes.
const LINE_BYTES_MAX: usize = 2000;

/// FATAL lines that come with every normal start and stop.
const EXPECTED: [&str; 3] = [
    "the database system is starting up",
    "the database system is shutting down",
    "terminating connection due to administrator command",
];

/// The last lines of one program. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct LogTail(Arc<Mutex<VecDeque<String>>>);

impl LogTail {
    /// The kept lines, oldest first, as one text.
    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Reads `stream` to its end.
pub(super) async fn follow(stream: impl AsyncRead + Unpin, tail: LogTail) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let chunk = match reader.fill_buf().await {
            Ok(chunk) if !chunk.is_empty() => chunk,
            Ok(_) | Err(_) => break,
        };
        let end = memchr::memchr(b'\n', chunk);
        let piece = end.and_then(|at| chunk.get(..at)).unwrap_or(chunk);
        let room = LINE_BYTES_MAX.saturating_sub(line.len());
        line.extend(piece.iter().take(room));
        let used = piece.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            take(&mut line, &tail);
        }
    }
    if !line.is_empty() {
        take(&mut line, &tail);
    }
}

fn take(line: &mut Vec<u8>, tail: &LogTail) {
    let text = String::from_utf8_lossy(line).into_owned();
    line.clear();
    match severity(&text) {
        "FATAL" | "PANIC" if !EXPECTED.iter().any(|expected| text.contains(expected)) => {
            tracing::warn!(postgres.line = %text, "PostgreSQL: {text}");
        }
        _ => tracing::debug!(postgres.line = %text, "PostgreSQL: {text}"),
    }
    tail.push(text);
}

/// The severity in `<time> [<pid>] FATAL:  <message>`, the shape that our
/// `log_line_prefix` gives.
fn severity(line: &str) -> &str {
    line.split_once("] ")
        .map_or(line, |(_, rest)| rest)
        .split_once(": ")
        .map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_severity_is_read() {
        assert_eq!(severity("2026-01-01 UTC [7] FATAL:  no"), "FATAL");
        assert_eq!(severity("postgres: could not"), "postgres");
        assert_eq!(severity(""), "");
    }

    #[tokio::test]
    async fn lines_and_their_number_are_bounded() {
        let mut text = String::new();
        for n in 0..70 {
            text.push_str("line ");
            text.push_str(&n.to_string());
            text.push('\n');
        }
        text.push_str(&"x".repeat(1_000_000));
        let tail = LogTail::default();
        follow(text.as_bytes(), tail.clone()).await;
        let kept = tail.text();
        assert_eq!(kept.lines().count(), LINES_MAX);
        assert_eq!(kept.lines().next(), Some("line 21"));
        assert_eq!(kept.lines().last().map(str::len), Some(LINE_BYTES_MAX));
    }
}

//! What a job says while it works: collected for a moment, so that a model's
//! tokens and a program's lines cost few transactions.

use std::time::Duration;

use jobs::{Ctx, Stop};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::delta::{self, Deltas};

/// Faster than this nobody reads.
const EVERY: Duration = Duration::from_millis(80);
/// Lines of a program in one event at most, and their characters.
const LINES_MAX: usize = 40;
const LINE_CHARS_MAX: usize = 2000;

/// A job's voice.
pub(crate) struct Voice<'a> {
    ctx: &'a Ctx,
    due: Instant,
    text: String,
    lines: Vec<String>,
    value: Option<Value>,
    deltas: Deltas,
}

impl<'a> Voice<'a> {
    pub(crate) fn new(ctx: &'a Ctx) -> Self {
        Self {
            ctx,
            due: Instant::now(),
            text: String::new(),
            lines: Vec::new(),
            value: None,
            deltas: Deltas::default(),
        }
    }

    /// What was said by this job before does not count any more.
    pub(crate) async fn again(&mut self) -> Result<(), Stop> {
        (self.text, self.value, self.deltas) = (String::new(), None, Deltas::default());
        self.ctx.emit(&json!({"reset": true})).await
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn value(&mut self, value: Value) {
        self.value = Some(value);
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.lines.push(line.chars().take(LINE_CHARS_MAX).collect());
    }

    /// Whether something waits to be said.
    pub(crate) fn has_more(&self) -> bool {
        !self.text.is_empty() || self.value.is_some() || !self.lines.is_empty()
    }

    /// Resolves when it is time to say it.
    pub(crate) async fn due(&self) {
        tokio::time::sleep_until(self.due).await;
    }

    /// Says what waits. `is_last`: files are whole now.
    pub(crate) async fn flush(&mut self, is_last: bool) -> Result<(), Stop> {
        for text in delta::pieces(&std::mem::take(&mut self.text)) {
            self.ctx.emit(&json!({"text": text})).await?;
        }
        if let Some(value) = self.value.take() {
            for event in self.deltas.grown(&value, is_last) {
                self.ctx.emit(&event).await?;
            }
        }
        let lines = std::mem::take(&mut self.lines);
        for some in lines.chunks(LINES_MAX) {
            for text in delta::pieces(&some.join("\n")) {
                self.ctx.log(text).await?;
            }
        }
        self.due = Instant::now() + EVERY;
        Ok(())
    }
}

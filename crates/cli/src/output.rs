//! The only way to print. A reader that has gone ends a verb quietly; colour
//! is for terminals without `NO_COLOR`; `--json` is for scripts.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::failure::{Failure, Said, system};
use crate::project::Environment;

/// Columns of a terminal that nobody has made wider.
const STATUS_CHARS_MAX: usize = 79;

/// Standard output and error.
#[expect(
    clippy::struct_excessive_bools,
    reason = "four facts about two streams"
)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    /// Whether standard error is a terminal.
    pub(crate) terminal: bool,
    colour_out: bool,
    colour_err: bool,
}

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Warning,
    Bad,
    Strong,
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warning => "33",
            Self::Bad => "31",
            Self::Strong => "1",
            Self::Faint => "2",
        }
    }
}

impl Output {
    pub(crate) fn new(json: bool, environment: &Environment) -> Self {
        let wanted = !json && environment.get("NO_COLOR").is_none_or(str::is_empty);
        Self {
            json,
            terminal: io::stderr().is_terminal(),
            colour_out: wanted && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether somebody can be asked.
    pub(crate) fn can_ask() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// A line on standard output.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        self.text(&format!("{text}\n"))
    }

    /// Text on standard output.
    #[expect(clippy::unused_self, reason = "who prints holds the Output")]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Quiet,
            _ => system("write to standard output", &error),
        })
    }

    /// One line of JSON on standard output.
    pub(crate) fn value(self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// A line beside the result, on standard error; nothing under `--json`,
    /// where standard error holds the error object alone.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            say(text);
        }
    }

    /// The last line of a terminal, drawn over the one before; an empty one
    /// wipes it. It must fit on one line, so it is cut where most windows end.
    #[expect(clippy::unused_self, reason = "who prints holds the Output")]
    pub(crate) fn status(self, text: &str) {
        let text: String = text.chars().take(STATUS_CHARS_MAX).collect();
        let mut err = io::stderr().lock();
        let _ = write!(err, "\r\u{1b}[K{text}").and_then(|()| err.flush());
    }

    /// Something that should be looked at.
    pub(crate) fn warning(self, text: &str) {
        if !self.json {
            say(&format!(
                "{} {text}",
                paint(self.colour_err, "warning:", Tone::Warning)
            ));
        }
    }

    /// A word of standard output, coloured where that is wanted.
    pub(crate) fn tone(self, text: &str, tone: Tone) -> String {
        paint(self.colour_out, text, tone)
    }

    /// Tells a failure and turns it into the exit code.
    pub(crate) fn fail(self, failure: &Failure) -> ExitCode {
        let Failure::Said(said) = failure else {
            return ExitCode::SUCCESS;
        };
        if self.json {
            say(&said.json().to_string());
        } else {
            say(&self.told(said));
        }
        ExitCode::FAILURE
    }

    fn told(self, said: &Said) -> String {
        let head = paint(
            self.colour_err,
            &format!("error[{}]:", said.code),
            Tone::Bad,
        );
        let mut text = format!("{head} {}", said.message);
        if let Some(cause) = &said.cause {
            let cause = cause.trim_end().replace('\n', "\n         ");
            text.push_str("\n  cause: ");
            text.push_str(&cause);
        }
        if let Some(next) = &said.next_step {
            text.push_str("\n  next:  ");
            text.push_str(next);
        }
        text
    }
}

impl Said {
    pub(crate) fn json(&self) -> Value {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "cause": self.cause,
            "next_step": self.next_step,
        }})
    }
}

/// A line on standard error. That it cannot be written can be told to nobody.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn paint(wanted: bool, text: &str, tone: Tone) -> String {
    if wanted {
        format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code())
    } else {
        text.to_owned()
    }
}

/// Pairs as lines with the second column aligned.
pub(crate) fn aligned(pairs: &[(String, String)]) -> String {
    let width = pairs
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    pairs.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:>width$}  {value}");
        text
    })
}

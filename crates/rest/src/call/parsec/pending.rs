//! What a failed parse has to say: which errors survive when alternatives are
//! joined, and the words they become. Start at [`Pending::join`].

use crate::call::show::{show_char, show_string};

/// A text that does not parse: `message` says where, `details` what was
/// expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseFailure {
    /// `"failed to parse … (text)" (line 1, column 4)`
    pub message: String,
    /// `unexpected … expecting …`
    pub details: String,
}

impl ParseFailure {
    pub(super) fn new(name: &str, text: &str, at: usize, details: String) -> Self {
        let (line, column) = position(text, at);
        Self {
            message: format!("\"{name}\" (line {line}, column {column})"),
            details,
        }
    }
}

/// One thing to say about a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// What stood there, in double quotes; nothing is the end of the text.
    Found(Option<char>),
    /// What stood there and was explicitly unwelcome, in single quotes.
    Unwelcome(char),
    /// A description of what would have been fine.
    Expect(&'static str),
    /// A literal that would have been fine.
    ExpectText(&'static str),
    /// A character that would have been fine.
    ExpectChar(char),
}

impl Message {
    fn is_expectation(self) -> bool {
        matches!(
            self,
            Self::Expect(_) | Self::ExpectText(_) | Self::ExpectChar(_)
        )
    }

    fn text(self) -> String {
        match self {
            Self::Found(None) => String::new(),
            Self::Found(Some(c)) | Self::ExpectChar(c) => show_string(c.encode_utf8(&mut [0; 4])),
            Self::Unwelcome(c) => show_char(c),
            Self::Expect(label) => label.to_owned(),
            Self::ExpectText(text) => show_string(text),
        }
    }
}

/// What is known about a place where parsing could stop.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Where, in bytes.
    pub(super) at: usize,
    /// What was found and what would have been fine.
    pub(super) messages: Vec<Message>,
}

impl Pending {
    /// Joins what was pending before with what came later.
    pub(super) fn join(self, mut later: Self) -> Self {
        if later.messages.is_empty() && !self.messages.is_empty() {
            return self;
        }
        if self.messages.is_empty() && !later.messages.is_empty() {
            return later;
        }
        match self.at.cmp(&later.at) {
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Less => later,
            std::cmp::Ordering::Equal => {
                let mut joined = self;
                joined.messages.append(&mut later.messages);
                joined
            }
        }
    }

    pub(super) fn relabel(&mut self, label: &'static str) {
        self.messages.retain(|message| !message.is_expectation());
        self.messages.insert(0, Message::Expect(label));
    }

    /// `unexpected … expecting …`
    pub(super) fn render(&self) -> String {
        let messages = &self.messages;
        if messages.is_empty() {
            return "unknown parse error".to_owned();
        }
        let texts = |wanted: fn(&Message) -> bool| {
            let mut texts: Vec<String> = Vec::new();
            for message in messages.iter().filter(|message| wanted(message)) {
                let text = message.text();
                if !text.is_empty() && !texts.contains(&text) {
                    texts.push(text);
                }
            }
            texts
        };
        let unwelcome = texts(|message| matches!(message, Message::Unwelcome(_)));
        let expected = texts(|message| message.is_expectation());
        let mut parts = Vec::new();
        if !unwelcome.is_empty() {
            parts.push(format!("unexpected {}", listed(&unwelcome)));
        } else if let Some(found) = messages
            .iter()
            .find(|message| matches!(message, Message::Found(_)))
        {
            let text = found.text();
            let text = if text.is_empty() {
                "end of input"
            } else {
                &text
            };
            parts.push(format!("unexpected {text}"));
        }
        if !expected.is_empty() {
            parts.push(format!("expecting {}", listed(&expected)));
        }
        parts.join(" ")
    }
}

/// Line and column of a byte offset, both from one; a tab goes to the next
/// multiple of eight.
fn position(text: &str, at: usize) -> (usize, usize) {
    let (mut line, mut column) = (1, 1);
    for c in text.get(..at).unwrap_or(text).chars() {
        match c {
            '\n' => (line, column) = (line + 1, 1),
            '\t' => column += 8 - ((column - 1) % 8),
            _ => column += 1,
        }
    }
    (line, column)
}

fn listed(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [only] => only.clone(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
    }
}

//! A small backtracking parser whose error messages read like those of
//! Haskell's Parsec, because clients and tests of the dialect see them.
//!
//! What has to agree is which expectations survive: an error belongs to a
//! position, errors of several alternatives at the furthest position are
//! joined, and consuming a character forgets what was expected before it.
//! [`Parser`] therefore carries one pending error along; `attempt`, `label`
//! and `look_ahead` put it aside and join it again.
//!
//! A first run builds no messages at all. Only text that does not parse is
//! parsed again with `explain` on, so requests that are fine pay nothing.
//! Start at [`run`].

mod pending;

pub use pending::ParseFailure;
use pending::{Message, Pending};

/// How deeply `select` and logic trees may nest. Real requests stay below
/// ten; the limit keeps the recursion far away from the end of the stack.
pub(super) const MAX_DEPTH: usize = 64;

/// The failure of a parser: whether it had eaten something before, in which
/// case no alternative is tried. The messages are in [`Parser::error`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Fail {
    consumed: bool,
}

const EMPTY: Fail = Fail { consumed: false };
const CONSUMED: Fail = Fail { consumed: true };

pub(super) type Parsed<T> = Result<T, Fail>;

/// The text being parsed and what is known about it so far.
pub(super) struct Parser<'t> {
    text: &'t str,
    at: usize,
    error: Pending,
    explain: bool,
    depth: usize,
    too_deep: bool,
}

/// Parses `text`; `what` names it in the message of a failure.
pub(super) fn run<T>(
    what: &str,
    text: &str,
    parse: impl Fn(&mut Parser<'_>) -> Parsed<T>,
) -> Result<T, ParseFailure> {
    run_named(text, parse, || format!("failed to parse {what} ({text})"))
}

/// Like [`run`], for texts whose name in the message is not the text itself.
pub(super) fn run_named<T>(
    text: &str,
    parse: impl Fn(&mut Parser<'_>) -> Parsed<T>,
    name: impl FnOnce() -> String,
) -> Result<T, ParseFailure> {
    let mut quick = Parser::new(text, false);
    if let Ok(value) = parse(&mut quick) {
        return Ok(value);
    }
    let mut slow = Parser::new(text, true);
    match parse(&mut slow) {
        Ok(value) => Ok(value),
        Err(_) => Err(slow.failure(&name())),
    }
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, explain: bool) -> Self {
        Self {
            text,
            at: 0,
            error: Pending::default(),
            explain,
            depth: 0,
            too_deep: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.forget();
    }

    fn forget(&mut self) {
        self.error.at = self.at;
        self.error.messages.clear();
    }

    fn note(&mut self, at: usize, messages: &[Message]) {
        if self.explain {
            let later = Pending {
                at,
                messages: messages.to_vec(),
            };
            self.error = std::mem::take(&mut self.error).join(later);
        }
    }

    /// The letters that stand here, for parsers that choose an alternative by
    /// them. None while explaining: then every alternative has to have its say.
    pub(super) fn first_word(&self) -> Option<&'t str> {
        if self.explain {
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let end = rest.bytes().position(|byte| !byte.is_ascii_lowercase());
        rest.get(..end.unwrap_or(rest.len()))
    }

    /// Fails here without saying why.
    pub(super) fn reject<T>(&mut self) -> Parsed<T> {
        self.note(self.at, &[]);
        Err(EMPTY)
    }

    /// One character that `wanted` accepts.
    pub(super) fn satisfy(&mut self, wanted: impl Fn(char) -> bool) -> Parsed<char> {
        match self.peek() {
            Some(c) if wanted(c) => {
                self.advance(c.len_utf8());
                Ok(c)
            }
            found => {
                self.note(self.at, &[Message::Found(found)]);
                Err(EMPTY)
            }
        }
    }

    /// Exactly this character.
    pub(super) fn char(&mut self, wanted: char) -> Parsed<char> {
        match self.peek() {
            Some(c) if c == wanted => {
                self.advance(c.len_utf8());
                Ok(c)
            }
            found => {
                let messages = [Message::ExpectChar(wanted), Message::Found(found)];
                self.note(self.at, &messages);
                Err(EMPTY)
            }
        }
    }

    /// Exactly this text. A mismatch after the first character counts as
    /// consumed; wrap in [`Self::attempt`] to go back.
    pub(super) fn string(&mut self, wanted: &'static str) -> Parsed<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if rest.starts_with(wanted) {
            self.advance(wanted.len());
            return Ok(());
        }
        let mut present = rest.chars();
        let mut matched = false;
        for expected in wanted.chars() {
            let found = present.next();
            if found != Some(expected) {
                // An error in the middle of a literal forgets what was
                // pending before it, as every consumed error does.
                if matched {
                    self.error = Pending::default();
                }
                let messages = [Message::ExpectText(wanted), Message::Found(found)];
                self.note(self.at, &messages);
                break;
            }
            matched = true;
        }
        Err(Fail { consumed: matched })
    }

    /// The longest run of characters that `wanted` accepts, maybe empty.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let taken = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        if taken > 0 {
            self.advance(taken);
        }
        self.note(self.at, &[Message::Found(self.peek())]);
        rest.get(..taken).unwrap_or_default()
    }

    /// Like [`Self::take_while`], but at least one; `labels` describe what
    /// could stand here.
    pub(super) fn take_some(
        &mut self,
        wanted: impl Fn(char) -> bool,
        labels: &[&'static str],
    ) -> Parsed<&'t str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let taken = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        if taken > 0 {
            self.advance(taken);
        }
        for label in labels {
            self.note(self.at, &[Message::Expect(label)]);
        }
        self.note(self.at, &[Message::Found(self.peek())]);
        if taken == 0 {
            return Err(EMPTY);
        }
        Ok(rest.get(..taken).unwrap_or_default())
    }

    /// The end of the text.
    pub(super) fn end(&mut self) -> Parsed<()> {
        self.label("end of input", |p| match p.peek() {
            None => {
                p.note(p.at, &[Message::Found(None)]);
                Ok(())
            }
            Some(c) => {
                p.note(p.at, &[Message::Unwelcome(c)]);
                Err(EMPTY)
            }
        })
    }

    /// Succeeds unless a character follows that `unwanted` accepts. `literal`
    /// is the one character meant, when it is one.
    pub(super) fn not_followed_by(
        &mut self,
        unwanted: impl Fn(char) -> bool,
        literal: Option<char>,
    ) -> Parsed<()> {
        match self.peek() {
            Some(c) if unwanted(c) => {
                self.note(self.at + c.len_utf8(), &[Message::Unwelcome(c)]);
                Err(EMPTY)
            }
            found => {
                if let Some(c) = literal {
                    self.note(self.at, &[Message::ExpectChar(c), Message::Found(found)]);
                } else {
                    self.note(self.at, &[Message::Found(found)]);
                }
                Ok(())
            }
        }
    }

    /// Describes what `parse` wants, for the case that it does not even start.
    pub(super) fn label<T>(
        &mut self,
        label: &'static str,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let before = std::mem::take(&mut self.error);
        self.error.at = self.at;
        let start = self.at;
        let result = parse(self);
        let consumed = self.at != start || matches!(result, Err(Fail { consumed: true }));
        if !consumed {
            if self.explain && (result.is_err() || !self.error.messages.is_empty()) {
                self.error.relabel(label);
            }
            self.restore(before);
        }
        result
    }

    /// Goes back to where it started when `parse` fails.
    pub(super) fn attempt<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let before = std::mem::take(&mut self.error);
        self.error.at = self.at;
        let start = self.at;
        let result = parse(self);
        if result.is_err() {
            self.at = start;
            self.restore(before);
            return result.map_err(|_| if self.too_deep { CONSUMED } else { EMPTY });
        }
        if self.at == start {
            self.restore(before);
        }
        result
    }

    /// Succeeds where `parse` would, without moving.
    pub(super) fn look_ahead<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let before = std::mem::take(&mut self.error);
        self.error.at = self.at;
        let start = self.at;
        let result = parse(self);
        match result {
            Ok(_) => {
                self.at = start;
                self.error = before;
            }
            Err(fail) if !fail.consumed && self.at == start => self.restore(before),
            Err(_) => return Err(CONSUMED),
        }
        result
    }

    /// `first`, or `second` when the first fails without having moved.
    pub(super) fn either<T>(
        &mut self,
        first: impl FnOnce(&mut Self) -> Parsed<T>,
        second: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<T> {
        let start = self.at;
        match first(self) {
            Err(fail) if fail.consumed || self.at != start => Err(CONSUMED),
            Err(_) => second(self),
            done => done,
        }
    }

    /// `parse`, or nothing when it fails without having moved.
    pub(super) fn maybe<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Parsed<T>,
    ) -> Parsed<Option<T>> {
        self.either(|p| parse(p).map(Some), |_| Ok(None))
    }

    /// The first of these literals that stands here, each tried from the start.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[(&'static str, T)]) -> Parsed<T> {
        for (text, value) in choices {
            if self.attempt(|p| p.string(text)).is_ok() {
                return Ok(*value);
            }
        }
        Err(EMPTY)
    }

    /// As often as `parse` succeeds, maybe never.
    pub(super) fn many<T>(&mut self, parse: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut found = Vec::new();
        loop {
            let start = self.at;
            match parse(self) {
                Ok(value) => {
                    found.push(value);
                    if self.at == start {
                        return Ok(found);
                    }
                    self.forget();
                }
                Err(fail) if fail.consumed || self.at != start => return Err(CONSUMED),
                Err(_) => return Ok(found),
            }
        }
    }

    /// One or more, separated.
    pub(super) fn separated<T, S>(
        &mut self,
        item: impl Fn(&mut Self) -> Parsed<T>,
        separator: impl Fn(&mut Self) -> Parsed<S>,
    ) -> Parsed<Vec<T>> {
        let mut items = vec![item(self)?];
        items.append(&mut self.many(|p| {
            separator(p)?;
            item(p)
        })?);
        Ok(items)
    }

    /// One level deeper, up to [`MAX_DEPTH`].
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            self.too_deep = true;
            return Err(CONSUMED);
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn restore(&mut self, before: Pending) {
        let later = std::mem::take(&mut self.error);
        self.error = before.join(later);
    }

    fn failure(&self, name: &str) -> ParseFailure {
        let at = if self.too_deep {
            self.at
        } else {
            self.error.at
        };
        let details = if self.too_deep {
            format!("nested more than {MAX_DEPTH} levels deep")
        } else {
            self.error.render()
        };
        ParseFailure::new(name, self.text, at, details)
    }
}

//! JSON as models write it: between prose, in fences, with comments, without
//! quotes, with too many commas, and with the end still missing.
//!
//! Start with [`parse_at`]. Reading more of a text only adds to what was read
//! of less of it: a [`Node`] is complete only when nothing that follows can
//! change it.

use std::collections::HashSet;

/// How deep a value may nest. `serde_json` has 128.
const DEPTH_MAX: usize = 96;

/// A value with what is known of its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub kind: Kind,
    /// Nothing that follows in the text can change it.
    pub complete: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Text between quotes or backticks.
    Text(String),
    /// A number, `true`, `null`, or words without quotes.
    Bare(String),
    Array(Vec<Node>),
    /// Members in their order; of equal names the first counts.
    Object(Vec<(String, Node)>),
}

/// The text from here on is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Reads the value that begins at this byte; returns how far that led as well.
/// What is broken stays broken, whatever follows.
pub(crate) fn parse_at(text: &str, start: usize) -> (Result<Node, Broken>, usize) {
    let mut reader = Reader { text, at: start };
    let node = reader.value(0, Place::Root);
    (node, reader.at)
}

/// Where a value stands: what may follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Member,
    Item,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, c: char) {
        self.at += c.len_utf8();
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// White space and comments. Whether something is left.
    fn blank(&mut self) -> bool {
        loop {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start().len();
            let rest = self.rest();
            if rest.starts_with("//") || rest.starts_with('#') {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            } else {
                // The first half of `//` may be all there is yet.
                return !rest.is_empty() && rest != "/";
            }
        }
    }

    fn value(&mut self, depth: usize, place: Place) -> Result<Node, Broken> {
        if depth > DEPTH_MAX {
            return Err(Broken);
        }
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('`') => Ok(self.backticks()),
            Some(quote @ ('"' | '\'' | '“')) => Ok(self.quoted(quote, place)),
            Some(_) => Ok(self.bare(place)),
            None => Err(Broken),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, Broken> {
        self.skip('{');
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut names: HashSet<String> = HashSet::new();
        let complete = loop {
            if !self.blank() {
                break false;
            }
            if self.eat("}") {
                break true;
            }
            if self.eat(",") {
                continue;
            }
            let Some((name, node)) = self.member(depth)? else {
                break false;
            };
            let ends = !node.complete && self.rest().trim().is_empty();
            if names.insert(name.clone()) {
                members.push((name, node));
            }
            if ends {
                break false;
            }
        };
        Ok(Node {
            kind: Kind::Object(members),
            complete,
        })
    }

    /// A name, a colon and a value; nothing where the text ends before the
    /// value begins.
    fn member(&mut self, depth: usize) -> Result<Option<(String, Node)>, Broken> {
        let name = match self.peek() {
            Some(quote @ ('"' | '\'' | '“')) => self.name(quote),
            _ => self.bare_name()?,
        };
        let Some(name) = name else {
            return Ok(None);
        };
        if !self.blank() {
            return Ok(None);
        }
        if !self.eat(":") && !self.eat("=") {
            return Err(Broken);
        }
        if !self.blank() {
            return Ok(None);
        }
        if matches!(self.peek(), Some(',' | '}')) {
            // A name without a value says nothing.
            let kind = Kind::Bare("null".to_owned());
            let complete = true;
            return Ok(Some((name, Node { kind, complete })));
        }
        let node = self.value(depth + 1, Place::Member)?;
        Ok(Some((name, node)))
    }

    /// A name ends at its first quote: unlike texts, names hold none.
    fn name(&mut self, quote: char) -> Option<String> {
        self.skip(quote);
        let mut name = String::new();
        loop {
            let c = self.peek()?;
            self.skip(c);
            match c {
                '\\' => self.escape(&mut name)?,
                c if c == closing(quote) => return Some(name),
                c => name.push(c),
            }
        }
    }

    fn bare_name(&mut self) -> Result<Option<String>, Broken> {
        let rest = self.rest();
        let fits = |c: char| c.is_alphanumeric() || "_-$. ".contains(c);
        let Some(end) = rest.find(|c| !fits(c)) else {
            self.at = self.text.len();
            return Ok(None);
        };
        let name = rest.get(..end).unwrap_or_default().trim();
        if name.is_empty() {
            return Err(Broken);
        }
        self.at += end;
        Ok(Some(name.to_owned()))
    }

    fn array(&mut self, depth: usize) -> Result<Node, Broken> {
        self.skip('[');
        let mut items = Vec::new();
        let complete = loop {
            if !self.blank() {
                break false;
            }
            if self.eat("]") {
                break true;
            }
            if self.eat(",") {
                continue;
            }
            if self.peek() == Some('}') {
                return Err(Broken);
            }
            let node = self.value(depth + 1, Place::Item)?;
            let ends = !node.complete && self.rest().trim().is_empty();
            items.push(node);
            if ends {
                break false;
            }
        };
        Ok(Node {
            kind: Kind::Array(items),
            complete,
        })
    }

    /// Text between quotes, in which further quotes may have been forgotten to
    /// be escaped: one ends the text only if what follows looks like it.
    fn quoted(&mut self, quote: char, place: Place) -> Node {
        if self.eat(r#"""""#) {
            return self.until(r#"""""#);
        }
        self.skip(quote);
        let mut text = String::new();
        let complete = loop {
            let Some(c) = self.peek() else { break false };
            let before = self.at;
            self.skip(c);
            match c {
                '\\' if self.escape(&mut text).is_none() => {
                    self.at = self.text.len();
                    break false;
                }
                '\\' => {}
                c if c == closing(quote) => match self.ends(place) {
                    Some(true) => break true,
                    Some(false) => text.push(c),
                    // What follows will say whether this was the end.
                    None => {
                        self.at = before + c.len_utf8();
                        self.blank();
                        break false;
                    }
                },
                c => text.push(c),
            }
        };
        Node {
            kind: Kind::Text(text),
            complete,
        }
    }

    /// Whether a text ends at the quote just read; unknown if the text is over.
    fn ends(&self, place: Place) -> Option<bool> {
        let mut ahead = Reader {
            text: self.text,
            at: self.at,
        };
        if place == Place::Root {
            return Some(true);
        }
        let line = ahead.rest().trim_start_matches([' ', '\t', '\r']);
        let newline = line.starts_with('\n');
        if !ahead.blank() {
            return None;
        }
        Some(match ahead.peek()? {
            '}' => place == Place::Member || newline,
            ']' => place == Place::Item || newline,
            ',' => {
                ahead.skip(',');
                return ahead.continues(place);
            }
            // A forgotten comma: the next one stands on a line of its own.
            '"' => newline,
            _ => false,
        })
    }

    /// Whether what follows a comma is the next member or item.
    fn continues(&mut self, place: Place) -> Option<bool> {
        if !self.blank() {
            return None;
        }
        let next = self.peek()?;
        if matches!(next, '"' | '\'' | '}' | ']') {
            return Some(true);
        }
        if place == Place::Item {
            let word = |word: &str| self.rest().starts_with(word);
            let words = word("true") || word("false") || word("null");
            let half = ["true", "false", "null"]
                .iter()
                .any(|it| it.starts_with(self.rest()));
            let begins = words || matches!(next, '{' | '[' | '-' | '0'..='9');
            return if half && !begins { None } else { Some(begins) };
        }
        let rest = self.rest();
        let fits = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        match rest.find(|c| !fits(c)) {
            Some(end) if end > 0 => Some(rest.get(end..)?.trim_start().starts_with(':')),
            Some(_) => Some(false),
            None => None,
        }
    }

    /// What stands behind a backslash. Nothing where it is cut.
    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.peek()?;
        self.skip(c);
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'u' => text.push(self.unicode()?),
            // A backslash at the end of a line continues it.
            '\n' => {}
            '"' | '\\' | '/' | '\'' | '`' => text.push(c),
            // Paths and patterns whose backslashes nobody doubled.
            other => text.extend(['\\', other]),
        }
        Some(())
    }

    /// Four digits, or eight for what needs two halves.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let rest = self.rest();
        if rest.len() < 2 && "\\u".starts_with(rest) {
            return None;
        }
        let before = self.at;
        if self.eat("\\u") {
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code);
            }
            self.at = before;
        }
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Option<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek()?;
            // Not a digit: half of a code is no character.
            let Some(value) = digit.to_digit(16) else {
                return Some(0xfffd);
            };
            self.skip(digit);
            code = code * 16 + value;
        }
        Some(code)
    }

    /// A block of code in place of a text, or a text between backticks.
    fn backticks(&mut self) -> Node {
        if self.eat("```") {
            // The rest of the line is the language's name.
            let rest = self.rest();
            let Some(end) = rest.find('\n') else {
                self.at = self.text.len();
                return unfinished();
            };
            self.at += end + 1;
            return self.until("```");
        }
        if "```".starts_with(self.rest()) {
            self.at = self.text.len();
            return unfinished();
        }
        self.skip('`');
        self.until("`")
    }

    /// Raw text up to this ending.
    fn until(&mut self, ending: &str) -> Node {
        let rest = self.rest();
        if let Some(end) = rest.find(ending) {
            let text = rest.get(..end).unwrap_or_default();
            self.at += end + ending.len();
            return Node {
                kind: Kind::Text(text.to_owned()),
                complete: true,
            };
        }
        self.at = self.text.len();
        // The last characters may be the beginning of the ending.
        let text = rest.trim_end_matches(['`', '"']);
        Node {
            kind: Kind::Text(text.to_owned()),
            complete: false,
        }
    }

    /// Numbers, words, and texts without quotes: up to what ends a value.
    fn bare(&mut self, place: Place) -> Node {
        let rest = self.rest();
        let end = rest.find(|c| match place {
            Place::Root => c == '\n',
            Place::Member => matches!(c, ',' | '}' | '\n'),
            Place::Item => matches!(c, ',' | ']' | '\n'),
        });
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        // A comment behind a number or a word of JSON ends it; within other
        // words it may be an address.
        let comment = ["//", "/*", "#"]
            .into_iter()
            .filter_map(|it| text.find(it))
            .min();
        let before = comment
            .and_then(|at| text.get(..at))
            .filter(|it| is_plain(it));
        let (text, end) = match before {
            Some(before) => (before, comment),
            None => (text, end),
        };
        self.at += text.len();
        Node {
            kind: Kind::Bare(text.trim().to_owned()),
            complete: end.is_some(),
        }
    }
}

/// A number or a word of JSON.
fn is_plain(text: &str) -> bool {
    let text = text.trim();
    matches!(text, "true" | "false" | "null") || text.parse::<f64>().is_ok()
}

fn unfinished() -> Node {
    Node {
        kind: Kind::Text(String::new()),
        complete: false,
    }
}

fn closing(quote: char) -> char {
    if quote == '“' { '”' } else { quote }
}

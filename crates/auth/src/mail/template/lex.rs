//! From text to tokens: literal text, and the words inside `{{ … }}`.

use super::Mistake;

/// A token and the line it begins on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `if`, `eq`, `true`
    Word(String),
    /// `.A.B` as its names; `.` alone has none.
    Field(Vec<String>),
    /// `$x.A`: the variable's name, empty for `$` alone, and names.
    Variable(String, Vec<String>),
    Quoted(String),
    Number(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    LeftParen,
    RightParen,
}

pub(super) fn lex(text: &str) -> Result<Vec<Token>, Mistake> {
    let mut tokens = Vec::new();
    let (mut rest, mut line, mut trim) = (text, 1, false);
    while !rest.is_empty() {
        let (literal, action) = match rest.split_once("{{") {
            Some((literal, action)) => (literal, Some(action)),
            None => (rest, None),
        };
        let trim_before = action.is_some_and(|a| a.starts_with('-') && starts_blank(a, 1));
        let mut shown = literal;
        if trim {
            shown = shown.trim_start();
        }
        if trim_before {
            shown = shown.trim_end();
        }
        if !shown.is_empty() {
            let kind = Kind::Text(shown.to_owned());
            tokens.push(Token { kind, line });
        }
        line += newlines(literal);
        let Some(action) = action else { break };
        let inside = if trim_before {
            action.get(1..).unwrap_or_default()
        } else {
            action
        };
        let action = Action {
            text: inside,
            line,
            tokens: &mut tokens,
        };
        let end = action.lex()?;
        line = end.line;
        trim = end.trim;
        rest = end.rest;
    }
    Ok(tokens)
}

fn starts_blank(text: &str, at: usize) -> bool {
    let after = text.as_bytes().get(at);
    after.is_some_and(u8::is_ascii_whitespace)
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

struct Action<'a, 't> {
    text: &'a str,
    line: usize,
    tokens: &'t mut Vec<Token>,
}

struct End<'a> {
    rest: &'a str,
    line: usize,
    trim: bool,
}

impl<'a> Action<'a, '_> {
    /// Up to and with `}}`.
    fn lex(mut self) -> Result<End<'a>, Mistake> {
        let opened = self.line;
        let blank = self.text.trim_start();
        if let Some(comment) = blank.strip_prefix("/*") {
            let (_, after) = comment
                .split_once("*/")
                .ok_or_else(|| Mistake::new(opened, "a comment without an end"))?;
            self.advance(self.text.len() - after.len());
            return self
                .close()
                .ok_or_else(|| Mistake::new(opened, "a comment must stand alone in its braces"));
        }
        self.push(Kind::Open);
        loop {
            if let Some(end) = self.close() {
                let line = end.line;
                self.tokens.push(Token {
                    kind: Kind::Close,
                    line,
                });
                return Ok(end);
            }
            self.skip_blanks();
            if self.text.is_empty() {
                return Err(Mistake::new(opened, "`{{` without `}}`"));
            }
            if !(self.text.starts_with("}}") || self.text.starts_with("-}}")) {
                self.word()?;
            }
        }
    }

    /// `}}`, or ` -}}`, which trims what follows.
    fn close(&mut self) -> Option<End<'a>> {
        let trimmed = self.text.trim_start();
        let (rest, trim) = if let Some(rest) = trimmed.strip_prefix("}}") {
            (rest, false)
        } else {
            (trimmed.strip_prefix("-}}")?, true)
        };
        self.advance(self.text.len() - rest.len());
        Some(End {
            rest,
            line: self.line,
            trim,
        })
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.text.split_at_checked(bytes).unwrap_or((self.text, ""));
        self.line += newlines(taken);
        self.text = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        self.advance(self.text.len() - self.text.trim_start().len());
    }

    fn push(&mut self, kind: Kind) {
        let line = self.line;
        self.tokens.push(Token { kind, line });
    }

    fn word(&mut self) -> Result<(), Mistake> {
        let first = self.text.chars().next().unwrap_or(' ');
        let kind = match first {
            '|' => self.single(Kind::Pipe),
            ',' => self.single(Kind::Comma),
            '(' => self.single(Kind::LeftParen),
            ')' => {
                let closed = self.single(Kind::RightParen);
                if self.text.starts_with('.') {
                    return Err(self.wrong("a field of parentheses is not supported"));
                }
                closed
            }
            ':' if self.text.starts_with(":=") => {
                self.advance(2);
                Kind::Declare
            }
            '=' => self.single(Kind::Assign),
            '.' => {
                self.advance(1);
                Kind::Field(self.names(true))
            }
            '$' => {
                self.advance(1);
                let name = self.name();
                let names = if self.text.starts_with('.') {
                    self.advance(1);
                    self.names(true)
                } else {
                    Vec::new()
                };
                Kind::Variable(name, names)
            }
            '"' => self.quoted()?,
            '`' => {
                let body = self.text.get(1..).unwrap_or_default();
                let (body, _) = body
                    .split_once('`')
                    .ok_or_else(|| self.wrong("a string without an end"))?;
                self.advance(body.len() + 2);
                Kind::Quoted(body.to_owned())
            }
            '0'..='9' | '-' | '+' => self.number()?,
            c if c.is_alphabetic() || c == '_' => Kind::Word(self.name()),
            c => return Err(self.wrong(&format!("unexpected {c:?}"))),
        };
        self.push(kind);
        Ok(())
    }

    fn single(&mut self, kind: Kind) -> Kind {
        self.advance(1);
        kind
    }

    fn wrong(&self, what: &str) -> Mistake {
        Mistake::new(self.line, what)
    }

    fn name(&mut self) -> String {
        let end = self.text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
        let end = end.unwrap_or(self.text.len());
        self.advance(end).to_owned()
    }

    /// `A.B.C`, the dot before the first already taken.
    fn names(&mut self, first: bool) -> Vec<String> {
        let mut names = Vec::new();
        let mut wanted = first;
        while wanted {
            let name = self.name();
            if name.is_empty() {
                break;
            }
            names.push(name);
            wanted = self.text.starts_with('.');
            if wanted {
                self.advance(1);
            }
        }
        names
    }

    fn number(&mut self) -> Result<Kind, Mistake> {
        let end = self
            .text
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
        let text = self.advance(end.unwrap_or(self.text.len()));
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Kind::Number(number)),
            _ => Err(self.wrong(&format!("{text:?} is not a number"))),
        }
    }

    fn quoted(&mut self) -> Result<Kind, Mistake> {
        let mut out = String::new();
        let mut chars = self.text.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.advance(at + 1);
                    return Ok(Kind::Quoted(out));
                }
                '\n' => break,
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c @ ('"' | '\\' | '\''))) => out.push(c),
                    _ => return Err(self.wrong("an unknown escape in a string")),
                },
                c => out.push(c),
            }
        }
        Err(self.wrong("a string without an end"))
    }
}

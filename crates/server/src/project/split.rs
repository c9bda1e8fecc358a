//! Cuts an SQL file into its statements, as the official CLI records them:
//! without the semicolon, trimmed, comments kept.
//!
//! Pure. Knows what hides a semicolon: quotes, `E''` escapes, dollar quotes,
//! nested comments, parentheses and `BEGIN ATOMIC` bodies. It does not know
//! SQL beyond that; what is wrong is for Postgres to say.

use super::error::ProjectError;

/// One statement of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text.
    pub text: &'a str,
    /// Where it begins.
    pub start: Place,
}

/// A place in a file, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place after `text` that begins here.
    #[must_use]
    pub fn after(self, text: &str) -> Self {
        let lines = text.matches('\n').count();
        let last = text.rsplit('\n').next().unwrap_or_default().chars().count();
        Self {
            line: self.line + lines,
            column: if lines == 0 {
                self.column + last
            } else {
                last + 1
            },
        }
    }

    /// The place of character `position` (from 1) of `text` that begins here.
    #[must_use]
    pub fn at(self, text: &str, position: u32) -> Self {
        let before = usize::try_from(position).unwrap_or(1).saturating_sub(1);
        let end = text
            .char_indices()
            .nth(before)
            .map_or(text.len(), |(i, _)| i);
        self.after(text.get(..end).unwrap_or_default())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Splits a file. The only error is a quote or comment that never ends.
pub fn split<'a>(file: &str, sql: &'a str) -> Result<Vec<Statement<'a>>, ProjectError> {
    let sql = sql.strip_prefix('\u{feff}').unwrap_or(sql);
    let mut scan = Scan::new(sql);
    let mut statements = Vec::new();
    let (mut begin, mut place) = (0, Place::START);
    loop {
        let end = scan.next_end().map_err(|at| ProjectError::Unterminated {
            file: file.to_owned(),
            place: Place::START.after(sql.get(..at).unwrap_or_default()),
        })?;
        let piece = sql.get(begin..end.unwrap_or(sql.len())).unwrap_or_default();
        let text = piece.trim();
        if !text.is_empty() {
            let lead = piece.len() - piece.trim_start().len();
            let start = place.after(piece.get(..lead).unwrap_or_default());
            statements.push(Statement { text, start });
        }
        let Some(end) = end else {
            return Ok(statements);
        };
        place = place.after(sql.get(begin..=end).unwrap_or_default());
        begin = end + 1;
    }
}

/// The scanner's position, and what it remembers of the statement it is in.
struct Scan<'a> {
    sql: &'a [u8],
    at: usize,
    parens: usize,
    /// Open `BEGIN ATOMIC` and, inside, `CASE`.
    blocks: usize,
    first_word: Option<&'a [u8]>,
    last_word: &'a [u8],
}

impl<'a> Scan<'a> {
    fn new(sql: &'a str) -> Self {
        Self {
            sql: sql.as_bytes(),
            at: 0,
            parens: 0,
            blocks: 0,
            first_word: None,
            last_word: b"",
        }
    }

    /// The semicolon that ends the current statement, or `None` at the end of
    /// the file; `Err` is where an endless quote or comment began.
    fn next_end(&mut self) -> Result<Option<usize>, usize> {
        (self.parens, self.blocks) = (0, 0);
        (self.first_word, self.last_word) = (None, b"");
        while let Some(byte) = self.peek(0) {
            let start = self.at;
            match byte {
                b'\'' => self
                    .quoted(b'\'', self.escapes_before(start))
                    .ok_or(start)?,
                b'"' => self.quoted(b'"', false).ok_or(start)?,
                b'-' if self.peek(1) == Some(b'-') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment().ok_or(start)?,
                b'$' => self.dollar().ok_or(start)?,
                b if is_word(b) => self.word(),
                b'(' => self.step(|scan| scan.parens += 1),
                b')' => self.step(|scan| scan.parens = scan.parens.saturating_sub(1)),
                b';' if self.parens == 0 && self.blocks == 0 => {
                    self.at += 1;
                    return Ok(Some(start));
                }
                _ => self.at += 1,
            }
        }
        Ok(None)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn step(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.at += 1;
    }

    /// Whether the quote at `quote` is that of `E'…'`. A word always ends
    /// right before it then, and is nothing but the letter.
    fn escapes_before(&self, quote: usize) -> bool {
        self.last_word.eq_ignore_ascii_case(b"e")
            && quote > 0
            && self
                .sql
                .get(quote - 1)
                .is_some_and(|b| matches!(b, b'e' | b'E'))
    }

    /// Skips a quoted run; a doubled quote continues it by itself, because the
    /// next run begins at once.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Option<()> {
        self.at += 1;
        loop {
            let byte = self.peek(0)?;
            self.at += 1;
            if byte == b'\\' && escapes {
                self.at += 1;
            } else if byte == quote {
                if self.peek(0) == Some(quote) {
                    self.at += 1;
                } else {
                    return Some(());
                }
            }
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0)?, self.peek(1)) {
                (b'/', Some(b'*')) => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', Some(b'/')) => (depth, self.at) = (depth - 1, self.at + 2),
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A dollar quote, or a `$1` that is none.
    fn dollar(&mut self) -> Option<()> {
        let rest = self.sql.get(self.at + 1..)?;
        let tag = rest
            .iter()
            .take_while(|b| is_word(**b) && **b != b'$')
            .count();
        let digit = rest.first().is_some_and(u8::is_ascii_digit);
        if digit || rest.get(tag) != Some(&b'$') {
            self.at += 1;
            return Some(());
        }
        let mark = self.sql.get(self.at..self.at + tag + 2)?;
        let body = self.at + mark.len();
        let found = memmem(self.sql.get(body..)?, mark)?;
        self.at = body + found + mark.len();
        Some(())
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.at += 1;
        }
        let word = self.sql.get(start..self.at).unwrap_or_default();
        let is = |text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        // ATOMIC is no reserved word: only after BEGIN, and only where a body
        // can stand, does it open one.
        let creates = self
            .first_word
            .is_some_and(|w| w.eq_ignore_ascii_case(b"create"));
        if self.blocks == 0 {
            if creates && is("atomic") && self.last_word.eq_ignore_ascii_case(b"begin") {
                self.blocks = 1;
            }
        } else if is("case") {
            self.blocks += 1;
        } else if is("end") {
            self.blocks -= 1;
        }
        self.first_word.get_or_insert(word);
        self.last_word = word;
    }
}

/// What words are made of. A dollar inside a word does not open a quote.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn memmem(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split("x.sql", sql)
            .unwrap()
            .iter()
            .map(|s| s.text)
            .collect()
    }

    #[test]
    fn semicolons_inside_are_not_ends() {
        for one in [
            "select 'a;''b;'",
            r"select E'a\';b'",
            r"select e'\\', ';'",
            "select \"a;\"\"b\"",
            "select $$a;b$$, $x$ $$;$y$ $x$",
            "select 1 -- a;b 'c\n + 2",
            "select /* ; /* ; */ ; */ 1",
            "create rule r as on insert to t do also (delete from a; delete from b)",
            "create function f() returns int begin atomic select case when true then 1 else 2 end; select 2; end",
            "create or replace procedure p() language sql BEGIN ATOMIC insert into t values (1); END",
            "do $ü$ begin perform 1; end $ü$",
        ] {
            assert_eq!(texts(one), [one]);
            let two = format!("{one};\n select 2 ;");
            assert_eq!(texts(&two), [one, "select 2"], "{one}");
        }
    }

    #[test]
    fn what_only_looks_like_a_quote_is_none() {
        assert_eq!(texts("select $1; select 2"), ["select $1", "select 2"]);
        assert_eq!(
            texts("select a$b; select c$b"),
            ["select a$b", "select c$b"]
        );
        // Backslashes escape only in E''.
        assert_eq!(texts(r"select '\'; select 2"), [r"select '\'", "select 2"]);
        assert_eq!(
            texts(r"select name'\'; select 2"),
            [r"select name'\'", "select 2"]
        );
        assert_eq!(
            texts("begin; atomic; end; select 1"),
            ["begin", "atomic", "end", "select 1"]
        );
        assert_eq!(texts("select 1);select 2"), ["select 1)", "select 2"]);
    }

    #[test]
    fn empty_pieces_vanish_and_comments_stay() {
        assert_eq!(
            texts("\u{feff};; \n -- a\nselect 1; ; -- end"),
            ["-- a\nselect 1", "-- end"]
        );
        assert!(texts(" \n ").is_empty());
    }

    #[test]
    fn places_are_lines_and_columns() {
        let sql = "select 1;\n\n  select 'ü',\n nope;";
        let statements = split("x.sql", sql).unwrap();
        let second = statements.get(1).unwrap();
        assert_eq!(second.start, Place { line: 3, column: 3 });
        let position = u32::try_from("select 'ü',\n n".chars().count()).unwrap();
        assert_eq!(
            second.start.at(second.text, position),
            Place { line: 4, column: 2 }
        );
        assert_eq!(
            second.start.at(second.text, 9),
            Place {
                line: 3,
                column: 11
            }
        );
    }

    #[test]
    fn endless_quotes_are_named() {
        for (sql, column) in [
            ("select 'a;", 8),
            ("select $x$ $$", 8),
            ("/* /* */", 1),
            ("a \"b", 3),
        ] {
            let error = split("x.sql", sql).unwrap_err();
            assert_eq!(error.code(), "FB2014");
            assert!(
                error.to_string().contains(&format!("x.sql:1:{column}")),
                "{error}"
            );
        }
    }
}

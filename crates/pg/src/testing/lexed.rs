//! What a statement is made of, read as Postgres' scanner reads it: for tests
//! that nothing a caller sent has become syntax.
//!
//! [`lexed`] refuses what generated SQL never has: a second statement, a
//! comment, dollar quotes, a quote or a parenthesis without its end.

/// The words of a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexed {
    /// Quoted names, as the database will know them.
    pub names: Vec<String>,
    /// String constants, as the database will know them.
    pub strings: Vec<String>,
    /// The numbers of the parameters.
    pub params: Vec<usize>,
    /// Everything else: keywords, operators, numbers, unquoted names.
    pub syntax: String,
}

/// Takes a statement apart, or says what is wrong with it.
pub fn lexed(sql: &str) -> Result<Lexed, String> {
    let mut found = Lexed::default();
    let mut depth = 0_usize;
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => found.names.push(quoted(&mut chars, '"', false)?),
            '\'' => found.strings.push(quoted(&mut chars, '\'', false)?),
            'E' if chars.peek() == Some(&'\'') && !ends_in_word(&found.syntax) => {
                chars.next();
                found.strings.push(quoted(&mut chars, '\'', true)?);
            }
            '$' if !ends_in_word(&found.syntax) => {
                let mut number = String::new();
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                let number = number.parse();
                found.params.push(number.map_err(|_| "a lone dollar sign")?);
            }
            ';' => return Err("a second statement".to_owned()),
            '-' if chars.peek() == Some(&'-') => return Err("a comment".to_owned()),
            '/' if chars.peek() == Some(&'*') => return Err("a comment".to_owned()),
            '\0' => return Err("a null byte".to_owned()),
            _ => {
                match c {
                    '(' => depth += 1,
                    ')' => {
                        depth = depth
                            .checked_sub(1)
                            .ok_or("a parenthesis that was never opened")?;
                    }
                    _ => {}
                }
                found.syntax.push(c);
            }
        }
    }
    if depth > 0 {
        return Err("a parenthesis that is never closed".to_owned());
    }
    Ok(found)
}

/// Whether a letter or a dollar sign would go on with a word.
fn ends_in_word(syntax: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let word = syntax.rsplit(|c| !is_part(c)).next().unwrap_or_default();
    !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit())
}

/// What stands between two marks; a doubled mark is one of the text.
fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    mark: char,
    escapes: bool,
) -> Result<String, String> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\0' => return Err("a null byte".to_owned()),
            '\\' if escapes => match chars.next() {
                Some('\\') => text.push('\\'),
                other => return Err(format!("an escape that we never write: {other:?}")),
            },
            _ if c != mark => text.push(c),
            _ if chars.next_if_eq(&mark).is_some() => text.push(mark),
            _ => return Ok(text),
        }
    }
    Err("a quote without its end".to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let found = lexed(r#"SELECT "a""b"->'it''s'-> E'\\x' FROM t WHERE e = $12"#).unwrap();
        assert_eq!(found.names, [r#"a"b"#]);
        assert_eq!(found.strings, ["it's", r"\x"]);
        assert_eq!(found.params, [12]);
        assert_eq!(found.syntax, "SELECT ->->  FROM t WHERE e = ");
    }

    #[test]
    fn what_ends_a_statement_early_is_refused() {
        for bad in [
            "SELECT 1; DROP TABLE x",
            "SELECT 1 -- rest",
            "SELECT 1 /* rest",
            "SELECT 'open",
            r#"SELECT "open"#,
            "SELECT (1",
            "SELECT 1)",
            "SELECT $$x$$",
            r"SELECT E'\''",
            "SELECT 1$$",
        ] {
            assert!(lexed(bad).is_err(), "{bad}");
        }
    }
}

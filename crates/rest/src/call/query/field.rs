//! The words every parameter is made of: names, quoted names, `JSON` paths.

use super::super::ast::{EmbedPath, Field, JsonOperand, JsonOperation};
use super::super::parsec::{Parsed, Parser};

/// `parse` with spaces and tabs around it.
pub(super) fn lexeme<'t, T>(
    p: &mut Parser<'t>,
    parse: impl FnOnce(&mut Parser<'t>) -> Parsed<T>,
) -> Parsed<T> {
    spaces(p);
    let value = parse(p)?;
    spaces(p);
    Ok(value)
}

fn spaces(p: &mut Parser<'_>) {
    p.take_while(|c| c == ' ' || c == '\t');
}

/// The dot between words.
pub(super) fn delimiter(p: &mut Parser<'_>) -> Parsed<char> {
    p.label("delimiter (.)", |p| p.char('.'))
}

/// A comma with optional spaces around it.
pub(super) fn comma(p: &mut Parser<'_>) -> Parsed<char> {
    lexeme(p, |p| p.char(','))
}

/// A name: quoted, or letters, digits, `_`, `$`, spaces and inner dashes.
pub(super) fn field_name(p: &mut Parser<'_>) -> Parsed<String> {
    p.label("field name (* or [a..z0..9_$])", |p| {
        p.either(quoted, |p| dashed(p, identifier))
    })
}

/// `"…"` in which a backslash makes the next character an ordinary one.
pub(super) fn quoted(p: &mut Parser<'_>) -> Parsed<String> {
    p.char('"')?;
    let text = p.many(|p| {
        p.either(
            |p| p.satisfy(|c| c != '\\' && c != '"'),
            |p| {
                p.char('\\')?;
                p.satisfy(|_| true)
            },
        )
    })?;
    p.char('"')?;
    Ok(text.into_iter().collect())
}

/// An unquoted word without dashes, as casts and languages use it.
pub(super) fn identifier(p: &mut Parser<'_>) -> Parsed<String> {
    let name = p.take_some(
        |c| c.is_alphabetic() || c.is_ascii_digit() || matches!(c, '_' | ' ' | '$'),
        &["letter", "digit"],
    )?;
    Ok(name.trim().to_owned())
}

/// Words joined by dashes, where `->` is not a dash.
fn dashed(p: &mut Parser<'_>, word: impl Fn(&mut Parser<'_>) -> Parsed<String>) -> Parsed<String> {
    let words = p.separated(word, |p| {
        p.attempt(|p| {
            p.char('-')?;
            p.not_followed_by(|c| c == '>', Some('>'))
        })
    })?;
    Ok(words.join("-"))
}

/// A column with its `JSON` path.
pub(super) fn field(p: &mut Parser<'_>) -> Parsed<Field> {
    lexeme(p, |p| {
        let name = field_name(p)?;
        let path = json_path(p)?;
        Ok(Field { name, path })
    })
}

/// `a.b.column->path`: the key of a filter.
pub(super) fn tree_path(p: &mut Parser<'_>) -> Parsed<(EmbedPath, Field)> {
    let mut names = p.separated(field_name, delimiter)?;
    let path = json_path(p)?;
    let name = names.pop().unwrap_or_default();
    Ok((names, Field { name, path }))
}

fn json_path(p: &mut Parser<'_>) -> Parsed<Vec<JsonOperation>> {
    p.many(|p| {
        let as_text = p.either(
            |p| p.attempt(|p| p.string("->>")).map(|()| true),
            |p| p.attempt(|p| p.string("->")).map(|()| false),
        )?;
        let operand = p.either(
            |p| p.attempt(json_index).map(JsonOperand::Index),
            |p| p.attempt(json_key).map(JsonOperand::Key),
        )?;
        Ok(JsonOperation { as_text, operand })
    })
}

fn json_index(p: &mut Parser<'_>) -> Parsed<String> {
    let sign = p.maybe(|p| p.char('-'))?;
    let digits = p.take_some(|c| c.is_ascii_digit(), &["digit"])?;
    ends_at(p, &["->", "::", ".", ","])?;
    Ok(match sign {
        Some(_) => format!("-{digits}"),
        None => digits.to_owned(),
    })
}

fn json_key(p: &mut Parser<'_>) -> Parsed<String> {
    p.label("any non reserved character different from: .,>()", |p| {
        p.either(quoted, |p| {
            dashed(p, |p| {
                let key = p.take_some(
                    |c| !matches!(c, '(' | '-' | ':' | '.' | ',' | '>' | ')'),
                    &[],
                )?;
                Ok(key.trim().to_owned())
            })
        })
    })
}

/// One of these literals, or the end of the text, stands here.
pub(super) fn ends_at(p: &mut Parser<'_>, literals: &[&'static str]) -> Parsed<()> {
    for literal in literals {
        if p.attempt(|p| p.look_ahead(|p| p.string(literal))).is_ok() {
            return Ok(());
        }
    }
    p.attempt(Parser::end)
}

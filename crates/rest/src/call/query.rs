//! The query string becomes a [`Query`].
//!
//! Words of the dialect (`select`, `order`, `limit`, `offset`, `and`, `or`,
//! `columns`, `on_conflict`) are taken out, most of them also behind the path
//! of an embed (`a.b.order`); everything else is a filter. Start at [`parse`].

mod field;
mod filter;
mod order;
mod select;
#[cfg(test)]
pub(super) mod tests;

use super::ast::{EmbedPath, Filter, LogicTree, Query, SelectField, SelectItem};
use super::form;
use super::parsec::{self, ParseFailure, Parser};
use super::range::{Span, Written, number};
use crate::error::RestError;

/// What a parameter is whose value is no operator expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unparsed {
    /// A mistake: tables have only filters.
    Mistake,
    /// An argument: functions that are called by GET take them.
    Argument,
}

/// A query string, and the rows that its own `limit` and `offset` ask for.
pub(super) struct Parsed {
    pub(super) query: Query,
    pub(super) span: Option<Span>,
}

/// Parses a raw query string. Of several mistakes the one is reported that
/// upstream meets first: order, logic, columns, select, filters, conflict.
pub(super) fn parse(raw: &str, unparsed: Unparsed) -> Result<Parsed, RestError> {
    let pairs = form::pairs(raw.strip_prefix('?').unwrap_or(raw))?;
    let mut query = Query {
        canonical: form::canonical(&pairs),
        ..Query::default()
    };
    // Of a word that may stand once the first counts, even without a value.
    let first = |word: &str| {
        let (_, value) = pairs.iter().find(|(name, _)| name == word)?;
        value.as_deref()
    };
    let written: Vec<(&str, &str)> = pairs
        .iter()
        .filter_map(|(name, value)| Some((name.as_ref(), value.as_deref()?)))
        .collect();
    let ending = |words: &'static [&'static str]| {
        let is_one = move |name: &str| words.contains(&last_word(name));
        written
            .iter()
            .copied()
            .filter(move |(name, _)| is_one(name))
    };

    for (name, value) in ending(&["order"]) {
        let (path, _) = tree_path(name)?;
        let terms = parsec::run("order", value, order::order)?;
        query.order.push((path, terms));
    }
    for (name, value) in ending(&["and", "or"]) {
        query.logic.push(logic(name, value)?);
    }
    query.columns = names("columns parameter", first("columns"))?;
    query.select = match first("select") {
        None => vec![SelectItem::Field(SelectField::all())],
        Some(text) => parsec::run("select parameter", text, select::forest)?,
    };
    for (name, value) in &written {
        if !RESERVED.contains(name) && !EMBEDDABLE.contains(&last_word(name)) {
            filter(&mut query, name, value, unparsed)?;
        }
    }
    query.on_conflict = names("on_conflict parameter", first("on_conflict"))?;
    let limits = limits(ending(&["limit"]), ending(&["offset"]));
    let span = ranges(&mut query, limits)?;
    Ok(Parsed { query, span })
}

/// Words that only the outermost relation knows.
const RESERVED: [&str; 3] = ["select", "columns", "on_conflict"];
/// Words that may stand behind the path of an embed.
const EMBEDDABLE: [&str; 5] = ["order", "limit", "offset", "and", "or"];

fn last_word(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn tree_path(name: &str) -> Result<(EmbedPath, super::ast::Field), ParseFailure> {
    parsec::run("tree path", name, field::tree_path)
}

fn names(what: &str, text: Option<&str>) -> Result<Option<Vec<String>>, ParseFailure> {
    let columns = |p: &mut Parser<'_>| p.separated(field::field_name, field::comma);
    text.map(|text| parsec::run(what, text, columns))
        .transpose()
}

fn logic(name: &str, value: &str) -> Result<(EmbedPath, LogicTree), ParseFailure> {
    let words = parsec::run("logic path", name, |p| {
        p.separated(field::field_name, field::delimiter)
    })?;
    let operator = words.last().map(String::as_str).unwrap_or_default();
    let not = if words.iter().any(|word| word == "not") {
        "not."
    } else {
        ""
    };
    // Written as it would stand inside another tree, so that one grammar
    // serves both; columns in messages count from there.
    let whole = format!("{not}{operator}{value}");
    let tree = parsec::run_named(&whole, filter::logic_tree, || {
        format!("failed to parse logic tree ({value})")
    })?;
    let path = words
        .iter()
        .take(words.len().saturating_sub(1))
        .filter(|word| *word != "not")
        .cloned()
        .collect();
    Ok((path, tree))
}

fn filter(
    query: &mut Query,
    name: &str,
    value: &str,
    unparsed: Unparsed,
) -> Result<(), ParseFailure> {
    let (path, field) = tree_path(name)?;
    let expr = parsec::run("filter", value, |p| match unparsed {
        Unparsed::Mistake => filter::op_expr(p, filter::whole_value).map(Some),
        Unparsed::Argument => p.maybe(|p| filter::op_expr(p, filter::whole_value)),
    })?;
    match expr {
        Some(expr) => query.filters.push((path, Filter { field, expr })),
        None => query.params.push((field.name, value.to_owned())),
    }
    Ok(())
}

/// `limit` and `offset` by the path in front of them, the last of each.
type Limits<'t> = Vec<(&'t str, Written, Written)>;

fn limits<'t>(
    limits: impl Iterator<Item = (&'t str, &'t str)>,
    offsets: impl Iterator<Item = (&'t str, &'t str)>,
) -> Limits<'t> {
    let mut found: Limits<'t> = Vec::new();
    for (name, value) in limits {
        let path = name.strip_suffix("limit").unwrap_or(name);
        match found.iter_mut().find(|(other, ..)| *other == path) {
            Some((_, limit, _)) => *limit = Some(number(value)),
            None => found.push((path, Some(number(value)), None)),
        }
    }
    for (name, value) in offsets {
        let path = name.strip_suffix("offset").unwrap_or(name);
        match found.iter_mut().find(|(other, ..)| *other == path) {
            Some((_, _, offset)) => *offset = Some(number(value)),
            None => found.push((path, None, Some(number(value)))),
        }
    }
    found
}

/// Stores the ranges of embeds and returns that of the outermost relation,
/// which still has to meet the `Range` header.
fn ranges(query: &mut Query, limits: Limits<'_>) -> Result<Option<Span>, RestError> {
    let mut top = None;
    for (path, limit, offset) in limits {
        let Some(span) = Span::written(limit, offset) else {
            continue;
        };
        if path.is_empty() {
            top = Some(span);
            query.range = span.rows().ok();
        } else {
            let (path, _) = tree_path(&format!("{path}limit"))?;
            query.embed_ranges.push((path, span.rows()?));
        }
    }
    Ok(top)
}

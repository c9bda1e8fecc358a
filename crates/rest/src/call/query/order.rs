//! `order=`: columns, directions and the place of nulls.

use super::super::ast::{Field, OrderDirection, OrderNulls, OrderTerm};
use super::super::parsec::{Parsed, Parser};
use super::field::{delimiter, ends_at, field, field_name, lexeme};

/// The terms of `order=`, at least one.
pub(super) fn order(p: &mut Parser<'_>) -> Parsed<Vec<OrderTerm>> {
    p.separated(
        |p| lexeme(p, |p| p.either(|p| p.attempt(related_term), term)),
        |p| p.char(','),
    )
}

fn term(p: &mut Parser<'_>) -> Parsed<OrderTerm> {
    let field = field(p)?;
    ordered(p, None, field)
}

fn related_term(p: &mut Parser<'_>) -> Parsed<OrderTerm> {
    let relation = field_name(p)?;
    p.char('(')?;
    let field = field(p)?;
    p.char(')')?;
    ordered(p, Some(relation), field)
}

fn ordered(p: &mut Parser<'_>, relation: Option<String>, field: Field) -> Parsed<OrderTerm> {
    let direction = p.maybe(direction)?;
    let nulls = p.either(
        |p| {
            let nulls = p.maybe(nulls)?;
            ends_at(p, &[","])?;
            Ok(nulls)
        },
        |p| ends_at(p, &[","]).map(|()| None),
    )?;
    Ok(OrderTerm {
        relation,
        field,
        direction,
        nulls,
    })
}

fn direction(p: &mut Parser<'_>) -> Parsed<OrderDirection> {
    p.either(
        |p| dotted(p, "asc").map(|()| OrderDirection::Ascending),
        |p| dotted(p, "desc").map(|()| OrderDirection::Descending),
    )
}

fn nulls(p: &mut Parser<'_>) -> Parsed<OrderNulls> {
    p.either(
        |p| dotted(p, "nullsfirst").map(|()| OrderNulls::First),
        |p| dotted(p, "nullslast").map(|()| OrderNulls::Last),
    )
}

fn dotted(p: &mut Parser<'_>, word: &'static str) -> Parsed<()> {
    p.attempt(|p| {
        delimiter(p)?;
        p.string(word)
    })
}

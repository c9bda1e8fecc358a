//! `select=`: columns, casts, aggregates, embeds and spreads.

use super::super::ast::{Aggregate, Field, JoinType, SelectField, SelectItem, SelectRelation};
use super::super::parsec::{Parsed, Parser};
use super::field::{comma, ends_at, field, field_name, identifier, lexeme};

/// The items of `select=` or of one embed, maybe none.
pub(super) fn forest(p: &mut Parser<'_>) -> Parsed<Vec<SelectItem>> {
    p.either(|p| p.separated(item, comma), |_| Ok(Vec::new()))
}

fn item(p: &mut Parser<'_>) -> Parsed<SelectItem> {
    p.either(
        |p| {
            let relation = p.attempt(spread)?;
            embed(p, relation)
        },
        |p| {
            p.either(
                |p| {
                    let relation = p.attempt(relation)?;
                    embed(p, relation)
                },
                |p| select_field(p).map(SelectItem::Field),
            )
        },
    )
}

fn embed(p: &mut Parser<'_>, relation: SelectRelation) -> Parsed<SelectItem> {
    p.char('(')?;
    let select = p.nested(forest)?;
    p.char(')')?;
    Ok(SelectItem::Relation(SelectRelation { select, ..relation }))
}

fn spread(p: &mut Parser<'_>) -> Parsed<SelectRelation> {
    lexeme(p, |p| {
        p.string("...")?;
        let name = field_name(p)?;
        let (hint, join) = embed_params(p)?;
        p.attempt(|p| p.look_ahead(|p| p.string("(")))?;
        Ok(SelectRelation {
            name,
            alias: None,
            hint,
            join,
            spread: true,
            select: Vec::new(),
        })
    })
}

fn relation(p: &mut Parser<'_>) -> Parsed<SelectRelation> {
    lexeme(p, |p| {
        let alias = alias(p)?;
        let name = field_name(p)?;
        // `count()` is an aggregate, never an embed.
        if name == "count" {
            return p.reject();
        }
        let (hint, join) = embed_params(p)?;
        p.attempt(|p| p.look_ahead(|p| p.string("(")))?;
        Ok(SelectRelation {
            name,
            alias,
            hint,
            join,
            spread: false,
            select: Vec::new(),
        })
    })
}

/// `name:`, but not the first half of `name::cast`.
fn alias(p: &mut Parser<'_>) -> Parsed<Option<String>> {
    p.maybe(|p| {
        p.attempt(|p| {
            let name = field_name(p)?;
            p.char(':')?;
            p.not_followed_by(|c| c == ':', Some(':'))?;
            Ok(name)
        })
    })
}

enum EmbedParam {
    Hint(String),
    Join(JoinType),
}

/// `!hint!inner`, in either order.
fn embed_params(p: &mut Parser<'_>) -> Parsed<(Option<String>, Option<JoinType>)> {
    let (mut hint, mut join) = (None, None);
    for _ in 0..2 {
        match p.maybe(embed_param)? {
            Some(EmbedParam::Hint(name)) => hint = hint.or(Some(name)),
            Some(EmbedParam::Join(kind)) => join = join.or(Some(kind)),
            None => {}
        }
    }
    Ok((hint, join))
}

fn embed_param(p: &mut Parser<'_>) -> Parsed<EmbedParam> {
    p.char('!')?;
    p.either(
        |p| {
            p.one_of(&[("left", JoinType::Left), ("inner", JoinType::Inner)])
                .map(EmbedParam::Join)
        },
        |p| p.attempt(field_name).map(EmbedParam::Hint),
    )
}

fn select_field(p: &mut Parser<'_>) -> Parsed<SelectField> {
    lexeme(p, |p| {
        p.either(
            |p| p.attempt(star),
            |p| p.either(|p| p.attempt(count), column),
        )
    })
}

fn star(p: &mut Parser<'_>) -> Parsed<SelectField> {
    p.string("*")?;
    item_end(p)?;
    Ok(SelectField::all())
}

fn count(p: &mut Parser<'_>) -> Parsed<SelectField> {
    let alias = alias(p)?;
    p.string("count()")?;
    let aggregate_cast = cast(p)?;
    item_end(p)?;
    Ok(SelectField {
        aggregate: Some(Aggregate::Count),
        aggregate_cast,
        alias,
        ..SelectField::all()
    })
}

fn column(p: &mut Parser<'_>) -> Parsed<SelectField> {
    let alias = alias(p)?;
    let field = field(p)?;
    let column_cast = cast(p)?;
    let aggregate = p.maybe(|p| p.attempt(aggregate))?;
    let aggregate_cast = cast(p)?;
    item_end(p)?;
    Ok(SelectField {
        field,
        aggregate,
        aggregate_cast,
        cast: column_cast,
        alias,
    })
}

fn cast(p: &mut Parser<'_>) -> Parsed<Option<String>> {
    p.maybe(|p| {
        p.string("::")?;
        identifier(p)
    })
}

fn aggregate(p: &mut Parser<'_>) -> Parsed<Aggregate> {
    p.char('.')?;
    let function = p.one_of(&[
        ("sum", Aggregate::Sum),
        ("avg", Aggregate::Avg),
        ("count", Aggregate::Count),
        ("max", Aggregate::Max),
        ("min", Aggregate::Min),
    ])?;
    p.string("()")?;
    Ok(function)
}

fn item_end(p: &mut Parser<'_>) -> Parsed<()> {
    ends_at(p, &[")", ","])
}

impl SelectField {
    /// `*`
    pub(in crate::call) fn all() -> Self {
        Self {
            field: Field {
                name: "*".to_owned(),
                path: Vec::new(),
            },
            aggregate: None,
            aggregate_cast: None,
            cast: None,
            alias: None,
        }
    }
}

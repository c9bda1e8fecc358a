//! Operators with their values, and the logic trees made of them.

use super::super::ast::{
    Filter, FtsOperator, IsValue, LogicOperator, LogicTree, OpExpr, Operation,
    QuantifiableOperator as Quant, Quantifier, SimpleOperator as Simple,
};
use super::super::parsec::{Parsed, Parser};
use super::field::{comma, delimiter, field, identifier, lexeme, quoted};

const SIMPLE: [(&str, Simple); 9] = [
    ("neq", Simple::NotEqual),
    ("cs", Simple::Contains),
    ("cd", Simple::Contained),
    ("ov", Simple::Overlap),
    ("sl", Simple::StrictlyLeft),
    ("sr", Simple::StrictlyRight),
    ("nxr", Simple::NotExtendsRight),
    ("nxl", Simple::NotExtendsLeft),
    ("adj", Simple::Adjacent),
];

/// Longer words stand before their beginnings: `gte` before `gt`.
const QUANTIFIABLE: [(&str, Quant); 9] = [
    ("eq", Quant::Equal),
    ("gte", Quant::GreaterThanEqual),
    ("gt", Quant::GreaterThan),
    ("lte", Quant::LessThanEqual),
    ("lt", Quant::LessThan),
    ("like", Quant::Like),
    ("ilike", Quant::ILike),
    ("match", Quant::Match),
    ("imatch", Quant::IMatch),
];

const FULL_TEXT: [(&str, FtsOperator); 4] = [
    ("fts", FtsOperator::Fts),
    ("plfts", FtsOperator::Plain),
    ("phfts", FtsOperator::Phrase),
    ("wfts", FtsOperator::Websearch),
];

const IS: [(&str, IsValue); 5] = [
    ("null", IsValue::Null),
    ("not_null", IsValue::NotNull),
    ("true", IsValue::True),
    ("false", IsValue::False),
    ("unknown", IsValue::Unknown),
];

/// How the value after an operator ends: with the text, or inside a tree.
type Value = fn(&mut Parser<'_>) -> Parsed<String>;

/// The value of a filter: everything that is left.
#[expect(clippy::unnecessary_wraps, reason = "stands beside `tree_value`")]
pub(super) fn whole_value(p: &mut Parser<'_>) -> Parsed<String> {
    Ok(p.take_while(|_| true).to_owned())
}

/// The value of a filter in a tree: quoted, an array, or up to a comma.
fn tree_value(p: &mut Parser<'_>) -> Parsed<String> {
    p.either(quoted_value, |p| {
        p.either(
            |p| p.attempt(array),
            |p| Ok(p.take_while(|c| c != ',' && c != ')').to_owned()),
        )
    })
}

fn quoted_value(p: &mut Parser<'_>) -> Parsed<String> {
    p.attempt(|p| {
        let text = quoted(p)?;
        p.not_followed_by(|c| c != ',' && c != ')', None)?;
        Ok(text)
    })
}

fn array(p: &mut Parser<'_>) -> Parsed<String> {
    p.string("{")?;
    let inner = p.take_while(|c| c != '{' && c != '}').to_owned();
    p.string("}")?;
    Ok(format!("{{{inner}}}"))
}

/// `not.eq.5`
pub(super) fn op_expr(p: &mut Parser<'_>, value: Value) -> Parsed<OpExpr> {
    let negated = negation(p)?;
    let operation = p.label("operator (eq, gt, ...)", |p| operation(p, value))?;
    Ok(OpExpr { negated, operation })
}

fn negation(p: &mut Parser<'_>) -> Parsed<bool> {
    p.either(
        |p| {
            p.attempt(|p| {
                p.string("not")?;
                delimiter(p)?;
                Ok(true)
            })
        },
        |_| Ok(false),
    )
}

fn operation(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    // As long as nothing is to be explained, the first word tells which
    // alternative it is.
    if let Some(word) = p.first_word() {
        if QUANTIFIABLE.iter().any(|(name, _)| *name == word) {
            return quantified(p, value);
        }
        if SIMPLE.iter().any(|(name, _)| *name == word) {
            return simple(p, value);
        }
    }
    p.either(
        |p| {
            keyword(p, "in")?;
            list(p).map(Operation::In)
        },
        |p| {
            p.either(
                |p| {
                    keyword(p, "is")?;
                    is_value(p).map(Operation::Is)
                },
                |p| operation_with_value(p, value),
            )
        },
    )
}

fn operation_with_value(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    p.either(
        |p| {
            keyword(p, "isdistinct")?;
            value(p).map(Operation::IsDistinctFrom)
        },
        |p| {
            p.either(
                |p| p.attempt(|p| full_text(p, value)),
                |p| {
                    p.either(
                        |p| p.attempt(|p| simple(p, value)),
                        |p| p.attempt(|p| quantified(p, value)),
                    )
                },
            )
        },
    )
}

fn keyword(p: &mut Parser<'_>, word: &'static str) -> Parsed<()> {
    p.attempt(|p| {
        p.string(word)?;
        delimiter(p)?;
        Ok(())
    })
}

fn simple(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.label("unknown single value operator", |p| p.one_of(&SIMPLE))?;
    delimiter(p)?;
    Ok(Operation::Simple(operator, value(p)?))
}

fn quantified(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.label("unknown single value operator", |p| p.one_of(&QUANTIFIABLE))?;
    let quantifier = p.maybe(|p| {
        p.attempt(|p| {
            p.char('(')?;
            let quantifier = p.either(
                |p| p.attempt(|p| p.string("any")).map(|()| Quantifier::Any),
                |p| p.string("all").map(|()| Quantifier::All),
            )?;
            p.char(')')?;
            Ok(quantifier)
        })
    })?;
    delimiter(p)?;
    Ok(Operation::Quantified(operator, quantifier, value(p)?))
}

fn full_text(p: &mut Parser<'_>, value: Value) -> Parsed<Operation> {
    let operator = p.one_of(&FULL_TEXT)?;
    let language = p.maybe(|p| {
        p.attempt(|p| {
            p.char('(')?;
            let language = identifier(p)?;
            p.char(')')?;
            Ok(language)
        })
    })?;
    delimiter(p)?;
    Ok(Operation::Fts(operator, language, value(p)?))
}

fn is_value(p: &mut Parser<'_>) -> Parsed<IsValue> {
    p.label("isVal: (null, not_null, true, false, unknown)", |p| {
        for (word, value) in IS {
            if p.attempt(|p| ignoring_case(p, word)).is_ok() {
                return Ok(value);
            }
        }
        p.reject()
    })
}

fn ignoring_case(p: &mut Parser<'_>, word: &str) -> Parsed<()> {
    for wanted in word.chars() {
        p.satisfy(|c| c.eq_ignore_ascii_case(&wanted))?;
    }
    Ok(())
}

fn list(p: &mut Parser<'_>) -> Parsed<Vec<String>> {
    lexeme(p, |p| p.char('('))?;
    let elements = p.separated(
        |p| {
            p.either(quoted_value, |p| {
                Ok(p.take_while(|c| c != ',' && c != ')').to_owned())
            })
        },
        |p| p.char(','),
    )?;
    lexeme(p, |p| p.char(')'))?;
    Ok(elements)
}

/// `and(a.eq.1,not.or(…))`
pub(super) fn logic_tree(p: &mut Parser<'_>) -> Parsed<LogicTree> {
    p.either(
        |p| p.attempt(tree_filter).map(LogicTree::Filter),
        |p| p.nested(group),
    )
}

fn tree_filter(p: &mut Parser<'_>) -> Parsed<Filter> {
    let field = field(p)?;
    delimiter(p)?;
    let expr = op_expr(p, tree_value)?;
    Ok(Filter { field, expr })
}

fn group(p: &mut Parser<'_>) -> Parsed<LogicTree> {
    let negated = p.label("negation operator (not)", negation)?;
    let operator = p.label("logic operator (and, or)", |p| {
        p.either(
            |p| p.attempt(|p| p.string("and")).map(|()| LogicOperator::And),
            |p| p.string("or").map(|()| LogicOperator::Or),
        )
    })?;
    lexeme(p, |p| p.char('('))?;
    let branches = p.separated(logic_tree, comma)?;
    lexeme(p, |p| p.char(')'))?;
    Ok(LogicTree::Group {
        negated,
        operator,
        branches,
    })
}

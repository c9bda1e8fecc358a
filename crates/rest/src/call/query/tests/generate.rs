//! Any tree that a query string can mean, for property tests.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::call::ast::*;

/// Any name but two: `*` is every column, and `count(…)` is no embed.
pub(in crate::call) fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,6}", "[ -~é☃]{1,6}"].prop_filter("means something else", |name| {
        name != "*" && name != "count"
    })
}

fn count() -> impl Strategy<Value = SelectItem> {
    (option::of(name()), option::of(word())).prop_map(|(alias, aggregate_cast)| {
        SelectItem::Field(SelectField {
            aggregate: Some(Aggregate::Count),
            aggregate_cast,
            alias,
            ..SelectField::all()
        })
    })
}

pub(in crate::call) fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,5}"
}

fn path(operand: BoxedStrategy<JsonOperand>) -> impl Strategy<Value = Vec<JsonOperation>> {
    let operation =
        (any::<bool>(), operand).prop_map(|(as_text, operand)| JsonOperation { as_text, operand });
    vec(operation, 0..3)
}

pub(in crate::call) fn key() -> BoxedStrategy<JsonOperand> {
    name().prop_map(JsonOperand::Key).boxed()
}

pub(in crate::call) fn key_or_index() -> BoxedStrategy<JsonOperand> {
    prop_oneof![key(), "-?[0-9]{1,3}".prop_map(JsonOperand::Index)].boxed()
}

pub(in crate::call) fn any_field(
    operand: BoxedStrategy<JsonOperand>,
) -> impl Strategy<Value = Field> {
    (name(), path(operand)).prop_map(|(name, path)| Field { name, path })
}

pub(in crate::call) fn operation() -> impl Strategy<Value = Operation> {
    use QuantifiableOperator as Q;
    use SimpleOperator as S;
    let simple = prop::sample::select(vec![
        S::NotEqual,
        S::Contains,
        S::Contained,
        S::Overlap,
        S::StrictlyLeft,
        S::StrictlyRight,
        S::NotExtendsRight,
        S::NotExtendsLeft,
        S::Adjacent,
    ]);
    let quantifiable = prop::sample::select(vec![
        Q::Equal,
        Q::GreaterThanEqual,
        Q::GreaterThan,
        Q::LessThanEqual,
        Q::LessThan,
        Q::Like,
        Q::ILike,
        Q::Match,
        Q::IMatch,
    ]);
    let quantifier = option::of(prop::sample::select(vec![Quantifier::Any, Quantifier::All]));
    let is = prop::sample::select(vec![
        IsValue::Null,
        IsValue::NotNull,
        IsValue::True,
        IsValue::False,
        IsValue::Unknown,
    ]);
    let fts = prop::sample::select(vec![
        FtsOperator::Fts,
        FtsOperator::Plain,
        FtsOperator::Phrase,
        FtsOperator::Websearch,
    ]);
    prop_oneof![
        (simple, name()).prop_map(|(op, value)| Operation::Simple(op, value)),
        (quantifiable, quantifier, name())
            .prop_map(|(op, quantifier, value)| Operation::Quantified(op, quantifier, value)),
        vec(name(), 1..4).prop_map(Operation::In),
        is.prop_map(Operation::Is),
        name().prop_map(Operation::IsDistinctFrom),
        (fts, option::of(word()), name())
            .prop_map(|(op, lang, value)| Operation::Fts(op, lang, value)),
    ]
}

pub(in crate::call) fn op_expr() -> impl Strategy<Value = OpExpr> {
    (any::<bool>(), operation()).prop_map(|(negated, operation)| OpExpr { negated, operation })
}

pub(in crate::call) fn tree() -> impl Strategy<Value = LogicTree> {
    let leaf = (any_field(key_or_index()), op_expr())
        .prop_map(|(field, expr)| LogicTree::Filter(Filter { field, expr }));
    leaf.prop_recursive(4, 16, 3, |inner| {
        let operator = prop::sample::select(vec![LogicOperator::And, LogicOperator::Or]);
        (any::<bool>(), operator, vec(inner, 1..4)).prop_map(|(negated, operator, branches)| {
            LogicTree::Group {
                negated,
                operator,
                branches,
            }
        })
    })
}

pub(in crate::call) fn item() -> impl Strategy<Value = SelectItem> {
    let aggregate = prop::sample::select(vec![
        Aggregate::Sum,
        Aggregate::Avg,
        Aggregate::Max,
        Aggregate::Min,
        Aggregate::Count,
    ]);
    let column = (
        any_field(key()),
        option::of((aggregate, option::of(word()))),
        option::of(word()),
        option::of(name()),
    );
    let leaf = column.prop_map(|(field, aggregate, cast, alias)| {
        let (aggregate, aggregate_cast) = match aggregate {
            Some((aggregate, cast)) => (Some(aggregate), cast),
            None => (None, None),
        };
        SelectItem::Field(SelectField {
            field,
            aggregate,
            aggregate_cast,
            cast,
            alias,
        })
    });
    let leaf = prop_oneof![4 => leaf, 1 => count()];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let join = option::of(prop::sample::select(vec![JoinType::Inner, JoinType::Left]));
        let head = (
            name(),
            option::of(name()),
            option::of(name()),
            join,
            any::<bool>(),
        );
        (head, vec(inner, 0..4)).prop_map(|((name, alias, hint, join, spread), select)| {
            SelectItem::Relation(SelectRelation {
                name,
                alias: alias.filter(|_| !spread),
                hint,
                join,
                spread,
                select,
            })
        })
    })
}

pub(in crate::call) fn term() -> impl Strategy<Value = OrderTerm> {
    let direction =
        prop::sample::select(vec![OrderDirection::Ascending, OrderDirection::Descending]);
    let nulls = prop::sample::select(vec![OrderNulls::First, OrderNulls::Last]);
    (
        option::of(name()),
        any_field(key()),
        option::of(direction),
        option::of(nulls),
    )
        .prop_map(|(relation, field, direction, nulls)| OrderTerm {
            relation,
            field,
            direction,
            nulls,
        })
}

//! Writes a parsed query back, with every name quoted. What it writes parses
//! to the same tree again, which `roundtrip.rs` checks.

use crate::call::ast::*;

pub(in crate::call) fn query(query: &Query) -> String {
    let mut parts = vec![format!("select {}", items(&query.select))];
    for (path, filter) in &query.filters {
        parts.push(format!(
            "{}{}={}",
            prefix(path),
            field(&filter.field),
            expr(&filter.expr, plain)
        ));
    }
    for (path, tree) in &query.logic {
        parts.push(format!("{}{}", prefix(path), logic(tree)));
    }
    for (path, terms) in &query.order {
        let terms: Vec<_> = terms.iter().map(term).collect();
        parts.push(format!("{}order={}", prefix(path), terms.join(",")));
    }
    if let Some(range) = &query.range {
        parts.push(rows(range));
    }
    for (path, range) in &query.embed_ranges {
        parts.push(format!("{}{}", prefix(path), rows(range)));
    }
    for (word, names) in [
        ("columns", &query.columns),
        ("on_conflict", &query.on_conflict),
    ] {
        if let Some(names) = names {
            let names: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            parts.push(format!("{word}={}", names.join(",")));
        }
    }
    parts.join(" & ")
}

fn rows(range: &RowRange) -> String {
    match range.limit {
        Some(limit) => format!("{limit}@{}", range.offset),
        None => format!("all@{}", range.offset),
    }
}

pub(in crate::call) fn prefix(path: &EmbedPath) -> String {
    let names: Vec<_> = path.iter().map(|name| quoted(name) + ".").collect();
    names.concat()
}

pub(in crate::call) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

pub(in crate::call) fn plain(text: &str) -> String {
    text.to_owned()
}

pub(in crate::call) fn field(field: &Field) -> String {
    let mut text = quoted(&field.name);
    for operation in &field.path {
        text.push_str(if operation.as_text { "->>" } else { "->" });
        match &operation.operand {
            JsonOperand::Key(key) => text.push_str(&quoted(key)),
            JsonOperand::Index(index) => text.push_str(index),
        }
    }
    text
}

pub(in crate::call) fn items(items: &[SelectItem]) -> String {
    let items: Vec<_> = items.iter().map(item).collect();
    items.join(",")
}

fn item(item: &SelectItem) -> String {
    match item {
        SelectItem::Field(selected) => selected_field(selected),
        SelectItem::Relation(relation) => {
            let mut text = alias(relation.alias.as_ref());
            if relation.spread {
                text.push_str("...");
            }
            text.push_str(&quoted(&relation.name));
            if let Some(hint) = &relation.hint {
                text.push('!');
                text.push_str(&quoted(hint));
            }
            match relation.join {
                Some(JoinType::Inner) => text.push_str("!inner"),
                Some(JoinType::Left) => text.push_str("!left"),
                None => {}
            }
            format!("{text}({})", self::items(&relation.select))
        }
    }
}

fn alias(alias: Option<&String>) -> String {
    alias
        .map(|alias| format!("{}:", quoted(alias)))
        .unwrap_or_default()
}

fn selected_field(selected: &SelectField) -> String {
    let cast = |cast: &Option<String>| {
        cast.as_ref()
            .map(|name| format!("::{name}"))
            .unwrap_or_default()
    };
    let alias = alias(selected.alias.as_ref());
    let after = cast(&selected.aggregate_cast);
    if selected.aggregate == Some(Aggregate::Count) && selected.field.name == "*" {
        return format!("{alias}count(){after}");
    }
    let aggregate = match selected.aggregate {
        Some(Aggregate::Sum) => ".sum()",
        Some(Aggregate::Avg) => ".avg()",
        Some(Aggregate::Max) => ".max()",
        Some(Aggregate::Min) => ".min()",
        Some(Aggregate::Count) => ".count()",
        None => "",
    };
    let column = field(&selected.field);
    format!("{alias}{column}{}{aggregate}{after}", cast(&selected.cast))
}

pub(in crate::call) fn term(term: &OrderTerm) -> String {
    let mut text = match &term.relation {
        Some(relation) => format!("{}({})", quoted(relation), field(&term.field)),
        None => field(&term.field),
    };
    text.push_str(match term.direction {
        Some(OrderDirection::Ascending) => ".asc",
        Some(OrderDirection::Descending) => ".desc",
        None => "",
    });
    text.push_str(match term.nulls {
        Some(OrderNulls::First) => ".nullsfirst",
        Some(OrderNulls::Last) => ".nullslast",
        None => "",
    });
    text
}

pub(in crate::call) fn logic(tree: &LogicTree) -> String {
    match tree {
        LogicTree::Filter(filter) => {
            format!("{}.{}", field(&filter.field), expr(&filter.expr, quoted))
        }
        LogicTree::Group {
            negated,
            operator,
            branches,
        } => {
            let not = if *negated { "not." } else { "" };
            let operator = match operator {
                LogicOperator::And => "and",
                LogicOperator::Or => "or",
            };
            let branches: Vec<_> = branches.iter().map(logic).collect();
            format!("{not}{operator}({})", branches.join(","))
        }
    }
}

/// `value` writes the value: as it is, or quoted inside a tree.
pub(in crate::call) fn expr(expr: &OpExpr, value: fn(&str) -> String) -> String {
    let operation = match &expr.operation {
        Operation::Simple(operator, text) => format!("{}.{}", simple(*operator), value(text)),
        Operation::Quantified(operator, quantifier, text) => {
            let quantifier = match quantifier {
                Some(Quantifier::Any) => "(any)",
                Some(Quantifier::All) => "(all)",
                None => "",
            };
            format!("{}{quantifier}.{}", quantifiable(*operator), value(text))
        }
        Operation::In(elements) => {
            let elements: Vec<_> = elements.iter().map(|text| quoted(text)).collect();
            format!("in.({})", elements.join(","))
        }
        Operation::Is(value) => format!(
            "is.{}",
            match value {
                IsValue::Null => "null",
                IsValue::NotNull => "not_null",
                IsValue::True => "true",
                IsValue::False => "false",
                IsValue::Unknown => "unknown",
            }
        ),
        Operation::IsDistinctFrom(text) => format!("isdistinct.{}", value(text)),
        Operation::Fts(operator, language, text) => {
            let operator = match operator {
                FtsOperator::Fts => "fts",
                FtsOperator::Plain => "plfts",
                FtsOperator::Phrase => "phfts",
                FtsOperator::Websearch => "wfts",
            };
            let language = language.as_ref().map(|name| format!("({name})"));
            format!("{operator}{}.{}", language.unwrap_or_default(), value(text))
        }
    };
    let not = if expr.negated { "not." } else { "" };
    format!("{not}{operation}")
}

fn simple(operator: SimpleOperator) -> &'static str {
    match operator {
        SimpleOperator::NotEqual => "neq",
        SimpleOperator::Contains => "cs",
        SimpleOperator::Contained => "cd",
        SimpleOperator::Overlap => "ov",
        SimpleOperator::StrictlyLeft => "sl",
        SimpleOperator::StrictlyRight => "sr",
        SimpleOperator::NotExtendsRight => "nxr",
        SimpleOperator::NotExtendsLeft => "nxl",
        SimpleOperator::Adjacent => "adj",
    }
}

fn quantifiable(operator: QuantifiableOperator) -> &'static str {
    match operator {
        QuantifiableOperator::Equal => "eq",
        QuantifiableOperator::GreaterThanEqual => "gte",
        QuantifiableOperator::GreaterThan => "gt",
        QuantifiableOperator::LessThanEqual => "lte",
        QuantifiableOperator::LessThan => "lt",
        QuantifiableOperator::Like => "like",
        QuantifiableOperator::ILike => "ilike",
        QuantifiableOperator::Match => "match",
        QuantifiableOperator::IMatch => "imatch",
    }
}

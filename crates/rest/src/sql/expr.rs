//! Expressions: fields, filters, logic trees, orders.

use pg::catalog::{Column, JsonShape, QualifiedName};
use pg::{SqlBuf, TypeName};

use crate::call::ast::{
    FtsOperator, IsValue, JsonOperand, JsonOperation, LogicOperator, OpExpr, Operation,
    OrderDirection, OrderNulls, QuantifiableOperator, Quantifier, SimpleOperator,
};
use crate::plan::aggregates;
use crate::plan::tree::{PlanField, PlanLogic, PlanOrder, PlanSelect};

/// Types whose text is turned into JSON without Postgres, as casts name them.
const DIRECT_CASTS: [&str; 24] = [
    "text",
    "varchar",
    "char",
    "int",
    "integer",
    "int2",
    "int4",
    "int8",
    "bigint",
    "smallint",
    "numeric",
    "decimal",
    "real",
    "float4",
    "float8",
    "bool",
    "boolean",
    "date",
    "timestamp",
    "timestamptz",
    "uuid",
    "json",
    "jsonb",
    "citext",
];

pub(super) fn qualified(out: &mut SqlBuf, name: &QualifiedName) {
    out.qualified(&name.schema, &name.name);
}

pub(super) fn column(out: &mut SqlBuf, table: &QualifiedName, name: &str) {
    qualified(out, table);
    if name == "*" {
        out.lit(".*");
    } else {
        out.lit(".").ident(name);
    }
}

/// The column with its path, as the database sees it.
pub(super) fn field(out: &mut SqlBuf, table: &QualifiedName, field: &PlanField) {
    if let Some(to_tsvector) = &field.to_tsvector {
        out.lit("to_tsvector(");
        if let Some(configuration) = &to_tsvector.configuration {
            out.param(configuration.clone()).lit(", ");
        }
    }
    if field.whole_row {
        out.ident(&table.name);
    } else if field.to_jsonb && !field.path.is_empty() {
        out.lit("to_jsonb(");
        column(out, table, &field.name);
        out.lit(")");
    } else {
        column(out, table, &field.name);
    }
    for step in &field.path {
        path_step(out, step);
    }
    if field.to_tsvector.is_some() {
        out.lit(")");
    }
}

fn path_step(out: &mut SqlBuf, step: &JsonOperation) {
    out.lit(if step.as_text { "->>" } else { "->" });
    // Constants and not parameters: GROUP BY and expression indexes must
    // recognise the expression.
    match &step.operand {
        JsonOperand::Key(key) => out.text_literal(key),
        JsonOperand::Index(index) => out.text_literal(index).lit("::int"),
    };
}

/// A selected expression, without its name.
pub(super) fn select_value(out: &mut SqlBuf, table: &QualifiedName, item: &PlanSelect) {
    if item.aggregate.is_some() && item.aggregate_cast.is_some() {
        out.lit("CAST(");
    }
    if let Some(aggregate) = item.aggregate {
        out.lit(aggregates::name(aggregate)).lit("(");
    }
    if item.cast.is_some() {
        out.lit("CAST(");
    }
    if let Some(function) = &item.field.transform {
        qualified(out, function);
        out.lit("(");
    }
    field(out, table, &item.field);
    if item.field.transform.is_some() {
        out.lit(")");
    }
    cast_end(out, item.cast.as_deref());
    if item.aggregate.is_some() {
        out.lit(")");
        cast_end(out, item.aggregate_cast.as_deref());
    }
}

pub(super) fn cast_end(out: &mut SqlBuf, cast: Option<&str>) {
    if let Some(cast) = cast {
        out.lit(" AS ");
        type_name(out, cast);
        out.lit(")");
    }
}

/// A type's name, checked. One that is none is quoted, so that Postgres says
/// that there is no such type.
pub(super) fn type_name(out: &mut SqlBuf, name: &str) {
    match TypeName::parse(name) {
        Some(checked) => out.type_name(&checked),
        None => out.ident(name),
    };
}

/// A selected column as SQL sees it: for subqueries, CSV and whole rows.
pub(super) fn select_raw(out: &mut SqlBuf, table: &QualifiedName, item: &PlanSelect) {
    select_value(out, table, item);
    if let Some(alias) = &item.alias {
        out.lit(" AS ").ident(alias);
    }
}

/// A column of the table, so that its text on the wire can become JSON.
pub(super) fn select_column(out: &mut SqlBuf, table: &QualifiedName, of: &Column) {
    match of.json {
        JsonShape::Direct => column(out, table, &of.name),
        JsonShape::ToJson => {
            out.lit("to_json(");
            column(out, table, &of.name);
            out.lit(") AS ").ident(&of.name);
        }
    }
}

/// A selected column whose text on the wire can become JSON as it is.
pub(super) fn select_json(out: &mut SqlBuf, table: &QualifiedName, item: &PlanSelect) {
    if is_direct(item) {
        return select_raw(out, table, item);
    }
    out.lit("to_json(");
    select_value(out, table, item);
    out.lit(") AS ");
    let name = match (&item.alias, item.aggregate) {
        (Some(alias), _) => alias,
        (None, Some(aggregate)) => aggregates::name(aggregate),
        (None, None) => &item.field.name,
    };
    out.ident(name);
}

fn is_direct(item: &PlanSelect) -> bool {
    if item.aggregate.is_some() {
        return false;
    }
    if let Some(cast) = &item.cast {
        return DIRECT_CASTS.contains(&cast.to_ascii_lowercase().as_str());
    }
    // A representation gives json, and so does every step of a path.
    item.field.transform.is_some()
        || !item.field.path.is_empty()
        || item.field.json == Some(JsonShape::Direct)
}

pub(super) fn logic(out: &mut SqlBuf, table: &QualifiedName, tree: &PlanLogic) {
    match tree {
        PlanLogic::Group {
            negated,
            operator,
            branches,
        } => {
            out.lit(if *negated { "NOT (" } else { "(" });
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.lit(between(*operator));
                }
                logic(out, table, branch);
            }
            out.lit(")");
        }
        PlanLogic::Filter { field, expr } => filter(out, table, field, expr),
        PlanLogic::NullEmbed { negated, embed } => {
            // Of a row, IS NOT NULL would ask whether every column is set.
            out.ident(embed).lit(" IS ");
            out.lit(if *negated { "" } else { "NOT " });
            out.lit("DISTINCT FROM NULL");
        }
    }
}

pub(super) fn filter(out: &mut SqlBuf, table: &QualifiedName, left: &PlanField, expr: &OpExpr) {
    if expr.negated {
        out.lit("NOT ");
    }
    field(out, table, left);
    match &expr.operation {
        Operation::Simple(operator, value) => {
            out.lit(simple(*operator));
            transformed(out, left, value);
        }
        Operation::Quantified(operator, quantifier, value) => {
            quantified(out, left, *operator, *quantifier, value);
        }
        Operation::In(values) => {
            if values.len() == 1 && values.iter().all(String::is_empty) {
                out.lit(" = ANY('{}')");
            } else {
                out.lit(" = ANY(");
                array(out, left, values);
                out.lit(")");
            }
        }
        Operation::Is(value) => {
            out.lit(match value {
                IsValue::Null => " IS NULL",
                IsValue::NotNull => " IS NOT NULL",
                IsValue::True => " IS TRUE",
                IsValue::False => " IS FALSE",
                IsValue::Unknown => " IS UNKNOWN",
            });
        }
        Operation::IsDistinctFrom(value) => {
            out.lit(" IS DISTINCT FROM ").param(value.clone());
        }
        Operation::Fts(operator, language, value) => {
            out.lit(fts(*operator)).lit("(");
            if let Some(language) = language {
                out.param(language.clone()).lit(", ");
            }
            out.param(value.clone()).lit(")");
        }
    }
}

fn quantified(
    out: &mut SqlBuf,
    left: &PlanField,
    operator: QuantifiableOperator,
    quantifier: Option<Quantifier>,
    value: &str,
) {
    out.lit(quantifiable(operator));
    out.lit(match quantifier {
        Some(Quantifier::Any) => "ANY(",
        Some(Quantifier::All) => "ALL(",
        None => "",
    });
    match operator {
        // `*` spares clients from encoding `%` in URLs.
        QuantifiableOperator::Like | QuantifiableOperator::ILike => {
            out.param(value.replace('*', "%"));
        }
        _ => transformed(out, left, value),
    }
    if quantifier.is_some() {
        out.lit(")");
    }
}

/// A value, parsed by the column's data representation when it has one.
fn transformed(out: &mut SqlBuf, left: &PlanField, value: &str) {
    if let Some(function) = &left.transform {
        qualified(out, function);
        out.lit("(").param(value.to_owned()).lit(")");
    } else {
        out.param(value.to_owned());
    }
}

fn array(out: &mut SqlBuf, left: &PlanField, values: &[String]) {
    let literal = array_literal(values);
    if let Some(function) = &left.transform {
        out.lit("SELECT ");
        qualified(out, function);
        out.lit("(unnest(").param(literal).lit("::text[]))");
    } else {
        out.param(literal);
    }
}

/// `{"a","b"}`: an array whose element type the context decides.
pub(super) fn array_literal(values: &[String]) -> String {
    let mut literal = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                literal.push('\\');
            }
            if c != '\0' {
                literal.push(c);
            }
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

pub(super) fn order(out: &mut SqlBuf, table: &QualifiedName, terms: &[PlanOrder]) {
    for (index, term) in terms.iter().enumerate() {
        out.lit(if index == 0 { " ORDER BY " } else { ", " });
        match &term.relation {
            Some(alias) => {
                let alias = QualifiedName::new("", alias.as_str());
                // Nothing is known of the embed's columns at this place.
                let mut unknown = term.field.clone();
                unknown.to_jsonb = false;
                field(out, &alias, &unknown);
            }
            None => field(out, table, &term.field),
        }
        out.lit(match term.direction {
            Some(OrderDirection::Ascending) => " ASC",
            Some(OrderDirection::Descending) => " DESC",
            None => "",
        });
        out.lit(match term.nulls {
            Some(OrderNulls::First) => " NULLS FIRST",
            Some(OrderNulls::Last) => " NULLS LAST",
            None => "",
        });
    }
}

/// What stands between the branches of a group.
pub(super) fn between(operator: LogicOperator) -> &'static str {
    match operator {
        LogicOperator::And => " AND ",
        LogicOperator::Or => " OR ",
    }
}

fn simple(operator: SimpleOperator) -> &'static str {
    match operator {
        SimpleOperator::NotEqual => " <> ",
        SimpleOperator::Contains => " @> ",
        SimpleOperator::Contained => " <@ ",
        SimpleOperator::Overlap => " && ",
        SimpleOperator::StrictlyLeft => " << ",
        SimpleOperator::StrictlyRight => " >> ",
        SimpleOperator::NotExtendsRight => " &< ",
        SimpleOperator::NotExtendsLeft => " &> ",
        SimpleOperator::Adjacent => " -|- ",
    }
}

fn quantifiable(operator: QuantifiableOperator) -> &'static str {
    match operator {
        QuantifiableOperator::Equal => " = ",
        QuantifiableOperator::GreaterThanEqual => " >= ",
        QuantifiableOperator::GreaterThan => " > ",
        QuantifiableOperator::LessThanEqual => " <= ",
        QuantifiableOperator::LessThan => " < ",
        QuantifiableOperator::Like => " LIKE ",
        QuantifiableOperator::ILike => " ILIKE ",
        QuantifiableOperator::Match => " ~ ",
        QuantifiableOperator::IMatch => " ~* ",
    }
}

fn fts(operator: FtsOperator) -> &'static str {
    match operator {
        FtsOperator::Fts => " @@ to_tsquery",
        FtsOperator::Plain => " @@ plainto_tsquery",
        FtsOperator::Phrase => " @@ phraseto_tsquery",
        FtsOperator::Websearch => " @@ websearch_to_tsquery",
    }
}

//! Statements of explanations: which rows a request is about, which rows it
//! would write, and what one policy says to each of them.
//!
//! Rows travel as text of the table's row type. A policy's expression runs
//! over `unnest($1::table[])` under the table's own name: the values are
//! there whatever the role may see, while functions and subqueries inside the
//! expression run with the role's own rights, as they do in a policy.

use pg::SqlBuf;
use pg::catalog::{Cardinality, QualifiedName, Relationship};

use super::body::{BODY, from_body};
use super::expr;
use crate::plan::mutate::Body;
use crate::plan::tree::{BodyColumn, PlanLogic, ReadNode};

/// The name of a parent's rows. No alias of the planner looks like it.
const PARENT: &str = "pgrst_parent";
const JUNCTION: &str = "pgrst_junction";

/// Which rows of a relation a request is about.
pub(crate) struct Wanted<'a> {
    pub(crate) relation: &'a QualifiedName,
    /// Its name in `logic`.
    pub(crate) alias: Option<&'a str>,
    pub(crate) logic: &'a [PlanLogic],
    /// The rows of the parent that these belong to.
    pub(crate) below: Option<Below<'a>>,
    pub(crate) primary_key: &'a [String],
    pub(crate) rows_max: usize,
}

/// Rows of a parent, and how these hang on it.
pub(crate) struct Below<'a> {
    pub(crate) parent: &'a QualifiedName,
    pub(crate) rows: &'a [String],
    pub(crate) relationship: &'a Relationship,
    /// These are the rows of the junction in the middle.
    pub(crate) is_junction: bool,
}

/// What the condition of a node calls its table.
pub(crate) fn alias_of(node: &ReadNode) -> Option<&str> {
    node.from_alias.as_deref()
}

/// The rows as text, with their keys as JSON.
pub(crate) fn rows(wanted: &Wanted<'_>) -> SqlBuf {
    let mut out = SqlBuf::new();
    let table = match wanted.alias {
        Some(alias) => QualifiedName::new("", alias),
        None => wanted.relation.clone(),
    };
    out.lit("SELECT (");
    expr::column(&mut out, &table, "*");
    out.lit(")::text, ");
    key(&mut out, &table, wanted.primary_key);
    out.lit(" FROM ");
    expr::qualified(&mut out, wanted.relation);
    if let Some(alias) = wanted.alias {
        out.lit(" AS ").ident(alias);
    }
    let mut keyword = " WHERE ";
    for tree in wanted.logic.iter().filter(|tree| !names_embed(tree)) {
        out.lit(keyword);
        expr::logic(&mut out, &table, tree);
        keyword = " AND ";
    }
    if let Some(below) = &wanted.below {
        belongs(&mut out, keyword, &table, below);
    }
    order(&mut out, &table, wanted.primary_key);
    limit(&mut out, wanted.rows_max);
    out
}

/// A condition on an embed means nothing without the embed.
pub(crate) fn names_embed(tree: &PlanLogic) -> bool {
    match tree {
        PlanLogic::Group { branches, .. } => branches.iter().any(names_embed),
        PlanLogic::NullEmbed { .. } => true,
        PlanLogic::Filter { .. } => false,
    }
}

/// Existing rows that proposed ones would collide with.
pub(crate) fn conflicting(
    relation: &QualifiedName,
    proposed: &[String],
    columns: &[String],
    primary_key: &[String],
    rows_max: usize,
) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("SELECT (");
    expr::column(&mut out, relation, "*");
    out.lit(")::text, ");
    key(&mut out, relation, primary_key);
    out.lit(" FROM ");
    expr::qualified(&mut out, relation);
    out.lit(" WHERE EXISTS (SELECT FROM ");
    unnested(&mut out, relation, proposed, PARENT);
    let mut keyword = " WHERE ";
    for column in columns {
        out.lit(keyword);
        expr::column(&mut out, relation, column);
        out.lit(" = ").ident(PARENT).lit(".").ident(column);
        keyword = " AND ";
    }
    out.lit(")");
    limit(&mut out, rows_max);
    out
}

/// Whether the present role sees each of these rows of the relation.
pub(crate) fn visible(relation: &QualifiedName, rows: &[String], primary_key: &[String]) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("SELECT EXISTS (SELECT FROM ");
    expr::qualified(&mut out, relation);
    let mut keyword = " WHERE ";
    for column in primary_key {
        out.lit(keyword);
        expr::column(&mut out, relation, column);
        out.lit(" = ").ident(PARENT).lit(".").ident(column);
        keyword = " AND ";
    }
    out.lit(") FROM ");
    unnested(&mut out, relation, rows, PARENT);
    out
}

/// What an expression of a policy, as the database printed it, says to rows.
pub(crate) fn policy(relation: &QualifiedName, rows: &[String], expression: &str) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("SELECT (").catalog_expression(expression);
    out.lit(") FROM ");
    unnested(&mut out, relation, rows, &relation.name);
    out
}

/// A column of a row that is about to be written.
pub(crate) enum Value<'a> {
    /// What the body says.
    Body(&'a str),
    /// The column's default, as the database printed it.
    Default(&'a str),
    /// What the row has now.
    Present(&'a str),
    Null,
}

/// The rows that an insert would write.
pub(crate) fn inserted(
    relation: &QualifiedName,
    values: &[Value<'_>],
    columns: &[BodyColumn],
    body: &Body,
    rows_max: usize,
) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("SELECT ");
    row(&mut out, relation, values);
    from_body(&mut out, body, columns);
    limit(&mut out, rows_max);
    out
}

/// What existing rows would become by an update.
pub(crate) fn updated(
    relation: &QualifiedName,
    rows: &[String],
    values: &[Value<'_>],
    columns: &[BodyColumn],
    body: &Body,
) -> SqlBuf {
    let mut out = SqlBuf::new();
    out.lit("SELECT ");
    row(&mut out, relation, values);
    out.lit(" FROM ");
    unnested(&mut out, relation, rows, PARENT);
    out.lit(" CROSS JOIN (SELECT ").ident(BODY).lit(".*");
    from_body(&mut out, body, columns);
    // Of several objects one wins; which one is PostgreSQL's choice.
    out.lit(" LIMIT 1) AS ").ident(BODY);
    out
}

/// `(ROW(…)::table)::text`
fn row(out: &mut SqlBuf, relation: &QualifiedName, values: &[Value<'_>]) {
    out.lit("(ROW(");
    for (index, value) in values.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        match value {
            Value::Body(column) => {
                out.ident(BODY).lit(".").ident(column);
            }
            Value::Default(expression) => {
                out.lit("(").catalog_expression(expression).lit(")");
            }
            Value::Present(column) => {
                out.ident(PARENT).lit(".").ident(column);
            }
            Value::Null => {
                out.lit("NULL");
            }
        }
    }
    out.lit(")::");
    expr::qualified(out, relation);
    out.lit(")::text");
}

fn unnested(out: &mut SqlBuf, relation: &QualifiedName, rows: &[String], alias: &str) {
    out.lit("unnest(")
        .param(expr::array_literal(rows))
        .lit("::");
    expr::qualified(out, relation);
    out.lit("[]) AS ").ident(alias);
}

fn key(out: &mut SqlBuf, table: &QualifiedName, primary_key: &[String]) {
    if primary_key.is_empty() {
        out.lit("NULL");
        return;
    }
    out.lit("json_build_object(");
    for (index, column) in primary_key.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { "" });
        out.text_literal(column).lit(", ");
        expr::column(out, table, column);
    }
    out.lit(")::text");
}

fn order(out: &mut SqlBuf, table: &QualifiedName, primary_key: &[String]) {
    for (index, column) in primary_key.iter().enumerate() {
        out.lit(if index > 0 { ", " } else { " ORDER BY " });
        expr::column(out, table, column);
    }
}

fn limit(out: &mut SqlBuf, rows_max: usize) {
    out.lit(" LIMIT ");
    out.number(i64::try_from(rows_max).unwrap_or(i64::MAX));
}

/// Rows without a way to the parent (computed ones) are not narrowed down.
fn belongs(out: &mut SqlBuf, keyword: &'static str, table: &QualifiedName, below: &Below<'_>) {
    let Relationship::ForeignKey(fk) = below.relationship else {
        return;
    };
    out.lit(keyword).lit("EXISTS (SELECT FROM ");
    unnested(out, below.parent, below.rows, PARENT);
    let junction = QualifiedName::new("", JUNCTION);
    let parent = QualifiedName::new("", PARENT);
    match &fk.cardinality {
        Cardinality::ManyToMany(middle) if below.is_junction => {
            equal(out, " WHERE ", &parent, table, &middle.columns_source);
        }
        Cardinality::ManyToMany(middle) => {
            out.lit(", ");
            expr::qualified(out, &middle.table);
            out.lit(" AS ").ident(JUNCTION);
            equal(out, " WHERE ", &parent, &junction, &middle.columns_source);
            equal(out, " AND ", table, &junction, &middle.columns_target);
        }
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => {
            equal(out, " WHERE ", &parent, table, columns);
        }
    }
    out.lit(")");
}

fn equal(
    out: &mut SqlBuf,
    mut keyword: &'static str,
    left: &QualifiedName,
    right: &QualifiedName,
    columns: &[(String, String)],
) {
    for (ours, theirs) in columns {
        out.lit(keyword);
        expr::column(out, left, ours);
        out.lit(" = ");
        expr::column(out, right, theirs);
        keyword = " AND ";
    }
}

/// `{"a","b"}`, for a parameter that is an array of text.
pub(crate) fn array(items: &[String]) -> String {
    expr::array_literal(items)
}

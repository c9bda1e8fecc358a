//! A tree of reads as one SELECT: embeds are lateral subqueries, so that each
//! keeps its own filters, order and limit.

use pg::SqlBuf;
use pg::catalog::{Cardinality, QualifiedName, Relationship, Table};

use super::expr;
use crate::call::ast::{JoinType, RowRange};
use crate::plan::aggregates;
use crate::plan::tree::{EmbedSelect, PlanLogic, PlanOrder, ReadNode, Spread, SpreadColumn};

/// How the root's columns are written.
#[derive(Clone, Copy)]
pub(super) enum Columns<'a> {
    /// As they are, for what is processed further in SQL.
    Raw,
    /// As they are, but embeds as jsonb and not json, which costs twice as
    /// much to make: where they are compared or their own text is shown.
    Jsonb,
    /// So that each value's text is or becomes JSON; a `*` is this table's
    /// columns.
    Json { star: Option<&'a Table> },
}

/// The SELECT of a node and everything below it.
pub(super) fn select(out: &mut SqlBuf, node: &ReadNode, columns: Columns<'_>) {
    let table = table_of(node);
    out.lit("SELECT ");
    select_list(out, node, &table, columns);
    from(out, node);
    for embed in &node.embeds {
        let child = node
            .children
            .iter()
            .find(|child| child.embed_alias == embed.alias());
        if let Some(child) = child {
            join(out, embed, child, nested(node, columns));
        }
    }
    conditions(out, node, &table);
    group_by(out, node, &table);
    expr::order(out, &table, &node.order);
    limit(out, node.range);
}

/// How the columns of embeds are written: GROUP BY compares them, and there is
/// no equality on json.
fn nested(node: &ReadNode, columns: Columns<'_>) -> Columns<'static> {
    match columns {
        Columns::Jsonb => Columns::Jsonb,
        _ if is_grouped(node) => Columns::Jsonb,
        Columns::Raw | Columns::Json { .. } => Columns::Raw,
    }
}

/// The name by which a node's columns are addressed.
fn table_of(node: &ReadNode) -> QualifiedName {
    match (&node.from_alias, &node.relationship) {
        (Some(alias), _) => QualifiedName::new("", alias.as_str()),
        (None, Some(Relationship::Computed(computed))) => {
            QualifiedName::new("", computed.function.name.clone())
        }
        (None, _) => node.from.clone(),
    }
}

/// Puts commas between the items of a list.
struct List {
    first: bool,
}

impl List {
    fn next(&mut self, out: &mut SqlBuf) {
        if !self.first {
            out.lit(", ");
        }
        self.first = false;
    }
}

pub(super) fn select_list(
    out: &mut SqlBuf,
    node: &ReadNode,
    table: &QualifiedName,
    columns: Columns<'_>,
) {
    let mut list = List { first: true };
    for item in &node.select {
        match columns {
            Columns::Raw | Columns::Jsonb => {
                list.next(out);
                expr::select_raw(out, table, item);
            }
            Columns::Json { star: Some(star) } if item.is_all() => {
                for column in star.columns.values() {
                    list.next(out);
                    expr::select_column(out, table, column);
                }
            }
            Columns::Json { .. } => {
                list.next(out);
                expr::select_json(out, table, item);
            }
        }
    }
    if let Some(Spread::ToMany { extra, .. }) = &node.spread {
        for (relation, item) in extra {
            list.next(out);
            match relation {
                Some(alias) => {
                    expr::select_raw(out, &QualifiedName::new("", alias.as_str()), item);
                }
                None => expr::select_raw(out, table, item),
            }
        }
    }
    let jsonb = matches!(nested(node, columns), Columns::Jsonb);
    for embed in &node.embeds {
        embed_columns(out, &mut list, embed, jsonb, columns);
    }
    // Nothing is selected (`embed()`), yet rows must exist to be counted.
    if list.first {
        column_star(out, node, table);
    }
}

fn column_star(out: &mut SqlBuf, node: &ReadNode, table: &QualifiedName) {
    if node.children.is_empty() {
        expr::column(out, table, "*");
    }
}

fn embed_columns(
    out: &mut SqlBuf,
    list: &mut List,
    embed: &EmbedSelect,
    jsonb: bool,
    columns: Columns<'_>,
) {
    match embed {
        EmbedSelect::Json { hidden: true, .. } => {}
        EmbedSelect::Json {
            name,
            alias,
            to_one,
            ..
        } => {
            list.next(out);
            if *to_one {
                out.lit("row_to_json(").ident(alias).lit(".*)");
            } else {
                out.lit("COALESCE(")
                    .ident(alias)
                    .lit(".")
                    .ident(alias)
                    .lit(", '[]')");
            }
            out.lit(if jsonb { "::jsonb AS " } else { " AS " })
                .ident(name);
        }
        EmbedSelect::Spread {
            alias,
            columns: spread,
        } => {
            for column in spread {
                list.next(out);
                spread_column(out, alias, column, columns);
            }
        }
    }
}

fn spread_column(out: &mut SqlBuf, alias: &str, column: &SpreadColumn, columns: Columns<'_>) {
    // The embed's columns have no known type here, and `*` no single one.
    let as_json = matches!(columns, Columns::Json { .. }) && column.name != "*";
    if as_json {
        out.lit("to_json(");
    }
    if column.aggregate.is_some() && column.aggregate_cast.is_some() {
        out.lit("CAST(");
    }
    if let Some(aggregate) = column.aggregate {
        out.lit(aggregates::name(aggregate)).lit("(");
    }
    expr::column(out, &QualifiedName::new("", alias), &column.name);
    if let Some(_aggregate) = column.aggregate {
        out.lit(")");
        expr::cast_end(out, column.aggregate_cast.as_deref());
    }
    if as_json {
        out.lit(")");
    }
    match (&column.alias, column.aggregate) {
        (Some(name), _) => {
            out.lit(" AS ").ident(name);
        }
        (None, Some(aggregate)) if as_json => {
            out.lit(" AS ").ident(aggregates::name(aggregate));
        }
        (None, None) if as_json => {
            out.lit(" AS ").ident(&column.name);
        }
        (None, _) => {}
    }
}

fn from(out: &mut SqlBuf, node: &ReadNode) {
    out.lit(" FROM ");
    match &node.relationship {
        Some(Relationship::Computed(computed)) => {
            expr::qualified(out, &computed.function);
            out.lit("(");
            match &node.parent_alias {
                Some(alias) => out.ident(alias),
                None => out.ident(&computed.table.name),
            };
            // The row of a CTE has no type of its own; overloads need one.
            out.lit("::");
            expr::qualified(out, &computed.table);
            out.lit(")");
        }
        _ => expr::qualified(out, &node.from),
    }
    if let Some(alias) = &node.from_alias {
        out.lit(" AS ").ident(alias);
    }
    if let Some(Relationship::ForeignKey(fk)) = &node.relationship
        && let Cardinality::ManyToMany(junction) = &fk.cardinality
    {
        out.lit(", ");
        expr::qualified(out, &junction.table);
    }
}

fn join(out: &mut SqlBuf, embed: &EmbedSelect, child: &ReadNode, columns: Columns<'_>) {
    let alias = embed.alias();
    let inner = child.join == Some(JoinType::Inner);
    out.lit(if inner {
        " INNER JOIN LATERAL ("
    } else {
        " LEFT JOIN LATERAL ("
    });
    let cast = if matches!(columns, Columns::Jsonb) {
        "::jsonb"
    } else {
        ""
    };
    let as_array = match embed {
        EmbedSelect::Json { to_one: false, .. } => {
            array_select(out, alias, cast, &[], &[]);
            true
        }
        EmbedSelect::Spread {
            columns: spread, ..
        } => match &child.spread {
            Some(Spread::ToMany { order, .. }) => {
                array_select(out, alias, cast, spread, order);
                true
            }
            _ => false,
        },
        EmbedSelect::Json { to_one: true, .. } => false,
    };
    select(out, child, columns);
    if as_array {
        out.lit(") AS ").ident(alias);
    }
    out.lit(") AS ").ident(alias).lit(" ON ");
    if as_array && inner {
        // The subquery always has a row; it is null when nothing matched.
        out.ident(alias).lit(" IS NOT NULL");
    } else {
        out.lit("TRUE");
    }
}

/// Many rows become one value, or one array for each spread column.
fn array_select(
    out: &mut SqlBuf,
    alias: &str,
    cast: &'static str,
    columns: &[SpreadColumn],
    order: &[PlanOrder],
) {
    out.lit("SELECT json_agg(").ident(alias).lit(")").lit(cast);
    out.lit(" AS ").ident(alias);
    for column in columns {
        out.lit(", COALESCE(json_agg(");
        expr::column(out, &QualifiedName::new("", alias), &column.name);
        expr::order(out, &QualifiedName::new("", alias), order);
        out.lit("), '[]')").lit(cast).lit(" AS ");
        out.ident(column.alias.as_deref().unwrap_or(&column.name));
    }
    out.lit(" FROM (");
}

fn conditions(out: &mut SqlBuf, node: &ReadNode, table: &QualifiedName) {
    let mut keyword = " WHERE ";
    for tree in &node.logic {
        out.lit(keyword);
        expr::logic(out, table, tree);
        keyword = " AND ";
    }
    join_conditions(out, node, keyword);
}

fn join_conditions(out: &mut SqlBuf, node: &ReadNode, mut keyword: &'static str) {
    for condition in &node.joins {
        out.lit(keyword);
        expr::column(out, &condition.left.0, &condition.left.1);
        out.lit(" = ");
        expr::column(out, &condition.right.0, &condition.right.1);
        keyword = " AND ";
    }
}

fn is_grouped(node: &ReadNode) -> bool {
    node.select.iter().any(|item| item.aggregate.is_some())
        || node.embeds.iter().any(|embed| match embed {
            EmbedSelect::Spread { columns, .. } => columns.iter().any(|c| c.aggregate.is_some()),
            EmbedSelect::Json { .. } => false,
        })
}

fn group_by(out: &mut SqlBuf, node: &ReadNode, table: &QualifiedName) {
    if !is_grouped(node) {
        return;
    }
    let mut keyword = " GROUP BY ";
    for item in node.select.iter().filter(|item| item.aggregate.is_none()) {
        out.lit(keyword);
        // The expression and not its alias, which may stand for its JSON.
        expr::select_value(out, table, item);
        keyword = ", ";
    }
    for embed in &node.embeds {
        match embed {
            EmbedSelect::Json { hidden: true, .. } => {}
            EmbedSelect::Json { name, .. } => {
                out.lit(keyword).ident(name);
                keyword = ", ";
            }
            EmbedSelect::Spread { alias, columns } => {
                for column in columns.iter().filter(|c| c.aggregate.is_none()) {
                    out.lit(keyword).ident(alias).lit(".");
                    out.ident(column.alias.as_deref().unwrap_or(&column.name));
                    keyword = ", ";
                }
            }
        }
    }
}

fn limit(out: &mut SqlBuf, range: RowRange) {
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX).to_string();
    if let Some(limit) = range.limit {
        out.lit(" LIMIT ").param(number(limit));
    }
    if range.offset > 0 {
        out.lit(" OFFSET ").param(number(range.offset));
    }
}

/// `SELECT 1` for every row that the node has without its limit. Inner joins
/// become EXISTS, which counts the same rows without making their columns.
pub(super) fn count(out: &mut SqlBuf, node: &ReadNode) {
    let table = table_of(node);
    out.lit("SELECT 1");
    from(out, node);
    let mut keyword = " WHERE ";
    for tree in &node.logic {
        out.lit(keyword);
        count_logic(out, node, &table, tree);
        keyword = " AND ";
    }
    join_conditions(out, node, keyword);
    if !node.joins.is_empty() {
        keyword = " AND ";
    }
    for child in &node.children {
        if child.join == Some(JoinType::Inner) {
            out.lit(keyword).lit("EXISTS (");
            count(out, child);
            out.lit(")");
            keyword = " AND ";
        }
    }
}

fn count_logic(out: &mut SqlBuf, node: &ReadNode, table: &QualifiedName, tree: &PlanLogic) {
    match tree {
        PlanLogic::NullEmbed { negated, embed } => {
            let child = node.children.iter().find(|c| c.embed_alias == *embed);
            out.lit(if *negated { "EXISTS (" } else { "NOT EXISTS (" });
            if let Some(child) = child {
                count(out, child);
            }
            out.lit(")");
        }
        PlanLogic::Group {
            negated,
            operator,
            branches,
        } => {
            out.lit(if *negated { "NOT (" } else { "(" });
            for (index, branch) in branches.iter().enumerate() {
                if index > 0 {
                    out.lit(expr::between(*operator));
                }
                count_logic(out, node, table, branch);
            }
            out.lit(")");
        }
        PlanLogic::Filter { field, expr } => expr::filter(out, table, field, expr),
    }
}

/// Whether the root's columns can be written for [`Columns::Json`]: every `*`
/// must stand for known columns.
pub(super) fn columns_known(node: &ReadNode, star: Option<&Table>) -> bool {
    let stars_known = node
        .select
        .iter()
        .filter(|item| item.field.is_star() && item.aggregate.is_none())
        .all(|item| item.is_all() && star.is_some());
    let spread_star = node.embeds.iter().any(|embed| match embed {
        EmbedSelect::Spread { columns, .. } => columns.iter().any(|c| c.name == "*"),
        EmbedSelect::Json { .. } => false,
    });
    stars_known && !spread_star
}

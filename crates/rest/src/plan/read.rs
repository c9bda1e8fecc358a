//! Builds the tree of a read: embeds find their relationships, fields their
//! columns, filters and orders their nodes. The passes run in the order of
//! [`build`].

use std::collections::HashSet;

use pg::catalog::{Cardinality, Catalog, QualifiedName, Relationship};

use super::aggregates;
use super::embeds;
use super::relate;
use super::resolve::Resolver;
use super::tree::{JoinCondition, PlanLogic, PlanSelect, ReadNode, Spread};
use crate::call::ast::{
    EmbedPath, IsValue, JsonOperand, Operation, Query, RowRange, SelectField, SelectItem,
    SelectRelation,
};
use crate::error::RestError;

/// The name that a write's or a function's rows have in the statement.
pub(crate) const SOURCE: &str = "pgrst_source";

/// What a read is made of besides the query string.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about the request and switches of the operator"
)]
pub(crate) struct ReadInput<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) query: &'a Query,
    /// The table, or what a function returns.
    pub(crate) table: QualifiedName,
    /// The rows come from a write or a function, under [`SOURCE`].
    pub(crate) from_source: bool,
    /// The root's own filters belong to the write and not to the read of what
    /// it returned; ranges mean nothing there.
    pub(crate) is_write: bool,
    /// `limit`, `offset` and `Range` together.
    pub(crate) range: RowRange,
    /// `db-max-rows`
    pub(crate) rows_max: Option<u64>,
    /// `db-aggregates-enabled`
    pub(crate) aggregates: bool,
    /// `url-use-legacy-target-names`
    pub(crate) legacy_target_names: bool,
}

/// Plans the read.
pub(crate) fn build(input: &ReadInput<'_>) -> Result<ReadNode, RestError> {
    let mut root = root(input)?;
    place_filters(input, &mut root)?;
    place_orders(input, &mut root)?;
    place_ranges(input, &mut root)?;
    expand_stars(input.catalog, &mut root, &input.table, false);
    root.for_each(&mut name_results);
    relate_orders(&mut root)?;
    root.for_each(&mut find_null_embeds);
    embeds::select(&mut root);
    if !input.aggregates && aggregates::any(&root) {
        return Err(RestError::AggregatesNotAllowed);
    }
    aggregates::hoist(&mut root);
    embeds::order_spreads(&mut root)?;
    if let Some(max) = input.rows_max.filter(|_| !input.is_write) {
        root.for_each(&mut |node| {
            node.range.limit = Some(node.range.limit.map_or(max, |limit| limit.min(max)));
        });
    }
    Ok(root)
}

fn root(input: &ReadInput<'_>) -> Result<ReadNode, RestError> {
    let name = input.table.name.to_string();
    let mut node = ReadNode::new(input.table.clone(), &name, 0);
    if input.from_source {
        node.from_alias = Some(name);
    }
    fill(input.catalog, &mut node, &input.query.select)?;
    if input.query.select.is_empty() {
        node.select.push(star());
    }
    if input.from_source {
        node.from = QualifiedName::new("", SOURCE);
    }
    Ok(node)
}

fn star() -> PlanSelect {
    PlanSelect {
        field: super::tree::PlanField::unknown("*", Vec::new()),
        aggregate: None,
        aggregate_cast: None,
        cast: None,
        alias: None,
    }
}

/// Resolves the selected columns of a node whose table is known, and builds
/// its embeds below it.
fn fill(catalog: &Catalog, node: &mut ReadNode, items: &[SelectItem]) -> Result<(), RestError> {
    let resolver = Resolver::new(catalog, &node.from);
    for item in items {
        match item {
            SelectItem::Field(field) => node.select.push(select_field(&resolver, field)),
            SelectItem::Relation(relation) => {
                let child = embed(catalog, node, relation)?;
                node.children.push(child);
            }
        }
    }
    Ok(())
}

fn select_field(resolver: &Resolver<'_>, field: &SelectField) -> PlanSelect {
    PlanSelect {
        field: resolver.output(&field.field),
        aggregate: field.aggregate,
        aggregate_cast: field.aggregate_cast.clone(),
        cast: field.cast.clone(),
        alias: field.alias.clone(),
    }
}

fn embed(
    catalog: &Catalog,
    parent: &ReadNode,
    item: &SelectRelation,
) -> Result<ReadNode, RestError> {
    let hint = item.hint.as_deref();
    let relationship = relate::find(catalog, &parent.from, &item.name, hint)?;
    let (source, target) = match &relationship {
        Relationship::ForeignKey(fk) => (&fk.table, &fk.foreign_table),
        Relationship::Computed(computed) => (&computed.table, &computed.foreign_table),
    };
    let depth = parent.depth + 1;
    let mut node = ReadNode::new(target.clone(), &item.name, depth);
    node.alias.clone_from(&item.alias);
    node.hint.clone_from(&item.hint);
    node.join = item.join;
    node.embed_alias = format!("{}_{}_{depth}", source.name, node.result_name());
    let many_to_many = matches!(
        &relationship,
        Relationship::ForeignKey(fk) if matches!(fk.cardinality, Cardinality::ManyToMany(_))
    );
    if !many_to_many {
        // The junction's join conditions name the tables themselves.
        node.from_alias = Some(format!("{}_{depth}", target.name));
    }
    if item.spread {
        node.spread = Some(if super::tree::is_to_one(&relationship) {
            Spread::ToOne
        } else {
            Spread::ToMany {
                extra: Vec::new(),
                order: Vec::new(),
            }
        });
    }
    node.parent_alias.clone_from(&parent.from_alias);
    node.joins = join_conditions(&relationship, node.from_alias.as_deref(), parent);
    node.relationship = Some(relationship);
    fill(catalog, &mut node, &item.select)?;
    Ok(node)
}

fn join_conditions(
    relationship: &Relationship,
    alias: Option<&str>,
    parent: &ReadNode,
) -> Vec<JoinCondition> {
    let Relationship::ForeignKey(fk) = relationship else {
        return Vec::new();
    };
    let aliased = |alias: Option<&str>, name: &QualifiedName| match alias {
        Some(alias) => QualifiedName::new("", alias),
        None => name.clone(),
    };
    let ours = aliased(parent.from_alias.as_deref(), &fk.table);
    let theirs = aliased(alias, &fk.foreign_table);
    let condition = |left: &QualifiedName, a: &str, right: &QualifiedName, b: &str| JoinCondition {
        left: (left.clone(), a.to_owned()),
        right: (right.clone(), b.to_owned()),
    };
    match &fk.cardinality {
        Cardinality::ManyToMany(junction) => {
            let target = junction
                .columns_target
                .iter()
                .map(|(column, via)| condition(&junction.table, via, &theirs, column));
            let source = junction
                .columns_source
                .iter()
                .map(|(column, via)| condition(&junction.table, via, &ours, column));
            target.chain(source).collect()
        }
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => columns
            .iter()
            .map(|(column, foreign)| condition(&theirs, foreign, &ours, column))
            .collect(),
    }
}

/// The node that a path of embed names leads to. `legacy`: an embed with an
/// alias also answers to the name of its table, so that of two embeds of one
/// table only the first can be spoken of.
fn node_at<'n>(
    mut node: &'n mut ReadNode,
    path: &EmbedPath,
    legacy: bool,
) -> Result<&'n mut ReadNode, RestError> {
    for step in path {
        let named = |child: &ReadNode| {
            child.result_name() == step.as_str() || (legacy && child.name == *step)
        };
        let Some(place) = node.children.iter().position(named) else {
            return Err(not_embedded(node, step));
        };
        node = node.children.get_mut(place).ok_or(RestError::Internal)?;
    }
    Ok(node)
}

/// Names the alias of an embed that was called by its table's name.
fn not_embedded(node: &ReadNode, name: &str) -> RestError {
    let mut children = node.children.iter();
    RestError::NotEmbedded {
        name: name.to_owned(),
        alias: children
            .find(|child| child.name == name)
            .and_then(|child| child.alias.clone()),
    }
}

/// The table whose columns a node's filters and orders speak of.
fn table_of(input: &ReadInput<'_>, node: &ReadNode) -> QualifiedName {
    if node.relationship.is_none() {
        input.table.clone()
    } else {
        node.from.clone()
    }
}

fn place_filters(input: &ReadInput<'_>, root: &mut ReadNode) -> Result<(), RestError> {
    let wanted = |path: &EmbedPath| !(input.is_write && path.is_empty());
    // Simple filters stand before the trees, as written.
    for (path, filter) in &input.query.filters {
        if wanted(path) {
            let node = node_at(root, path, input.legacy_target_names)?;
            let table = table_of(input, node);
            let filter = Resolver::new(input.catalog, &table).filter(filter);
            node.logic.push(filter);
        }
    }
    for (path, tree) in &input.query.logic {
        if wanted(path) {
            let node = node_at(root, path, input.legacy_target_names)?;
            let table = table_of(input, node);
            let tree = Resolver::new(input.catalog, &table).logic(tree);
            node.logic.push(tree);
        }
    }
    Ok(())
}

fn place_orders(input: &ReadInput<'_>, root: &mut ReadNode) -> Result<(), RestError> {
    for (path, terms) in &input.query.order {
        let node = node_at(root, path, input.legacy_target_names)?;
        let table = table_of(input, node);
        let resolver = Resolver::new(input.catalog, &table);
        node.order = terms.iter().map(|term| resolver.order(term)).collect();
    }
    Ok(())
}

fn place_ranges(input: &ReadInput<'_>, root: &mut ReadNode) -> Result<(), RestError> {
    if input.is_write {
        return Ok(());
    }
    root.range = input.range;
    for (path, range) in &input.query.embed_ranges {
        node_at(root, path, input.legacy_target_names)?.range = *range;
    }
    Ok(())
}

/// Replaces `*` by the columns where the single columns matter: next to
/// aggregates (they are grouped by), in to-many spreads (each becomes an
/// array) and where a data representation shows a column differently.
fn expand_stars(catalog: &Catalog, node: &mut ReadNode, table: &QualifiedName, in_aggregate: bool) {
    let single = in_aggregate
        || node.select.iter().any(|s| s.aggregate.is_some())
        || matches!(node.spread, Some(Spread::ToMany { .. }));
    let resolver = Resolver::new(catalog, table);
    if single || resolver.has_representations() {
        let is_spread = node.spread.is_some();
        let items = std::mem::take(&mut node.select);
        for mut item in items {
            let counts = item.aggregate == Some(crate::call::ast::Aggregate::Count);
            if item.field.is_star() && item.aggregate.is_none() {
                node.select
                    .extend(resolver.columns().map(|column| PlanSelect {
                        field: resolver.output_column(column),
                        ..item.clone()
                    }));
            } else {
                item.field.whole_row = item.field.is_star() && is_spread && counts;
                node.select.push(item);
            }
        }
    }
    for child in &mut node.children {
        let table = child.from.clone();
        expand_stars(catalog, child, &table, single);
    }
}

/// Names the columns that would otherwise get a name of Postgres' choice.
fn name_results(node: &mut ReadNode) {
    let is_spread = node.spread.is_some();
    for item in &mut node.select {
        if item.alias.is_some() {
            continue;
        }
        item.alias = match item.aggregate {
            Some(aggregate) => is_spread.then(|| aggregates::name(aggregate).to_owned()),
            None if !item.field.path.is_empty() => Some(path_name(&item.field)),
            None if item.field.transform.is_some() => Some(item.field.name.clone()),
            None => None,
        };
    }
}

/// `data->a->1` is called `a`; `data->1` is called `data`.
fn path_name(field: &super::tree::PlanField) -> String {
    field
        .path
        .iter()
        .rev()
        .find_map(|step| match &step.operand {
            JsonOperand::Key(key) => Some(key.clone()),
            JsonOperand::Index(_) => None,
        })
        .unwrap_or_else(|| field.name.clone())
}

/// `order=embed(column)` sorts by a to-one embed that is selected as well.
fn relate_orders(node: &mut ReadNode) -> Result<(), RestError> {
    let mut order = std::mem::take(&mut node.order);
    for term in &mut order {
        let Some(relation) = &term.relation else {
            continue;
        };
        let child = node
            .children
            .iter()
            .find(|child| child.result_name() == relation)
            .ok_or_else(|| RestError::NotEmbedded {
                name: relation.clone(),
                alias: None,
            })?;
        if !child.is_to_one() {
            let origin = node
                .from_alias
                .as_deref()
                .filter(|_| node.from.schema.is_empty());
            return Err(RestError::RelatedOrderNotToOne {
                origin: origin.unwrap_or(&node.from.name).to_owned(),
                target: child.result_name().to_owned(),
            });
        }
        term.relation = Some(child.embed_alias.clone());
    }
    node.order = order;
    node.children.iter_mut().try_for_each(relate_orders)
}

/// `embed=is.null` asks whether the embed has rows, when there is such an
/// embed; otherwise it is a filter on a column.
fn find_null_embeds(node: &mut ReadNode) {
    let embeds: Vec<(String, String)> = node
        .children
        .iter()
        .map(|child| (child.result_name().to_owned(), child.embed_alias.clone()))
        .collect();
    for logic in &mut node.logic {
        null_embed(logic, &embeds);
    }
}

fn null_embed(logic: &mut PlanLogic, embeds: &[(String, String)]) {
    match logic {
        PlanLogic::Group { branches, .. } => {
            for branch in branches {
                null_embed(branch, embeds);
            }
        }
        PlanLogic::Filter { field, expr }
            if field.path.is_empty() && expr.operation == Operation::Is(IsValue::Null) =>
        {
            if let Some((_, alias)) = embeds.iter().find(|(name, _)| *name == field.name) {
                *logic = PlanLogic::NullEmbed {
                    negated: expr.negated,
                    embed: alias.clone(),
                };
            }
        }
        PlanLogic::Filter { .. } | PlanLogic::NullEmbed { .. } => {}
    }
}

/// The columns that a write must return, or a function must be asked for, so
/// that the read on top of it works: the selected ones, those its embeds join
/// by, and `extra`. A star stands alone.
pub(crate) fn needed_columns(root: &ReadNode, extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> = root.select.iter().map(|s| s.field.name.clone()).collect();
    let computed = root
        .children
        .iter()
        .any(|child| matches!(child.relationship, Some(Relationship::Computed(_))));
    if computed || names.iter().any(|name| name == "*") {
        return vec!["*".to_owned()];
    }
    for child in &root.children {
        let Some(Relationship::ForeignKey(fk)) = &child.relationship else {
            continue;
        };
        let columns = match &fk.cardinality {
            Cardinality::ManyToMany(junction) => &junction.columns_source,
            Cardinality::ManyToOne { columns, .. }
            | Cardinality::OneToMany { columns, .. }
            | Cardinality::OneToOne { columns, .. } => columns,
        };
        names.extend(columns.iter().map(|(column, _)| column.clone()));
    }
    names.extend(extra.iter().cloned());
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

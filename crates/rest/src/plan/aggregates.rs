//! Aggregate functions in a tree of embeds (PostgREST documentation,
//! "Aggregate Functions").
//!
//! An aggregate inside a to-one spread means the parent's rows: it is hoisted
//! to the first node that is not such a spread, where the grouping happens.

use super::tree::{EmbedSelect, ReadNode, Spread};
use crate::call::ast::Aggregate;

/// The function's name, which is also its column's.
pub(crate) fn name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Sum => "sum",
        Aggregate::Avg => "avg",
        Aggregate::Max => "max",
        Aggregate::Min => "min",
        Aggregate::Count => "count",
    }
}

/// Whether any node uses one.
pub(crate) fn any(node: &ReadNode) -> bool {
    node.select.iter().any(|item| item.aggregate.is_some()) || node.children.iter().any(any)
}

/// An aggregate on its way up.
struct Hoisted {
    embed_alias: String,
    column: String,
    aggregate: Aggregate,
    cast: Option<String>,
    alias: Option<String>,
}

/// Moves the aggregates of to-one spreads to where they are applied.
pub(crate) fn hoist(root: &mut ReadNode) {
    // What arrives above the root has nowhere to go; the root takes its own.
    let _ = hoist_node(root);
}

fn hoist_node(node: &mut ReadNode) -> Vec<Hoisted> {
    let mut from_children = Vec::new();
    for child in &mut node.children {
        from_children.extend(hoist_node(child));
    }
    if node.spread == Some(Spread::ToOne) {
        let mut up = take_own(node);
        for mut hoisted in from_children {
            hoisted.embed_alias.clone_from(&node.embed_alias);
            up.push(hoisted);
        }
        return up;
    }
    for embed in &mut node.embeds {
        apply(embed, &from_children);
    }
    Vec::new()
}

fn take_own(node: &mut ReadNode) -> Vec<Hoisted> {
    let mut taken = Vec::new();
    for item in &mut node.select {
        if let Some(aggregate) = item.aggregate.take() {
            taken.push(Hoisted {
                embed_alias: node.embed_alias.clone(),
                column: item
                    .alias
                    .clone()
                    .unwrap_or_else(|| item.field.name.clone()),
                aggregate,
                cast: item.aggregate_cast.take(),
                alias: item.alias.clone(),
            });
        }
    }
    taken
}

fn apply(embed: &mut EmbedSelect, hoisted: &[Hoisted]) {
    let EmbedSelect::Spread { alias, columns } = embed else {
        return;
    };
    for column in columns {
        let found = hoisted
            .iter()
            .find(|h| h.embed_alias == *alias && h.column == column.name);
        if let Some(found) = found {
            column.aggregate = Some(found.aggregate);
            column.aggregate_cast.clone_from(&found.cast);
            column.alias.clone_from(&found.alias);
        }
    }
}

//! What a node selects from its embeds: one column of JSON, or for spreads
//! the embed's own columns, lifted up.

use super::tree::{EmbedSelect, PlanField, PlanOrder, PlanSelect, ReadNode, Spread, SpreadColumn};
use crate::error::RestError;

/// What each node selects from its embeds, bottom up.
pub(super) fn select(node: &mut ReadNode) {
    for child in &mut node.children {
        select(child);
    }
    node.embeds = node.children.iter().map(embed_select).collect();
}

fn embed_select(child: &ReadNode) -> EmbedSelect {
    if child.spread.is_some() {
        return EmbedSelect::Spread {
            alias: child.embed_alias.clone(),
            columns: spread_columns(child),
        };
    }
    EmbedSelect::Json {
        name: child.result_name().to_owned(),
        alias: child.embed_alias.clone(),
        to_one: child.is_to_one(),
        hidden: selects_nothing(child),
    }
}

fn selects_nothing(node: &ReadNode) -> bool {
    node.select.is_empty() && node.children.iter().all(selects_nothing)
}

fn spread_columns(node: &ReadNode) -> Vec<SpreadColumn> {
    let plain = |name: &str| SpreadColumn {
        name: name.to_owned(),
        aggregate: None,
        aggregate_cast: None,
        alias: None,
    };
    let own = node
        .select
        .iter()
        .map(|item| plain(item.alias.as_deref().unwrap_or(&item.field.name)));
    let mut columns: Vec<SpreadColumn> = own.collect();
    for embed in &node.embeds {
        match embed {
            EmbedSelect::Json { name, .. } => columns.push(plain(name)),
            EmbedSelect::Spread { columns: inner, .. } => columns.extend(inner.iter().cloned()),
        }
    }
    columns
}

/// A to-many spread is sorted where its columns become arrays; what it is
/// sorted by must then be selected, under a name that cannot collide.
pub(super) fn order_spreads(node: &mut ReadNode) -> Result<(), RestError> {
    if matches!(node.spread, Some(Spread::ToMany { .. })) {
        let spread_aggregates = node.embeds.iter().any(|embed| match embed {
            EmbedSelect::Spread { columns, .. } => columns.iter().any(|c| c.aggregate.is_some()),
            EmbedSelect::Json { .. } => false,
        });
        if spread_aggregates || node.select.iter().any(|item| item.aggregate.is_some()) {
            return Err(RestError::NotImplemented(
                "Aggregates are not implemented for one-to-many or many-to-many spreads."
                    .to_owned(),
            ));
        }
        let terms = std::mem::take(&mut node.order);
        let (extra, order) = terms
            .into_iter()
            .enumerate()
            .map(|(index, term)| sort_column(&node.embed_alias, index + 1, term))
            .unzip();
        node.spread = Some(Spread::ToMany { extra, order });
    }
    node.children.iter_mut().try_for_each(order_spreads)
}

fn sort_column(
    embed_alias: &str,
    number: usize,
    term: PlanOrder,
) -> ((Option<String>, PlanSelect), PlanOrder) {
    let name = format!("{embed_alias}_{}_{number}", term.field.name);
    let select = PlanSelect {
        field: term.field,
        aggregate: None,
        aggregate_cast: None,
        cast: None,
        alias: Some(name.clone()),
    };
    let order = PlanOrder {
        relation: None,
        field: PlanField::unknown(&name, Vec::new()),
        direction: term.direction,
        nulls: term.nulls,
    };
    ((term.relation, select), order)
}

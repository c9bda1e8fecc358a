//! Plans a write: which columns it sets, from which body, under which
//! conditions, and what it returns.

use pg::catalog::{Catalog, QualifiedName, Table};

use super::read::needed_columns;
use super::resolve::Resolver;
use super::tree::{BodyColumn, PlanLogic, ReadNode};
use crate::call::ast::{Operation, QuantifiableOperator};
use crate::call::payload::{Payload, Shape, Text};
use crate::call::prefer::{Missing, Representation, Resolution};
use crate::call::{Call, Mutation};
use crate::error::RestError;

/// A write.
#[derive(Clone, Debug)]
pub(crate) struct MutatePlan {
    pub(crate) table: QualifiedName,
    pub(crate) kind: MutateKind,
    /// The columns to return; empty when none are asked for, a lone `*` for
    /// all.
    pub(crate) returning: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum MutateKind {
    Insert {
        columns: Vec<BodyColumn>,
        body: Body,
        conflict: Option<Conflict>,
        /// The filters of a PUT, which its body must meet.
        put: Vec<PlanLogic>,
    },
    Update {
        columns: Vec<BodyColumn>,
        body: Body,
        logic: Vec<PlanLogic>,
    },
    Delete {
        logic: Vec<PlanLogic>,
    },
}

/// Rows to write.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) text: Text,
    pub(crate) shape: Shape,
    /// `Prefer: missing=default`: keys that are not there mean the column's
    /// default and not NULL.
    pub(crate) defaults: bool,
}

/// `ON CONFLICT`
#[derive(Clone, Debug)]
pub(crate) struct Conflict {
    pub(crate) resolution: Resolution,
    pub(crate) columns: Vec<String>,
}

impl MutatePlan {
    pub(crate) fn is_put(&self) -> bool {
        matches!(&self.kind, MutateKind::Insert { put, .. } if !put.is_empty())
    }

    /// Whether the statement counts which rows were new.
    pub(crate) fn counts_inserted(&self) -> bool {
        match &self.kind {
            MutateKind::Insert { conflict, put, .. } => {
                let merges = conflict
                    .as_ref()
                    .is_some_and(|c| c.resolution == Resolution::MergeDuplicates);
                merges || !put.is_empty()
            }
            MutateKind::Update { .. } | MutateKind::Delete { .. } => false,
        }
    }
}

/// Plans the write of `call`.
pub(crate) fn build(
    catalog: &Catalog,
    call: &Call,
    table: &Table,
    mutation: Mutation,
    tree: &ReadNode,
) -> Result<MutatePlan, RestError> {
    let resolver = Resolver::new(catalog, &table.name);
    let columns = || body_columns(&resolver, call, table);
    let kind = match mutation {
        Mutation::Insert => MutateKind::Insert {
            columns: columns()?,
            body: body(call),
            conflict: call.prefer.resolution.map(|resolution| Conflict {
                resolution,
                columns: call
                    .query
                    .on_conflict
                    .clone()
                    .unwrap_or_else(|| table.primary_key.clone()),
            }),
            put: Vec::new(),
        },
        Mutation::SingleUpsert => {
            check_put(call, table)?;
            MutateKind::Insert {
                columns: columns()?,
                body: Body {
                    defaults: false,
                    ..body(call)
                },
                conflict: Some(Conflict {
                    resolution: Resolution::MergeDuplicates,
                    columns: table.primary_key.clone(),
                }),
                put: root_logic(&resolver, call),
            }
        }
        Mutation::Update => MutateKind::Update {
            columns: columns()?,
            body: body(call),
            logic: root_logic(&resolver, call),
        },
        Mutation::Delete => MutateKind::Delete {
            logic: root_logic(&resolver, call),
        },
    };
    let returning = match call.prefer.representation {
        None | Some(Representation::Minimal) => Vec::new(),
        Some(_) => needed_columns(tree, &table.primary_key),
    };
    Ok(MutatePlan {
        table: table.name.clone(),
        kind,
        returning,
    })
}

fn body_columns(
    resolver: &Resolver<'_>,
    call: &Call,
    table: &Table,
) -> Result<Vec<BodyColumn>, RestError> {
    let column = |name: &String| {
        resolver
            .body(name)
            .ok_or_else(|| RestError::ColumnNotFound {
                relation: table.name.name.to_string(),
                column: name.clone(),
            })
    };
    call.columns.iter().map(column).collect()
}

fn body(call: &Call) -> Body {
    let (text, shape) = match &call.payload {
        Some(Payload::Json { text, shape, .. }) => (text.clone(), *shape),
        Some(Payload::RawJson(text)) => (text.clone(), super::routine::shape_of(text.as_str())),
        // Tables take nothing else, which the call stage has checked.
        Some(Payload::Form(_) | Payload::Raw(_)) | None => {
            (Text::from("[]".to_owned()), Shape::Array)
        }
    };
    Body {
        text,
        shape,
        defaults: call.prefer.missing == Some(Missing::Default),
    }
}

/// A PUT names its one row by every column of the primary key.
fn check_put(call: &Call, table: &Table) -> Result<(), RestError> {
    let filters: Vec<_> = call
        .query
        .filters
        .iter()
        .filter(|(path, _)| path.is_empty())
        .map(|(_, filter)| filter)
        .collect();
    let all_equal = filters.iter().all(|filter| {
        !filter.expr.negated
            && matches!(
                filter.expr.operation,
                Operation::Quantified(QuantifiableOperator::Equal, None, _)
            )
    });
    let named = |column: &String| filters.iter().any(|filter| filter.field.name == *column);
    let exactly = filters
        .iter()
        .all(|filter| table.primary_key.contains(&filter.field.name));
    let ok = all_equal
        && exactly
        && !table.primary_key.is_empty()
        && table.primary_key.iter().all(named)
        && call.query.logic.is_empty();
    if ok {
        Ok(())
    } else {
        Err(RestError::InvalidPutFilters)
    }
}

fn root_logic(resolver: &Resolver<'_>, call: &Call) -> Vec<PlanLogic> {
    let filters = call
        .query
        .filters
        .iter()
        .filter(|(path, _)| path.is_empty())
        .map(|(_, filter)| resolver.filter(filter));
    let trees = call
        .query
        .logic
        .iter()
        .filter(|(path, _)| path.is_empty())
        .map(|(_, tree)| resolver.logic(tree));
    filters.chain(trees).collect()
}

//! Finds the relationship behind an embed's name (PostgREST documentation,
//! "Resource Embedding" and "Foreign Key Joins on Multiple Foreign Key
//! Relationships").

use pg::catalog::{Cardinality, Catalog, ForeignKeyRelationship, QualifiedName, Relationship};

use super::refuse;
use crate::error::RestError;

/// The one relationship from `origin` that `target` (and `hint`) means.
pub(crate) fn find(
    catalog: &Catalog,
    origin: &QualifiedName,
    target: &str,
    hint: Option<&str>,
) -> Result<Relationship, RestError> {
    // Only targets of the origin's own schema can be embedded.
    let matching: Vec<&Relationship> = catalog
        .relationships_into(origin, &origin.schema)
        .filter(|relationship| matches(relationship, target, hint))
        .collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(refuse::no_relationship(catalog, origin, target, hint)),
        many => Err(refuse::ambiguous_relationship(origin, target, many)),
    }
}

fn matches(relationship: &Relationship, target: &str, hint: Option<&str>) -> bool {
    match relationship {
        Relationship::Computed(computed) => &*computed.function.name == target,
        Relationship::ForeignKey(fk) if fk.is_self => matches_self(fk, target, hint),
        Relationship::ForeignKey(fk) => matches_other(fk, target, hint),
    }
}

/// A table that refers to itself has one foreign key and two relationships:
/// the children go by the table's name, the parent by the column's.
fn matches_self(fk: &ForeignKeyRelationship, target: &str, hint: Option<&str>) -> bool {
    let to_children = matches!(fk.cardinality, Cardinality::OneToMany { .. })
        && &*fk.foreign_table.name == target;
    match hint {
        None => {
            to_children
                || (matches!(fk.cardinality, Cardinality::ManyToOne { .. })
                    && single_column(&fk.cardinality) == Some(target))
        }
        Some(hint) => to_children && single_foreign_column(&fk.cardinality) == Some(hint),
    }
}

fn matches_other(fk: &ForeignKeyRelationship, target: &str, hint: Option<&str>) -> bool {
    let by_table = &*fk.foreign_table.name == target;
    match hint {
        None => {
            by_table
                || (!fk.foreign_table_is_view
                    && (constraint(&fk.cardinality) == Some(target)
                        || single_column(&fk.cardinality) == Some(target)))
        }
        Some(hint) => {
            by_table
                && (constraint(&fk.cardinality) == Some(hint)
                    || single_column(&fk.cardinality) == Some(hint)
                    || single_foreign_column(&fk.cardinality) == Some(hint)
                    || junction(&fk.cardinality) == Some(hint))
        }
    }
}

fn columns(cardinality: &Cardinality) -> &[(String, String)] {
    match cardinality {
        Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToMany { columns, .. }
        | Cardinality::OneToOne { columns, .. } => columns,
        Cardinality::ManyToMany(_) => &[],
    }
}

fn single_column(cardinality: &Cardinality) -> Option<&str> {
    match columns(cardinality) {
        [(ours, _)] => Some(ours),
        _ => None,
    }
}

fn single_foreign_column(cardinality: &Cardinality) -> Option<&str> {
    match columns(cardinality) {
        [(_, theirs)] => Some(theirs),
        _ => None,
    }
}

fn constraint(cardinality: &Cardinality) -> Option<&str> {
    match cardinality {
        Cardinality::ManyToOne { constraint, .. }
        | Cardinality::OneToMany { constraint, .. }
        | Cardinality::OneToOne { constraint, .. } => Some(constraint),
        Cardinality::ManyToMany(_) => None,
    }
}

fn junction(cardinality: &Cardinality) -> Option<&str> {
    match cardinality {
        Cardinality::ManyToMany(junction) => Some(&junction.table.name),
        _ => None,
    }
}

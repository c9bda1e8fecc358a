//! The refusals that need the catalog: what is there instead, and what to
//! write to get it.

use pg::catalog::{Cardinality, Catalog, QualifiedName, Relationship, Routine};

use crate::call::media::MediaType;
use crate::call::{Call, Invocation};
use crate::error::{MissingRoutine, RelationshipCandidate, RestError, SingleParameter};

pub(crate) fn table_not_found(catalog: &Catalog, name: &QualifiedName) -> RestError {
    let similar = catalog.table_hint(&name.schema, &name.name);
    RestError::TableNotFound {
        schema: name.schema.to_string(),
        name: name.name.to_string(),
        similar: similar.map(|table| format!("{}.{table}", name.schema)),
    }
}

pub(crate) fn not_acceptable(accept: &[MediaType]) -> RestError {
    RestError::MediaTypes(accept.iter().map(MediaType::mime).collect())
}

pub(crate) fn no_relationship(
    catalog: &Catalog,
    origin: &QualifiedName,
    target: &str,
    hint: Option<&str>,
) -> RestError {
    let similar = catalog.relationship_hint(&origin.name, target, &origin.schema);
    RestError::NoRelationship {
        parent: origin.name.to_string(),
        child: target.to_owned(),
        given_hint: hint.map(str::to_owned),
        schema: origin.schema.to_string(),
        hint: similar.map(|similar| {
            format!(
                "Perhaps you meant '{}' instead of '{}'.",
                similar.meant, similar.instead_of
            )
        }),
    }
}

pub(crate) fn ambiguous_relationship(
    origin: &QualifiedName,
    target: &str,
    found: &[&Relationship],
) -> RestError {
    RestError::AmbiguousRelationship {
        parent: origin.name.to_string(),
        child: target.to_owned(),
        candidates: found.iter().filter_map(|r| candidate(r)).collect(),
    }
}

fn candidate(relationship: &Relationship) -> Option<RelationshipCandidate> {
    // A computed relationship replaces those of foreign keys of the same name,
    // so it is never one of several.
    let Relationship::ForeignKey(fk) = relationship else {
        return None;
    };
    let (table, foreign) = (&fk.table.name, &fk.foreign_table.name);
    let by_key = |constraint: &str, columns: &[(String, String)]| {
        let ours = list(columns.iter().map(|(column, _)| column));
        let theirs = list(columns.iter().map(|(_, column)| column));
        (
            format!("{constraint} using {table}{ours} and {foreign}{theirs}"),
            format!("{foreign}!{constraint}"),
        )
    };
    let (cardinality, (relationship, suggestion)) = match &fk.cardinality {
        Cardinality::ManyToOne {
            constraint,
            columns,
        } => ("many-to-one", by_key(constraint, columns)),
        Cardinality::OneToMany {
            constraint,
            columns,
        } => ("one-to-many", by_key(constraint, columns)),
        Cardinality::OneToOne {
            constraint,
            columns,
            ..
        } => ("one-to-one", by_key(constraint, columns)),
        Cardinality::ManyToMany(junction) => {
            let source = list(junction.columns_source.iter().map(|(_, via)| via));
            let target = list(junction.columns_target.iter().map(|(_, via)| via));
            let text = format!(
                "{} using {}{source} and {}{target}",
                junction.table.name, junction.constraint_source, junction.constraint_target
            );
            let suggestion = format!("{foreign}!{}", junction.table.name);
            ("many-to-many", (text, suggestion))
        }
    };
    Some(RelationshipCandidate {
        cardinality,
        embedding: format!("{table} with {foreign}"),
        relationship,
        suggestion,
    })
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    format!("({})", names.join(", "))
}

pub(crate) fn routine_not_found(
    catalog: &Catalog,
    call: &Call,
    name: &QualifiedName,
    invocation: Invocation,
    arguments: &[String],
) -> RestError {
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let similar = if catalog.routines(name).is_empty() {
        let hint = catalog.routine_hint(&name.schema, &name.name);
        hint.map(|routine| format!("{}.{routine}", name.schema))
    } else {
        let hint = catalog.routine_params_hint(name, &given);
        hint.map(|params| format!("{}.{}{params}", name.schema, name.name))
    };
    let single = match (invocation, &call.content_type) {
        (Invocation::Post, MediaType::Json) => SingleParameter::Json,
        (Invocation::Post, MediaType::Text) => SingleParameter::Text,
        (Invocation::Post, MediaType::Xml) => SingleParameter::Xml,
        (Invocation::Post, MediaType::OctetStream) => SingleParameter::Bytes,
        _ => SingleParameter::None,
    };
    RestError::RoutineNotFound(Box::new(MissingRoutine {
        schema: name.schema.to_string(),
        name: name.name.to_string(),
        arguments: arguments.to_vec(),
        single,
        similar,
    }))
}

pub(crate) fn ambiguous_routine(found: &[&Routine]) -> RestError {
    let signature = |routine: &&Routine| {
        let params: Vec<String> = routine
            .params
            .iter()
            .map(|param| format!("{} => {}", param.name, param.data_type))
            .collect();
        let QualifiedName { schema, name } = &routine.name;
        format!("{schema}.{name}({})", params.join(", "))
    };
    RestError::AmbiguousRoutine(found.iter().map(signature).collect())
}

//! Tables and views: the definition of a row, a filter for each column, and
//! what each method does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pg::catalog::{Cardinality, Catalog, Column, Relationship, Table};

use super::swagger::{Kind, Operation, Parameter, PathItem, Place, Referenced, Response, Schema};
use super::{headline, types};

/// What every table understands besides filters, in the order of `GET`.
const READ_PARAMETERS: [&str; 7] = [
    "select",
    "order",
    "range",
    "rangeUnit",
    "offset",
    "limit",
    "preferCount",
];

/// The columns and what is known about them.
pub(super) fn definition<'a>(catalog: &'a Catalog, table: &'a Table) -> Schema<'a> {
    let columns = table.columns.values();
    let required = columns.clone().filter(|column| !column.nullable);
    Schema {
        kind: Some(Kind::Object),
        description: table.description.as_deref().map(Cow::Borrowed),
        required: required.map(|column| column.name.as_str()).collect(),
        properties: columns
            .map(|column| (column.name.as_str(), property(catalog, table, column)))
            .collect(),
        ..Schema::default()
    }
}

fn property<'a>(catalog: &'a Catalog, table: &'a Table, column: &'a Column) -> Schema<'a> {
    let default = column.default.as_deref();
    Schema {
        description: describe(catalog, table, column),
        default: default.and_then(|default| types::default(&column.data_type, default)),
        labels: &column.enum_labels,
        max_length: column.max_length,
        ..types::schema(&column.data_type)
    }
}

/// The column's comment, with its keys in a form that clients search for.
fn describe<'a>(catalog: &Catalog, table: &Table, column: &'a Column) -> Option<Cow<'a, str>> {
    let comment = column.description.as_deref();
    let is_key = table.primary_key.contains(&column.name);
    let target = reference(catalog, table, &column.name);
    if !is_key && target.is_none() {
        return comment.map(Cow::Borrowed);
    }
    let mut text = String::new();
    if let Some(comment) = comment {
        text.push_str(comment);
        text.push_str("\n\n");
    }
    text.push_str("Note:");
    if is_key {
        text.push_str("\nThis is a Primary Key.<pk/>");
    }
    if let Some((table, column)) = target {
        let note = format!(
            "\nThis is a Foreign Key to `{table}.{column}`.<fk table='{table}' column='{column}'/>"
        );
        text.push_str(&note);
    }
    Some(Cow::Owned(text))
}

/// Where a foreign key of this column alone leads within the schema; to a
/// table rather than to a view of it.
fn reference<'a>(catalog: &'a Catalog, table: &Table, column: &str) -> Option<(&'a str, &'a str)> {
    let relationships = catalog.relationships.get(&table.name)?;
    let keys = relationships.iter().filter_map(|relationship| {
        let Relationship::ForeignKey(key) = relationship else {
            return None;
        };
        let (Cardinality::ManyToOne { columns, .. }
        | Cardinality::OneToOne {
            columns,
            is_parent: false,
            ..
        }) = &key.cardinality
        else {
            return None;
        };
        match columns.as_slice() {
            [(ours, theirs)] if ours == column => Some((key, theirs)),
            _ => None,
        }
    });
    keys.filter(|(key, _)| key.foreign_table.schema == table.name.schema)
        // The first of equals wins, so that the answer is stable.
        .min_by_key(|(key, _)| key.foreign_table_is_view)
        .map(|(key, theirs)| (&*key.foreign_table.name, theirs.as_str()))
}

/// The shared parameters that belong to the table: its row as a body and a
/// filter for each column.
pub(super) fn parameters(table: &Table) -> impl Iterator<Item = (String, Parameter<'_>)> {
    let name = &*table.name.name;
    let body = Parameter {
        name,
        place: Place::Body,
        description: Some(name),
        schema: Some(Box::new(Referenced::definition(name))),
        ..Parameter::default()
    };
    let filters = table.columns.values().map(move |column| {
        let filter = Parameter {
            name: &column.name,
            description: column.description.as_deref(),
            kind: Some(Kind::String),
            ..Parameter::default()
        };
        (filter_key(name, &column.name), filter)
    });
    std::iter::once((body_key(name), body)).chain(filters)
}

fn body_key(table: &str) -> String {
    format!("body.{table}")
}

fn filter_key(table: &str, column: &str) -> String {
    format!("rowFilter.{table}.{column}")
}

/// `GET`, and the methods that write when any of them can work.
pub(super) fn path(table: &Table) -> PathItem<'_> {
    let name = &*table.name.name;
    let (summary, description) = headline(table.description.as_deref());
    let operation = |parameters: Vec<String>, status, response| Operation {
        tags: [Cow::Borrowed(name)],
        summary,
        description,
        parameters: parameters
            .iter()
            .map(|key| Referenced::parameter(key))
            .collect(),
        produces: &[],
        responses: BTreeMap::from([(status, response)]),
    };
    let filtered = |more: &[&str]| -> Vec<String> {
        let columns = table.columns.keys();
        columns
            .map(|column| filter_key(name, column))
            .chain(more.iter().map(|&key| key.to_owned()))
            .collect()
    };
    let rows = Response {
        description: "OK",
        schema: Some(Schema {
            kind: Some(Kind::Array),
            items: Some(Box::new(Referenced::definition(name))),
            ..Schema::default()
        }),
    };
    let mut get = operation(filtered(&READ_PARAMETERS), 200, rows);
    get.responses
        .insert(206, Response::plain("Partial Content"));
    let get = Some(get);
    if !(table.insertable || table.updatable || table.deletable) {
        return PathItem {
            get,
            ..PathItem::default()
        };
    }
    let body = body_key(name);
    let post = vec![body.clone(), "select".to_owned(), "preferPost".to_owned()];
    let no_content = || Response::plain("No Content");
    PathItem {
        get,
        post: Some(operation(post, 201, Response::plain("Created"))),
        patch: Some(operation(
            filtered(&[&body, "preferReturn"]),
            204,
            no_content(),
        )),
        delete: Some(operation(filtered(&["preferReturn"]), 204, no_content())),
    }
}

//! The answers of `typegen/sql`, one struct for each, fields named like the
//! questions' output; sorted once, so that nothing behind needs to.

use std::collections::{BTreeMap, HashMap, HashSet};

use pg::Session;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::collation::Collation;
use super::nullability;
use super::{Request, TypegenError};

/// An object id. The questions send them as `int8`.
pub(super) type Oid = u32;

/// What the generator knows of a database.
pub(super) struct Metadata {
    /// The printed schemas, in order.
    pub(super) schemas: Vec<String>,
    /// By schema and name.
    pub(super) relations: Vec<Relation>,
    /// Of each relation, by name.
    pub(super) columns: HashMap<Oid, Vec<Column>>,
    /// By schema and name.
    pub(super) types: Vec<Type>,
    pub(super) routines: Vec<Routine>,
    pub(super) keys: Vec<Key>,
    pub(super) views: Vec<View>,
    pub(super) collation: Collation,
}

/// A table or anything that can be selected from.
#[derive(Deserialize)]
pub(super) struct Relation {
    pub(super) id: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) insertable: bool,
    pub(super) updatable: bool,
}

impl Relation {
    /// Whether it stands among the tables; the others are views.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p' | 'f')
    }
}

#[derive(Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for alone"
)]
pub(super) struct Column {
    relation: Oid,
    number: i16,
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) type_schema: String,
    pub(super) nullable: bool,
    said_not_null: bool,
    /// Empty, `a` for ALWAYS, `d` for BY DEFAULT.
    pub(super) identity: String,
    pub(super) generated: bool,
    pub(super) has_default: bool,
    /// Of a view.
    pub(super) updatable: bool,
}

#[derive(Deserialize)]
pub(super) struct Type {
    pub(super) id: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) formatted: String,
    pub(super) labels: Vec<String>,
    /// Name and type.
    pub(super) attributes: Vec<(String, Oid)>,
    /// The relation whose rows it describes; 0 for all other types.
    pub(super) relation: Oid,
}

#[derive(Deserialize)]
pub(super) struct Routine {
    pub(super) id: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) signature: String,
    pub(super) result: String,
    pub(super) returns: Oid,
    pub(super) returns_relation: Oid,
    pub(super) returns_set: bool,
    /// It expects to return more than one row.
    pub(super) many: bool,
}

#[derive(Clone, Deserialize)]
pub(super) struct Argument {
    pub(super) mode: char,
    pub(super) name: String,
    pub(super) type_id: Oid,
    pub(super) has_default: bool,
}

impl Argument {
    /// IN, INOUT and VARIADIC: what a caller gives.
    pub(super) fn is_input(&self) -> bool {
        matches!(self.mode, 'i' | 'b' | 'v')
    }
}

#[derive(Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// `p`, `u` or `f`.
    pub(super) kind: char,
    pub(super) schema: String,
    pub(super) relation: Oid,
    pub(super) relation_name: String,
    pub(super) inherited: bool,
    /// Number and name, in the key's order.
    pub(super) columns: Vec<(i16, String)>,
    pub(super) foreign_relation: Oid,
    pub(super) foreign_schema: Option<String>,
    pub(super) foreign_name: Option<String>,
    pub(super) foreign_columns: Vec<(i16, String)>,
}

/// A view with its stored query.
pub(super) struct View {
    pub(super) id: Oid,
    pub(super) schema: String,
    pub(super) name: String,
    /// It is of a printed schema.
    pub(super) wanted: bool,
    /// Its columns lead on to keys.
    pub(super) followed: bool,
    /// A printed view stands on it.
    pub(super) stacked: bool,
    pub(super) column_names: BTreeMap<i16, String>,
    pub(super) tree: String,
}

/// Runs a question that returns one JSON document.
macro_rules! document {
    ($session:expr, $name:literal $(, $param:expr)*) => {{
        let sql = include_str!(concat!("sql/", $name, ".sql"));
        let rows = $session.query(sql, &[$(Some($param)),*]).await?;
        parse($name, rows.scalar())?
    }};
}

/// Asks everything in one snapshot.
pub(super) async fn load(
    session: &mut Session,
    request: &Request,
) -> Result<Metadata, TypegenError> {
    session.script(include_str!("sql/begin.sql")).await?;
    match read(session, request).await {
        Ok(metadata) => {
            session.script("COMMIT").await?;
            Ok(metadata)
        }
        Err(error) => {
            // The first error is the one that matters.
            let _ = session.script("ROLLBACK").await;
            Err(error)
        }
    }
}

async fn read(session: &mut Session, request: &Request) -> Result<Metadata, TypegenError> {
    let schemas = serde_json::Value::from(request.schemas.clone()).to_string();
    let search_path = serde_json::Value::from(request.extra_search_path.clone()).to_string();
    let rows = session
        .query(
            include_str!("sql/views.sql"),
            &[Some(&schemas), Some(&search_path)],
        )
        .await?;
    let views: Vec<View> = rows.iter().filter_map(view).collect();
    let not_null: HashSet<(Oid, i16)> = document!(session, "not_null");
    let mut columns: Vec<Column> = document!(session, "columns", &schemas);
    let proven = nullability::never_null(&views, &not_null);
    let stacked: HashSet<Oid> = views
        .iter()
        .filter(|view| view.stacked)
        .map(|view| view.id)
        .collect();
    for column in &mut columns {
        let said = column.said_not_null && stacked.contains(&column.relation);
        if said || proven.contains(&(column.relation, column.number)) {
            column.nullable = false;
        }
    }
    let mut metadata = Metadata {
        schemas: document!(session, "schemas", &schemas),
        relations: document!(session, "relations", &schemas),
        columns: HashMap::new(),
        types: document!(session, "types"),
        routines: document!(session, "routines", &schemas),
        keys: document!(session, "keys"),
        views,
        collation: Collation::english(),
    };
    metadata.sort(columns);
    Ok(metadata)
}

impl Metadata {
    fn sort(&mut self, columns: Vec<Column>) {
        let collation = &self.collation;
        self.schemas.sort_by(|a, b| collation.compare(a, b));
        self.relations.sort_by(|a, b| {
            (collation.compare(&a.schema, &b.schema))
                .then_with(|| collation.compare(&a.name, &b.name))
                .then(a.id.cmp(&b.id))
        });
        self.types.sort_by(|a, b| {
            (collation.compare(&a.schema, &b.schema))
                .then_with(|| collation.compare(&a.name, &b.name))
                .then(a.id.cmp(&b.id))
        });
        for column in columns {
            self.columns
                .entry(column.relation)
                .or_default()
                .push(column);
        }
        for columns in self.columns.values_mut() {
            columns.sort_by(|a, b| {
                (collation.compare(&a.name, &b.name)).then(a.number.cmp(&b.number))
            });
        }
    }

    /// The columns of a relation, by name.
    pub(super) fn columns_of(&self, relation: Oid) -> &[Column] {
        self.columns.get(&relation).map_or(&[], Vec::as_slice)
    }
}

fn parse<T: DeserializeOwned>(
    question: &'static str,
    text: Option<&str>,
) -> Result<T, TypegenError> {
    serde_json::from_str(text.unwrap_or("null"))
        .map_err(|source| TypegenError::Answer { question, source })
}

fn view(row: pg::Row<'_>) -> Option<View> {
    let flag = |index| row.get(index).map(|text| text == "t");
    Some(View {
        id: row.get(0)?.parse().ok()?,
        schema: row.get(1)?.to_owned(),
        name: row.get(2)?.to_owned(),
        wanted: flag(3)?,
        followed: flag(4)?,
        stacked: flag(5)?,
        column_names: serde_json::from_str(row.get(6)?).ok()?,
        tree: row.get(7)?.to_owned(),
    })
}

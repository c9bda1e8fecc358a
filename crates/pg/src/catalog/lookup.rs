//! What planners ask of a [`Catalog`]. All of it is in memory.

use crate::catalog::fuzzy;
use crate::catalog::model::{Catalog, QualifiedName, Relationship, Routine, Table};

/// From this similarity on, a name may be revealed to somebody who did not
/// know it.
const NAME_SIMILARITY_MIN: f64 = 0.75;

/// Relationships and arguments belong to something the caller named already.
const PART_SIMILARITY_MIN: f64 = 0.33;

/// Schemas with this many tables give no hints: comparing them all would take
/// longer than the request.
const HINT_TABLES_MAX: usize = 500;

/// "Perhaps you meant `meant` instead of `instead_of`."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationshipHint {
    /// The name that exists.
    pub meant: String,
    /// The name that was given.
    pub instead_of: String,
}

impl Relationship {
    /// The source.
    #[must_use]
    pub fn table(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey(relationship) => &relationship.table,
            Self::Computed(relationship) => &relationship.table,
        }
    }

    /// The target.
    #[must_use]
    pub fn foreign_table(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey(relationship) => &relationship.foreign_table,
            Self::Computed(relationship) => &relationship.foreign_table,
        }
    }

    /// The schema it is looked up in: the target's, or the function's.
    #[must_use]
    pub fn schema(&self) -> &str {
        match self {
            Self::ForeignKey(relationship) => &relationship.foreign_table.schema,
            Self::Computed(relationship) => &relationship.function.schema,
        }
    }
}

impl Catalog {
    /// The table or view of that name, if exposed.
    #[must_use]
    pub fn table(&self, name: &QualifiedName) -> Option<&Table> {
        self.tables.get(name)
    }

    /// All relationships of a table, in the order errors list them.
    #[must_use]
    pub fn relationships_from(&self, table: &QualifiedName) -> &[Relationship] {
        self.relationships.get(table).map_or(&[], Vec::as_slice)
    }

    /// The relationships of a table that lead into a schema, in order.
    pub fn relationships_into<'a>(
        &'a self,
        table: &QualifiedName,
        schema: &'a str,
    ) -> impl Iterator<Item = &'a Relationship> {
        let all = self.relationships_from(table).iter();
        all.filter(move |relationship| relationship.schema() == schema)
    }

    /// The functions of that name, fewest arguments first.
    #[must_use]
    pub fn routines(&self, name: &QualifiedName) -> &[Routine] {
        self.routines.get(name).map_or(&[], Vec::as_slice)
    }

    /// The table that somebody who asked for `name` may have meant.
    #[must_use]
    pub fn table_hint(&self, schema: &str, name: &str) -> Option<&str> {
        let in_schema = || names(self.tables.keys(), schema);
        if in_schema().count() >= HINT_TABLES_MAX {
            return None;
        }
        first(fuzzy::closest(in_schema(), name, NAME_SIMILARITY_MIN))
    }

    /// The function that somebody who called `name` may have meant, when there
    /// is none of that name.
    #[must_use]
    pub fn routine_hint(&self, schema: &str, name: &str) -> Option<&str> {
        let in_schema = names(self.routines.keys(), schema);
        first(fuzzy::closest(in_schema, name, NAME_SIMILARITY_MIN))
    }

    /// The arguments that somebody who called an existing function with
    /// `given` ones may have meant: `(a, b)`.
    #[must_use]
    pub fn routine_params_hint(&self, name: &QualifiedName, given: &[&str]) -> Option<String> {
        let lists: Vec<String> = self
            .routines(name)
            .iter()
            .map(|routine| list(routine.params.iter().map(|param| param.name.as_str())))
            .collect();
        let given = list(given.iter().copied());
        let found = fuzzy::closest(
            lists.iter().map(String::as_str),
            &given,
            PART_SIMILARITY_MIN,
        );
        first(found).map(str::to_owned)
    }

    /// What somebody may have meant who asked for `child` inside `parent` and
    /// found no relationship. Nothing when both are known: then the hint in
    /// the request was wrong.
    #[must_use]
    pub fn relationship_hint(
        &self,
        parent: &str,
        child: &str,
        schema: &str,
    ) -> Option<RelationshipHint> {
        let leads_into_schema =
            |table: &QualifiedName| self.relationships_into(table, schema).next().is_some();
        let source = QualifiedName::new(schema, parent);
        let (meant, instead_of) = if leads_into_schema(&source) {
            let children = self.relationships_into(&source, schema);
            let children = children.map(|relationship| &*relationship.foreign_table().name);
            let found = fuzzy::closest(children, child, PART_SIMILARITY_MIN);
            let other = found
                .into_iter()
                .find(|(similarity, _)| *similarity < 1.0)?;
            (other.1, child)
        } else {
            let parents = self.relationships.keys();
            let parents = parents.filter(|table| leads_into_schema(table));
            let parents = parents.map(|table| &*table.name);
            (
                first(fuzzy::closest(parents, parent, PART_SIMILARITY_MIN))?,
                parent,
            )
        };
        Some(RelationshipHint {
            meant: meant.to_owned(),
            instead_of: instead_of.to_owned(),
        })
    }
}

fn names<'a>(
    all: impl Iterator<Item = &'a QualifiedName>,
    schema: &str,
) -> impl Iterator<Item = &'a str> {
    all.filter(move |name| &*name.schema == schema)
        .map(|name| &*name.name)
}

fn first(found: Vec<(f64, &str)>) -> Option<&str> {
    found.into_iter().next().map(|(_, name)| name)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    format!("({})", names.join(", "))
}

//! From a type's name in the catalog to the type in TypeScript.

use super::document::{Type as Ts, quoted};
use super::metadata::{Metadata, Relation, Type};

/// Finds types of the printed schemas by name.
pub(super) struct Resolver<'a> {
    metadata: &'a Metadata,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(metadata: &'a Metadata) -> Self {
        Self { metadata }
    }

    /// The type of that name; among several, the one of that schema.
    pub(super) fn resolve(&self, name: &str, schema: &str) -> Ts {
        if let Some(known) = built_in(name) {
            return known;
        }
        if let Some(element) = name.strip_prefix('_') {
            return Ts::Array(Box::new(self.resolve(element, schema)));
        }
        if let Some(found) = self.type_with(name, schema, |one| !one.labels.is_empty()) {
            if self.printed(&found.schema) {
                return in_database(&found.schema, "Enums", &found.name);
            }
            let labels = found.labels.iter().cloned().map(Ts::Literal);
            return Ts::union(labels.collect());
        }
        if let Some(found) = self.type_with(name, schema, |one| !one.attributes.is_empty()) {
            if self.printed(&found.schema) {
                return in_database(&found.schema, "CompositeTypes", &found.name);
            }
            return Ts::Word("unknown");
        }
        self.relation(name, schema)
            .map_or(Ts::Word("unknown"), |found| row(found, "Row"))
    }

    /// As [`Resolver::resolve`] for an argument. A caller does not give the
    /// computed fields of a row.
    pub(super) fn argument(&self, name: &str, schema: &str, argument: &str) -> Ts {
        let resolved = self.resolve(name, schema);
        let relation = self.relation(name, schema);
        match relation {
            Some(found) if !argument.is_empty() && resolved == row(found, "Row") => {
                Ts::Reference("Omit", vec![resolved, row(found, "ComputedFields")])
            }
            _ => resolved,
        }
    }

    fn printed(&self, schema: &str) -> bool {
        self.metadata.schemas.iter().any(|known| known == schema)
    }

    fn type_with(&self, name: &str, schema: &str, has: fn(&Type) -> bool) -> Option<&'a Type> {
        let types = &self.metadata.types;
        let mut named = types.iter().filter(|one| one.name == name && has(one));
        let first = named.next()?;
        if first.schema == schema {
            return Some(first);
        }
        named.find(|one| one.schema == schema).or(Some(first))
    }

    /// Relations by kind, as upstream lists them: tables, foreign tables, views,
    /// materialized views.
    fn relation(&self, name: &str, schema: &str) -> Option<&'a Relation> {
        let order = |one: &Relation| match one.kind {
            'r' | 'p' => 0,
            'f' => 1,
            'v' => 2,
            _ => 3,
        };
        let relations = &self.metadata.relations;
        let named = || relations.iter().filter(|one| one.name == name);
        named()
            .filter(|one| one.schema == schema)
            .min_by_key(|one| order(one))
            .or_else(|| named().min_by_key(|one| order(one)))
            .filter(|found| self.printed(&found.schema))
    }
}

fn built_in(name: &str) -> Option<Ts> {
    Some(match name {
        "bool" => Ts::Word("boolean"),
        "int2" | "int4" | "int8" | "float4" | "float8" | "numeric" => Ts::Word("number"),
        "bytea" | "bpchar" | "varchar" | "date" | "text" | "citext" | "time" | "timetz"
        | "timestamp" | "timestamptz" | "uuid" | "vector" | "interval" => Ts::Word("string"),
        "json" | "jsonb" => Ts::Word("Json"),
        "void" => Ts::Word("undefined"),
        "record" => Ts::Reference("Record", vec![Ts::Word("string"), Ts::Word("unknown")]),
        _ => return None,
    })
}

fn in_database(schema: &str, group: &str, name: &str) -> Ts {
    Ts::Access(format!(
        "Database[{}][{}][{}]",
        quoted(schema),
        quoted(group),
        quoted(name)
    ))
}

fn row(relation: &Relation, part: &str) -> Ts {
    let group = if relation.is_table() {
        "Tables"
    } else {
        "Views"
    };
    match in_database(&relation.schema, group, &relation.name) {
        Ts::Access(path) => Ts::Access(format!("{path}[{}]", quoted(part))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_what_the_wire_carries() {
        assert_eq!(built_in("int8"), Some(Ts::Word("number")));
        assert_eq!(built_in("timestamptz"), Some(Ts::Word("string")));
        assert_eq!(built_in("inet"), None);
    }
}

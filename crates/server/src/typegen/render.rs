//! Puts the document together: `Database`, the helper types, `Constants`.

use std::collections::HashMap;

use super::Request;
use super::document::{Member, Type as Ts, brackets, quoted, value};
use super::layout::{Layout, print};
use super::metadata::{Argument, Column, Metadata, Oid, Relation};
use super::relationships::{self, ByRelation, Relationship};
use super::resolve::Resolver;
use super::routines::{self, Call, Lookup, Overloads};

/// The schema that the helper types speak of, where it is printed.
const DEFAULT_SCHEMA: &str = "public";

const JSON: &str = "\
export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]
";

/// Behind `DefaultSchema`.
const HELPERS: &str = include_str!("helpers.ts");

/// The whole module.
pub(super) fn render(metadata: &Metadata, request: &Request) -> String {
    let lookup = Lookup::new(metadata);
    let overloads = routines::all(metadata, &lookup);
    let relationships = relationships::all(metadata);
    let mut fields: HashMap<Oid, Vec<(&str, &Call<'_>)>> = HashMap::new();
    for group in &overloads {
        let mut seen = Vec::new();
        for call in &group.calls {
            if let Some(relation) = call.field_of.filter(|relation| !seen.contains(relation)) {
                seen.push(relation);
                fields.entry(relation).or_default().push((group.name, call));
            }
        }
    }
    let printer = Printer {
        metadata,
        lookup,
        overloads: &overloads,
        relationships,
        fields,
        resolver: Resolver::new(metadata),
        one_to_one: request.one_to_one,
    };
    let version = request.postgrest_version.as_deref();
    format!(
        "{JSON}\n{}\n{}\n{}\n{}",
        printer.database(version),
        default_schema(metadata),
        HELPERS.split_once("\n\n").map_or("", |(_, rest)| rest),
        printer.constants()
    )
}

/// Of several possible default schemas the helper types take `public`, else the
/// first.
fn default_schema(metadata: &Metadata) -> String {
    let schemas = &metadata.schemas;
    let public = schemas.iter().any(|schema| schema == DEFAULT_SCHEMA);
    let name = match schemas.first() {
        Some(first) if !public => first,
        _ => DEFAULT_SCHEMA,
    };
    let layout = Layout::group(vec![
        Layout::text("type DefaultSchema = DatabaseWithoutInternals[Extract<"),
        Layout::Indent(
            2,
            vec![
                Layout::Soft,
                Layout::text("keyof Database,"),
                Layout::Line,
                Layout::text(quoted(name)),
            ],
        ),
        Layout::Soft,
        Layout::text(">]"),
    ]);
    format!(
        "type DatabaseWithoutInternals = Omit<Database, \"__InternalSupabase\">\n\n{}\n",
        print(&layout)
    )
}

struct Printer<'a> {
    metadata: &'a Metadata,
    lookup: Lookup<'a>,
    overloads: &'a [Overloads<'a>],
    relationships: ByRelation,
    /// The computed fields of relations.
    fields: HashMap<Oid, Vec<(&'a str, &'a Call<'a>)>>,
    resolver: Resolver<'a>,
    one_to_one: bool,
}

impl Printer<'_> {
    fn database(&self, version: Option<&str>) -> String {
        let members = self.metadata.schemas.iter().map(|schema| {
            let groups = vec![
                Member::new("Tables", self.relations(schema, true)),
                Member::new("Views", self.relations(schema, false)),
                Member::new("Functions", self.functions(schema)),
                Member::new("Enums", self.enums(schema)),
                Member::new("CompositeTypes", self.composite_types(schema)),
            ];
            Member::new(schema, Ts::tall(groups))
        });
        let text = print(&Layout::Join(vec![
            Layout::text("export type Database = "),
            Ts::tall(version.map(internal).into_iter().chain(members).collect()).layout(),
        ]));
        format!("{text}\n")
    }

    fn constants(&self) -> String {
        let schemas = self.metadata.schemas.iter().map(|schema| {
            let enums = self.enums_of(schema).map(|(name, labels)| {
                let labels = labels.iter().map(|label| Layout::text(quoted(label)));
                (name, brackets(labels.collect()))
            });
            let enums = value(enums.collect());
            (schema.as_str(), value(vec![("Enums", enums)]))
        });
        let text = print(&Layout::Join(vec![
            Layout::text("export const Constants = "),
            value(schemas.collect()),
            Layout::text(" as const"),
        ]));
        format!("{text}\n")
    }

    /// Tables or views of a schema.
    fn relations(&self, schema: &str, tables: bool) -> Ts {
        let mut relations: Vec<&Relation> = self
            .metadata
            .relations
            .iter()
            .filter(|one| one.schema == schema && one.is_table() == tables)
            .collect();
        let collation = &self.metadata.collation;
        relations.sort_by(|a, b| collation.compare(&a.name, &b.name));
        let members = relations
            .into_iter()
            .map(|one| Member::new(&one.name, self.relation(one)));
        Ts::keyed(members.collect())
    }

    fn relation(&self, relation: &Relation) -> Ts {
        let fields = self.fields.get(&relation.id).map_or(&[][..], Vec::as_slice);
        let mut row = self.row(relation.id);
        row.extend(
            fields
                .iter()
                .map(|(name, call)| Member::new(*name, self.returned(call).nullable(true))),
        );
        let names = fields
            .iter()
            .map(|(name, _)| Ts::Literal((*name).to_owned()));
        let mut members = vec![
            Member::new("Row", Ts::tall(row)),
            Member::new("ComputedFields", Ts::union(names.collect())),
        ];
        let columns = self.metadata.columns_of(relation.id);
        let table = relation.is_table();
        let written = |insert| {
            let members = columns.iter().map(|column| {
                if table {
                    self.written(column, insert)
                } else {
                    self.written_through(column)
                }
            });
            Ts::tall(members.collect())
        };
        if table || relation.insertable {
            members.push(Member::new("Insert", written(true)));
        }
        if table || relation.updatable {
            members.push(Member::new("Update", written(false)));
        }
        let place = (relation.schema.clone(), relation.name.clone());
        let ways = self.relationships.get(&place).into_iter().flatten();
        let ways = ways.map(|way| self.relationship(way));
        members.push(Member::new("Relationships", Ts::Tuple(ways.collect())));
        Ts::tall(members)
    }

    /// The columns as they are read.
    fn row(&self, relation: Oid) -> Vec<Member> {
        let columns = self.metadata.columns_of(relation).iter();
        columns
            .map(|column| Member::new(&column.name, self.column(column, column.nullable)))
            .collect()
    }

    fn column(&self, column: &Column, nullable: bool) -> Ts {
        self.resolver
            .resolve(&column.type_name, &column.type_schema)
            .nullable(nullable)
    }

    /// A table's column in an INSERT or UPDATE.
    fn written(&self, column: &Column, insert: bool) -> Member {
        if column.identity == "a" || column.generated {
            return Member::new(&column.name, Ts::Word("never")).optional(true);
        }
        let optional =
            !insert || column.nullable || !column.identity.is_empty() || column.has_default;
        Member::new(&column.name, self.column(column, column.nullable)).optional(optional)
    }

    /// A view's column in an INSERT or UPDATE: the table behind it may have a
    /// default.
    fn written_through(&self, column: &Column) -> Member {
        let value = if column.updatable {
            self.column(column, true)
        } else {
            Ts::Word("never")
        };
        Member::new(&column.name, value).optional(true)
    }

    fn relationship(&self, way: &Relationship) -> Ts {
        let text = |text: &str| Ts::Literal(text.to_owned());
        let list = |names: &[String]| Ts::Tuple(names.iter().map(|name| text(name)).collect());
        let mut members = vec![
            Member::new("foreignKeyName", text(&way.key)),
            Member::new("columns", list(&way.columns)),
        ];
        if self.one_to_one {
            members.push(Member::new("isOneToOne", truth(way.one_to_one)));
        }
        members.push(Member::new(
            "referencedRelation",
            text(&way.referenced_relation),
        ));
        members.push(Member::new(
            "referencedColumns",
            list(&way.referenced_columns),
        ));
        Ts::tall(members)
    }

    fn functions(&self, schema: &str) -> Ts {
        let groups = self.overloads.iter().filter(|group| group.schema == schema);
        let members = groups.map(|group| {
            let calls = group.calls.iter().map(|call| self.call(call));
            Member::new(group.name, Ts::union(calls.collect()))
        });
        Ts::keyed(members.collect())
    }

    fn call(&self, call: &Call<'_>) -> Ts {
        let arguments = if call.arguments.is_empty() {
            Ts::Reference("Record", vec![Ts::Word("PropertyKey"), Ts::Word("never")])
        } else {
            let arguments = call.arguments.iter().map(|argument| {
                Member::new(&argument.name, self.argument(argument)).optional(argument.has_default)
            });
            Ts::flat(arguments.collect())
        };
        let returns = self.returns(call);
        let mut members = vec![
            Member::new("Args", arguments),
            Member::new("Returns", returns),
        ];
        if let Some(setof) = &call.setof {
            let options = vec![
                Member::new("from", Ts::Literal(setof.from.to_owned())),
                Member::new("to", Ts::Literal(setof.to.to_owned())),
                Member::new("isOneToOne", truth(setof.one_to_one)),
                Member::new("isSetofReturn", truth(call.routine.returns_set)),
            ];
            members.push(Member::new("SetofOptions", Ts::tall(options)));
        }
        Ts::flat(members)
    }

    /// What a call answers with.
    fn returns(&self, call: &Call<'_>) -> Ts {
        if let Some(error) = &call.error {
            let mark = Ts::flat(vec![Member::new("error", Ts::Word("true"))]);
            return Ts::Both(Box::new(mark), Box::new(Ts::Literal(error.clone())));
        }
        let one = call.setof.as_ref().is_some_and(|setof| setof.one_to_one);
        let returned = self.returned(call);
        if call.routine.returns_set && !one {
            Ts::Array(Box::new(returned))
        } else {
            returned
        }
    }

    fn argument(&self, argument: &Argument) -> Ts {
        match self.lookup.types.get(&argument.type_id) {
            Some(found) => self
                .resolver
                .argument(&found.name, &found.schema, &argument.name),
            None => Ts::Word("unknown"),
        }
    }

    /// One row of what a function returns.
    fn returned(&self, call: &Call<'_>) -> Ts {
        if !call.columns.is_empty() {
            let columns = call.columns.iter();
            let members = columns.map(|one| Member::new(&one.name, self.by_id(one.type_id)));
            return Ts::tall(members.collect());
        }
        let relation = self.lookup.relations.get(&call.routine.returns_relation);
        match relation.filter(|found| found.schema == call.routine.schema) {
            Some(found) => Ts::tall(self.row(found.id)),
            None => self.by_id(call.routine.returns),
        }
    }

    fn by_id(&self, id: Oid) -> Ts {
        match self.lookup.types.get(&id) {
            Some(found) => self.resolver.resolve(&found.name, &found.schema),
            None => Ts::Word("unknown"),
        }
    }

    fn enums_of<'b>(&'b self, schema: &'b str) -> impl Iterator<Item = (&'b str, &'b [String])> {
        let types = self.metadata.types.iter();
        types
            .filter(move |one| one.schema == schema && !one.labels.is_empty())
            .map(|one| (one.name.as_str(), one.labels.as_slice()))
    }

    fn enums(&self, schema: &str) -> Ts {
        let members = self.enums_of(schema).map(|(name, labels)| {
            let labels = labels.iter().cloned().map(Ts::Literal);
            Member::new(name, Ts::union(labels.collect()))
        });
        Ts::keyed(members.collect())
    }

    fn composite_types(&self, schema: &str) -> Ts {
        let types = self.metadata.types.iter();
        let composite = types.filter(|one| one.schema == schema && !one.attributes.is_empty());
        let members = composite.map(|one| {
            let attributes = one
                .attributes
                .iter()
                .map(|(name, id)| Member::new(name, self.by_id(*id).nullable(true)));
            Member::new(&one.name, Ts::tall(attributes.collect()))
        });
        Ts::keyed(members.collect())
    }
}

/// What createClient is told without being asked.
fn internal(version: &str) -> Member {
    let version = Member::new("PostgrestVersion", Ts::Literal(version.to_owned()));
    let mut member = Member::new("__InternalSupabase", Ts::tall(vec![version]));
    member.comment = &[
        "// Allows to automatically instantiate createClient with right options",
        "// instead of createClient<Database, { PostgrestVersion: 'XX' }>(URL, KEY)",
    ];
    member
}

fn truth(value: bool) -> Ts {
    Ts::Word(if value { "true" } else { "false" })
}

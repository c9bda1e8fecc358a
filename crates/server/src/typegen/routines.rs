//! Functions as PostgREST offers them: which can be called at all, which of one
//! name are in each other's way, which are fields of a table.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::metadata::{Argument, Metadata, Oid, Relation, Routine, Type};

/// json, jsonb and text: a lone argument of these types needs no name.
const BODY_TYPES: [Oid; 3] = [114, 3802, 25];

/// All functions of one schema and name.
pub(super) struct Overloads<'a> {
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    /// By signature.
    pub(super) calls: Vec<Call<'a>>,
}

/// One function.
pub(super) struct Call<'a> {
    pub(super) routine: &'a Routine,
    /// What a caller gives, by name.
    pub(super) arguments: Vec<&'a Argument>,
    /// The columns of `RETURNS TABLE`, by name.
    pub(super) columns: Vec<&'a Argument>,
    /// How it can be used as an embed or refined by a select.
    pub(super) setof: Option<Setof<'a>>,
    /// The relation that has it as a field.
    pub(super) field_of: Option<Oid>,
    /// PostgREST refuses the call, and this is why.
    pub(super) error: Option<String>,
}

/// From the rows of what to the rows of what.
pub(super) struct Setof<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) one_to_one: bool,
}

/// Looks types and relations up.
pub(super) struct Lookup<'a> {
    pub(super) types: HashMap<Oid, &'a Type>,
    pub(super) relations: HashMap<Oid, &'a Relation>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(metadata: &'a Metadata) -> Self {
        Self {
            types: metadata.types.iter().map(|one| (one.id, one)).collect(),
            relations: metadata.relations.iter().map(|one| (one.id, one)).collect(),
        }
    }

    /// The type of a relation's rows, or of a composite type.
    fn row_type(&self, id: Oid) -> Option<&'a Type> {
        self.types
            .get(&id)
            .copied()
            .filter(|found| found.relation != 0)
    }

    fn type_name(&self, id: Oid) -> &'a str {
        self.types.get(&id).map_or("unknown", |found| &found.name)
    }
}

/// The functions of the printed schemas, by schema and name.
pub(super) fn all<'a>(metadata: &'a Metadata, lookup: &Lookup<'a>) -> Vec<Overloads<'a>> {
    let schemas: HashSet<&str> = metadata.schemas.iter().map(String::as_str).collect();
    let mut groups: BTreeMap<(&str, &str), Vec<&Routine>> = BTreeMap::new();
    for routine in &metadata.routines {
        if schemas.contains(routine.schema.as_str()) && callable(routine, lookup) {
            groups
                .entry((&routine.schema, &routine.name))
                .or_default()
                .push(routine);
        }
    }
    let collation = &metadata.collation;
    let mut all: Vec<Overloads<'_>> = groups
        .into_iter()
        .map(|((schema, name), mut routines)| {
            routines.sort_by(|a, b| {
                (collation.compare(&a.signature, &b.signature))
                    .then_with(|| collation.compare(&a.result, &b.result))
                    .then(a.id.cmp(&b.id))
            });
            let calls = routines
                .iter()
                .map(|routine| call(routine, &routines, metadata, lookup));
            Overloads {
                schema,
                name,
                calls: calls.collect(),
            }
        })
        .collect();
    all.sort_by(|a, b| {
        (collation.compare(a.schema, b.schema)).then_with(|| collation.compare(a.name, b.name))
    });
    all
}

fn inputs(routine: &Routine) -> impl Iterator<Item = &Argument> {
    routine.arguments.iter().filter(|one| one.is_input())
}

/// The only input of a function that has exactly one.
fn lone(routine: &Routine) -> Option<&Argument> {
    let mut inputs = inputs(routine);
    inputs.next().filter(|_| inputs.next().is_none())
}

/// Arguments are given by name, so they need one. One without is the body, a
/// row, or left out.
fn callable(routine: &Routine, lookup: &Lookup<'_>) -> bool {
    let body = |one: &Argument| BODY_TYPES.contains(&one.type_id);
    let lone_body_or_row =
        lone(routine).is_some_and(|one| body(one) || lookup.row_type(one.type_id).is_some());
    inputs(routine).all(|one| !one.name.is_empty())
        || inputs(routine).all(|one| !one.name.is_empty() || one.has_default && body(one))
        || lone_body_or_row
}

fn call<'a>(
    routine: &'a Routine,
    overloads: &[&'a Routine],
    metadata: &'a Metadata,
    lookup: &Lookup<'a>,
) -> Call<'a> {
    let collation = &metadata.collation;
    let by_name =
        |a: &&'a Argument, b: &&'a Argument| collation.compare(a.name.as_str(), b.name.as_str());
    let mut arguments: Vec<&Argument> = inputs(routine).collect();
    arguments.sort_by(by_name);
    let mut columns: Vec<&Argument> = routine
        .arguments
        .iter()
        .filter(|one| one.mode == 't')
        .collect();
    columns.sort_by(by_name);
    Call {
        routine,
        arguments,
        columns,
        setof: setof(routine, lookup),
        field_of: field_of(routine, metadata, lookup),
        error: conflict(routine, overloads, lookup).or_else(|| unnamed_row(routine, lookup)),
    }
}

fn setof<'a>(routine: &'a Routine, lookup: &Lookup<'a>) -> Option<Setof<'a>> {
    if routine.returns_relation == 0 {
        return None;
    }
    let relation = lookup.relations.get(&routine.returns_relation);
    let to = relation
        .map(|found| found.name.as_str())
        .or_else(|| Some(lookup.row_type(routine.returns)?.name.as_str()))?;
    // All arguments count here, OUT and TABLE too.
    let source = match routine.arguments.as_slice() {
        [one] => lookup.row_type(one.type_id),
        _ => None,
    };
    Some(Setof {
        from: source.map_or("*", |found| &found.formatted),
        to,
        one_to_one: source.is_some() && !routine.returns_set || !routine.many,
    })
}

/// A function of one row is a field of the relation that the row is of, unless
/// a column has its name.
fn field_of(routine: &Routine, metadata: &Metadata, lookup: &Lookup<'_>) -> Option<Oid> {
    let row = lookup.row_type(lone(routine)?.type_id)?;
    let relation = lookup.relations.get(&row.relation)?;
    let hidden = metadata
        .columns_of(relation.id)
        .iter()
        .any(|column| column.name == routine.name);
    (relation.schema == routine.schema && !hidden).then_some(relation.id)
}

/// PostgREST cannot choose between functions that differ in types alone, nor
/// between none and an argument without a name that may be left out.
fn conflict(routine: &Routine, overloads: &[&Routine], lookup: &Lookup<'_>) -> Option<String> {
    let others = || {
        overloads
            .iter()
            .copied()
            .filter(|other| other.id != routine.id)
    };
    let name = format!("{}.{}", routine.schema, routine.name);
    if inputs(routine).next().is_none() {
        let other = others().find(|other| {
            lone(other).is_some_and(|argument| argument.name.is_empty() && argument.has_default)
        })?;
        let returned = lookup.type_name(other.returns);
        return Some(ambiguous(&format!("{name}(), {name}( => {returned})")));
    }
    let own = lone(routine).filter(|argument| !argument.name.is_empty())?;
    let mut candidates: Vec<&Argument> = others()
        .filter_map(lone)
        .filter(|other| other.name == own.name && other.type_id != own.type_id)
        .collect();
    if candidates.is_empty() {
        return None;
    }
    candidates.insert(0, own);
    candidates.sort_by_key(|argument| argument.type_id);
    let candidates: Vec<String> = candidates
        .iter()
        .map(|one| format!("{name}({} => {})", one.name, lookup.type_name(one.type_id)))
        .collect();
    Some(ambiguous(&candidates.join(", ")))
}

fn ambiguous(candidates: &str) -> String {
    format!(
        "Could not choose the best candidate function between: {candidates}. Try renaming the parameters or the function itself in the database so function overloading can be resolved"
    )
}

/// A row cannot be sent, so a function of one without a name is a field only.
fn unnamed_row(routine: &Routine, lookup: &Lookup<'_>) -> Option<String> {
    let argument = lone(routine).filter(|argument| argument.name.is_empty())?;
    lookup.row_type(argument.type_id)?;
    Some(format!(
        "the function {}.{} with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache",
        routine.schema, routine.name
    ))
}

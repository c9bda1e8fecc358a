//! Finds the function that a call means, by its name and the names of its
//! arguments, and says how it is called.

use std::collections::BTreeSet;

use pg::catalog::{Catalog, QualifiedName, ReturnKind, Routine, RoutineParam};

use super::read::needed_columns;
use super::refuse;
use super::tree::{PlanField, PlanLogic, ReadNode};
use crate::call::media::MediaType;
use crate::call::payload::{Payload, Shape, Text};
use crate::call::{Call, Invocation};
use crate::error::RestError;

/// How the function is called.
#[derive(Clone, Debug)]
pub(crate) struct CallPlan {
    pub(crate) arguments: Arguments,
    /// The columns of its rows that are needed; a lone `*` for all.
    pub(crate) columns: Vec<String>,
}

/// Where the arguments come from.
#[derive(Clone, Debug)]
pub(crate) enum Arguments {
    /// Nowhere: there are none.
    None,
    /// The whole body is the one unnamed argument.
    Body {
        value: Option<String>,
        data_type: String,
    },
    /// Each by itself, from the query string or a form.
    Direct(Vec<(RoutineParam, Argument)>),
    /// From the keys of a JSON object (or of the first one in an array).
    Json {
        params: Vec<RoutineParam>,
        body: Text,
        shape: Shape,
    },
}

/// A value, or the values of a VARIADIC argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    One(String),
    Many(Vec<String>),
}

/// The type whose rows the function returns, as far as embeds and columns are
/// looked up by it.
pub(crate) fn row_type(routine: &Routine) -> QualifiedName {
    match &routine.returns.kind {
        ReturnKind::Composite { name, .. } if &*name.name != "record" => {
            QualifiedName::new(routine.name.schema.clone(), name.name.clone())
        }
        _ => routine.name.clone(),
    }
}

pub(crate) fn returns_scalar(routine: &Routine) -> bool {
    matches!(
        routine.returns.kind,
        ReturnKind::Scalar { .. } | ReturnKind::Void
    )
}

/// Finds the function and binds its arguments.
pub(crate) fn find<'c>(
    catalog: &'c Catalog,
    call: &Call,
    name: &QualifiedName,
    invocation: Invocation,
) -> Result<(&'c Routine, CallPlan), RestError> {
    let keys: BTreeSet<&str> = match invocation {
        Invocation::Read => call
            .query
            .params
            .iter()
            .map(|(key, _)| key.as_str())
            .collect(),
        Invocation::Post => call.columns.iter().map(String::as_str).collect(),
    };
    let overloads = catalog.routines(name);
    let named: Vec<&'c Routine> = overloads
        .iter()
        .filter(|routine| takes(routine, &keys, call, invocation))
        .collect();
    let unnamed = || -> Vec<&'c Routine> {
        overloads
            .iter()
            .filter(|routine| takes_body(routine, call, invocation))
            .collect()
    };
    let candidates = if named.is_empty() { unnamed() } else { named };
    let routine = match candidates.as_slice() {
        [one] => *one,
        [] => {
            let arguments: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            return Err(refuse::routine_not_found(
                catalog, call, name, invocation, &arguments,
            ));
        }
        many => return Err(refuse::ambiguous_routine(many)),
    };
    let arguments = bind(routine, call, &keys, invocation);
    let plan = CallPlan {
        arguments,
        columns: Vec::new(),
    };
    Ok((routine, plan))
}

/// Whether the arguments' names are all its required parameters and nothing
/// that is not a parameter.
fn takes(routine: &Routine, keys: &BTreeSet<&str>, call: &Call, invocation: Invocation) -> bool {
    if routine.params.is_empty() {
        let raw = matches!(
            call.content_type,
            MediaType::OctetStream | MediaType::Text | MediaType::Xml
        );
        return keys.is_empty() && !(invocation == Invocation::Post && raw);
    }
    let known = |key: &&str| routine.params.iter().any(|param| param.name == **key);
    keys.iter().all(known)
        && routine
            .params
            .iter()
            .filter(|param| param.required)
            .all(|param| keys.contains(param.name.as_str()))
}

/// Whether its one unnamed parameter takes the whole body.
fn takes_body(routine: &Routine, call: &Call, invocation: Invocation) -> bool {
    let [param] = routine.params.as_slice() else {
        return false;
    };
    let fits = matches!(
        (&call.content_type, param.data_type.as_str()),
        (MediaType::Json, "json" | "jsonb")
            | (MediaType::Text, "text")
            | (MediaType::Xml, "xml")
            | (MediaType::OctetStream, "bytea")
    );
    invocation == Invocation::Post && param.name.is_empty() && fits
}

fn bind(
    routine: &Routine,
    call: &Call,
    keys: &BTreeSet<&str>,
    invocation: Invocation,
) -> Arguments {
    if let [param] = routine.params.as_slice()
        && param.name.is_empty()
    {
        return body_argument(param, call);
    }
    let params: Vec<RoutineParam> = routine
        .params
        .iter()
        .filter(|param| keys.contains(param.name.as_str()))
        .cloned()
        .collect();
    if params.is_empty() {
        return Arguments::None;
    }
    match (invocation, &call.payload) {
        (Invocation::Read, _) => direct(params, &call.query.params),
        (Invocation::Post, Some(Payload::Form(pairs))) => direct(params, pairs),
        (Invocation::Post, Some(Payload::Json { text, shape, .. })) => Arguments::Json {
            params,
            body: text.clone(),
            shape: *shape,
        },
        (Invocation::Post, Some(Payload::RawJson(text))) => Arguments::Json {
            params,
            shape: shape_of(text.as_str()),
            body: text.clone(),
        },
        (Invocation::Post, Some(Payload::Raw(_)) | None) => Arguments::None,
    }
}

fn body_argument(param: &RoutineParam, call: &Call) -> Arguments {
    let value = match &call.payload {
        Some(Payload::Raw(bytes)) if param.data_type == "bytea" => Some(hex(bytes)),
        Some(Payload::Raw(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Some(Payload::Json { text, .. } | Payload::RawJson(text)) => Some(text.as_str().to_owned()),
        Some(Payload::Form(_)) | None => None,
    };
    Arguments::Body {
        value,
        data_type: param.data_type.clone(),
    }
}

/// Bytes in Postgres' text format.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(2 + bytes.len() * 2);
    out.push_str("\\x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn direct(params: Vec<RoutineParam>, pairs: &[(String, String)]) -> Arguments {
    let bound = params.into_iter().map(|param| {
        let mut values: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| *name == param.name)
            .map(|(_, value)| value.clone())
            .collect();
        let argument = if param.variadic {
            Argument::Many(values)
        } else {
            // Of a repeated argument the last value counts.
            Argument::One(values.pop().unwrap_or_default())
        };
        (param, argument)
    });
    Arguments::Direct(bound.collect())
}

/// Whether JSON that nobody has looked at is an object or an array.
pub(crate) fn shape_of(text: &str) -> Shape {
    if text.trim_start().starts_with('{') {
        Shape::Object
    } else {
        Shape::Array
    }
}

/// Adds what the read on top of the function needs of its rows.
pub(crate) fn complete(mut plan: CallPlan, tree: &ReadNode) -> CallPlan {
    plan.columns = needed_columns(tree, &filtered_columns(tree));
    plan
}

fn filtered_columns(node: &ReadNode) -> Vec<String> {
    let mut names = Vec::new();
    for logic in &node.logic {
        collect(logic, &mut names);
    }
    for term in &node.order {
        if term.relation.is_none() {
            push(&term.field, &mut names);
        }
    }
    names
}

fn collect(logic: &PlanLogic, names: &mut Vec<String>) {
    match logic {
        PlanLogic::Group { branches, .. } => {
            for branch in branches {
                collect(branch, names);
            }
        }
        PlanLogic::Filter { field, .. } => push(field, names),
        PlanLogic::NullEmbed { .. } => {}
    }
}

fn push(field: &PlanField, names: &mut Vec<String>) {
    names.push(field.name.clone());
}

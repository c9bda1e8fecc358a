//! Functions at `/rpc/`: arguments in the query of a GET, or as a JSON object.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pg::Rows;
use pg::catalog::{Catalog, Routine, Volatility};

use super::swagger::{Kind, Operation, Parameter, PathItem, Place, Referenced, Response, Schema};
use super::{FUNCTION_MEDIA_TYPES, headline, types};

/// A function, wherever it was learned of. Overloads share a path, which can
/// show one of them; the order makes that the one with most arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Function {
    pub(super) name: String,
    /// Before what follows only so that arguments decide the order.
    pub(super) arity: usize,
    pub(super) description: Option<String>,
    pub(super) arguments: Vec<Argument>,
    pub(super) volatile: bool,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) data_type: String,
    pub(super) required: bool,
    pub(super) variadic: bool,
}

/// The answer to `usable_functions.sql`.
pub(super) fn usable(rows: &Rows) -> Vec<Function> {
    let functions = rows.iter().map(|row| {
        // Without arguments the list is NULL. Postgres wrote it as the
        // statement says, so nothing else fails to parse.
        let arguments: Vec<(String, String, bool, bool)> = row
            .get(3)
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        Function {
            name: row.get(0).unwrap_or_default().to_owned(),
            description: row.get(1).map(str::to_owned),
            volatile: row.get(2) == Some("t"),
            arity: arguments.len(),
            arguments: arguments
                .into_iter()
                .map(|(name, data_type, required, variadic)| Argument {
                    name,
                    data_type,
                    required,
                    variadic,
                })
                .collect(),
        }
    });
    functions.collect()
}

/// All that the catalog knows in the schema.
pub(super) fn known(catalog: &Catalog, schema: &str) -> Vec<Function> {
    let routines = catalog
        .routines
        .iter()
        .filter(|(name, _)| &*name.schema == schema)
        .flat_map(|(_, overloads)| overloads);
    routines.map(function).collect()
}

fn function(routine: &Routine) -> Function {
    let arguments = routine.params.iter().map(|param| Argument {
        name: param.name.clone(),
        data_type: param.data_type.clone(),
        required: param.required,
        variadic: param.variadic,
    });
    Function {
        name: routine.name.name.to_string(),
        arity: routine.params.len(),
        description: routine.description.clone(),
        volatile: routine.volatility == Volatility::Volatile,
        arguments: arguments.collect(),
    }
}

/// POST, and GET for functions that change nothing.
pub(super) fn path(function: &Function) -> PathItem<'_> {
    let (summary, description) = headline(function.description.as_deref());
    let operation = |parameters| Operation {
        tags: [Cow::Owned(format!("(rpc) {}", function.name))],
        summary,
        description,
        parameters,
        produces: &FUNCTION_MEDIA_TYPES,
        responses: BTreeMap::from([(200, Response::plain("OK"))]),
    };
    let in_query = || {
        let arguments = function.arguments.iter();
        arguments
            .map(|argument| Referenced::Inline(query_parameter(argument)))
            .collect()
    };
    let in_body = Parameter {
        name: "args",
        place: Place::Body,
        required: true,
        schema: Some(Box::new(Referenced::Inline(body(function)))),
        ..Parameter::default()
    };
    PathItem {
        get: (!function.volatile).then(|| operation(in_query())),
        post: Some(operation(vec![
            Referenced::Inline(in_body),
            Referenced::parameter("preferParams"),
        ])),
        ..PathItem::default()
    }
}

fn body(function: &Function) -> Schema<'_> {
    let arguments = function.arguments.iter();
    let required = arguments.clone().filter(|argument| argument.required);
    Schema {
        kind: Some(Kind::Object),
        description: function.description.as_deref().map(Cow::Borrowed),
        required: required.map(|argument| argument.name.as_str()).collect(),
        properties: arguments
            .map(|argument| (argument.name.as_str(), types::schema(&argument.data_type)))
            .collect(),
        ..Schema::default()
    }
}

fn query_parameter(argument: &Argument) -> Parameter<'_> {
    let data_type = argument.data_type.as_str();
    let parameter = Parameter {
        name: &argument.name,
        required: argument.required,
        ..Parameter::default()
    };
    // A variadic argument is repeated: `?v=1&v=2`.
    if let Some(element) = types::element(data_type).filter(|_| argument.variadic) {
        return Parameter {
            kind: Some(Kind::Array),
            collection_format: Some("multi"),
            items: Some(Box::new(Schema {
                kind: types::kind(element),
                format: Some(types::format(element)),
                ..Schema::default()
            })),
            ..parameter
        };
    }
    // Other arrays are written as Postgres does, `{1,2}`; and a parameter of
    // a query must have a type, unlike a property.
    let kind = match types::kind(data_type) {
        None | Some(Kind::Array) => Kind::String,
        Some(kind) => kind,
    };
    Parameter {
        kind: Some(kind),
        format: Some(types::format(data_type)),
        ..parameter
    }
}

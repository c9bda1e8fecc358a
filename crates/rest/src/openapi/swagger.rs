//! The parts of a Swagger 2.0 document that a database needs, as types: what
//! cannot be said here cannot be sent. Absent is `None` or empty, never null.
//! Start at [`Document`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The whole.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    pub(super) swagger: &'static str,
    pub(super) info: Info<'a>,
    pub(super) host: String,
    pub(super) base_path: String,
    pub(super) schemes: [&'static str; 1],
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    pub(super) paths: BTreeMap<String, PathItem<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) definitions: BTreeMap<&'a str, Schema<'a>>,
    pub(super) parameters: BTreeMap<String, Parameter<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security_definitions: Option<SecurityDefinitions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security: Option<[SecurityRequirement; 1]>,
    pub(super) external_docs: ExternalDocs,
}

/// What the API is called.
#[derive(Serialize)]
pub(super) struct Info<'a> {
    pub(super) title: &'a str,
    pub(super) description: &'a str,
    pub(super) version: &'static str,
}

/// Where to read on.
#[derive(Serialize)]
pub(super) struct ExternalDocs {
    pub(super) description: &'static str,
    pub(super) url: &'static str,
}

/// A key that travels in a header.
#[derive(Serialize)]
pub(super) struct SecurityScheme {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) description: &'static str,
}

/// That the key must be sent.
#[derive(Serialize)]
pub(super) struct SecurityRequirement {
    /// The scheme of this name, with no scopes: it has none.
    #[serde(rename = "JWT")]
    pub(super) token: [&'static str; 0],
}

/// The schemes that there are.
#[derive(Serialize)]
pub(super) struct SecurityDefinitions {
    #[serde(rename = "JWT")]
    pub(super) token: SecurityScheme,
}

/// The methods of a path.
#[derive(Default, Serialize)]
pub(super) struct PathItem<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) get: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) post: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patch: Option<Operation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delete: Option<Operation<'a>>,
}

/// What one method does.
#[derive(Default, Serialize)]
pub(super) struct Operation<'a> {
    pub(super) tags: [Cow<'a, str>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) summary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parameters: Vec<Referenced<Parameter<'a>>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) produces: &'static [&'static str],
    pub(super) responses: BTreeMap<u16, Response<'a>>,
}

/// What comes back under a status.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    pub(super) description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Schema<'a>>,
}

impl Response<'_> {
    /// One without a body to speak of.
    pub(super) fn plain(description: &'static str) -> Self {
        Self {
            description,
            schema: None,
        }
    }
}

/// Something given here, or the name of what is given once elsewhere.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Referenced<T> {
    /// By reference.
    Reference {
        /// A JSON pointer into the document.
        #[serde(rename = "$ref")]
        pointer: String,
    },
    /// Here.
    Inline(T),
}

impl<T> Referenced<T> {
    /// A table's definition.
    pub(super) fn definition(name: &str) -> Self {
        let pointer = format!("#/definitions/{name}");
        Self::Reference { pointer }
    }

    /// A shared parameter.
    pub(super) fn parameter(name: &str) -> Self {
        let pointer = format!("#/parameters/{name}");
        Self::Reference { pointer }
    }
}

/// Where a parameter travels.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    Body,
    Header,
    #[default]
    Query,
}

/// JSON's types, as far as Postgres' types map to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Array,
    Boolean,
    Integer,
    Number,
    Object,
    String,
}

/// A parameter.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    #[serde(rename = "in")]
    pub(super) place: Place,
    pub(super) required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a str>,
    #[serde(rename = "enum", skip_serializing_if = "<[_]>::is_empty")]
    pub(super) labels: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) collection_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Box<Schema<'a>>>,
    /// Of a body, which has no type of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Box<Referenced<Schema<'a>>>>,
}

/// What a value looks like.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema<'a> {
    /// `None` is anything.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<Box<RawValue>>,
    #[serde(rename = "enum", skip_serializing_if = "<[_]>::is_empty")]
    pub(super) labels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Box<Referenced<Self>>>,
    /// In the order of the columns or arguments.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "object")]
    pub(super) properties: Vec<(&'a str, Self)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required: Vec<&'a str>,
}

fn object<S: Serializer>(entries: &[(&str, Schema<'_>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(name, schema)| (name, schema)))
}

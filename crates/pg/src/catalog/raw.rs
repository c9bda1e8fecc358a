//! The answers of `catalog/sql` as they come: one struct per query, fields
//! named like its output columns.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::catalog::view_columns::{self, TargetEntry};

/// An OID. They are unsigned 32 bit numbers; the queries send them as `int8`.
pub(super) type Oid = u32;

/// Everything that was read.
pub(super) struct Raw {
    pub(super) relations: Vec<RawRelation>,
    pub(super) columns: Vec<RawColumn>,
    pub(super) types: Vec<RawType>,
    pub(super) keys: Vec<RawKey>,
    pub(super) views: Vec<StoredView>,
    pub(super) routines: Vec<RawRoutine>,
    pub(super) computed: Vec<RawComputed>,
    pub(super) representations: Vec<RawRepresentation>,
    pub(super) media_handlers: Vec<RawMediaHandler>,
    pub(super) role_settings: Vec<RawRoleSetting>,
    pub(super) response_settings_used: bool,
    pub(super) request_settings_used: bool,
    pub(super) session_settings_used: bool,
    pub(super) schema_comments: HashMap<Arc<str>, String>,
}

#[derive(Deserialize)]
pub(super) struct RawRelation {
    pub(super) id: Oid,
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) kind: char,
    pub(super) rls: bool,
    pub(super) description: Option<String>,
    pub(super) commands: i32,
}

#[derive(Deserialize)]
pub(super) struct RawColumn {
    pub(super) relation: Oid,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) not_null: bool,
    #[serde(rename = "type")]
    pub(super) type_id: Oid,
    pub(super) modifier: i32,
    pub(super) nominal_type: String,
    pub(super) identity: String,
    pub(super) generated: bool,
    pub(super) default: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RawType {
    pub(super) id: Oid,
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) formatted: String,
    pub(super) kind: char,
    pub(super) category: char,
    pub(super) base: Oid,
    pub(super) modifier: i32,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) json_cast: bool,
}

/// (number, name)
pub(super) type KeyColumn = (i16, String);

#[derive(Deserialize)]
pub(super) struct RawKey {
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) relation: Oid,
    pub(super) foreign_relation: Oid,
    pub(super) inherited: bool,
    pub(super) columns: Vec<KeyColumn>,
    pub(super) foreign_columns: Option<Vec<KeyColumn>>,
}

#[derive(Deserialize)]
pub(super) struct RawRoutine {
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) description: Option<String>,
    pub(super) returns: Oid,
    pub(super) returns_set: bool,
    pub(super) returns_columns: bool,
    pub(super) volatility: char,
    pub(super) required: usize,
    /// (name, type, variadic)
    pub(super) params: Option<Vec<(String, Oid, bool)>>,
    pub(super) settings: Option<Vec<(String, String)>>,
}

#[derive(Deserialize)]
pub(super) struct RawComputed {
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) relation: Oid,
    pub(super) foreign_relation: Oid,
    pub(super) to_one: bool,
}

#[derive(Deserialize)]
pub(super) struct RawRepresentation {
    pub(super) source: String,
    pub(super) target: String,
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
}

#[derive(Deserialize)]
pub(super) struct RawMediaHandler {
    pub(super) schema: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) domain_schema: Arc<str>,
    pub(super) domain_name: Arc<str>,
    pub(super) is_routine: bool,
    pub(super) relation_schema: Option<Arc<str>>,
    pub(super) relation_name: Option<Arc<str>>,
}

#[derive(Deserialize)]
pub(super) struct RawRoleSetting {
    pub(super) role: Arc<str>,
    pub(super) name: String,
    pub(super) value: String,
}

/// A view with the origins of its columns.
pub(super) struct StoredView {
    pub(super) id: Oid,
    pub(super) columns: Vec<TargetEntry>,
}

impl StoredView {
    /// Reads a row of `views.sql`. The query tree is large and dropped at once.
    pub(super) fn new(id: &str, tree: &str) -> Option<Self> {
        Some(Self {
            id: id.parse().ok()?,
            columns: view_columns::target_list(tree),
        })
    }
}

/// Reads the one JSON value a query returned.
pub(super) fn document<T: DeserializeOwned>(query: &str, text: Option<&str>) -> Result<T, Error> {
    let text = text.unwrap_or("null");
    serde_json::from_str(text)
        .map_err(|error| Error::Protocol(format!("catalog query {query}: {error}")))
}

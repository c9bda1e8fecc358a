//! What the database looks like: read once at start, again on `NOTIFY pgrst`,
//! and then only looked up.
//!
//! [`load`] asks a dozen short questions (`catalog/sql`) in one snapshot and
//! leaves the thinking to Rust: `types` names types, `view_columns` follows
//! a view's columns down to tables, `relationships` turns keys into ways from
//! table to table, `build` puts it all together. [`live`] keeps it fresh.
//! The result is `model`; `lookup` is what planners ask of it.

mod build;
mod fuzzy;
pub mod live;
mod lookup;
mod model;
mod raw;
mod relationships;
mod routines;
mod settings;
mod types;
mod view_columns;

use std::collections::HashSet;

pub use lookup::RelationshipHint;
pub use model::{
    Cardinality, Catalog, Column, ComputedRelationship, ForeignKeyRelationship, JsonShape,
    Junction, MediaHandler, QualifiedName, Relationship, Representation, ReturnKind, ReturnType,
    Routine, RoutineParam, Table, Volatility,
};

pub use settings::{pre_config, role_config};

use crate::catalog::raw::{Raw, StoredView};
use crate::{Error, Session};

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The exposed schemas (`db-schemas`), the default one first.
    pub schemas: Vec<String>,
    /// Schemas whose views are looked through for keys, though not exposed
    /// (`db-extra-search-path`).
    pub extra_search_path: Vec<String>,
    /// Patterns of the function settings that apply to the whole transaction
    /// (`db-hoisted-tx-settings`).
    pub hoisted_settings: Vec<String>,
}

impl LoadOptions {
    /// Those schemas, and the usual rest.
    #[must_use]
    pub fn for_schemas(schemas: Vec<String>) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            schemas,
            extra_search_path: owned(&["public"]),
            hoisted_settings: owned(&[
                "statement_timeout",
                "plan_filter.statement_cost_limit",
                "default_transaction_isolation",
            ]),
        }
    }
}

/// Reads the catalog in one snapshot. Time zones are left out, see
/// [`load_timezones`].
pub async fn load(session: &mut Session, options: &LoadOptions) -> Result<Catalog, Error> {
    session
        .script(include_str!("catalog/sql/begin.sql"))
        .await?;
    match read(session, options).await {
        Ok(raw) => {
            session.script("COMMIT").await?;
            Ok(build::build(raw, &options.schemas))
        }
        Err(error) => {
            // The first error is the one that matters; a connection that
            // cannot roll back is of no use to anybody anyway.
            let _ = session.script("ROLLBACK").await;
            Err(error)
        }
    }
}

/// The names accepted by `SET timezone`, for [`Catalog::timezones`]. Costs
/// about 100 ms of disk reading in Postgres, so ask only when needed.
pub async fn load_timezones(session: &mut Session) -> Result<HashSet<String>, Error> {
    let rows = session
        .query(include_str!("catalog/sql/timezones.sql"), &[])
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| row.get(0).map(str::to_owned))
        .collect())
}

/// Runs the queries of `catalog/sql` that return one JSON document each.
macro_rules! document {
    ($session:expr, $name:literal, $($param:expr),*) => {{
        let sql = include_str!(concat!("catalog/sql/", $name, ".sql"));
        let rows = $session.query(sql, &[$(Some($param)),*]).await?;
        raw::document($name, rows.scalar())?
    }};
}

async fn read(session: &mut Session, options: &LoadOptions) -> Result<Raw, Error> {
    let schemas = text_array(&options.schemas);
    let search_path = text_array(&options.extra_search_path);
    let hoisted = text_array(&options.hoisted_settings);
    let views = session
        .query(
            include_str!("catalog/sql/views.sql"),
            &[Some(&schemas), Some(&search_path)],
        )
        .await?;
    let comments = session
        .query(
            include_str!("catalog/sql/schema_comments.sql"),
            &[Some(&schemas)],
        )
        .await?;
    let response_settings = session
        .query(include_str!("catalog/sql/response_settings.sql"), &[])
        .await?;
    let request_settings = session
        .query(include_str!("catalog/sql/request_settings.sql"), &[])
        .await?;
    let session_settings = session
        .query(include_str!("catalog/sql/session_settings.sql"), &[])
        .await?;
    Ok(Raw {
        relations: document!(session, "relations", &schemas),
        columns: document!(session, "columns", &schemas),
        types: document!(session, "types",),
        keys: document!(session, "constraints",),
        views: views
            .iter()
            .filter_map(|row| StoredView::new(row.get(0)?, row.get(1)?))
            .collect(),
        routines: document!(session, "routines", &schemas, &hoisted),
        computed: document!(session, "computed_relationships",),
        representations: document!(session, "representations",),
        media_handlers: document!(session, "media_handlers", &schemas),
        role_settings: if session.server_version() >= 150_000 {
            document!(session, "role_settings",)
        } else {
            document!(session, "role_settings_14",)
        },
        response_settings_used: response_settings.scalar() != Some("f"),
        request_settings_used: request_settings.scalar() != Some("f"),
        session_settings_used: session_settings.scalar() != Some("f"),
        schema_comments: comments
            .iter()
            .filter_map(|row| Some((row.get(0)?.into(), row.get(1)?.to_owned())))
            .collect(),
    })
}

/// Writes an array as Postgres reads it: `{"a","b"}`.
fn text_array(items: &[String]) -> String {
    let mut out = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('"');
        for c in item.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_schema_names_survive_as_array_items() {
        let items = ["test".to_owned(), "SPECIAL \"@/\\#~_-".to_owned()];
        assert_eq!(text_array(&items), r#"{"test","SPECIAL \"@/\\#~_-"}"#);
        assert_eq!(text_array(&[]), "{}");
    }
}

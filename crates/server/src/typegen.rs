//! `ferrobase gen types typescript`: the database as types for supabase-js.
//!
//! [`typescript`] reads the catalog in one snapshot and prints. In order:
//! `metadata` asks (`sql/`), `node_tree` and `nullability` find out which
//! columns of a view cannot be NULL, `relationships` follows keys through
//! views, `routines` looks at functions as PostgREST does, `resolve` names
//! types, `render` puts the document together, and `document` and `layout`
//! lay it out as the official formatter would.
//! [`Watch`] does it again whenever the schema changes.
//!
//! Invariants: the same schema gives the same bytes, whatever the object ids,
//! whoever asks and wherever; only names of the catalog reach the text, and
//! each of them as an escaped string or a checked identifier.

mod collation;
mod document;
mod layout;
mod metadata;
mod node_tree;
mod nullability;
mod relationships;
mod render;
mod resolve;
mod routines;
mod watch;

#[cfg(test)]
mod tests;

use pg::Session;

pub use watch::Watch;

/// What to print.
#[derive(Clone, Debug)]
pub struct Request {
    /// The schemas to print, in any order.
    pub schemas: Vec<String>,
    /// Schemas whose views lead on to keys though they are not printed
    /// (`db.extra_search_path`).
    pub extra_search_path: Vec<String>,
    /// Say of each relationship whether it is one to one. PostgREST 9 and
    /// older returned arrays for those.
    pub one_to_one: bool,
    /// Tells supabase-js the PostgREST version it will speak to.
    pub postgrest_version: Option<String>,
}

/// Why there are no types.
#[derive(Debug, thiserror::Error)]
pub enum TypegenError {
    /// The database refused or is gone.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// An answer was not what the question asks for.
    #[error("unexpected answer to {question}: {source}")]
    Answer {
        /// The file below `typegen/sql`.
        question: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads the catalog and prints it as a TypeScript module.
pub async fn typescript(session: &mut Session, request: &Request) -> Result<String, TypegenError> {
    let metadata = metadata::load(session, request).await?;
    Ok(render::render(&metadata, request))
}

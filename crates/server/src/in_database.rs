//! The settings that are kept in the database itself: read at start, and again
//! when the database says so.
//!
//! Two places, as with PostgREST: the role that we connect as (`ALTER ROLE …
//! SET pgrst.…`), and a function that sets what it computes (`db.pre_config`).
//! What is stored with the role outranks the function.

use pg::catalog::{self, QualifiedName};
use pg::{Pool, Session};

use crate::config::{ConfigError, Loaded, Mode, Sources, database_names, load};

/// Why they could not be read, or are not to be used.
#[derive(Debug, thiserror::Error)]
pub enum InDatabaseError {
    /// One of them is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database did not answer, or its function failed.
    #[error("could not {what}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What it said.
        #[source]
        source: pg::Error,
    },
}

/// Everything that was said, with what the database says now.
pub async fn read(
    session: &mut Session,
    mode: Mode,
    sources: &mut Sources,
) -> Result<Loaded, InDatabaseError> {
    let of_role = catalog::role_config(session)
        .await
        .map_err(because("read the settings of the database role"))?;
    sources.database.clone_from(&of_role);
    let loaded = load(mode, sources)?;
    let Some(function) = &loaded.config.db.pre_config else {
        return Ok(loaded);
    };
    let function = qualified(function);
    // Later ones count.
    sources.database = catalog::pre_config(session, &function, &database_names())
        .await
        .map_err(because("call the function of `db.pre_config`"))?;
    sources.database.extend(of_role);
    Ok(load(mode, sources)?)
}

/// The same on a connection of its own.
pub async fn read_again(
    pool: &Pool,
    mode: Mode,
    sources: &mut Sources,
) -> Result<Loaded, InDatabaseError> {
    let mut session = Session::connect(pool.target())
        .await
        .map_err(because("connect to the database"))?;
    let loaded = read(&mut session, mode, sources).await;
    session.close().await;
    loaded
}

fn because(what: &'static str) -> impl FnOnce(pg::Error) -> InDatabaseError {
    move |source| InDatabaseError::Database { what, source }
}

/// `schema.name`, or a name that the search path finds.
pub(crate) fn qualified(text: &str) -> QualifiedName {
    match text.split_once('.') {
        Some((schema, name)) => QualifiedName::new(schema, name),
        None => QualifiedName::new("", text),
    }
}

//! Invariant 6: a table without row level security in an exposed schema is
//! closed to `anon` unless declared public, and named at start.
//! The rule itself is SQL (`migrations/0007_table_guard.sql`).

use pg::{Session, SqlBuf};

use super::error::ProjectError;
use super::history::array;

/// What the operator should know about one table or view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Without row level security, therefore closed to `anon`.
    Closed,
    /// Without row level security and open, as its comment declares.
    Public,
    /// Without row level security and open: we lack the right to close it.
    Open,
    /// A view through which `anon` reads protected tables with its owner's rights.
    View,
}

/// A table or view to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What about it.
    pub exposure: Exposure,
}

impl std::fmt::Display for Exposed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            schema,
            name,
            exposure,
        } = self;
        match exposure {
            Exposure::Closed => write!(
                f,
                "table {schema}.{name} has no row level security: closed to anon (enable it, or \
                 declare the table public: COMMENT ON TABLE … IS '@ferrobase.public')"
            ),
            Exposure::Public => write!(
                f,
                "table {schema}.{name} has no row level security and is declared public"
            ),
            Exposure::Open => write!(
                f,
                "table {schema}.{name} has no row level security and is OPEN to anon: the connecting \
                 role may not close it; enable row level security or revoke the grants"
            ),
            Exposure::View => write!(
                f,
                "view {schema}.{name} shows anon protected tables with its owner's rights (consider \
                 security_invoker = true)"
            ),
        }
    }
}

/// Tells the database which schemas are exposed, closes what must be closed
/// there and returns what to report. One statement; run at every start and
/// after migrations.
pub async fn unprotected_tables(
    session: &mut Session,
    schemas: &[&str],
) -> Result<Vec<Exposed>, ProjectError> {
    let sql = SqlBuf::fixed(
        "SELECT schema, name, state FROM ferrobase.close_unprotected_tables($1::text[])",
    )
    .bind(array(schemas));
    let rows = match session.query_buf(&sql).await {
        Ok(rows) => rows,
        // The rule is not there, or not for us: `migrate` has said so.
        Err(error) if matches!(error.sqlstate(), Some("3F000" | "42883" | "42501")) => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(ProjectError::database(
                "could not check for tables without row level security",
            )(error));
        }
    };
    Ok(rows
        .iter()
        .map(|row| Exposed {
            schema: row.get(0).unwrap_or_default().to_owned(),
            name: row.get(1).unwrap_or_default().to_owned(),
            exposure: match row.get(2) {
                Some("closed") => Exposure::Closed,
                Some("public") => Exposure::Public,
                Some("view") => Exposure::View,
                _ => Exposure::Open,
            },
        })
        .collect())
}

//! What `doctor` asks the database. It looks and changes nothing.

use pg::SqlBuf;

use super::Database;
use crate::app::StartError;
use crate::dev::connect;
use crate::project::history::array;

/// What migrations of Supabase projects usually ask for and a distribution can
/// bring.
const EXTENSIONS: [&str; 14] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "fuzzystrmatch",
    "hstore",
    "ltree",
    "moddatetime",
    "pg_stat_statements",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// A database as it is.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// `15.18 (Debian …)`
    pub version: String,
    /// `150018`
    pub version_number: u32,
    /// `logical` is what change streams need.
    pub wal_level: String,
    /// Whether we are superuser.
    pub superuser: bool,
    /// Whether we may make roles.
    pub may_create_roles: bool,
    /// Whether we may make schemas.
    pub may_create_schemas: bool,
    /// Whether our own schema is there.
    pub prepared: bool,
    /// Extensions that are not installed on the server, separated by commas.
    pub missing_extensions: String,
    /// Tables of the exposed schemas without row level security.
    pub unprotected: Vec<String>,
}

impl Database {
    /// Asks the database about itself.
    pub async fn examine(&self, schemas: &[String]) -> Result<Examined, StartError> {
        let failed = |source| StartError::Database {
            what: "ask the database about itself",
            source,
        };
        let mut session = connect(&self.targets.platform).await?;
        let about = SqlBuf::fixed(include_str!("examine_server.sql")).bind(array(&EXTENSIONS));
        let rows = session.query_buf(&about).await.map_err(failed)?;
        let mut examined = Examined::default();
        if let Some(row) = rows.iter().next() {
            let text = |i| row.get(i).unwrap_or_default().to_owned();
            let yes = |i| row.get(i) == Some("t");
            examined = Examined {
                version: text(0),
                version_number: text(1).parse().unwrap_or(0),
                wal_level: text(2),
                superuser: yes(3),
                may_create_roles: yes(4),
                may_create_schemas: yes(5),
                prepared: yes(6),
                missing_extensions: text(7),
                unprotected: Vec::new(),
            };
        }
        let schemas: Vec<&str> = schemas.iter().map(String::as_str).collect();
        let tables = SqlBuf::fixed(include_str!("examine_tables.sql")).bind(array(&schemas));
        let rows = session.query_buf(&tables).await.map_err(failed)?;
        examined.unprotected = rows
            .iter()
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect();
        session.close().await;
        Ok(examined)
    }
}

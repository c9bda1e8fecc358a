//! What the database remembers of a project: the tables of schema
//! `supabase_migrations`, shaped and written as the official CLI does, so that
//! either tool can go on where the other stopped.

use pg::{Session, SqlBuf};
use sha2::{Digest as _, Sha256};

use super::error::ProjectError;

/// An applied migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) version: String,
    pub(super) name: String,
    /// [`fingerprint`] of its statements, unless they were not recorded.
    pub(super) fingerprint: Option<String>,
}

/// Reads the migrations in the order of their versions.
pub(super) async fn applied(session: &mut Session) -> Result<Vec<Applied>, ProjectError> {
    const SQL: &str = include_str!("sql/list_migrations.sql");
    let answer = match session.query(SQL, &[]).await {
        // An early release of the CLI kept versions only.
        Err(error) if error.sqlstate() == Some("42703") => {
            prepare(session).await?;
            session.query(SQL, &[]).await
        }
        answer => answer,
    };
    let rows = match answer {
        Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => return Ok(Vec::new()),
        answer => answer.map_err(ProjectError::database(
            "could not read the migration history",
        ))?,
    };
    Ok(rows
        .iter()
        .map(|row| Applied {
            version: row.get(0).unwrap_or_default().to_owned(),
            name: row.get(1).unwrap_or_default().to_owned(),
            fingerprint: row.get(2).map(str::to_owned),
        })
        .collect())
}

/// Makes the two tables, or brings old ones up to date.
pub(super) async fn prepare(session: &mut Session) -> Result<(), ProjectError> {
    session
        .script(include_str!("sql/prepare_history.sql"))
        .await
        .map(|_| ())
        .map_err(ProjectError::database(
            "could not make the migration history",
        ))
}

/// Records a migration; runs inside its transaction.
pub(super) async fn record(
    session: &mut Session,
    version: &str,
    name: &str,
    statements: &[&str],
) -> Result<(), pg::Error> {
    let sql = SqlBuf::fixed(
        "INSERT INTO supabase_migrations.schema_migrations (version, name, statements) \
         VALUES ($1, $2, $3::text[])",
    )
    .bind(version.to_owned())
    .bind(name.to_owned())
    .bind(array(statements));
    session.query_buf(&sql).await.map(|_| ())
}

/// The statements without white space and semicolons, hashed: two tools that
/// cut or trim a file differently agree on it. `sql/list_migrations.sql`
/// computes the same.
pub(super) fn fingerprint(statements: &[&str]) -> String {
    let mut hash = Sha256::new();
    for statement in statements {
        let kept = statement.split([' ', '\n', '\r', '\t', ';']);
        kept.for_each(|part| hash.update(part.as_bytes()));
    }
    hex(&hash.finalize())
}

/// SHA-256 in hex, as `seed_files.hash` has it.
pub(super) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// Texts as a Postgres array.
pub(crate) fn array(items: &[&str]) -> String {
    let mut out = String::from("{");
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "\"" } else { ",\"" });
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
    fn arrays_keep_quotes_and_backslashes() {
        assert_eq!(array(&[]), "{}");
        assert_eq!(array(&["a\"b\\c", "", "NULL"]), r#"{"a\"b\\c","","NULL"}"#);
    }

    #[test]
    fn the_fingerprint_ignores_layout() {
        assert_eq!(
            fingerprint(&["a  b;", "c"]),
            fingerprint(&["a b", ";\n c "])
        );
        assert_ne!(fingerprint(&["ab"]), fingerprint(&["ac"]));
    }
}

//! What the tables hold, in numbers that do not depend on the order of rows:
//! taken in the snapshot of a backup, and again of what was restored from it.

use pg::{Session, SqlBuf};

use super::BackupError;
use super::manifest::Table;

/// How values are written while they are hashed: the same at both ends,
/// whatever a role or database says.
pub(super) const SETTINGS: &str = "SELECT pg_catalog.set_config(name, value, false)
    FROM (VALUES ('search_path', 'pg_catalog'), ('datestyle', 'ISO, YMD'),
        ('intervalstyle', 'postgres'), ('timezone', 'UTC'), ('extra_float_digits', '1'),
        ('bytea_output', 'hex'), ('lc_monetary', 'C'), ('row_security', 'off'),
        ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0')
    ) AS setting (name, value)";

/// The tables, by name.
pub(super) async fn tables(session: &mut Session) -> Result<Vec<(String, String)>, BackupError> {
    let rows = session.query(include_str!("tables.sql"), &[]).await;
    let rows = rows.map_err(BackupError::database("list the tables"))?;
    let text = |row: &pg::Row<'_>, place| row.get(place).unwrap_or_default().to_owned();
    Ok(rows
        .iter()
        .map(|row| (text(&row, 0), text(&row, 1)))
        .collect())
}

/// Counts a table's rows and adds up their hashes.
pub(super) async fn measure(
    session: &mut Session,
    schema: &str,
    name: &str,
) -> Result<Table, BackupError> {
    let mut sql = SqlBuf::new();
    // Two rows that are equal count twice; a sum of hashes wraps nowhere.
    sql.lit("SELECT count(*)::text, coalesce(sum(hashtextextended((t.*)::text, 0)), 0)::text FROM ONLY ")
        .qualified(schema, name)
        .lit(" AS t");
    let rows = session.query_buf(&sql).await;
    let rows = rows.map_err(BackupError::database("count the rows of a table"))?;
    let row = rows.first();
    let text = |place| {
        row.as_ref()
            .and_then(|row| row.get(place))
            .unwrap_or_default()
    };
    Ok(Table {
        schema: schema.to_owned(),
        name: name.to_owned(),
        rows: text(0).parse().unwrap_or_default(),
        hash: text(1).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use pg::testing::TestDb;

    use super::*;

    #[tokio::test]
    async fn order_does_not_matter_and_values_do() {
        let db = TestDb::empty().await;
        let mut session = db.session().await;
        let tables_made = "CREATE TABLE a (t text, at timestamptz, f float8, j json);
            INSERT INTO a SELECT n, 'epoch'::timestamptz + n * interval '1 s', n / 3.0, '{}'
                FROM generate_series(1, 50) AS n;
            CREATE TABLE b AS SELECT * FROM a ORDER BY f DESC;
            CREATE TABLE c AS SELECT * FROM a;
            UPDATE c SET f = f + 1e-9 WHERE t = '7';
            SET timezone = 'Asia/Tokyo'";
        session.script(tables_made).await.unwrap();
        let mut hashes = Vec::new();
        session.query(SETTINGS, &[]).await.unwrap();
        for (schema, name) in tables(&mut session).await.unwrap() {
            let table = measure(&mut session, &schema, &name).await.unwrap();
            assert_eq!((table.schema.as_str(), table.rows), ("public", 50));
            hashes.push(table.hash);
        }
        assert_eq!(hashes.len(), 3);
        assert_eq!(hashes.first(), hashes.get(1));
        assert_ne!(hashes.first(), hashes.get(2));
    }
}

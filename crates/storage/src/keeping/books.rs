//! What the database knows about bytes.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use pg::{OpenTx, Pool, RequestTx, Rows, SqlBuf};
use uuid::Uuid;

use crate::blobs::{BlobError, BlobId, Sums};

/// One node at a time looks for what no row names.
const ONE_SWEEPS: &str = "SELECT pg_catalog.pg_try_advisory_xact_lock(4995148153201070437)";

/// Uploads in parts that are older are ended: a week is what object stores
/// usually keep them.
const PARTS_AGE: &str = "7 days";

/// Something that could not be done about bytes or rows.
#[derive(Debug, thiserror::Error)]
pub enum KeepingError {
    /// The database.
    #[error(transparent)]
    Database(#[from] pg::Error),
    /// The bytes.
    #[error(transparent)]
    Bytes(#[from] BlobError),
    /// The bytes are another database's.
    #[error("these files belong to another database")]
    Foreign,
}

/// The books of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Books {
    pool: Pool,
    role: Arc<str>,
}

/// A row that names bytes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) bucket: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) sums: Option<Sums>,
}

/// Leave to remove, for as long as the transaction is open.
pub(super) struct Leave(OpenTx);

impl Books {
    /// Asks as `role`, which the pool's login may become.
    #[must_use]
    pub fn new(pool: Pool, role: &str) -> Self {
        let role = role.into();
        Self { pool, role }
    }

    fn request(&self) -> RequestTx {
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request.keeps_settings();
        request
    }

    async fn run(&self, sql: SqlBuf) -> Result<Rows, pg::Error> {
        let mut request = self.request();
        request.push(sql);
        let rows = request.run(&self.pool).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// Which database this is, and up to where it has been swept.
    pub(super) async fn swept(&self) -> Result<(Uuid, Option<BlobId>), pg::Error> {
        let sql = SqlBuf::fixed("SELECT books, up_to FROM storage_engine.sweep");
        let rows = self.run(sql).await?;
        let row = rows.first();
        let field = |index| row.and_then(|row| row.get(index));
        let books = field(0).and_then(|text| text.parse().ok());
        let up_to = field(1).and_then(|text| text.parse().ok());
        Ok((books.unwrap_or_default(), up_to))
    }

    /// Ends uploads that nobody goes on with. How many.
    pub(super) async fn expire(&self, most: u32) -> Result<u64, pg::Error> {
        let sql = SqlBuf::fixed("SELECT storage_engine.expire($1::interval, $2::integer)");
        let rows = self
            .run(sql.bind(PARTS_AGE.to_owned()).bind(most.to_string()))
            .await?;
        Ok(rows
            .scalar()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0))
    }

    /// Leave to remove bytes; none while a backup copies them. `alone` asks
    /// that no other node does the same.
    pub(super) async fn leave(&self, alone: bool) -> Result<Option<Leave>, pg::Error> {
        let mut request = self.request();
        request.push(SqlBuf::fixed(pg::fence::MAY_REMOVE));
        if alone {
            request.push(SqlBuf::fixed(ONE_SWEEPS));
        }
        let (open, rows) = request.open(&self.pool).await?;
        if rows.iter().all(|rows| rows.scalar() == Some("t")) {
            return Ok(Some(Leave(open)));
        }
        open.rollback().await?;
        Ok(None)
    }

    /// Those of these that rows name.
    pub(super) async fn named(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, pg::Error> {
        Ok(found(&self.run(named(ids)).await?))
    }

    /// Tombstones that are left.
    pub(super) async fn tombstones(&self) -> Result<u64, pg::Error> {
        let sql = SqlBuf::fixed("SELECT count(*) FROM storage_engine.removed");
        let rows = self.run(sql).await?;
        Ok(rows
            .scalar()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0))
    }

    /// Those of these that have a tombstone.
    pub(super) async fn waiting(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, pg::Error> {
        let sql =
            SqlBuf::fixed("SELECT version FROM storage_engine.removed WHERE version = ANY ($1)");
        Ok(found(&self.run(sql.bind(array(ids))).await?))
    }

    /// Rows of objects after this one, by their id.
    pub(super) async fn entries(&self, after: &str, most: usize) -> Result<Vec<Entry>, pg::Error> {
        let sql = SqlBuf::fixed(include_str!("sql/entries.sql"));
        let rows = self
            .run(sql.bind(after.to_owned()).bind(most.to_string()))
            .await?;
        Ok(rows.iter().map(|row| entry(&row)).collect())
    }

    /// Whether a row still names a version: it may have gone since it was read.
    pub(super) async fn still(&self, entry: &Entry) -> Result<bool, pg::Error> {
        let sql = SqlBuf::fixed(include_str!("sql/still_named.sql"));
        let sql = sql
            .bind(entry.id.clone())
            .bind(entry.version.clone().unwrap_or_default());
        Ok(self.run(sql).await?.scalar() == Some("t"))
    }

    /// Takes a row away whose bytes are lost.
    pub(super) async fn forget(&self, entry: &Entry) -> Result<(), pg::Error> {
        let mut request = self.request();
        // The official schema refuses deletions that do not say this.
        request.set("storage.allow_delete_query", "true");
        let sql = SqlBuf::fixed(include_str!("sql/forget.sql"));
        request.push(
            sql.bind(entry.id.clone())
                .bind(entry.version.clone().unwrap_or_default()),
        );
        request.run(&self.pool).await.map(drop)
    }
}

impl Leave {
    /// The oldest tombstones, which nobody else works on. Those of a version
    /// that a row names are wrong, and go without its bytes.
    pub(super) async fn tombstones(&self, most: usize) -> Result<Vec<String>, pg::Error> {
        let sql = SqlBuf::fixed(include_str!("sql/oldest_tombstones.sql"));
        let rows = self.0.query(&sql.bind(most.to_string())).await?;
        Ok(rows
            .iter()
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect())
    }

    pub(super) async fn named(&self, ids: &[BlobId]) -> Result<HashSet<BlobId>, pg::Error> {
        Ok(found(&self.0.query(&named(ids)).await?))
    }

    /// The books close on these: bytes are gone, or a row has them.
    pub(super) async fn settle(
        &self,
        versions: &[String],
        gone: &[BlobId],
    ) -> Result<(), pg::Error> {
        let removed = SqlBuf::fixed("DELETE FROM storage_engine.removed WHERE version = ANY ($1)");
        let written = SqlBuf::fixed("DELETE FROM storage_engine.written WHERE version = ANY ($1)");
        let statements = [removed.bind(array(versions)), written.bind(array(gone))];
        self.0.query_all(&statements).await.map(drop)
    }

    /// Every name up to this one has been looked at.
    pub(super) async fn swept(&self, up_to: BlobId) -> Result<(), pg::Error> {
        let sql = SqlBuf::fixed("UPDATE storage_engine.sweep SET up_to = $1, at = now()");
        self.0.query(&sql.bind(up_to.to_string())).await.map(drop)
    }

    pub(super) async fn end(self) -> Result<(), pg::Error> {
        self.0.finish().await
    }
}

fn named(ids: &[BlobId]) -> SqlBuf {
    SqlBuf::fixed("SELECT storage_engine.named($1)").bind(array(ids))
}

fn found(rows: &Rows) -> HashSet<BlobId> {
    let texts = rows
        .iter()
        .filter_map(|row| row.get(0).and_then(|text| text.parse().ok()));
    texts.collect()
}

fn entry(row: &pg::Row<'_>) -> Entry {
    let text = |index| row.get(index).map(str::to_owned);
    let sums = row.get(5).and_then(|text| {
        let digits = text.strip_prefix("\\x")?.as_bytes().chunks(2);
        let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        Sums::of_bytes(&bytes.collect::<Option<Vec<u8>>>()?)
    });
    Entry {
        id: text(0).unwrap_or_default(),
        bucket: text(1).unwrap_or_default(),
        name: text(2).unwrap_or_default(),
        version: text(3),
        size: row.get(4).and_then(|text| text.parse().ok()),
        sums,
    }
}

/// An array of words without anything that would need quotes; versions that are
/// not ours may have it.
fn array(of: &[impl ToString]) -> String {
    let words = of.iter().map(|word| {
        let word = word.to_string().replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{word}\"")
    });
    format!("{{{}}}", words.collect::<Vec<_>>().join(","))
}

/// The moment as the youngest name that is looked at.
pub(super) fn before(time: Timestamp, grace: std::time::Duration) -> BlobId {
    let grace = jiff::SignedDuration::try_from(grace).unwrap_or_default();
    BlobId::earliest_at(time.saturating_sub(grace).unwrap_or(time))
}

//! The rows of uploads. Statements run as the room's own role, and a policy
//! shows it the rows of one caller alone: whoever is named in
//! `storage_engine.caller`.

use std::time::Duration;

use jiff::Timestamp;
use pg::{Rows, SqlBuf};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::error::{Result, TusError};
use super::metadata::Metadata;
use super::objects;
use super::upload::{Kind, Upload};
use super::who::Subject;
use crate::blobs::BlobId;
use crate::room::Bounds;
use crate::store::Store;
use crate::who::Who;
use crate::who::operations::TUS_PART;

/// For how long a request holds an upload without saying so again. A node that
/// died blocks an upload no longer than this.
pub(super) const HELD_FOR: &str = "10s";
/// How often it says so.
pub(super) const HOLD_AGAIN: Duration = Duration::from_secs(2);
/// Rows of one sweep's transaction.
const SWEPT_AT_ONCE: &str = "500";

/// The table of uploads.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Whose statements run as the room's role.
    pub(super) store: Store,
    /// Holders named before this one are dead: nobody else served the bytes
    /// when this node began. Others may have come since.
    pub(super) alone_since: Option<BlobId>,
}

/// Who writes to an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Holder {
    Mine,
    Nobody,
    Other,
}

/// A row as `find.sql` makes it.
#[derive(Deserialize)]
struct Found {
    id: String,
    blob: String,
    kind: String,
    bucket: String,
    name: String,
    concat: Option<String>,
    metadata: String,
    upsert: bool,
    owner: Option<String>,
    offset: u64,
    length: Option<u64>,
    most: u64,
    expires_at: Timestamp,
    finished: bool,
    holder: Holder,
}

impl Table {
    /// Writes a new upload down, unless its owner has too many.
    pub(super) async fn begin(
        &self,
        subject: &Subject,
        upload: &Upload,
        bounds: Bounds,
    ) -> Result<()> {
        let fields = json!({
            "id": upload.id, "blob": upload.blob, "kind": upload.kind.word(), "bucket": upload.bucket,
            "name": upload.name, "concat": upload.concat, "metadata": upload.metadata.render(), "upsert": upload.upsert,
            "owner": upload.owner, "length": upload.length, "most": upload.most,
            "expires_at": upload.expires_at.to_string(),
        });
        let begin = SqlBuf::fixed(include_str!("sql/begin.sql"))
            .bind(fields.to_string())
            .bind(bounds.uploads.to_string())
            .bind(bounds.bytes.to_string());
        let rows = self.run(subject, vec![begin]).await?;
        match rows.first().and_then(Rows::scalar) {
            None => Ok(()),
            Some("bytes") => Err(TusError::TooManyBytes),
            Some(_) => Err(TusError::TooMany),
        }
    }

    /// An upload of this caller.
    pub(super) async fn find(&self, subject: &Subject, id: &str) -> Result<(Upload, Holder)> {
        let rows = self.run(subject, vec![find(id, Uuid::nil())]).await?;
        read(rows.last())
    }

    /// Takes an upload for one request, or tells its holder that somebody
    /// waits. The row is as it was found after that.
    pub(super) async fn hold(
        &self,
        subject: &Subject,
        id: &str,
        holder: Uuid,
    ) -> Result<(Upload, Holder)> {
        let hold = SqlBuf::fixed(include_str!("sql/hold.sql"))
            .bind(id.to_owned())
            .bind(holder.to_string())
            .bind(HELD_FOR.to_owned())
            .bind(
                self.alone_since
                    .map_or(Uuid::nil(), BlobId::uuid)
                    .to_string(),
            );
        let want = SqlBuf::fixed(include_str!("sql/want.sql"))
            .bind(id.to_owned())
            .bind(holder.to_string());
        let rows = self
            .run(subject, vec![hold, want, find(id, holder)])
            .await?;
        read(rows.last())
    }

    /// Counts what is durable now. Says whether another request waits.
    pub(super) async fn advance(
        &self,
        subject: &Subject,
        holder: Uuid,
        upload: &Upload,
    ) -> Result<bool> {
        let advance = SqlBuf::fixed(include_str!("sql/advance.sql"))
            .bind(upload.id.clone())
            .bind(holder.to_string())
            .bind(upload.offset.to_string())
            .bind(upload.length.map(|length| length.to_string()))
            .bind(upload.expires_at.to_string())
            .bind(HELD_FOR.to_owned());
        let rows = self.run(subject, vec![advance]).await?;
        let wanted = rows.first().and_then(Rows::scalar);
        wanted.map(|said| said == "t").ok_or(TusError::TakenOver)
    }

    /// Nothing more happens to it.
    pub(super) async fn finish(&self, subject: &Subject, holder: Uuid, id: &str) -> Result<()> {
        let finish = SqlBuf::fixed(include_str!("sql/finish.sql"));
        let rows = self.held(subject, holder, id, finish).await?;
        match rows.affected() {
            0 => Err(TusError::TakenOver),
            _ => Ok(()),
        }
    }

    /// Lets go of it.
    pub(super) async fn release(&self, subject: &Subject, holder: Uuid, id: &str) -> Result<()> {
        let release = SqlBuf::fixed(include_str!("sql/release.sql"));
        self.held(subject, holder, id, release).await.map(|_| ())
    }

    /// Takes the row away, and leaves a tombstone.
    pub(super) async fn end(&self, subject: &Subject, holder: Uuid, id: &str) -> Result<()> {
        let end = SqlBuf::fixed(include_str!("sql/end.sql"));
        let rows = self.held(subject, holder, id, end).await?;
        match rows.scalar() {
            None => Err(TusError::TakenOver),
            Some(_) => Ok(()),
        }
    }

    /// Whether an object has the bytes of an upload already.
    pub(super) async fn landed(&self, subject: &Subject, blob: &str) -> Result<bool> {
        let landed = SqlBuf::fixed("SELECT storage_engine.landed($1::uuid)");
        let rows = self
            .run(subject, vec![landed.bind(blob.to_owned())])
            .await?;
        Ok(rows.first().and_then(Rows::scalar) == Some("t"))
    }

    /// Ends what is too old, a bounded number; how many that was, and the bytes
    /// that nobody wants any more.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<(usize, Vec<String>)> {
        let sweep = SqlBuf::fixed(include_str!("sql/sweep.sql"))
            .bind(now.to_string())
            .bind(SWEPT_AT_ONCE.to_owned());
        let rows = self.run(&Subject::sweeper(), vec![sweep]).await?;
        let rows = rows.first().map(|rows| (rows.len(), rows));
        let Some((ended, rows)) = rows else {
            return Ok((0, Vec::new()));
        };
        let blobs = rows.iter().filter_map(|row| row.get(0).map(str::to_owned));
        Ok((ended, blobs.collect()))
    }

    async fn held(&self, subject: &Subject, holder: Uuid, id: &str, sql: SqlBuf) -> Result<Rows> {
        let sql = sql.bind(id.to_owned()).bind(holder.to_string());
        let rows = self.run(subject, vec![sql]).await?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    async fn run(&self, subject: &Subject, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        let caller = SqlBuf::fixed("SELECT set_config('storage_engine.caller', $1, true)");
        let mut all = vec![caller.bind(subject.as_str().to_owned())];
        all.extend(statements);
        let rows = self.store.write(&Who::store(TUS_PART), all).await;
        let mut rows = rows.map_err(|error| objects::of(&error))?;
        rows.remove(0);
        Ok(rows)
    }
}

fn find(id: &str, holder: Uuid) -> SqlBuf {
    SqlBuf::fixed(include_str!("sql/find.sql"))
        .bind(id.to_owned())
        .bind(holder.to_string())
}

fn read(rows: Option<&Rows>) -> Result<(Upload, Holder)> {
    let text = rows.and_then(Rows::scalar).ok_or(TusError::NotFound)?;
    let found: Found = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let kind = Kind::parse(&found.kind).ok_or(TusError::Internal)?;
    let metadata = match found.metadata.as_str() {
        "" => Metadata::default(),
        header => Metadata::parse(header)?,
    };
    let upload = Upload {
        id: found.id,
        blob: found.blob,
        bucket: found.bucket,
        name: found.name,
        offset: found.offset,
        length: found.length,
        most: found.most,
        kind,
        concat: found.concat,
        metadata,
        upsert: found.upsert,
        owner: found.owner,
        expires_at: found.expires_at,
        finished: found.finished,
    };
    Ok((upload, found.holder))
}

fn unreadable(error: &serde_json::Error) -> TusError {
    tracing::error!(%error, "The row of an upload cannot be read");
    TusError::Internal
}

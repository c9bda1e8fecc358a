//! The rows of uploads. Statements run as the room's own role, and a policy
//! shows it the rows of one caller alone: whoever is named in
//! `storage_engine.caller`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pg::{Pool, RequestTx, Rows, SqlBuf};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::error::{Result, TusError};
use super::metadata::Metadata;
use super::upload::{Kind, Upload};
use super::who::Subject;

/// For how long a request holds an upload without saying so again. A node that
/// died blocks an upload no longer than this.
pub(super) const HELD_FOR: &str = "10s";
/// How often it says so.
pub(super) const HOLD_AGAIN: Duration = Duration::from_secs(2);
/// No statement here takes seconds; one that does holds a connection that
/// everybody shares.
const STATEMENT_TIME: &str = "20s";
/// Rows of one sweep's transaction.
const SWEPT_AT_ONCE: &str = "500";

/// The table of uploads.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Connections that may become the role.
    pub(super) pool: Pool,
    /// The room's role.
    pub(super) role: Arc<str>,
    /// There is no other node: whoever else seems to hold an upload is dead.
    pub(super) alone: bool,
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
    /// Writes a new upload down.
    pub(super) async fn begin(&self, subject: &Subject, upload: &Upload) -> Result<()> {
        let fields = json!({
            "id": upload.id, "blob": upload.blob, "kind": upload.kind.word(), "bucket": upload.bucket,
            "name": upload.name, "concat": upload.concat, "metadata": upload.metadata.render(), "upsert": upload.upsert,
            "owner": upload.owner, "length": upload.length, "most": upload.most,
            "expires_at": upload.expires_at.to_string(),
        });
        let begin = SqlBuf::fixed(include_str!("sql/begin.sql")).bind(fields.to_string());
        self.run(subject, vec![begin]).await.map(|_| ())
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
            .bind(self.alone.to_string());
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
        let mut request = RequestTx::new(&self.role, "{}", &[]);
        request
            .set("statement_timeout", STATEMENT_TIME)
            .set("storage_engine.caller", subject.as_str())
            .keeps_settings();
        for statement in statements {
            request.push(statement);
        }
        request.run(&self.pool).await.map_err(|error| of(&error))
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

fn of(error: &pg::Error) -> TusError {
    if matches!(error, pg::Error::Timeout | pg::Error::Busy) {
        return TusError::Busy;
    }
    tracing::error!(%error, "The rows of uploads could not be asked");
    TusError::Internal
}

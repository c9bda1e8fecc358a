//! The only part of the room that knows rows. Every door (REST, S3, resumable
//! uploads) comes through here, so the same policies are asked the same way.
//!
//! Start with [`Store::may_upload`] and [`Store::put`]: bytes are on the disk
//! before `put`, which is one transaction with the limits of the bucket, the
//! policies, the row and its books. Tombstones for what a change leaves behind
//! are made by triggers (`migrations/*_storage_engine.sql`).

mod buckets;
mod listing;
mod moves;
mod objects;
mod types;

use std::sync::Arc;

use kernel::{Clock, Rng};
use pg::{Pool, RequestTx, Rows, SqlBuf};
use tokio::sync::Notify;

use crate::error::{Result, StorageError};
use crate::who::Who;

pub(crate) use buckets::BucketPage;
pub(crate) use listing::{Listing, Page, SortBy};
pub(crate) use moves::{Copy, Move, Other};
pub(crate) use types::{Bucket, BucketChange, Limit, Metadata, NewBucket, NewObject, Object, iso};

/// What the official server allows a statement.
const STATEMENT_TIME: &str = "30s";
/// What triggers of projects on these tables count on.
const SEARCH_PATH: &str = "public, extensions";

/// What a [`Store`] is made of.
pub(crate) struct StoreParts {
    pub(crate) requests: Pool,
    pub(crate) pool: Pool,
    pub(crate) role: Arc<str>,
    pub(crate) file_size_limit: u64,
    pub(crate) removed: Arc<Notify>,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
}

/// Rows of buckets and objects. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// The connections of callers.
    requests: Pool,
    /// Those of the room itself.
    pool: Pool,
    role: Arc<str>,
    /// What the room says about itself in `request.jwt.claims`.
    claims: Arc<str>,
    file_size_limit: u64,
    removed: Arc<Notify>,
    clock: Clock,
    rng: Rng,
}

/// What becomes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It only reads.
    Reads,
    /// What it did stays.
    Stays,
    /// It was a question: what it did is undone.
    Undone,
}

impl Store {
    pub(crate) fn new(parts: StoreParts) -> Self {
        Self {
            claims: format!("{{\"role\":\"{}\"}}", parts.role).into(),
            requests: parts.requests,
            pool: parts.pool,
            role: parts.role,
            file_size_limit: parts.file_size_limit,
            removed: parts.removed,
            clock: parts.clock,
            rng: parts.rng,
        }
    }

    /// The most bytes of any object.
    pub(crate) fn file_size_limit(&self) -> u64 {
        self.file_size_limit
    }

    /// Told whenever there may be new tombstones.
    pub(crate) fn removed(&self) -> Arc<Notify> {
        Arc::clone(&self.removed)
    }

    /// Statements in one transaction, as somebody; the rows of each.
    pub(crate) async fn write(&self, who: &Who, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        self.run(who, statements, End::Stays).await
    }

    /// The same for those that change nothing.
    pub(crate) async fn read(&self, who: &Who, statements: Vec<SqlBuf>) -> Result<Vec<Rows>> {
        self.run(who, statements, End::Reads).await
    }

    /// Whether the database answers.
    pub(crate) async fn is_there(&self) -> bool {
        let sql = SqlBuf::fixed("SELECT FROM storage.buckets LIMIT 1");
        self.read(&Who::store(""), vec![sql]).await.is_ok()
    }

    async fn run(&self, who: &Who, statements: Vec<SqlBuf>, end: End) -> Result<Vec<Rows>> {
        let mut request = self.request(who);
        for statement in statements {
            request.push(statement);
        }
        self.carry_out(who, request, end).await
    }

    async fn carry_out(&self, who: &Who, mut request: RequestTx, end: End) -> Result<Vec<Rows>> {
        match end {
            End::Reads => request.read_only(),
            End::Undone => request.rollback(),
            End::Stays => &mut request,
        };
        let pool = match who.as_caller() {
            Some(_) => &self.requests,
            None => &self.pool,
        };
        let rows = request.run(pool).await;
        rows.map_err(|error| refused(who, error))
    }

    /// A transaction as somebody, with what policies may ask about.
    fn request(&self, who: &Who) -> RequestTx {
        let mut request = if let Some(caller) = who.as_caller() {
            RequestTx::of(caller, &[])
        } else {
            let settings = [("search_path".to_owned(), SEARCH_PATH.to_owned())];
            RequestTx::new(&self.role, &self.claims, &settings)
        };
        request
            .set("statement_timeout", STATEMENT_TIME)
            .set("storage.operation", who.operation())
            .set("storage.allow_delete_query", "true");
        for (name, value) in who.settings() {
            request.set(name, value.clone());
        }
        request
    }
}

/// A caller who may only read is refused for that, whatever the database is.
fn refused(who: &Who, error: pg::Error) -> StorageError {
    let reads = who.as_caller().is_some_and(|caller| caller.read_only);
    match error.sqlstate() {
        Some("25006") if reads => StorageError::access_denied("the key may only read"),
        _ => StorageError::of_database(error),
    }
}

#[cfg(test)]
mod tests;

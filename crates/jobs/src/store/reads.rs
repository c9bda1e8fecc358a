//! What is asked about jobs, by whom.

use std::collections::HashMap;

use pg::SqlBuf;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::Fields;
use super::{Store, sql, texts};
use crate::error::{JobsError, Result};

/// Jobs of a tree that are shown at once: a submission's worth. What is larger
/// is read page by page over the data API.
const TREE_MAX: usize = 10_000;

/// Whose jobs somebody may see and change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Everybody's.
    All,
    /// One owner's.
    Of(String),
}

impl Sight {
    /// Binds the two parameters that every guarded statement has.
    pub(crate) fn bind(&self, statement: SqlBuf) -> SqlBuf {
        match self {
            Self::All => statement.bind("true".to_owned()).bind(None),
            Self::Of(owner) => statement.bind("false".to_owned()).bind(owner.clone()),
        }
    }
}

/// What a child came to.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) state: String,
    pub(crate) output: Option<Box<RawValue>>,
    pub(crate) error: Option<Box<RawValue>>,
}

impl Store {
    /// Whether all of these are the owner's.
    pub(crate) async fn all_owned(&self, owner: &str, ids: &[Uuid]) -> Result<bool> {
        let statement = sql!("owned")
            .bind(texts(ids.iter().map(Some)))
            .bind(owner.to_owned());
        let rows = self.read(statement).await?;
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(rows.len() == wanted.len())
    }

    /// A job's stream, if the asker may see the job.
    pub(crate) async fn stream_of(&self, id: Uuid, sight: &Sight) -> Result<Option<Uuid>> {
        let rows = self
            .read(sight.bind(sql!("may").bind(id.to_string())))
            .await?;
        let row = rows.first().ok_or_else(JobsError::not_found)?;
        Ok(Fields::of(&row).maybe_uuid())
    }

    /// A job as a document, and with its tree if that is wanted.
    pub(crate) async fn job(&self, id: Uuid, sight: &Sight, tree: bool) -> Result<String> {
        let mut statements = vec![sight.bind(sql!("job").bind(id.to_string()))];
        if tree {
            let statement = sight.bind(sql!("tree").bind(id.to_string()));
            statements.push(statement.bind(TREE_MAX.to_string()));
        }
        let rows = self.run(statements).await?;
        let mut documents = rows.iter().map(pg::Rows::scalar);
        let job = documents
            .next()
            .flatten()
            .ok_or_else(JobsError::not_found)?;
        let Some(jobs) = documents.next().flatten() else {
            return Ok(job.to_owned());
        };
        // Both are documents that Postgres made: put together without reading.
        Ok(format!("{{\"job\":{job},\"jobs\":{jobs}}}"))
    }

    /// Which queues have something to claim.
    pub(crate) async fn ready(&self) -> Result<Vec<String>> {
        let rows = self.read(sql!("ready")).await?;
        rows.iter().map(|row| Fields::of(&row).must()).collect()
    }

    /// Queues of types that have one of their own.
    pub(crate) async fn queues_of_types(&self) -> Result<HashMap<String, String>> {
        let rows = self.read(sql!("queues_of_types")).await?;
        let pair = |row| {
            let mut fields = Fields::of(&row);
            Ok((fields.must()?, fields.must()?))
        };
        rows.iter().map(pair).collect()
    }

    /// Milliseconds until the next job is due.
    pub(crate) async fn next_due(&self) -> Result<Option<i64>> {
        let rows = self.read(sql!("next_due")).await?;
        Ok(rows.scalar().and_then(|text| text.parse().ok()))
    }

    /// What a job's children came to.
    pub(crate) async fn children(&self, parent: Uuid) -> Result<Vec<Child>> {
        let rows = self.read(sql!("outputs").bind(parent.to_string())).await?;
        let child = |row| {
            let mut fields = Fields::of(&row);
            Ok(Child {
                id: fields.uuid()?,
                name: fields.text(),
                state: fields.must()?,
                output: fields.json()?,
                error: fields.json()?,
            })
        };
        rows.iter().map(child).collect()
    }
}

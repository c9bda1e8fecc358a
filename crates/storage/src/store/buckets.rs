//! Rows of buckets.

use pg::{Row, Rows, SqlBuf};

use super::{Bucket, BucketChange, Limit, NewBucket, Store};
use crate::error::{Result, StorageError};
use crate::store::types::uuid_of;
use crate::who::Who;

const COLUMNS: &str = "id, public, file_size_limit, to_json(allowed_mime_types)";

fn bucket(row: &Row<'_>) -> Bucket {
    let mimes = row.get(3).and_then(|text| serde_json::from_str(text).ok());
    Bucket {
        id: row.get(0).unwrap_or_default().to_owned(),
        public: row.get(1) == Some("t"),
        file_size_limit: row.get(2).and_then(|text| text.parse().ok()),
        allowed_mime_types: mimes.unwrap_or_default(),
    }
}

impl Store {
    /// A bucket that this one may see.
    pub(crate) async fn bucket(&self, who: &Who, id: &str) -> Result<Bucket> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").lit(COLUMNS);
        sql.lit(" FROM storage.buckets WHERE id = ")
            .param(id.to_owned());
        let rows = self.read(who, vec![sql]).await?;
        let row = rows.first().and_then(Rows::first);
        let row = row.ok_or_else(StorageError::no_such_bucket)?;
        Ok(bucket(&row))
    }

    /// Makes one.
    pub(crate) async fn create_bucket(&self, who: &Who, new: &NewBucket) -> Result<()> {
        let mut sql = SqlBuf::new();
        sql.lit("INSERT INTO storage.buckets (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types) VALUES (")
            .param(new.id.clone())
            .lit(", ")
            .param(new.name.clone())
            .lit(", ")
            .param(uuid_of(new.owner.as_deref()))
            .lit(", ")
            .param(new.owner.clone())
            .lit(", ")
            .param(new.public.to_string())
            .lit(", ")
            .param(new.file_size_limit.map(|limit| limit.to_string()))
            .lit(", ");
        mimes(&mut sql, new.allowed_mime_types.as_deref());
        sql.lit(")");
        let made = self.write(who, vec![sql]).await;
        made.map(drop).map_err(|error| match error.code() {
            "ResourceAlreadyExists" => StorageError::bucket_exists(),
            _ => error,
        })
    }

    /// Changes one that this one may change.
    pub(crate) async fn change_bucket(
        &self,
        who: &Who,
        id: &str,
        change: &BucketChange,
    ) -> Result<()> {
        let mut sql = SqlBuf::new();
        sql.lit("UPDATE storage.buckets SET updated_at = now()");
        if let Some(public) = change.public {
            sql.lit(", public = ").param(public.to_string());
        }
        match &change.file_size_limit {
            Limit::Kept => {}
            Limit::Lifted => {
                sql.lit(", file_size_limit = NULL");
            }
            Limit::Set(limit) => {
                sql.lit(", file_size_limit = ").param(limit.to_string());
            }
        }
        match &change.allowed_mime_types {
            Limit::Kept => {}
            Limit::Lifted => {
                sql.lit(", allowed_mime_types = NULL");
            }
            Limit::Set(allowed) => {
                sql.lit(", allowed_mime_types = ");
                mimes(&mut sql, Some(allowed));
            }
        }
        sql.lit(" WHERE id = ").param(id.to_owned());
        let rows = self.write(who, vec![sql]).await?;
        match rows.first().map_or(0, Rows::affected) {
            0 => Err(StorageError::no_such_bucket()),
            _ => Ok(()),
        }
    }
}

/// A page of buckets.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketPage {
    pub(crate) limit: Option<u64>,
    pub(crate) offset: u64,
    /// `id`, `name`, `created_at` or `updated_at`.
    pub(crate) sort_column: Option<String>,
    pub(crate) descending: bool,
    /// A part of the name, in any case of letters.
    pub(crate) search: Option<String>,
    /// Older clients in Python fail at a field that they do not know.
    pub(crate) without_type: bool,
}

/// The document of a bucket, but for its kind.
const DOCUMENT: &str = "'id', id, 'name', name, 'owner', coalesce(owner::text, ''), 'public', public, \
    'file_size_limit', file_size_limit, 'allowed_mime_types', allowed_mime_types, \
    'created_at', to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    'updated_at', to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";

/// The most buckets in one answer.
const BUCKETS_MAX: u64 = 10_000;

impl Store {
    /// A bucket as clients see it, as JSON.
    pub(crate) async fn bucket_document(&self, who: &Who, id: &str) -> Result<String> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT json_build_object(").lit(DOCUMENT);
        sql.lit(") FROM storage.buckets WHERE id = ");
        sql.param(id.to_owned());
        let rows = self.read(who, vec![sql]).await?;
        let text = rows.first().and_then(Rows::scalar);
        text.map(str::to_owned)
            .ok_or_else(StorageError::no_such_bucket)
    }

    /// Buckets that this one may see, as a JSON array.
    pub(crate) async fn buckets(&self, who: &Who, page: &BucketPage) -> Result<String> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT coalesce(json_agg(json_build_object(");
        sql.lit(DOCUMENT);
        if !page.without_type {
            sql.lit(", 'type', type");
        }
        sql.lit(")), '[]') FROM (SELECT * FROM storage.buckets");
        if let Some(search) = page.search.as_ref().filter(|search| !search.is_empty()) {
            sql.lit(" WHERE strpos(lower(name), lower(");
            sql.param(search.clone()).lit(")) > 0");
        }
        sql.lit(match page.sort_column.as_deref() {
            Some("id") => " ORDER BY id",
            Some("created_at") => " ORDER BY created_at",
            Some("updated_at") => " ORDER BY updated_at",
            _ => " ORDER BY name",
        });
        if page.descending {
            sql.lit(" DESC");
        }
        let limit = page.limit.unwrap_or(BUCKETS_MAX).min(BUCKETS_MAX);
        sql.lit(" LIMIT ").param(limit.to_string());
        sql.lit(" OFFSET ").param(page.offset.to_string());
        sql.lit(") AS b");
        let rows = self.read(who, vec![sql]).await?;
        let text = rows.first().and_then(Rows::scalar);
        Ok(text.unwrap_or("[]").to_owned())
    }

    /// Ends an empty one.
    pub(crate) async fn delete_bucket(&self, who: &Who, id: &str) -> Result<()> {
        let own = who.clone().as_store();
        self.bucket(&own, id).await?;
        let mut sql = SqlBuf::new();
        sql.lit("SELECT FROM storage.objects WHERE bucket_id = ")
            .param(id.to_owned())
            .lit(" LIMIT 1");
        let inside = self.read(&own, vec![sql]).await?;
        if inside.first().is_some_and(|rows| !rows.is_empty()) {
            return Err(StorageError::bucket_not_empty());
        }
        let mut sql = SqlBuf::new();
        sql.lit("DELETE FROM storage.buckets WHERE id = ");
        sql.param(id.to_owned());
        // Something may have come meanwhile: then a foreign key refuses.
        let rows = self.write(who, vec![sql]).await?;
        match rows.first().map_or(0, Rows::affected) {
            0 => Err(StorageError::no_such_bucket()),
            _ => Ok(()),
        }
    }

    /// Ends everything in a bucket that was made before now, some at a time;
    /// says how many there were.
    pub(crate) async fn empty_bucket(&self, who: &Who, id: &str) -> Result<u64> {
        let before = self.clock.now().to_string();
        let mut total = 0;
        loop {
            let mut sql = SqlBuf::new();
            sql.lit("DELETE FROM storage.objects WHERE id = ANY (ARRAY(SELECT id FROM storage.objects WHERE bucket_id = ")
                .param(id.to_owned())
                .lit(" AND created_at <= ")
                .param(before.clone())
                .lit(" LIMIT ")
                .param(EMPTIED_AT_ONCE.to_string())
                .lit("))");
            let rows = self.write(who, vec![sql]).await?;
            let gone = rows.first().map_or(0, Rows::affected);
            self.removed().notify_one();
            total += gone;
            if gone < EMPTIED_AT_ONCE {
                return Ok(total);
            }
        }
    }
}

/// Rows that one statement ends: many more hold locks for long.
const EMPTIED_AT_ONCE: u64 = 1000;

/// A list of kinds, or none.
fn mimes(sql: &mut SqlBuf, allowed: Option<&[String]>) {
    match allowed {
        Some(allowed) => sql
            .lit("ARRAY(SELECT jsonb_array_elements_text(")
            .param(super::types::list(allowed))
            .lit("::jsonb))"),
        None => sql.lit("NULL"),
    };
}

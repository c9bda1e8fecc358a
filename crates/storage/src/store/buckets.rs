//! Rows of buckets.

use pg::{Row, Rows, SqlBuf};

use super::{Bucket, BucketChange, NewBucket, Store};
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
        if let Some(limit) = change.file_size_limit {
            sql.lit(", file_size_limit = ");
            sql.param(limit.map(|limit| limit.to_string()));
        }
        if let Some(allowed) = &change.allowed_mime_types {
            sql.lit(", allowed_mime_types = ");
            mimes(&mut sql, allowed.as_deref());
        }
        sql.lit(" WHERE id = ").param(id.to_owned());
        let rows = self.write(who, vec![sql]).await?;
        match rows.first().map_or(0, Rows::affected) {
            0 => Err(StorageError::no_such_bucket()),
            _ => Ok(()),
        }
    }
}

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

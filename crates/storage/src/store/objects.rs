//! Rows of objects.

use std::collections::HashSet;

use pg::{Rows, SqlBuf};

use super::types::{list, uuid_of};
use super::{Bucket, End, Metadata, NewObject, Object, Store};
use crate::blobs::{BlobId, Written};
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::who::{Who, operations};

/// Bytes that a row is about to name.
struct Naming<'a> {
    id: String,
    metadata: Metadata,
    version: Option<&'a str>,
}

impl Store {
    /// Whether this may be uploaded: the bucket's limits, then the policies,
    /// which are asked by doing it and undoing it.
    pub(crate) async fn may_upload(
        &self,
        who: &Who,
        object: &NewObject,
        size: Option<u64>,
    ) -> Result<Bucket> {
        let naming = Naming {
            id: self.rng.uuid().to_string(),
            metadata: object.expected(size),
            version: None,
        };
        let statements = vec![self.admit(object, size), written(object, &naming)];
        let rows = self.run(who, statements, End::Undone).await;
        let rows = rows.map_err(|error| as_upload(error, object))?;
        let row = rows.first().and_then(Rows::first);
        let row = row.ok_or_else(StorageError::no_such_bucket)?;
        let mimes = row.get(2).and_then(|text| serde_json::from_str(text).ok());
        Ok(Bucket {
            id: object.path.bucket.clone(),
            public: row.get(0) == Some("t"),
            file_size_limit: row.get(1).and_then(|text| text.parse().ok()),
            allowed_mime_types: mimes.unwrap_or_default(),
        })
    }

    /// Whether the policies let this in; limits are not asked, since its kind is
    /// not known yet.
    pub(crate) async fn may_insert(
        &self,
        who: &Who,
        object: &NewObject,
        size: Option<u64>,
    ) -> Result<()> {
        let naming = Naming {
            id: self.rng.uuid().to_string(),
            metadata: object.expected(size),
            version: None,
        };
        let asked = self
            .run(who, vec![written(object, &naming)], End::Undone)
            .await;
        asked.map(drop).map_err(|error| as_upload(error, object))
    }

    /// Names bytes that are durable already. What they replace gets its
    /// tombstone in the same transaction. If it fails, its caller removes them.
    pub(crate) async fn put(
        &self,
        who: &Who,
        object: &NewObject,
        blob: BlobId,
        bytes: &Written,
    ) -> Result<Object> {
        let version = blob.to_string();
        let naming = Naming {
            id: self.rng.uuid().to_string(),
            metadata: object.metadata(bytes, self.clock.now()),
            version: Some(&version),
        };
        let mut request = self.request(who);
        request
            .set("storage_engine.written", said(&version, bytes))
            .push(self.admit(object, Some(bytes.size)))
            .push(written(object, &naming));
        let rows = self.carry_out(who, request, End::Stays).await;
        let rows = rows.map_err(|error| as_upload(error, object))?;
        if object.upsert {
            self.removed.notify_one();
        }
        let id = rows.get(1).and_then(Rows::scalar);
        let id = id.map_or_else(|| naming.id.clone(), str::to_owned);
        let now = super::types::iso(self.clock.now());
        Ok(Object {
            id,
            path: object.path.clone(),
            version: naming.version.map(str::to_owned),
            owner_id: object.owner.clone(),
            metadata: naming.metadata,
            user_metadata: object.user_metadata.clone(),
            created_at: now.clone(),
            updated_at: now.clone(),
            last_accessed_at: now,
        })
    }

    /// An object that this one may see.
    pub(crate) async fn object(&self, who: &Who, path: &ObjectPath) -> Result<Object> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").lit(Object::COLUMNS);
        sql.lit(" FROM storage.objects WHERE bucket_id = ");
        sql.param(path.bucket.clone()).lit(" AND name = ");
        sql.param(path.name.clone());
        let rows = self.read(who, vec![sql]).await?;
        let row = rows.first().and_then(Rows::first);
        let row = row.ok_or_else(StorageError::no_such_key)?;
        Ok(Object::of(&row))
    }

    /// Which of these names this one may see.
    pub(crate) async fn seen(
        &self,
        who: &Who,
        bucket: &str,
        names: &[String],
    ) -> Result<HashSet<String>> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT name FROM storage.objects WHERE bucket_id = ")
            .param(bucket.to_owned())
            .lit(" AND name = ANY (ARRAY(SELECT jsonb_array_elements_text(")
            .param(list(names))
            .lit("::jsonb)))");
        let rows = self.read(who, vec![sql]).await?;
        let rows = rows.iter().flat_map(Rows::iter);
        Ok(rows
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect())
    }

    /// Names in a folder that this one may see: the first thousand.
    pub(crate) async fn names_in(
        &self,
        who: &Who,
        bucket: &str,
        folder: &str,
    ) -> Result<Vec<String>> {
        let sql = SqlBuf::fixed(
            "SELECT name FROM storage.objects WHERE bucket_id = $1 \
             AND name COLLATE \"C\" >= $2 AND starts_with(name, $2) \
             ORDER BY name COLLATE \"C\" LIMIT 1000",
        );
        let sql = sql.bind(bucket.to_owned()).bind(folder.to_owned());
        let rows = self.read(who, vec![sql]).await?;
        let names = rows.iter().flat_map(Rows::iter);
        Ok(names
            .filter_map(|row| row.get(0).map(str::to_owned))
            .collect())
    }

    /// Ends those of these that this one may delete; says which they were.
    pub(crate) async fn delete(
        &self,
        who: &Who,
        bucket: &str,
        names: &[String],
    ) -> Result<Vec<Object>> {
        let mut sql = SqlBuf::new();
        sql.lit("DELETE FROM storage.objects WHERE bucket_id = ")
            .param(bucket.to_owned())
            .lit(" AND name = ANY (ARRAY(SELECT jsonb_array_elements_text(")
            .param(list(names))
            .lit("::jsonb))) RETURNING ")
            .lit(Object::COLUMNS);
        let rows = self.write(who, vec![sql]).await?;
        self.removed.notify_one();
        let rows = rows.first();
        Ok(rows.map_or_else(Vec::new, |rows| {
            rows.iter().map(|row| Object::of(&row)).collect()
        }))
    }

    /// Ends one, and tells apart what is not there from what may not be.
    pub(crate) async fn delete_one(&self, who: &Who, path: &ObjectPath) -> Result<Object> {
        let names = std::slice::from_ref(&path.name);
        let mut gone = self.delete(who, &path.bucket, names).await?;
        if let Some(object) = gone.pop() {
            return Ok(object);
        }
        let own = Who::store(operations::OBJECT_DELETE);
        self.object(&own, path).await?;
        Err(StorageError::access_denied("Access denied"))
    }

    /// The limits of its bucket, as a row or a refusal.
    pub(super) fn admit(&self, object: &NewObject, size: Option<u64>) -> SqlBuf {
        let folder = object.path.keeps_a_folder();
        let most = if folder { 0 } else { self.file_size_limit };
        let mime = (!folder).then(|| object.mime.clone());
        let mut sql = SqlBuf::new();
        sql.lit("SELECT public, file_size_limit, to_json(allowed_mime_types) FROM storage_engine.admit(")
            .param(object.path.bucket.clone())
            .lit(", ")
            .param(size.map(|size| size.to_string()))
            .lit(", ")
            .param(mime)
            .lit(", ")
            .param(i64::try_from(most).unwrap_or(i64::MAX).to_string())
            .lit(")");
        sql
    }
}

/// The row. Without `upsert` nothing is returned: a caller who may insert need
/// not be one who may see.
fn written(object: &NewObject, naming: &Naming<'_>) -> SqlBuf {
    let mut sql = SqlBuf::new();
    sql.lit("INSERT INTO storage.objects (id, bucket_id, name, owner, owner_id, metadata, user_metadata, version) VALUES (")
        .param(naming.id.clone())
        .lit(", ")
        .param(object.path.bucket.clone())
        .lit(", ")
        .param(object.path.name.clone())
        .lit(", ")
        .param(uuid_of(object.owner.as_deref()))
        .lit(", ")
        .param(object.owner.clone())
        .lit(", ")
        .param(naming.metadata.to_text())
        .lit(", ")
        .param(object.user_metadata.as_ref().map(ToString::to_string))
        .lit(", ")
        .param(naming.version.map(str::to_owned))
        .lit(")");
    if object.upsert {
        sql.lit(
            " ON CONFLICT (name, bucket_id) DO UPDATE SET metadata = excluded.metadata, \
             user_metadata = coalesce(excluded.user_metadata, objects.user_metadata), \
             version = excluded.version, owner = coalesce(excluded.owner, objects.owner), \
             owner_id = coalesce(excluded.owner_id, objects.owner_id) RETURNING id",
        );
    }
    sql
}

/// What the books are told: `version size sums`.
fn said(version: &str, bytes: &Written) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{version} {} ", bytes.size);
    for byte in bytes.sums.to_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A name that is taken is called so.
fn as_upload(error: StorageError, object: &NewObject) -> StorageError {
    if error.code() == "ResourceAlreadyExists" && !object.upsert {
        return StorageError::key_exists();
    }
    error
}

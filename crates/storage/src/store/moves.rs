//! Copies and moves. A move changes a row; its bytes stay where they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use pg::{Rows, SqlBuf};
use serde_json::Value;

use super::types::uuid_of;
use super::{End, NewObject, Object, Store};
use crate::blobs::{BlobId, Blobs, Written};
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;
use crate::who::Who;

/// A copy that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) from: ObjectPath,
    pub(crate) to: ObjectPath,
    pub(crate) owner: Option<String>,
    pub(crate) upsert: bool,
    /// What the copy is to have of its own, instead of the original's: kind,
    /// how long it may be kept, and the client's own metadata.
    pub(crate) other: Option<Other>,
}

/// What a copy has of its own; what is none here is the original's, but for the
/// client's own metadata.
#[derive(Clone, Debug, Default)]
pub(crate) struct Other {
    pub(crate) mime: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) user_metadata: Option<Value>,
}

/// A move that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) from: ObjectPath,
    pub(crate) to: ObjectPath,
    pub(crate) owner: Option<String>,
}

impl Store {
    /// Copies what this one may see to where it may upload.
    pub(crate) async fn copy(&self, who: &Who, blobs: &Blobs, copy: &Copy) -> Result<Object> {
        let original = self.object(who, &copy.from).await?;
        let metadata = &original.metadata;
        let other = copy.other.as_ref();
        let mime = other.and_then(|other| other.mime.as_deref());
        let cache = other.and_then(|other| other.cache_control.as_deref());
        let mut object = NewObject {
            upsert: copy.upsert,
            owner: copy.owner.clone(),
            user_metadata: match other {
                Some(other) => other.user_metadata.clone(),
                None => original.user_metadata.clone(),
            },
            robots: metadata.robots().map(str::to_owned),
            ..NewObject::new(copy.to.clone(), mime.or(metadata.mime()).unwrap_or(UNKNOWN))
        };
        if let Some(cache) = cache.or(metadata.cache_control()) {
            cache.clone_into(&mut object.cache_control);
        }
        self.may_upload(who, &object, metadata.size()).await?;
        let source = original.blob()?;
        let (blob, bytes) = match self.written(&original).await? {
            Some(bytes) => (blobs.copy(source).await?, bytes),
            None => rewritten(blobs, source).await?,
        };
        let put = self.put(who, &object, blob, &bytes).await;
        if put.is_err() {
            // Nothing names them: if this fails, the sweeper comes.
            drop(blobs.remove(&[blob]).await);
        }
        put
    }

    /// What the books say of an object's bytes; nothing of what came from
    /// elsewhere.
    async fn written(&self, object: &Object) -> Result<Option<Written>> {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT size, encode(sums, 'base64') FROM storage_engine.written WHERE version = ");
        sql.param(object.version.clone());
        let rows = self.read(&Who::store(""), vec![sql]).await?;
        let row = rows.first().and_then(Rows::first);
        Ok(row.and_then(|row| {
            let size = row.get(0)?.parse().ok()?;
            let sums = row.get(1)?.replace('\n', "");
            let sums = STANDARD.decode(sums).ok()?;
            let etag = object.metadata.etag()?.trim_matches('"');
            Written::restore(size, etag, &sums)
        }))
    }

    /// Gives an object another name.
    pub(crate) async fn rename(&self, who: &Who, to: &Move) -> Result<Object> {
        let original = self.object(who, &to.from).await?;
        let object = NewObject::new(to.to.clone(), original.metadata.mime().unwrap_or(UNKNOWN));
        let mut statements = Vec::with_capacity(2);
        if to.from.bucket != to.to.bucket {
            statements.push(self.admit(&object, original.metadata.size()));
        }
        let mut sql = SqlBuf::new();
        sql.lit("UPDATE storage.objects SET name = ")
            .param(to.to.name.clone())
            .lit(", bucket_id = ")
            .param(to.to.bucket.clone());
        if let Some(owner) = &to.owner {
            sql.lit(", owner_id = ").param(owner.clone());
            sql.lit(", owner = ").param(uuid_of(Some(owner)));
        }
        sql.lit(" WHERE bucket_id = ")
            .param(to.from.bucket.clone())
            .lit(" AND name = ")
            .param(to.from.name.clone())
            .lit(" RETURNING ")
            .lit(Object::COLUMNS);
        statements.push(sql);
        let rows = self.run(who, statements, End::Stays).await?;
        let row = rows.last().and_then(Rows::first);
        // It may be seen and not changed.
        let row = row.ok_or_else(StorageError::no_such_key)?;
        Ok(Object::of(&row))
    }
}

/// The same bytes once more, looked at on the way.
async fn rewritten(blobs: &Blobs, source: BlobId) -> Result<(BlobId, Written)> {
    let mut bytes = blobs.read(source, None).await?;
    let mut writer = blobs.create().await?;
    while let Some(piece) = bytes.next().await {
        writer.write(piece?).await?;
    }
    Ok(writer.finish().await?)
}

/// The kind of what has none.
const UNKNOWN: &str = "application/octet-stream";

//! Rows of uploads in parts, which are the room's books: who may do what with
//! them is asked of the policies about the object that they will become.

use pg::{Row, Rows, SqlBuf};
use serde_json::{Value, json};

use crate::blobs::{BlobId, Written};
use crate::names::ObjectPath;
use crate::room::Storage;
use crate::s3::encode;
use crate::s3::error::{Result, S3Error};
use crate::store::NewObject;
use crate::who::Who;

/// An upload that has begun.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) id: String,
    /// Its parts are kept under this name, and so will be the object.
    pub(crate) blob: BlobId,
    pub(crate) object: NewObject,
}

/// A part that came.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: u16,
    pub(crate) etag: String,
    pub(crate) written: Written,
}

pub(crate) fn no_such_upload() -> S3Error {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the \
                   upload may have been aborted or completed.";
    S3Error::new(http::StatusCode::NOT_FOUND, "NoSuchUpload", message)
}

/// Writes down that one has begun.
pub(crate) async fn begin(room: &Storage, who: &Who, upload: &Upload) -> Result<()> {
    let object = &upload.object;
    let metadata = json!({"mimetype": object.mime, "cacheControl": object.cache_control});
    let sql = SqlBuf::fixed(
        "INSERT INTO storage.s3_multipart_uploads \
         (id, upload_signature, bucket_id, key, version, owner_id, user_metadata, metadata) \
         VALUES ($1, '', $2, $3, $4, $5, $6::jsonb, $7::jsonb)",
    );
    let sql = sql
        .bind(upload.id.clone())
        .bind(object.path.bucket.clone())
        .bind(object.path.name.clone())
        .bind(upload.blob.to_string())
        .bind(object.owner.clone())
        .bind(object.user_metadata.as_ref().map(Value::to_string))
        .bind(metadata.to_string());
    room.store.write(who, vec![sql]).await?;
    Ok(())
}

/// The upload with this id, if it is about this object.
pub(crate) async fn find(room: &Storage, own: &Who, id: &str, path: ObjectPath) -> Result<Upload> {
    let sql = SqlBuf::fixed(
        "SELECT version, owner_id, user_metadata, metadata FROM storage.s3_multipart_uploads \
         WHERE id = $1 AND bucket_id = $2 AND key = $3",
    );
    let sql = sql
        .bind(id.to_owned())
        .bind(path.bucket.clone())
        .bind(path.name.clone());
    let rows = room.store.read(own, vec![sql]).await?;
    let row = rows
        .first()
        .and_then(Rows::first)
        .ok_or_else(no_such_upload)?;
    let blob = row.get(0).and_then(|text| text.parse().ok());
    let metadata: Option<Value> = row.get(3).and_then(|text| serde_json::from_str(text).ok());
    let said = |name: &str| metadata.as_ref()?.get(name)?.as_str();
    let mime = said("mimetype").unwrap_or("application/octet-stream");
    let mut object = NewObject::new(path, mime);
    if let Some(kept) = said("cacheControl") {
        kept.clone_into(&mut object.cache_control);
    }
    object.upsert = true;
    object.owner = row.get(1).map(str::to_owned);
    object.user_metadata = row.get(2).and_then(|text| serde_json::from_str(text).ok());
    Ok(Upload {
        id: id.to_owned(),
        blob: blob.ok_or_else(no_such_upload)?,
        object,
    })
}

/// How many bytes its other parts have.
pub(crate) async fn size_without(room: &Storage, own: &Who, id: &str, number: u16) -> Result<u64> {
    let sql = SqlBuf::fixed(
        "SELECT coalesce(sum(size), 0) FROM storage.s3_multipart_uploads_parts \
         WHERE upload_id = $1 AND part_number <> $2::integer",
    );
    let sql = sql.bind(id.to_owned()).bind(number.to_string());
    let rows = room.store.read(own, vec![sql]).await?;
    let sum = rows.first().and_then(Rows::scalar);
    Ok(sum.and_then(|sum| sum.parse().ok()).unwrap_or(0))
}

/// Writes a part down, in the place of one with its number. The upload's row is
/// locked first, so that an end and a part come one after the other.
pub(crate) async fn record(room: &Storage, own: &Who, upload: &Upload, part: &Part) -> Result<()> {
    let (id, number) = (upload.id.clone(), part.number.to_string());
    let lock = SqlBuf::fixed("SELECT FROM storage.s3_multipart_uploads WHERE id = $1 FOR UPDATE");
    let replaced = SqlBuf::fixed(
        "DELETE FROM storage.s3_multipart_uploads_parts WHERE upload_id = $1 AND part_number = $2::integer",
    );
    let added = SqlBuf::fixed(
        "WITH part AS (\
           INSERT INTO storage.s3_multipart_uploads_parts \
             (upload_id, part_number, size, bucket_id, key, etag, owner_id, version) \
           SELECT u.id, $2::integer, $3::bigint, u.bucket_id, u.key, $4, u.owner_id, u.version \
           FROM storage.s3_multipart_uploads AS u WHERE u.id = $1 \
           RETURNING id\
         ) INSERT INTO storage_engine.s3_parts (part, sums) \
         SELECT part.id, decode($5, 'hex') FROM part RETURNING 1",
    );
    let sized = SqlBuf::fixed(
        "UPDATE storage.s3_multipart_uploads SET in_progress_size = (\
           SELECT sum(p.size) FROM storage.s3_multipart_uploads_parts AS p WHERE p.upload_id = $1\
         ) WHERE id = $1",
    );
    let statements = vec![
        lock.bind(id.clone()),
        replaced.bind(id.clone()).bind(number.clone()),
        added
            .bind(id.clone())
            .bind(number)
            .bind(part.written.size.to_string())
            .bind(format!("\"{}\"", part.etag))
            .bind(encode::hex(&part.written.sums.to_bytes())),
        sized.bind(id),
    ];
    let rows = room.store.write(own, statements).await?;
    match rows.get(2).and_then(Rows::first) {
        Some(_) => Ok(()),
        None => Err(no_such_upload()),
    }
}

/// Its parts in order.
pub(crate) async fn parts(room: &Storage, own: &Who, id: &str) -> Result<Vec<Part>> {
    let sql = SqlBuf::fixed(
        "SELECT p.part_number, p.size, p.etag, encode(s.sums, 'hex') \
         FROM storage.s3_multipart_uploads_parts AS p \
         JOIN storage_engine.s3_parts AS s ON s.part = p.id \
         WHERE p.upload_id = $1 ORDER BY p.part_number",
    );
    let rows = room.store.read(own, vec![sql.bind(id.to_owned())]).await?;
    let rows = rows.first().into_iter().flat_map(Rows::iter);
    Ok(rows.filter_map(|row| part(&row)).collect())
}

fn part(row: &Row<'_>) -> Option<Part> {
    let etag = row.get(2)?.trim_matches('"').to_owned();
    let digits = row.get(3)?.as_bytes().chunks(2);
    let sums: Option<Vec<u8>> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    Some(Part {
        number: row.get(0)?.parse().ok()?,
        written: Written::restore(row.get(1)?.parse().ok()?, &etag, &sums?)?,
        etag,
    })
}

/// Takes the right to put it together, which one at a time has. A node that
/// dies with it has it for ten minutes.
pub(crate) async fn claim(room: &Storage, own: &Who, id: &str) -> Result<()> {
    let sql = SqlBuf::fixed(
        "UPDATE storage.s3_multipart_uploads SET upload_signature = 'completing ' || now()::text \
         WHERE id = $1 AND (upload_signature NOT LIKE 'completing %' \
           OR substr(upload_signature, 12)::timestamptz < now() - interval '10 minutes')",
    );
    let rows = room.store.write(own, vec![sql.bind(id.to_owned())]).await?;
    if rows.first().map_or(0, Rows::affected) == 1 {
        return Ok(());
    }
    let message =
        "A conflicting conditional operation is currently in progress against this resource.";
    Err(S3Error::new(
        http::StatusCode::CONFLICT,
        "OperationAborted",
        message,
    ))
}

/// Gives it back.
pub(crate) async fn unclaim(room: &Storage, own: &Who, id: &str) -> Result<()> {
    let sql = SqlBuf::fixed(
        "UPDATE storage.s3_multipart_uploads SET upload_signature = '' WHERE id = $1",
    );
    room.store.write(own, vec![sql.bind(id.to_owned())]).await?;
    Ok(())
}

/// Ends it. Bytes that became no object get a tombstone in the same
/// transaction.
pub(crate) async fn end(room: &Storage, own: &Who, upload: &Upload) -> Result<()> {
    let version = upload.blob.to_string();
    let buried = SqlBuf::fixed(
        "INSERT INTO storage_engine.removed (version) \
         SELECT u.version FROM storage.s3_multipart_uploads AS u \
         WHERE u.id = $1 AND NOT EXISTS (SELECT FROM storage.objects AS o WHERE o.version = $2) \
         ON CONFLICT DO NOTHING",
    );
    let ended = SqlBuf::fixed("DELETE FROM storage.s3_multipart_uploads WHERE id = $1");
    let statements = vec![
        buried.bind(upload.id.clone()).bind(version),
        ended.bind(upload.id.clone()),
    ];
    room.store.write(own, statements).await?;
    room.store.removed().notify_one();
    Ok(())
}

/// A new id. Knowing it is part of being allowed to go on with the upload.
pub(crate) fn new_id(room: &Storage) -> String {
    encode::hex(&room.rng.bytes::<32>())
}

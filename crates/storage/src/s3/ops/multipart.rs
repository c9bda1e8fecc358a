//! Objects that come in parts.
//!
//! Each step asks the policies whether its caller may upload the object. What
//! a part is, is in rows; when all are there, the bytes are put together under
//! the name that the upload has had from the beginning, and the object's row
//! takes that name. Every step may be said again after a crash.

use std::ops::Range;

use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::ETAG;
use http::{HeaderName, StatusCode};

use super::copy::Source;
use super::rows::{self, Part, Upload};
use super::{Scene, document, set, status, upload};
use crate::blobs::Writer as Bytes;
use crate::error::StorageError;
use crate::names::ObjectPath;
use crate::s3::body::{Incoming, too_large};
use crate::s3::conditions;
use crate::s3::error::{Result, S3Error};
use crate::s3::xml::Writer;
use crate::s3::xml::read::{self, CompletedPart, XML_BYTES_MAX};
use crate::store::iso;
use crate::who::Who;

/// Parts of one upload: S3's own limit.
const PARTS_MAX: u32 = 10_000;
/// All parts but the last have at least so many bytes: S3's own limit.
const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;

/// The room's own account, doing this.
fn own(scene: &Scene) -> Who {
    Who::store(scene.call.operation.name())
}

pub(crate) async fn create(scene: &Scene) -> Result<Response> {
    let (room, call) = (&scene.room, &scene.call);
    let path = ObjectPath::new(&call.bucket, &call.key)?;
    let object = upload::described(scene, path)?;
    room.store.may_upload(&scene.who, &object, None).await?;
    let begun = Upload {
        id: rows::new_id(room),
        blob: room
            .blobs
            .begin_multipart()
            .await
            .map_err(StorageError::from)?,
        object,
    };
    rows::begin(room, &own(scene), &begun).await?;
    let mut xml = Writer::new("InitiateMultipartUploadResult");
    xml.text("Bucket", &call.bucket)
        .text("Key", &call.key)
        .text("UploadId", &begun.id);
    Ok(document(xml))
}

/// An upload, and that its caller may go on with it.
async fn found(scene: &Scene, size: Option<u64>) -> Result<(Upload, Option<u64>)> {
    let call = &scene.call;
    let path = ObjectPath::new(&call.bucket, &call.key)?;
    let mut upload = rows::find(&scene.room, &own(scene), call.upload_id()?, path).await?;
    upload.object.owner = scene.who.subject();
    let bucket = scene
        .room
        .store
        .may_upload(&scene.who, &upload.object, size)
        .await?;
    Ok((upload, bucket.file_size_limit))
}

fn number(scene: &Scene) -> Result<u16> {
    let number = scene.call.query.number("partNumber", 1, PARTS_MAX)?;
    let number = number.and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| {
        S3Error::argument("Part number must be an integer between 1 and 10000, inclusive")
    })
}

/// That all parts together stay within the limits.
async fn fits(
    scene: &Scene,
    upload: &Upload,
    number: u16,
    size: u64,
    limit: Option<u64>,
) -> Result<()> {
    let others = rows::size_without(&scene.room, &own(scene), &upload.id, number).await?;
    let most = limit
        .unwrap_or(u64::MAX)
        .min(scene.room.store.file_size_limit());
    if others.saturating_add(size) > most {
        return Err(too_large());
    }
    Ok(())
}

async fn keep(scene: &Scene, upload: &Upload, number: u16, writer: Bytes) -> Result<Part> {
    let (_, written) = writer.finish().await.map_err(StorageError::from)?;
    let etag = written.etag();
    let part = Part {
        number,
        etag,
        written,
    };
    rows::record(&scene.room, &own(scene), upload, &part).await?;
    Ok(part)
}

pub(crate) async fn part(scene: &Scene, mut body: Incoming) -> Result<Response> {
    let (number, size) = (number(scene)?, body.length());
    let (upload, limit) = found(scene, Some(size)).await?;
    fits(scene, &upload, number, size, limit).await?;
    let writer = scene.room.blobs.write_part(upload.blob, number).await;
    let mut writer = writer.map_err(StorageError::from)?;
    while let Some(bytes) = body.next().await? {
        writer.write(bytes).await.map_err(StorageError::from)?;
    }
    let part = keep(scene, &upload, number, writer).await?;
    let mut response = status(StatusCode::OK);
    set(&mut response, ETAG, &format!("\"{}\"", part.etag));
    if let Some((algorithm, value)) = body.checked() {
        set(
            &mut response,
            HeaderName::from_static(algorithm.header()),
            value,
        );
    }
    Ok(response)
}

pub(crate) async fn part_copy(scene: &Scene) -> Result<Response> {
    let number = number(scene)?;
    let source = Source::of(scene).await?;
    let size = source.found.size;
    let range = match scene.call.header("x-amz-copy-source-range") {
        Some(text) => conditions::copy_range(text, size)?,
        None => 0..size,
    };
    let length = range.end - range.start;
    let (upload, limit) = found(scene, Some(length)).await?;
    fits(scene, &upload, number, length, limit).await?;
    let part = copied(scene, &source, &upload, (number, range)).await?;
    let mut xml = Writer::new("CopyPartResult");
    xml.text("ETag", &format!("\"{}\"", part.etag))
        .text("LastModified", &iso(scene.room.clock.now()));
    Ok(document(xml))
}

async fn copied(
    scene: &Scene,
    source: &Source,
    upload: &Upload,
    (number, range): (u16, Range<u64>),
) -> Result<Part> {
    let blobs = &scene.room.blobs;
    let mut writer = blobs
        .write_part(upload.blob, number)
        .await
        .map_err(StorageError::from)?;
    if !range.is_empty() {
        let from = source.found.object.blob()?;
        let bytes = blobs.read(from, Some(range)).await;
        let mut bytes = bytes.map_err(StorageError::from)?;
        while let Some(bytes) = bytes.next().await {
            let bytes = bytes.map_err(StorageError::from)?;
            writer.write(bytes).await.map_err(StorageError::from)?;
        }
    }
    keep(scene, upload, number, writer).await
}

pub(crate) async fn complete(scene: &Scene, body: Incoming) -> Result<Response> {
    let named = read::complete(&body.collect(XML_BYTES_MAX).await?)?;
    let (room, own) = (&scene.room, own(scene));
    let (mut upload, _) = found(scene, None).await?;
    if scene.call.header("if-none-match") == Some("*") {
        upload.object.upsert = false;
    }
    rows::claim(room, &own, &upload.id).await?;
    let completed = put_together(scene, &own, &upload, &named).await;
    let etag = match completed {
        Ok(etag) => etag,
        Err(error) => {
            if let Err(error) = rows::unclaim(room, &own, &upload.id).await {
                tracing::warn!(%error, "An upload in parts stays claimed for ten minutes");
            }
            return Err(error);
        }
    };
    rows::end(room, &own, &upload).await?;
    let call = &scene.call;
    let mut xml = Writer::new("CompleteMultipartUploadResult");
    xml.text("Location", &format!("{}/{}", call.bucket, call.key))
        .text("Bucket", &call.bucket)
        .text("Key", &call.key)
        .text("ETag", &etag);
    Ok(document(xml))
}

/// Bytes first, then the row, which takes their name; both may be said again.
async fn put_together(
    scene: &Scene,
    own: &Who,
    begun: &Upload,
    named: &[CompletedPart],
) -> Result<String> {
    let there = rows::parts(&scene.room, own, &begun.id).await?;
    let parts = chosen(there, named)?;
    let size = parts.iter().map(|part| part.written.size).sum();
    // Before bytes are moved: whether the whole is allowed.
    let store = &scene.room.store;
    let refused = |error| upload::refused(&begun.object, error);
    let may = store.may_upload(&scene.who, &begun.object, Some(size));
    may.await.map_err(refused)?;
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| (part.number, part.written))
        .collect();
    let written = scene
        .room
        .blobs
        .complete_multipart(begun.blob, &parts)
        .await;
    let written = written.map_err(StorageError::from)?;
    // On a refusal the bytes stay with the upload, which can be ended.
    let put = store
        .put(&scene.who, &begun.object, begun.blob, &written)
        .await;
    put.map_err(refused)?;
    Ok(format!("\"{}\"", written.etag()))
}

/// The parts that its uploader names, in their order; all, where none is named.
fn chosen(there: Vec<Part>, named: &[CompletedPart]) -> Result<Vec<Part>> {
    let invalid = || {
        let message = "One or more of the specified parts could not be found. The part may not \
                       have been uploaded, or the specified entity tag may not match.";
        S3Error::bad("InvalidPart", message)
    };
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        let message = "The list of parts was not in ascending order.";
        return Err(S3Error::bad("InvalidPartOrder", message));
    }
    let parts = if named.is_empty() {
        there
    } else {
        let mut there = there.into_iter();
        let chosen = named.iter().map(|named| {
            let part = there.find(|part| part.number == named.number);
            part.filter(|part| part.etag == named.etag)
                .ok_or_else(invalid)
        });
        chosen.collect::<Result<Vec<Part>>>()?
    };
    let Some((_, all_but_last)) = parts.split_last() else {
        return Err(invalid());
    };
    if all_but_last
        .iter()
        .any(|part| part.written.size < PART_BYTES_MIN)
    {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(S3Error::bad("EntityTooSmall", message));
    }
    Ok(parts)
}

pub(crate) async fn abort(scene: &Scene) -> Result<Response> {
    let own = own(scene);
    let (upload, _) = found(scene, None).await?;
    rows::claim(&scene.room, &own, &upload.id).await?;
    rows::end(&scene.room, &own, &upload).await?;
    Ok(status(StatusCode::NO_CONTENT))
}

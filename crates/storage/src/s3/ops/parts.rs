//! Lists of uploads in parts and of their parts, as their caller sees them.

use std::collections::BTreeMap;

use axum::response::Response;
use pg::{Rows, SqlBuf};

use super::rows::{self, no_such_upload};
use super::{Scene, document};
use crate::names::ObjectPath;
use crate::s3::encode;
use crate::s3::error::Result;
use crate::s3::xml::Writer;
use crate::who::Who;

/// Entries of one page: S3's own limit.
const PAGE: u32 = 1000;
/// Uploads that are looked at for one page that folds them into folders.
const LOOKED_AT_MAX: u32 = 10_000;

pub(crate) async fn parts(scene: &Scene) -> Result<Response> {
    let (room, call) = (&scene.room, &scene.call);
    let id = call.upload_id()?;
    let most = call
        .query
        .number("max-parts", 0, u32::MAX)?
        .unwrap_or(PAGE)
        .clamp(1, PAGE);
    let marker = call
        .query
        .number("part-number-marker", 0, 100_000)?
        .unwrap_or(0);
    let own = Who::store(call.operation.name());
    let path = ObjectPath::new(&call.bucket, &call.key)?;
    let upload = rows::find(room, &own, id, path)
        .await
        .map_err(|_| no_such_upload())?;
    let sql = SqlBuf::fixed(
        "SELECT part_number, size, etag, \
           to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') \
         FROM storage.s3_multipart_uploads_parts \
         WHERE upload_id = $1 AND part_number > $2::integer ORDER BY part_number LIMIT $3::bigint",
    );
    let sql = sql
        .bind(upload.id)
        .bind(marker.to_string())
        .bind((most + 1).to_string());
    let found = room.store.read(&scene.who, vec![sql]).await?;
    let found = found.first();
    let truncated = found.map_or(0, Rows::len) > most as usize;
    let shown: Vec<_> = found
        .into_iter()
        .flat_map(Rows::iter)
        .take(most as usize)
        .collect();
    let mut xml = Writer::new("ListPartsResult");
    xml.text("Bucket", &call.bucket)
        .text("Key", &call.key)
        .text("UploadId", id)
        .number("PartNumberMarker", marker.into())
        .number("MaxParts", most.into())
        .yes_no("IsTruncated", truncated);
    if let Some(last) = shown.last().filter(|_| truncated) {
        xml.maybe("NextPartNumberMarker", last.get(0));
    }
    for row in shown {
        xml.open("Part")
            .text("PartNumber", row.get(0).unwrap_or_default())
            .maybe("LastModified", row.get(3))
            .maybe("ETag", row.get(2))
            .text("Size", row.get(1).unwrap_or_default())
            .close();
    }
    Ok(document(xml))
}

struct Begun {
    key: String,
    id: String,
    at: String,
}

pub(crate) async fn uploads(scene: &Scene) -> Result<Response> {
    let query = &scene.call.query;
    let most = query.number("max-uploads", 1, PAGE)?.unwrap_or(PAGE);
    let encodes = query.encodes()?;
    let shown = |text: &str| {
        if encodes {
            encode::path(text)
        } else {
            text.to_owned()
        }
    };
    let text = |name| query.get(name).unwrap_or_default();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let (key_marker, id_marker) = (text("key-marker"), text("upload-id-marker"));
    scene.bucket_exists().await?;
    let begun = begun(scene, prefix, (key_marker, id_marker)).await?;
    // Uploads by what they are shown as: themselves, or the folder they are in.
    let mut entries: BTreeMap<(String, bool), Vec<Begun>> = BTreeMap::new();
    for upload in begun {
        let rest = upload.key.get(prefix.len()..).unwrap_or_default();
        let folder = rest.find(delimiter).filter(|_| !delimiter.is_empty());
        let folder = folder.and_then(|at| upload.key.get(..prefix.len() + at + delimiter.len()));
        let entry = folder.map_or_else(
            || (upload.key.clone(), false),
            |name| (name.to_owned(), true),
        );
        // The marker may be a folder that was shown.
        if !(entry.1 && entry.0 == key_marker) {
            entries.entry(entry).or_default().push(upload);
        }
    }
    let mut xml = Writer::new("ListMultipartUploadsResult");
    let mut body = Page::new(most);
    for ((name, folds), uploads) in entries {
        body.add(name, folds, uploads);
    }
    xml.text("Bucket", &scene.call.bucket)
        .text("Prefix", &shown(prefix))
        .text("KeyMarker", &shown(key_marker))
        .text("UploadIdMarker", id_marker)
        .number("MaxUploads", most.into())
        .yes_no("IsTruncated", body.truncated);
    xml.maybe(
        "Delimiter",
        Some(shown(delimiter))
            .filter(|text| !text.is_empty())
            .as_deref(),
    );
    xml.maybe("EncodingType", encodes.then_some("url"));
    if let Some((key, id)) = body.last.filter(|_| body.truncated) {
        xml.text("NextKeyMarker", &shown(&key))
            .text("NextUploadIdMarker", &id);
    }
    for upload in &body.uploads {
        xml.open("Upload")
            .text("Key", &shown(&upload.key))
            .text("UploadId", &upload.id)
            .text("Initiated", &upload.at)
            .text("StorageClass", "STANDARD")
            .close();
    }
    for folder in &body.folders {
        xml.open("CommonPrefixes")
            .text("Prefix", &shown(folder))
            .close();
    }
    Ok(document(xml))
}

/// A page being filled.
struct Page {
    most: usize,
    uploads: Vec<Begun>,
    folders: Vec<String>,
    last: Option<(String, String)>,
    truncated: bool,
}

impl Page {
    fn new(most: u32) -> Self {
        Self {
            most: most as usize,
            uploads: Vec::new(),
            folders: Vec::new(),
            last: None,
            truncated: false,
        }
    }

    fn add(&mut self, name: String, folds: bool, uploads: Vec<Begun>) {
        let mut uploads = if folds { Vec::new() } else { uploads };
        let mut next = uploads.drain(..);
        loop {
            let upload = next.next();
            if upload.is_none() && !folds {
                return;
            }
            if self.uploads.len() + self.folders.len() == self.most {
                self.truncated = true;
                return;
            }
            let Some(upload) = upload else {
                self.last = Some((name.clone(), String::new()));
                self.folders.push(name);
                return;
            };
            self.last = Some((name.clone(), upload.id.clone()));
            self.uploads.push(upload);
        }
    }
}

/// Uploads under a prefix behind a key, or with it and behind an id.
async fn begun(scene: &Scene, prefix: &str, (key, id): (&str, &str)) -> Result<Vec<Begun>> {
    let sql = SqlBuf::fixed(
        "SELECT key, id, to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') \
         FROM storage.s3_multipart_uploads AS u \
         WHERE bucket_id = $1 AND starts_with(key, $2) \
           AND (key COLLATE \"C\" > $3 OR (key = $3 AND $4 <> '' AND id COLLATE \"C\" > $4)) \
         ORDER BY key COLLATE \"C\", id COLLATE \"C\" LIMIT $5::bigint",
    );
    let sql = sql
        .bind(scene.call.bucket.clone())
        .bind(prefix.to_owned())
        .bind(key.to_owned())
        .bind(id.to_owned())
        .bind(LOOKED_AT_MAX.to_string());
    let rows = scene.room.store.read(&scene.who, vec![sql]).await?;
    let rows = rows.first().into_iter().flat_map(Rows::iter);
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(rows
        .map(|row| Begun {
            key: text(row.get(0)),
            id: text(row.get(1)),
            at: text(row.get(2)),
        })
        .collect())
}

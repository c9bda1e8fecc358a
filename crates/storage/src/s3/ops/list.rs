//! What is in a bucket, page by page, both generations.
//!
//! A page ends with an entry, an object or a folder, and the next begins behind
//! it; a folder has everything in it behind it. The token of the second
//! generation says which of the two it was; a marker of the first is a folder
//! when it ends as one.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pg::{Rows, SqlBuf};

use super::{Scene, document};
use crate::s3::encode;
use crate::s3::error::{Result, S3Error};
use crate::s3::xml::Writer;

/// Entries of one page: S3's own limit.
const PAGE: u32 = 1000;
/// Behind every name that begins with what stands before it.
const BEHIND: char = char::MAX;

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum After {
    Object(String),
    Folder(String),
}

impl After {
    fn name(&self) -> &str {
        match self {
            Self::Object(name) | Self::Folder(name) => name,
        }
    }

    /// Names greater than this are on the page.
    fn floor(&self) -> String {
        match self {
            Self::Object(name) => name.clone(),
            Self::Folder(name) => format!("{name}{BEHIND}"),
        }
    }

    fn token(&self) -> String {
        let kind = match self {
            Self::Object(_) => 'o',
            Self::Folder(_) => 'f',
        };
        URL_SAFE_NO_PAD.encode(format!("{kind}{}", self.name()))
    }

    fn of_token(token: &str) -> Result<Self> {
        let wrong = || S3Error::argument("The continuation token provided is incorrect");
        let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let text = String::from_utf8(text).map_err(|_| wrong())?;
        match text.split_at_checked(1) {
            Some(("o", name)) => Ok(Self::Object(name.to_owned())),
            Some(("f", name)) => Ok(Self::Folder(name.to_owned())),
            _ => Err(wrong()),
        }
    }

    fn of_marker(marker: &str, delimiter: Option<&str>) -> Self {
        match delimiter {
            Some(delimiter) if marker.ends_with(delimiter) => Self::Folder(marker.to_owned()),
            _ => Self::Object(marker.to_owned()),
        }
    }
}

struct Entry {
    after: After,
    etag: String,
    size: u64,
    modified: String,
}

struct Page {
    entries: Vec<Entry>,
    truncated: bool,
}

struct Asked {
    prefix: String,
    delimiter: Option<String>,
    most: u32,
    encodes: bool,
}

impl Asked {
    fn of(scene: &Scene) -> Result<Self> {
        let query = &scene.call.query;
        let most = query.number("max-keys", 0, u32::try_from(i32::MAX).unwrap_or(PAGE))?;
        let text = |name| query.get(name).map(str::to_owned);
        Ok(Self {
            prefix: text("prefix").unwrap_or_default(),
            delimiter: text("delimiter").filter(|text| !text.is_empty()),
            most: most.unwrap_or(PAGE).min(PAGE),
            encodes: query.encodes()?,
        })
    }

    fn shown(&self, text: &str) -> String {
        if self.encodes {
            encode::path(text)
        } else {
            text.to_owned()
        }
    }
}

pub(crate) async fn second(scene: &Scene) -> Result<Response> {
    let asked = Asked::of(scene)?;
    let query = &scene.call.query;
    let token = query
        .get("continuation-token")
        .filter(|token| !token.is_empty());
    let start = query.get("start-after").filter(|start| !start.is_empty());
    let after = match (token, start) {
        (Some(token), _) => Some(After::of_token(token)?),
        (None, Some(start)) => Some(After::Object(start.to_owned())),
        (None, None) => None,
    };
    scene.bucket_exists().await?;
    let page = page(scene, &asked, after.as_ref()).await?;
    let mut xml = head(scene, &asked);
    xml.maybe("ContinuationToken", token);
    xml.maybe(
        "StartAfter",
        start.map(|start| asked.shown(start)).as_deref(),
    );
    xml.number("KeyCount", page.entries.len() as u64);
    xml.yes_no("IsTruncated", page.truncated);
    if let Some(last) = page.entries.last().filter(|_| page.truncated) {
        xml.text("NextContinuationToken", &last.after.token());
    }
    entries(&mut xml, &asked, &page);
    Ok(document(xml))
}

pub(crate) async fn first(scene: &Scene) -> Result<Response> {
    let asked = Asked::of(scene)?;
    let marker = scene.call.query.get("marker").unwrap_or_default();
    let after = After::of_marker(marker, asked.delimiter.as_deref());
    let after = Some(after).filter(|after| !after.name().is_empty());
    scene.bucket_exists().await?;
    let page = page(scene, &asked, after.as_ref()).await?;
    let mut xml = head(scene, &asked);
    xml.text("Marker", &asked.shown(marker));
    xml.yes_no("IsTruncated", page.truncated);
    // Without a delimiter clients go on with the last key.
    let last = page
        .entries
        .last()
        .filter(|_| page.truncated && asked.delimiter.is_some());
    if let Some(last) = last {
        xml.text("NextMarker", &asked.shown(last.after.name()));
    }
    entries(&mut xml, &asked, &page);
    Ok(document(xml))
}

fn head(scene: &Scene, asked: &Asked) -> Writer {
    let mut xml = Writer::new("ListBucketResult");
    xml.text("Name", &scene.call.bucket)
        .text("Prefix", &asked.shown(&asked.prefix))
        .number("MaxKeys", asked.most.into());
    let delimiter = asked.delimiter.as_deref().map(|text| asked.shown(text));
    xml.maybe("Delimiter", delimiter.as_deref());
    xml.maybe("EncodingType", asked.encodes.then_some("url"));
    xml
}

fn entries(xml: &mut Writer, asked: &Asked, page: &Page) {
    for entry in &page.entries {
        let name = asked.shown(entry.after.name());
        match entry.after {
            After::Object(_) => xml
                .open("Contents")
                .text("Key", &name)
                .text("LastModified", &entry.modified)
                .text("ETag", &entry.etag)
                .number("Size", entry.size)
                .text("StorageClass", "STANDARD")
                .close(),
            After::Folder(_) => xml.open("CommonPrefixes").text("Prefix", &name).close(),
        };
    }
}

async fn page(scene: &Scene, asked: &Asked, after: Option<&After>) -> Result<Page> {
    if asked.most == 0 {
        return Ok(Page {
            entries: Vec::new(),
            truncated: false,
        });
    }
    let floor = after.map(After::floor).unwrap_or_default();
    if floor.contains('\0') {
        return Err(S3Error::argument("Invalid character in request"));
    }
    let sql = match &asked.delimiter {
        None => include_str!("../../../sql/s3_list.sql"),
        Some(_) => include_str!("../../../sql/s3_list_folders.sql"),
    };
    let mut sql = SqlBuf::fixed(sql)
        .bind(scene.call.bucket.clone())
        .bind(asked.prefix.clone())
        .bind(floor)
        // One more tells whether there is another page.
        .bind((asked.most + 1).to_string());
    if let Some(delimiter) = &asked.delimiter {
        sql = sql.bind(delimiter.clone());
    }
    let rows = scene.room.store.read(&scene.who, vec![sql]).await?;
    let mut entries: Vec<Entry> = rows
        .first()
        .into_iter()
        .flat_map(Rows::iter)
        .map(|row| {
            let text = |index| row.get(index).unwrap_or_default().to_owned();
            Entry {
                after: match row.get(1) {
                    Some(folder) => After::Folder(folder.to_owned()),
                    None => After::Object(text(0)),
                },
                etag: text(2),
                size: row.get(3).and_then(|size| size.parse().ok()).unwrap_or(0),
                modified: text(4),
            }
        })
        .collect();
    let most = asked.most as usize;
    let truncated = entries.len() > most;
    entries.truncate(most);
    Ok(Page { entries, truncated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_a_page_ended() {
        for after in [
            After::Object("a/b".to_owned()),
            After::Folder("a/".to_owned()),
            After::Object(String::new()),
        ] {
            assert_eq!(After::of_token(&after.token()).ok(), Some(after));
        }
        for wrong in ["", "!", "eA", "_w"] {
            assert!(After::of_token(wrong).is_err(), "{wrong}");
        }
        let folder = After::of_marker("a/", Some("/"));
        assert_eq!(folder.floor(), "a/\u{10ffff}");
        assert_eq!(After::of_marker("a/", None).floor(), "a/");
    }
}

//! Buckets and objects as rows have them.

use jiff::Timestamp;
use pg::Row;
use serde_json::{Map, Value};

use crate::blobs::{BlobId, Written};
use crate::error::{Result, StorageError};
use crate::names::ObjectPath;

/// A bucket, as far as the room acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) id: String,
    pub(crate) public: bool,
    /// Where it is lower than the room's own.
    pub(crate) file_size_limit: Option<u64>,
    pub(crate) allowed_mime_types: Vec<String>,
}

/// A bucket that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewBucket {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) public: bool,
    pub(crate) owner: Option<String>,
    pub(crate) file_size_limit: Option<u64>,
    pub(crate) allowed_mime_types: Option<Vec<String>>,
}

/// What becomes of a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit<T> {
    /// It stays what it is.
    #[default]
    Kept,
    /// There is none any more.
    Lifted,
    /// It is this.
    Set(T),
}

/// What of a bucket is to be different.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketChange {
    pub(crate) public: Option<bool>,
    pub(crate) file_size_limit: Limit<u64>,
    pub(crate) allowed_mime_types: Limit<Vec<String>>,
}

/// An object that is to be.
#[derive(Clone, Debug)]
pub(crate) struct NewObject {
    pub(crate) path: ObjectPath,
    pub(crate) mime: String,
    pub(crate) cache_control: String,
    pub(crate) user_metadata: Option<Value>,
    /// Whether it may take the place of one with its name.
    pub(crate) upsert: bool,
    pub(crate) owner: Option<String>,
    /// What search engines are told.
    pub(crate) robots: Option<String>,
}

impl NewObject {
    /// One that says no more than it must.
    pub(crate) fn new(path: ObjectPath, mime: impl Into<String>) -> Self {
        Self {
            path,
            mime: mime.into(),
            cache_control: "no-cache".to_owned(),
            user_metadata: None,
            upsert: false,
            owner: None,
            robots: None,
        }
    }

    /// What its row says about its bytes.
    pub(crate) fn metadata(&self, written: &Written, at: Timestamp) -> Metadata {
        let mut map = Map::new();
        let size = Value::from(written.size);
        map.insert("eTag".to_owned(), format!("\"{}\"", written.etag()).into());
        map.insert("size".to_owned(), size.clone());
        map.insert("mimetype".to_owned(), self.mime.clone().into());
        map.insert("cacheControl".to_owned(), self.cache_control.clone().into());
        map.insert("lastModified".to_owned(), iso(at).into());
        map.insert("contentLength".to_owned(), size);
        map.insert("httpStatusCode".to_owned(), 200.into());
        if let Some(robots) = &self.robots {
            map.insert("xRobotsTag".to_owned(), robots.clone().into());
        }
        Metadata(map)
    }

    /// As much of it as is known before there are bytes.
    pub(crate) fn expected(&self, size: Option<u64>) -> Metadata {
        let mut map = Map::new();
        map.insert("mimetype".to_owned(), self.mime.clone().into());
        if let Some(size) = size {
            map.insert("contentLength".to_owned(), size.into());
            map.insert("size".to_owned(), size.into());
        }
        Metadata(map)
    }
}

/// `2026-11-21T23:00:00.000Z`, as JavaScript writes times.
pub(crate) fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// What a row says about its bytes: `metadata`. Rows of other servers and of
/// projects' own scripts are read, too, so anything may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metadata(pub(crate) Map<String, Value>);

impl Metadata {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Bytes.
    pub(crate) fn size(&self) -> Option<u64> {
        let size = self.0.get("size").or_else(|| self.0.get("contentLength"))?;
        match size {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        }
    }

    /// Its kind.
    pub(crate) fn mime(&self) -> Option<&str> {
        self.text("mimetype")
    }

    /// How long it may be kept.
    pub(crate) fn cache_control(&self) -> Option<&str> {
        self.text("cacheControl")
    }

    /// In quotes.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.text("eTag")
    }

    /// What search engines are told.
    pub(crate) fn robots(&self) -> Option<&str> {
        self.text("xRobotsTag")
    }

    /// When its bytes were written.
    pub(crate) fn last_modified(&self) -> Option<Timestamp> {
        self.text("lastModified")?.parse().ok()
    }

    pub(crate) fn to_text(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }
}

/// An object's row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) path: ObjectPath,
    /// The name of its bytes; see [`Object::blob`].
    pub(crate) version: Option<String>,
    pub(crate) owner_id: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) user_metadata: Option<Value>,
    /// Times as JavaScript writes them.
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) last_accessed_at: String,
}

impl Object {
    /// What [`Object::of`] reads, in its order.
    pub(crate) const COLUMNS: &'static str = "id, bucket_id, name, version, owner_id, metadata, user_metadata, \
        to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
        to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
        to_char(last_accessed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";

    /// A row of [`Object::COLUMNS`].
    pub(crate) fn of(row: &Row<'_>) -> Self {
        let text = |index| row.get(index).unwrap_or_default().to_owned();
        let optional = |index| row.get(index).map(str::to_owned);
        let metadata = row.get(5).and_then(|text| serde_json::from_str(text).ok());
        Self {
            id: text(0),
            // Rows may have been written by others, under names that we refuse.
            path: ObjectPath {
                bucket: text(1),
                name: text(2),
            },
            version: optional(3),
            owner_id: optional(4),
            metadata: Metadata(metadata.unwrap_or_default()),
            user_metadata: row.get(6).and_then(|text| serde_json::from_str(text).ok()),
            created_at: text(7),
            updated_at: text(8),
            last_accessed_at: text(9),
        }
    }

    /// The name of its bytes. A row that names none has none: it was made by a
    /// script, or its bytes are with another server.
    pub(crate) fn blob(&self) -> Result<BlobId> {
        let version = self.version.as_deref().unwrap_or_default();
        version.parse().map_err(|_| StorageError::no_such_key())
    }
}

/// A list of texts as JSON, for `jsonb_array_elements_text`.
pub(crate) fn list(texts: &[String]) -> String {
    Value::from(texts.to_vec()).to_string()
}

/// An owner as the older column has it, where it is a uuid.
pub(crate) fn uuid_of(owner: Option<&str>) -> Option<String> {
    let parsed = uuid::Uuid::try_parse(owner?).ok()?;
    Some(parsed.hyphenated().to_string())
}

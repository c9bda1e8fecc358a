//! What is in a bucket, as pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pg::{Rows, SqlBuf};
use serde_json::{Map, Value, json};

use super::Store;
use crate::error::{Result, StorageError};
use crate::who::Who;

/// The most entries in one answer of the first generation; the database's
/// functions stop at as many.
const ENTRIES_MAX: u64 = 1500;
/// Of the second.
const KEYS_MAX: u64 = 1000;

/// A page of the first generation: by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) prefix: String,
    pub(crate) search: String,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) sort: SortBy,
}

/// How entries are sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortBy {
    pub(crate) column: Option<String>,
    pub(crate) order: Option<String>,
}

/// A page of the second generation: by cursor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) prefix: String,
    /// What folds names into folders; none lists everything.
    pub(crate) delimiter: Option<String>,
    pub(crate) limit: Option<u64>,
    pub(crate) cursor: Option<String>,
    pub(crate) start_after: Option<String>,
    pub(crate) sort: SortBy,
}

/// What a [`Listing`] found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    /// The same, without anything but a name that ends in the delimiter.
    pub(crate) folders: Vec<Value>,
    /// Documents with `name`, `id`, `metadata` and times.
    pub(crate) objects: Vec<Value>,
    /// Where the next page begins.
    pub(crate) next: Option<Next>,
}

/// Where the next page begins: as a cursor, and as a name.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    pub(crate) cursor: String,
    pub(crate) name: String,
}

/// An entry as functions of schema `storage` return it.
const ENTRY: &str = "json_build_object('name', l.name, 'id', l.id, \
    'updated_at', to_char(l.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    'created_at', to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    'last_accessed_at', to_char(l.last_accessed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), \
    'metadata', l.metadata";

impl Store {
    /// A page of the first generation, as a JSON array.
    pub(crate) async fn list_v1(&self, who: &Who, bucket: &str, page: &Page) -> Result<String> {
        let mut prefix = page.prefix.clone();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        let mut sql = SqlBuf::new();
        sql.lit("SELECT coalesce(json_agg(").lit(ENTRY);
        sql.lit(") ORDER BY l.ordinality), '[]') FROM storage.search(");
        sql.param(prefix).lit(", ").param(bucket.to_owned());
        sql.lit(", ").param(page.limit.min(ENTRIES_MAX).to_string());
        sql.lit(", 1, ")
            .param(page.offset.min(i32::MAX as u64).to_string());
        sql.lit(", ").param(page.search.clone());
        let column = page
            .sort
            .column
            .clone()
            .unwrap_or_else(|| "name".to_owned());
        let order = page.sort.order.clone().unwrap_or_else(|| "asc".to_owned());
        sql.lit(", ").param(column).lit(", ").param(order);
        sql.lit(") WITH ORDINALITY AS l");
        let rows = self.read(who, vec![sql]).await?;
        let text = rows.first().and_then(Rows::scalar);
        Ok(text.unwrap_or("[]").to_owned())
    }

    /// A page of the second generation.
    pub(crate) async fn list_v2(&self, who: &Who, bucket: &str, of: &Listing) -> Result<Listed> {
        let limit = of.limit.unwrap_or(KEYS_MAX).clamp(1, KEYS_MAX);
        let cursor = of.cursor.as_deref().map(Cursor::parse).transpose()?;
        let cursor = cursor.unwrap_or_else(|| Cursor {
            after: of.start_after.clone().unwrap_or_default(),
            order: of.sort.order.clone(),
            column: of.sort.column.clone(),
            at: None,
        });
        let mut sql = SqlBuf::new();
        sql.lit("SELECT ").lit(ENTRY).lit(")::text FROM (");
        match of.delimiter.as_deref() {
            None => flat(&mut sql, bucket, &of.prefix, &cursor, limit + 1),
            Some(delimiter) => folded(
                &mut sql,
                bucket,
                (&of.prefix, delimiter),
                &cursor,
                limit + 1,
            ),
        }
        sql.lit(") AS l ORDER BY l.ordinality");
        let rows = self.read(who, vec![sql]).await?;
        let mut entries = Vec::new();
        for row in rows.iter().flat_map(Rows::iter) {
            let parsed = row.get(0).map(serde_json::from_str::<Map<String, Value>>);
            entries.extend(parsed.transpose().map_err(StorageError::internal)?);
        }
        let more = entries.len() as u64 > limit;
        entries.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = entries
            .last()
            .filter(|_| more)
            .map(|last| cursor.after(last));
        let mut listed = Listed {
            next,
            ..Listed::default()
        };
        let delimiter = of.delimiter.as_deref().unwrap_or("/");
        for mut entry in entries {
            let name = entry
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let key = name.rsplit(delimiter).next().unwrap_or_default().to_owned();
            let folder = format!("{name}{delimiter}");
            if of.delimiter.is_some() {
                entry.insert("key".to_owned(), key.into());
            }
            if entry.get("id").is_none_or(Value::is_null) {
                entry.insert("name".to_owned(), folder.into());
                listed.folders.push(Value::Object(entry));
            } else {
                listed.objects.push(Value::Object(entry));
            }
        }
        Ok(listed)
    }
}

/// Everything under a prefix, one after the other.
fn flat(sql: &mut SqlBuf, bucket: &str, prefix: &str, cursor: &Cursor, limit: u64) {
    let column = cursor.time_column();
    let ascending = cursor.ascending();
    sql.lit("SELECT o.*, row_number() OVER () AS ordinality FROM (SELECT * FROM storage.objects WHERE bucket_id = ");
    sql.param(bucket.to_owned());
    if !prefix.is_empty() {
        // The last code point there is ends the range.
        sql.lit(" AND name COLLATE \"C\" >= ")
            .param(prefix.to_owned());
        sql.lit(" AND name COLLATE \"C\" < ");
        sql.param(format!("{prefix}{}", char::MAX));
    }
    if !cursor.after.is_empty() {
        let sign = if ascending { " > " } else { " < " };
        match (column, &cursor.at) {
            (Some(column), Some(at)) => {
                sql.lit(" AND (coalesce(date_trunc('milliseconds', ");
                sql.lit(column).lit("), 'epoch'), name COLLATE \"C\")");
                sql.lit(sign).lit("(").param(at.clone());
                sql.lit("::timestamptz, ").param(cursor.after.clone());
                sql.lit(" COLLATE \"C\")");
            }
            _ => {
                sql.lit(" AND name COLLATE \"C\"").lit(sign);
                sql.param(cursor.after.clone());
            }
        }
    }
    sql.lit(" ORDER BY ");
    let direction = if ascending { " ASC" } else { " DESC" };
    if let Some(column) = column {
        sql.lit("coalesce(date_trunc('milliseconds', ").lit(column);
        sql.lit("), 'epoch')").lit(direction).lit(", ");
    }
    sql.lit("name COLLATE \"C\"").lit(direction);
    sql.lit(" LIMIT ").param(limit.to_string()).lit(") AS o");
}

/// What is directly under a prefix, with the rest folded into folders.
fn folded(
    sql: &mut SqlBuf,
    bucket: &str,
    (prefix, delimiter): (&str, &str),
    cursor: &Cursor,
    limit: u64,
) {
    let order = if cursor.ascending() { "asc" } else { "desc" };
    sql.lit("SELECT f.* FROM ");
    match cursor.time_column() {
        Some(column) if delimiter == "/" => {
            sql.lit("storage.search_by_timestamp(")
                .param(prefix.to_owned());
            sql.lit(", ").param(bucket.to_owned());
            sql.lit(", ").param(limit.to_string()).lit(", 1, ");
            sql.param(cursor.after.clone())
                .lit(", ")
                .param(order.to_owned());
            sql.lit(", ").param(column.to_owned()).lit(", ");
            sql.param(cursor.at.clone().unwrap_or_default());
        }
        _ => {
            sql.lit("storage.list_objects_with_delimiter(")
                .param(bucket.to_owned());
            sql.lit(", ").param(prefix.to_owned());
            sql.lit(", ").param(delimiter.to_owned());
            sql.lit(", ").param(limit.to_string());
            sql.lit(", ").param(cursor.after.clone());
            sql.lit(", '', ").param(order.to_owned());
        }
    }
    sql.lit(") WITH ORDINALITY AS f");
}

/// Where a page begins. As text it is the official server's: lines of a letter
/// and a value, in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cursor {
    after: String,
    order: Option<String>,
    column: Option<String>,
    at: Option<String>,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self> {
        let refused = || StorageError::invalid_parameter("continuation token");
        let bytes = STANDARD.decode(text).map_err(|_| refused())?;
        let lines = String::from_utf8(bytes).map_err(|_| refused())?;
        let mut cursor = Self::default();
        for line in lines.split('\n') {
            let (letter, value) = line.split_once(':').ok_or_else(refused)?;
            let value = value.to_owned();
            match letter {
                "l" => cursor.after = value,
                "o" => cursor.order = Some(value),
                "c" => cursor.column = Some(value),
                "a" => cursor.at = Some(value),
                _ => return Err(refused()),
            }
        }
        // It becomes a time in a statement, and is not ours any more.
        let bad = cursor
            .at
            .as_ref()
            .is_some_and(|at| at.parse::<jiff::Timestamp>().is_err());
        if bad { Err(refused()) } else { Ok(cursor) }
    }

    fn ascending(&self) -> bool {
        self.order.as_deref() != Some("desc")
    }

    fn time_column(&self) -> Option<&'static str> {
        match self.column.as_deref() {
            Some("created_at") => Some("created_at"),
            Some("updated_at") => Some("updated_at"),
            _ => None,
        }
    }

    /// The one behind an entry.
    fn after(&self, entry: &Map<String, Value>) -> Next {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = text("name").unwrap_or_default();
        let mut lines = vec![format!("l:{name}")];
        lines.extend(self.order.as_ref().map(|order| format!("o:{order}")));
        lines.extend(self.column.as_ref().map(|column| format!("c:{column}")));
        let at = self.time_column().and_then(text);
        lines.extend(at.map(|at| format!("a:{at}")));
        Next {
            cursor: STANDARD.encode(lines.join("\n")),
            name,
        }
    }
}

impl Listed {
    /// As clients of list v2 read it.
    pub(crate) fn document(&self) -> Value {
        let mut document = json!({
            "hasNext": self.next.is_some(),
            "folders": self.folders,
            "objects": self.objects,
        });
        if let (Some(next), Some(map)) = (&self.next, document.as_object_mut()) {
            map.insert("nextCursor".to_owned(), next.cursor.clone().into());
            map.insert("nextCursorKey".to_owned(), next.name.clone().into());
        }
        document
    }
}

//! The files of a session, as its owner: read for models and boxes, and the
//! beginning that every session has.

use kernel::Caller;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::error::Result;
use crate::ports::FileChange;
use crate::prompt::Source;
use crate::store::Store;

/// What a new session's files are: the template whose packages sandboxes have
/// at hand.
const TEMPLATE: &str = "vite-react";

/// Writes the beginning, unless the session has files.
pub(crate) async fn begin(store: &Store, caller: &Caller, session: Uuid) -> Result<()> {
    let template = sessions::sandboxes::template(TEMPLATE).unwrap_or_default();
    let changes: Vec<_> = template
        .iter()
        .map(|(path, content)| json!({"op": "put", "path": path, "content": content}))
        .collect();
    let sql = SqlBuf::fixed(include_str!("../sql/begin_files.sql"))
        .bind(session.to_string())
        .bind(serde_json::Value::from(changes).to_string());
    store
        .one(caller, "Failed to write the first files", sql)
        .await?;
    Ok(())
}

/// All texts, by path.
pub(crate) async fn sources(store: &Store, caller: &Caller, session: Uuid) -> Result<Vec<Source>> {
    let sql = SqlBuf::fixed(include_str!("../sql/sources.sql")).bind(session.to_string());
    let read = store
        .document(caller, "Failed to read the files", sql)
        .await?;
    Ok(read.unwrap_or_default())
}

/// One file, now or at a checkpoint; none if there is none, or if it is no
/// text.
pub(crate) async fn text(
    store: &Store,
    caller: &Caller,
    session: Uuid,
    path: &str,
    checkpoint: Option<Uuid>,
) -> Result<Option<String>> {
    let sql = SqlBuf::fixed(include_str!("../sql/file_text.sql"))
        .bind(session.to_string())
        .bind(path.to_owned())
        .bind(checkpoint.map(|id| id.to_string()));
    let rows = store.one(caller, "Failed to read a file", sql).await?;
    Ok(rows.scalar().map(str::to_owned))
}

/// A file's place and hash.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) path: String,
    pub(crate) sha256: String,
}

/// Paths and hashes of all files.
pub(crate) async fn list(store: &Store, caller: &Caller, session: Uuid) -> Result<Vec<Listed>> {
    let sql = SqlBuf::fixed(include_str!("../sql/list_files.sql")).bind(session.to_string());
    let read = store
        .document(caller, "Failed to list the files", sql)
        .await?;
    Ok(read.unwrap_or_default())
}

/// One file's bytes.
pub(crate) async fn bytes(
    store: &Store,
    caller: &Caller,
    session: Uuid,
    path: &str,
) -> Result<Option<Vec<u8>>> {
    let sql = SqlBuf::fixed(include_str!("../sql/file_bytes.sql"))
        .bind(session.to_string())
        .bind(path.to_owned());
    let rows = store.one(caller, "Failed to read a file", sql).await?;
    Ok(rows.scalar().and_then(from_hex))
}

/// These files as changes of a box.
pub(crate) async fn changes(
    store: &Store,
    caller: &Caller,
    session: Uuid,
    paths: impl IntoIterator<Item = String>,
) -> Result<Vec<FileChange>> {
    let mut changes = Vec::new();
    for path in paths {
        let content = bytes(store, caller, session, &path).await?;
        changes.push(FileChange { path, content });
    }
    Ok(changes)
}

/// PostgreSQL's hex, without its prefix.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_or_refused() {
        assert_eq!(from_hex("00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("zz"), None);
    }
}

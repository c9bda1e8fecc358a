//! The files of a sandbox to the session's workspace and back. Both ways only
//! what differs moves.
//!
//! Only plain files move, under names that are text: links, pipes and devices
//! stay where they are and are named in the answer. What packages and builds
//! make again is left out.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pg::SqlBuf;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::lifecycle::refused;
use super::open::Open;
use crate::error::{Result, SessionsError};
use crate::hex;
use crate::ports::{Entry, Kind};

/// What is made again from what is kept, and the caches of tools.
pub(super) const LEFT_OUT: &[&str] = &[
    "node_modules",
    ".git",
    "dist",
    "build",
    ".next",
    ".vite",
    ".npm",
    ".npm-cache",
    ".cache",
    ".venv",
    "venv",
    "__pycache__",
    ".pytest_cache",
    ".local",
    ".config",
];
/// A file of a workspace has no more, by its table.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one statement, before they are encoded.
const BATCH_BYTES: u64 = 6 << 20;
/// Changes of one statement; the function takes a thousand.
const BATCH_CHANGES: usize = 500;
/// Files that are named as left behind; more is no reading matter.
const SKIPPED_NAMED: usize = 50;
/// Rows of one page of hashes.
const PAGE: usize = 2000;
/// Clocks of file systems are coarse: what was hashed so shortly after it was
/// written may have been written again since.
const RACY_NS: i128 = 2_000_000_000;
/// Above it, hashing holds up whoever shares the thread.
const INLINE_BYTES: usize = 256 << 10;

/// What files were when they were hashed.
#[derive(Default)]
pub(crate) struct Index(HashMap<String, Known>);

struct Known {
    size: u64,
    modified_ns: i128,
    hashed_ns: i128,
    sha256: String,
}

impl Index {
    fn of(&self, entry: &Entry) -> Option<&str> {
        let known = self.0.get(&entry.path)?;
        let same = known.size == entry.size && known.modified_ns == entry.modified_ns;
        let settled = known.modified_ns + RACY_NS < known.hashed_ns;
        (same && settled).then_some(known.sha256.as_str())
    }
}

/// What a snapshot did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Files written into the workspace.
    pub written: usize,
    /// Files removed from it.
    pub removed: usize,
    /// Files that were the same.
    pub same: usize,
    /// Files left behind, the first few.
    pub skipped: Vec<Skipped>,
}

/// A file that was left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where.
    pub path: String,
    /// `link`, `special`, `large` or `name`.
    pub why: &'static str,
}

/// What going back did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Files written into the sandbox.
    pub written: usize,
    /// Files removed from it.
    pub removed: usize,
}

/// A file of the workspace, without its bytes.
struct Kept {
    sha256: String,
    executable: bool,
    size: u64,
}

fn sha256(bytes: &[u8]) -> String {
    let text = hex::encode(&Sha256::digest(bytes));
    text.trim_start_matches("\\x").to_owned()
}

async fn hash(bytes: Bytes) -> Result<String> {
    if bytes.len() <= INLINE_BYTES {
        return Ok(sha256(&bytes));
    }
    let hashed = tokio::task::spawn_blocking(move || sha256(&bytes)).await;
    hashed.map_err(|_| SessionsError::invalid("a file could not be read"))
}

/// Why a file stays behind.
fn unfit(entry: &Entry) -> Option<&'static str> {
    match entry.kind {
        Kind::Link => Some("link"),
        Kind::Other => Some("special"),
        Kind::File if entry.size > FILE_BYTES_MAX => Some("large"),
        // What a workspace takes for a path, see work_engine.clean_path.
        Kind::File if entry.path.chars().any(char::is_control) || entry.path.len() > 1000 => {
            Some("name")
        }
        Kind::File | Kind::Folder => None,
    }
}

fn left_out(path: &str) -> bool {
    path.split('/').any(|name| LEFT_OUT.contains(&name))
}

fn executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

impl Open {
    /// Makes the session's workspace what the sandbox's files are.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut index = self.live.index.lock().await;
        let mut kept = self.kept().await?;
        let mut snapshot = Snapshot::default();
        let (mut puts, mut fresh) = (Vec::new(), Index::default());
        for entry in self.list("", u32::MAX, LEFT_OUT).await? {
            if entry.kind == Kind::Folder || left_out(&entry.path) {
                continue;
            }
            if let Some(why) = unfit(&entry) {
                kept.remove(&entry.path);
                if snapshot.skipped.len() < SKIPPED_NAMED {
                    let path = entry.path;
                    snapshot.skipped.push(Skipped { path, why });
                }
                continue;
            }
            let sha256 = match index.of(&entry) {
                Some(known) => known.to_owned(),
                None => hash(self.read(&entry.path).await?).await?,
            };
            let before = kept.remove(&entry.path);
            let same = before.is_some_and(|before| {
                before.sha256 == sha256 && before.executable == executable(entry.mode)
            });
            let hashed_ns = self.boxes.clock.now().as_nanosecond();
            let known = Known {
                size: entry.size,
                modified_ns: entry.modified_ns,
                hashed_ns,
                sha256,
            };
            fresh.0.insert(entry.path.clone(), known);
            if same {
                snapshot.same += 1;
            } else {
                puts.push(entry);
            }
        }
        kept.retain(|path, _| !left_out(path));
        snapshot.removed = kept.len();
        snapshot.written = puts.len();
        self.keep(kept.into_keys().collect(), puts).await?;
        *index = fresh;
        Ok(snapshot)
    }

    /// Writes the difference into the workspace: what goes first, so that a
    /// folder can take the place of a file.
    async fn keep(&self, gone: Vec<String>, puts: Vec<Entry>) -> Result<()> {
        let mut changes: Vec<Value> = gone
            .into_iter()
            .map(|path| json!({"op": "delete", "path": path}))
            .collect();
        let mut bytes = 0;
        for entry in puts {
            let content = self.read(&entry.path).await?;
            // As long as it is now: what runs there may have changed it since.
            let size = content.len() as u64;
            if changes.len() >= BATCH_CHANGES || bytes + size > BATCH_BYTES {
                self.change_files(std::mem::take(&mut changes)).await?;
                bytes = 0;
            }
            bytes += size;
            let mode = if executable(entry.mode) { "755" } else { "644" };
            changes.push(json!({
                "path": entry.path, "mode": mode, "content_base64": STANDARD.encode(&content),
            }));
        }
        self.change_files(changes).await
    }

    async fn change_files(&self, mut changes: Vec<Value>) -> Result<()> {
        while !changes.is_empty() {
            let rest = changes.split_off(changes.len().min(BATCH_CHANGES));
            let session = self.live.session;
            self.boxes
                .write_workspace(&self.caller, session, changes)
                .await?;
            changes = rest;
        }
        Ok(())
    }

    /// The workspace by path.
    async fn kept(&self) -> Result<BTreeMap<String, Kept>> {
        let mut kept = BTreeMap::new();
        let mut after = String::new();
        loop {
            let sql = SqlBuf::fixed(include_str!("../../sql/workspace_hashes.sql"));
            let sql = sql
                .bind(self.live.session.to_string())
                .bind(after)
                .bind(PAGE.to_string());
            let rows = self.boxes.rows.store.read(&self.caller, sql).await?;
            let page = rows.iter().filter_map(|row| {
                let file = Kept {
                    sha256: row.get(1)?.to_owned(),
                    executable: row.get(2)? == "755",
                    size: row.get(3)?.parse().ok()?,
                };
                Some((row.get(0)?.to_owned(), file))
            });
            let count = rows.len();
            kept.extend(page);
            match kept.last_key_value() {
                Some((last, _)) if count == PAGE => after = last.clone(),
                _ => return Ok(kept),
            }
        }
    }

    /// Makes the sandbox's files what the session's workspace is. Packages and
    /// what builds make stay.
    pub async fn restore(&self) -> Result<Restored> {
        let index = self.live.index.lock().await;
        let mut kept = self.kept().await?;
        let mut restored = Restored::default();
        for entry in self.list("", u32::MAX, LEFT_OUT).await? {
            if left_out(&entry.path) {
                continue;
            }
            let wanted = kept.get(&entry.path);
            if entry.kind == Kind::Folder {
                // A folder where a file is wanted goes with all that is in it.
                if wanted.is_some() {
                    self.clear(&entry.path).await?;
                }
                continue;
            }
            let Some(wanted) = wanted else {
                self.clear(&entry.path).await?;
                restored.removed += 1;
                continue;
            };
            if entry.kind != Kind::File {
                self.clear(&entry.path).await?;
                continue;
            }
            let alike = wanted.size == entry.size
                && wanted.executable == executable(entry.mode)
                && wanted.sha256
                    == match index.of(&entry) {
                        Some(known) => known.to_owned(),
                        None => hash(self.read(&entry.path).await?).await?,
                    };
            if alike {
                kept.remove(&entry.path);
            }
        }
        restored.written = kept.len();
        let mut paths = Vec::new();
        let mut bytes = 0;
        for (path, file) in kept {
            if paths.len() >= BATCH_CHANGES || bytes + file.size > BATCH_BYTES {
                self.fetch(std::mem::take(&mut paths)).await?;
                bytes = 0;
            }
            bytes += file.size;
            paths.push(path);
        }
        self.fetch(paths).await?;
        Ok(restored)
    }

    async fn clear(&self, path: &str) -> Result<()> {
        self.remove(&[path.to_owned()]).await
    }

    async fn fetch(&self, paths: Vec<String>) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let files = self
            .boxes
            .workspace_bytes(&self.caller, self.live.session, &paths)
            .await?;
        for (path, mode, bytes) in files {
            let contained = &self.live.contained;
            let executable = Some(mode == "755");
            let written = contained.write(path, bytes, executable).await;
            written.map_err(refused)?;
        }
        Ok(())
    }
}

impl super::Sandboxes {
    /// Changes the workspace of a session, as its owner.
    pub(super) async fn write_workspace(
        &self,
        caller: &kernel::Caller,
        session: uuid::Uuid,
        changes: Vec<Value>,
    ) -> Result<()> {
        let sql = SqlBuf::fixed("SELECT work.write_files($1::uuid, $2::jsonb)");
        let sql = sql
            .bind(session.to_string())
            .bind(Value::Array(changes).to_string());
        self.rows.store.write(caller, sql).await.map(drop)
    }

    /// Path, mode and bytes of some files of a workspace.
    pub(super) async fn workspace_bytes(
        &self,
        caller: &kernel::Caller,
        session: uuid::Uuid,
        paths: &[String],
    ) -> Result<Vec<(String, String, Bytes)>> {
        let sql = SqlBuf::fixed(include_str!("../../sql/workspace_bytes.sql"));
        let sql = sql.bind(session.to_string()).bind(json!(paths).to_string());
        let rows = self.rows.store.read(caller, sql).await?;
        let files = rows.iter().filter_map(|row| {
            let bytes = row.get(2).and_then(hex::decode)?;
            Some((
                row.get(0)?.to_owned(),
                row.get(1)?.to_owned(),
                Bytes::from(bytes),
            ))
        });
        Ok(files.collect())
    }
}

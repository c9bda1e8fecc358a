//! A sandbox in the hands of a caller who may use it: files, ports, logs.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use kernel::Caller;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Sandboxes;
use super::lifecycle::refused;
use super::live::Live;
use super::rows::Seen;
use crate::error::{Result, SessionsError};
use crate::ports::{Entry, Kind};

/// Folders below one another in a list.
const DEPTH_MAX: u32 = 64;
/// Entries of one list. A project without its packages has hundreds.
pub(super) const ENTRIES_MAX: usize = 20_000;

/// A live sandbox and who uses it.
#[derive(Clone)]
pub struct Open {
    pub(crate) boxes: Arc<Sandboxes>,
    /// The sandbox.
    pub live: Arc<Live>,
    /// Its row.
    pub seen: Seen,
    pub(crate) caller: Caller,
}

impl Open {
    pub(super) fn new(boxes: Arc<Sandboxes>, live: Arc<Live>, seen: Seen, caller: Caller) -> Self {
        Self {
            boxes,
            live,
            seen,
            caller,
        }
    }

    pub(crate) fn with(mut self, seen: Seen) -> Self {
        self.seen = seen;
        self
    }

    /// For whoever has shown the sandbox's key: its row is not asked for.
    pub(crate) fn by_key(boxes: &Arc<Sandboxes>, live: &Arc<Live>, caller: Caller) -> Self {
        let seen = Seen::unknown(&live.id, live.session);
        Self::new(Arc::clone(boxes), Arc::clone(live), seen, caller)
    }

    pub(crate) fn tasks(&self) -> &kernel::Tasks {
        &self.boxes.tasks
    }

    /// Its id in addresses.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.live.id
    }

    /// Its session.
    #[must_use]
    pub fn session(&self) -> Uuid {
        self.live.session
    }

    /// A file's bytes.
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        let read = self.live.contained.read(path.to_owned()).await;
        read.map_err(refused)
    }

    /// Makes files or replaces them, one after the other.
    pub async fn write(&self, files: &[(String, Bytes)]) -> Result<()> {
        for (path, bytes) in files {
            let written = self
                .live
                .contained
                .write(path.clone(), bytes.clone(), None)
                .await;
            written.map_err(refused)?;
        }
        Ok(())
    }

    /// Removes files and folders; those that are not there are no matter.
    pub async fn remove(&self, paths: &[String]) -> Result<()> {
        for path in paths {
            match self.live.contained.remove(path.clone()).await {
                Ok(()) | Err(crate::ports::RunError::NotFound(_)) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    /// What is in a folder and, `depth` levels down, in those below. Folders of
    /// these names are named but not looked into.
    pub async fn list(&self, folder: &str, depth: u32, closed: &[&str]) -> Result<Vec<Entry>> {
        let mut found: Vec<Entry> = Vec::new();
        let mut folders = vec![(folder.trim_matches('/').to_owned(), 1)];
        while let Some((folder, level)) = folders.pop() {
            let entries = self.live.contained.entries(folder).await.map_err(refused)?;
            for entry in entries {
                if found.len() >= ENTRIES_MAX {
                    return Err(SessionsError::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "over_limit",
                        "there are too many files",
                    ));
                }
                let name = entry.path.rsplit('/').next().unwrap_or_default();
                let enter = entry.kind == Kind::Folder && !closed.contains(&name);
                if enter && level < depth.min(DEPTH_MAX) {
                    folders.push((entry.path.clone(), level + 1));
                }
                found.push(entry);
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Ports that somebody inside listens on.
    pub async fn listening(&self) -> Result<Vec<u16>> {
        self.live.contained.listening().await.map_err(refused)
    }

    /// The address of a page of it; of a private one, with the right to see it.
    #[must_use]
    pub fn preview_url(&self, port: u16) -> String {
        (self.boxes.preview)(&self.live.id, port, self.live.private)
    }

    /// How it is: its row, what it uses, its ports, its programs.
    pub async fn health(&self) -> Result<Value> {
        let usage = self.live.contained.usage().await.map_err(refused)?;
        Ok(json!({
            "sandbox_id": self.live.id,
            "status": self.seen.status,
            "expires_at": self.seen.expires_at,
            "usage": usage,
            "ports": self.live.contained.listening().await.unwrap_or_default(),
            "processes": self.live.processes(),
        }))
    }
}

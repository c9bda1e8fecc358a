//! The workspace's files, for the server. Paths are relative to the home (or
//! absolute below it); no symbolic link is ever followed.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::SandboxError;

/// What a name in the workspace stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, which is shown and never followed.
    Link,
    /// A FIFO, socket or device: shown, never opened.
    Other,
}

/// One name in the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative to the home.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// The last change, in nanoseconds since 1970.
    pub modified: i64,
    /// Permission bits.
    pub mode: u32,
}

/// A change in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A file is there or has a new content.
    Written(String),
    /// A folder is there.
    Folder(String),
    /// It is gone.
    Removed(String),
    /// More happened than was kept: look again.
    Overflow,
}

/// The files of one sandbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {}

impl Files {
    /// A plain file of at most `most` bytes.
    pub async fn read(&self, path: &str, most: u64) -> Result<Bytes, SandboxError> {
        let _ = (path, most);
        Err(SandboxError::Ended)
    }

    /// Replaces or makes a file as a whole, with the folders above it. Who
    /// reads meanwhile sees the old content or the new one.
    pub async fn write(
        &self,
        path: &str,
        bytes: Bytes,
        mode: Option<u32>,
    ) -> Result<Entry, SandboxError> {
        let _ = (path, bytes, mode);
        Err(SandboxError::Ended)
    }

    /// What is in a folder, `depth` levels down (1: the folder itself).
    pub async fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, SandboxError> {
        let _ = (path, depth);
        Err(SandboxError::Ended)
    }

    /// What is at `path`.
    pub async fn stat(&self, path: &str) -> Result<Entry, SandboxError> {
        let _ = path;
        Err(SandboxError::Ended)
    }

    /// Makes a folder and those above it; true when it was not there.
    pub async fn mkdir(&self, path: &str) -> Result<bool, SandboxError> {
        let _ = path;
        Err(SandboxError::Ended)
    }

    /// Moves a file or folder.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), SandboxError> {
        let _ = (from, to);
        Err(SandboxError::Ended)
    }

    /// Removes a file, or a folder with everything in it.
    pub async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        let _ = path;
        Err(SandboxError::Ended)
    }

    /// Changes in a folder, and in those below when `recursive`. Ends when the
    /// receiver is dropped.
    pub async fn watch(
        &self,
        path: &str,
        recursive: bool,
        settle: Duration,
    ) -> Result<mpsc::Receiver<Change>, SandboxError> {
        let _ = (path, recursive, settle);
        Err(SandboxError::Ended)
    }
}

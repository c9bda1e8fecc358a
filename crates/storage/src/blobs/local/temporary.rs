//! A file that is gone unless it is published.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Local, new_file};

/// A file that is being written. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        let file = new_file().create_new(true).open(&path)?;
        let keep = false;
        Ok(Self { file, path, keep })
    }

    /// A file that stays, whatever happens to who writes it.
    pub(super) fn kept(file: File, path: PathBuf) -> Self {
        let keep = true;
        Self { file, path, keep }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, and waits until the disk has its bytes. The name is
    /// durable when its folder is synced after this.
    pub(super) fn publish(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        to.clone_into(&mut self.path);
        // Should the sync fail, the name goes again with `self`.
        self.file.sync_all()
    }

    /// It is durable and stays.
    pub(super) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed goes at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Local {
    /// A file in `incoming`, under a name that only its own life knows.
    pub(super) fn temporary(&self) -> io::Result<Temporary> {
        let name = self.new_id().to_string();
        Temporary::create(self.0.root.join("incoming").join(name))
    }
}

//! Files by their SHA-256: `blobs/<two digits>/<sixty-four>`. What is there is
//! whole, never changes, and is shared by all backups of the repository.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::disk::{self, Sum};

pub(super) const FOLDER: &str = "blobs";
const INCOMING: &str = "incoming";

/// The name of a file within the repository.
pub(super) fn name(sha256: &str) -> String {
    format!("{FOLDER}/{}/{sha256}", folder_of(sha256))
}

fn folder_of(sha256: &str) -> &str {
    sha256.get(..2).unwrap_or("xx")
}

/// The files of a repository.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(super) fn of(repository: &Path) -> Self {
        Self {
            folder: repository.join(FOLDER),
        }
    }

    /// Makes its folders, and forgets what an earlier writer did not finish.
    /// The caller is the only writer.
    pub(super) fn make_ready(&self) -> Result<(), BackupError> {
        let incoming = self.folder.join(INCOMING);
        match fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::file("empty", &incoming)(error));
            }
            _ => {}
        }
        disk::make_private(&incoming)
    }

    /// Where bytes come in before their hash is known; `name` is the caller's own.
    pub(super) fn incoming(&self, name: &str) -> PathBuf {
        self.folder.join(INCOMING).join(name)
    }

    /// Takes in a file that will never change, and reads it once.
    pub(super) fn take(&self, from: &Path, name: &str) -> Result<Sum, BackupError> {
        let incoming = self.incoming(name);
        let sum = disk::take(from, &incoming).map_err(BackupError::file("take in", from))?;
        self.keep(&incoming, sum)
    }

    /// Gives incoming bytes their name.
    pub(super) fn keep(&self, incoming: &Path, sum: Sum) -> Result<Sum, BackupError> {
        let path = self.path(&sum.sha256);
        if self.has(&sum) {
            // The same bytes under another file's name. Two links to one file
            // would not be renamed, so it is removed instead.
            fs::remove_file(incoming).map_err(BackupError::file("remove", incoming))?;
            return Ok(sum);
        }
        if let Some(folder) = path.parent() {
            disk::make_private(folder)?;
        }
        fs::rename(incoming, &path).map_err(BackupError::file("name", &path))?;
        Ok(sum)
    }

    /// Whether these bytes are there, by name and size.
    pub(super) fn has(&self, sum: &Sum) -> bool {
        fs::metadata(self.path(&sum.sha256)).is_ok_and(|meta| meta.len() == sum.size)
    }

    pub(super) fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(folder_of(sha256)).join(sha256)
    }

    /// Removes what `named` does not know. The caller has the repository to
    /// itself.
    pub(super) fn sweep(&self, named: impl Fn(&str) -> bool) -> Result<u64, BackupError> {
        let mut removed = 0;
        for folder in children(&self.folder)? {
            for path in children(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_some_and(&named) {
                    continue;
                }
                fs::remove_file(&path).map_err(BackupError::file("remove", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.path()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(BackupError::file("list", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn equal_bytes_are_kept_once_and_unnamed_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::of(folder.path());
        store.make_ready().unwrap();
        let source = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let one = store.take(&source("a", "same"), "1").unwrap();
        let two = store.take(&source("b", "same"), "2").unwrap();
        let three = store.take(&source("c", "other"), "3").unwrap();
        // The same file once more, linked already.
        assert_eq!(store.take(&folder.path().join("a"), "4").unwrap(), one);
        assert_eq!(one, two);
        assert_eq!(one, disk::sum(&store.path(&one.sha256)).unwrap());
        assert_eq!(store.sweep(|name| name == one.sha256).unwrap(), 1);
        assert!(store.has(&one) && !store.has(&three));
        let wrong = Sum { size: 5, ..one };
        assert!(!store.has(&wrong));
    }
}

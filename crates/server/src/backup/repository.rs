//! Where backups lie.
//!
//! ```text
//! <repository>/
//!   20261121T233012Z-7f3a9c/     one backup
//!     manifest.jsonl             what it consists of
//!     database.dump              pg_dump's archive
//!     secrets.json               keys, settings and roles
//!     verified.json              when it was last restored and compared
//!   blobs/7f/7f3a…               files of storage, shared by all backups
//!   new-<id>/                    one being made; gone-<id>/ one being removed
//!   lock, making                 held while somebody reads or writes
//! ```
//!
//! A folder has a backup's name only when all of it is on the disk. Readers
//! share `lock`, whoever removes has it alone; who makes a backup has `making`
//! alone besides, so that backups may be made while others are read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::disk::{self, Lock};
use super::manifest::{self, End, Header, Line, Reader};
use super::store::Store;
use super::{BackupError, Id};

pub(super) const MANIFEST: &str = "manifest.jsonl";
pub(super) const DATABASE: &str = "database.dump";
pub(super) const SECRETS: &str = "secrets.json";
pub(super) const VERIFIED: &str = "verified.json";
const LOCK: &str = "lock";
const MAKING: &str = "making";
const NEW: &str = "new-";
const GONE: &str = "gone-";

/// A folder of backups.
#[derive(Clone, Debug)]
pub struct Repository {
    folder: PathBuf,
}

/// One backup, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its name.
    pub id: Id,
    /// About the whole.
    pub header: Header,
    /// How many files, and their size.
    pub end: End,
    /// The size of its own folder; its files are shared with others.
    pub own_bytes: u64,
    /// When it was last restored and found equal, RFC 3339.
    pub verified_at: Option<String>,
}

impl Summary {
    /// When the snapshot was taken.
    #[must_use]
    pub fn taken_at(&self) -> Option<Timestamp> {
        self.header.taken_at.parse().ok()
    }

    /// When it was last verified.
    #[must_use]
    pub fn verified(&self) -> Option<Timestamp> {
        self.verified_at.as_deref()?.parse().ok()
    }
}

#[derive(Serialize, Deserialize)]
struct Verified {
    verified_at: String,
    ferrobase: String,
}

impl Repository {
    /// The one in this folder, which need not be there yet.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The backups that are complete, oldest first.
    pub fn list(&self) -> Result<Vec<Summary>, BackupError> {
        let mut ids = self.ids()?;
        ids.sort();
        // One that cannot be read is left out here and found by `verify`; one
        // that is removed meanwhile is none.
        let summaries = ids.iter().filter_map(|id| match self.summary(id) {
            Ok(summary) => Some(summary),
            Err(error) => {
                tracing::warn!(%error, %id, "A backup cannot be read");
                None
            }
        });
        Ok(summaries.collect())
    }

    fn ids(&self) -> Result<Vec<Id>, BackupError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(BackupError::file("list", &self.folder)(error)),
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| Id::parse(name.to_str()?)).collect())
    }

    fn summary(&self, id: &Id) -> Result<Summary, BackupError> {
        let folder = self.path(id);
        let (_, header, end) = manifest::ends(&folder.join(MANIFEST))?;
        let sizes = [MANIFEST, DATABASE, SECRETS].map(|name| fs::metadata(folder.join(name)));
        let verified = fs::read(folder.join(VERIFIED)).ok();
        let verified = verified.and_then(|text| serde_json::from_slice::<Verified>(&text).ok());
        Ok(Summary {
            id: id.clone(),
            header,
            end,
            own_bytes: sizes.into_iter().flatten().map(|meta| meta.len()).sum(),
            verified_at: verified.map(|verified| verified.verified_at),
        })
    }

    /// The backup of this name, or the newest for `latest`.
    pub fn find(&self, name: &str) -> Result<Id, BackupError> {
        let ids = self.ids()?;
        let found = match name {
            "latest" => ids.into_iter().max(),
            _ => ids.into_iter().find(|id| id.as_str() == name),
        };
        found.ok_or_else(|| BackupError::Unknown {
            id: name.to_owned(),
            folder: self.folder.clone(),
        })
    }

    pub(super) fn path(&self, id: &Id) -> PathBuf {
        self.folder.join(id.as_str())
    }

    pub(super) fn store(&self) -> Store {
        Store::of(&self.folder)
    }

    /// Keeps backups from being removed while the lock lives.
    pub(super) fn read_lock(&self) -> Result<Lock, BackupError> {
        let path = self.folder.join(LOCK);
        Lock::take(&path, FlockOperation::NonBlockingLockShared)
    }

    /// Begins a backup: nobody else makes one meanwhile.
    pub(super) fn begin(&self, id: Id) -> Result<Draft, BackupError> {
        disk::make_private(&self.folder)?;
        let ignore = self.folder.join(".gitignore");
        if !ignore.exists() {
            disk::replace(&ignore, b"*\n")?;
        }
        let making = self.folder.join(MAKING);
        let making = Lock::take(&making, FlockOperation::NonBlockingLockExclusive)?;
        let reading = self.read_lock()?;
        self.clear(NEW)?;
        self.store().make_ready()?;
        let folder = self.folder.join(format!("{NEW}{id}"));
        disk::make_private(&folder)?;
        Ok(Draft {
            repository: self.clone(),
            id,
            folder,
            done: false,
            _locks: [making, reading],
        })
    }

    /// Removes what an earlier process did not finish.
    fn clear(&self, prefix: &str) -> Result<(), BackupError> {
        let entries =
            fs::read_dir(&self.folder).map_err(BackupError::file("list", &self.folder))?;
        for entry in entries.flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(prefix)) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(BackupError::file("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Removes these backups, then the files that none of the others names.
    /// What is half removed is not listed, and goes the next time.
    pub fn remove(&self, ids: &[Id]) -> Result<u64, BackupError> {
        let alone = FlockOperation::NonBlockingLockExclusive;
        let _making = Lock::take(&self.folder.join(MAKING), alone)?;
        let _reading = Lock::take(&self.folder.join(LOCK), alone)?;
        for id in ids {
            let gone = self.folder.join(format!("{GONE}{id}"));
            let path = self.path(id);
            fs::rename(&path, &gone).map_err(BackupError::file("remove", &path))?;
        }
        self.clear(GONE)?;
        self.clear(NEW)?;
        let mut named = foldhash::HashSet::default();
        for id in self.ids()? {
            // One that cannot be read might name any file: then all stay.
            let mut reader = Reader::open(&self.path(&id).join(MANIFEST))?;
            while let Some(line) = reader.next()? {
                if let Line::File(file) = line {
                    named.insert(file.sha256);
                }
            }
        }
        self.store().sweep(|sha256| named.contains(sha256))
    }

    pub(super) fn mark_verified(&self, id: &Id, at: Timestamp) -> Result<(), BackupError> {
        let verified = Verified {
            verified_at: format!("{at:.0}"),
            ferrobase: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let text = serde_json::to_vec(&verified).unwrap_or_default();
        disk::replace(&self.path(id).join(VERIFIED), &text)
    }
}

/// A backup being made; dropped before [`Draft::publish`] it was none.
pub(super) struct Draft {
    repository: Repository,
    pub(super) id: Id,
    pub(super) folder: PathBuf,
    done: bool,
    _locks: [Lock; 2],
}

impl Draft {
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Everything to the disk, then the name.
    pub(super) fn publish(mut self) -> Result<Id, BackupError> {
        disk::publish(&self.folder, &self.repository.path(&self.id))?;
        self.done = true;
        Ok(self.id.clone())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // What stays is removed by the next one.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::backup::manifest::{StoredFile, VERSION, Writer};

    fn id(second: u32) -> Id {
        Id::parse(&format!("20260102T0304{second:02}Z-abcdef")).unwrap()
    }

    fn make(repository: &Repository, second: u32, text: &str) -> Draft {
        let draft = repository.begin(id(second)).unwrap();
        let source = draft.part("source");
        fs::write(&source, text).unwrap();
        let sum = repository.store().take(&source, "1").unwrap();
        let mut writer = Writer::create(&draft.part(MANIFEST)).unwrap();
        let header = Header {
            version: VERSION,
            id: draft.id.to_string(),
            ..Header::default()
        };
        writer.write(&Line::Backup(header)).unwrap();
        let file = StoredFile {
            version: "v".to_owned(),
            size: sum.size,
            sha256: sum.sha256,
        };
        writer.write(&Line::File(file)).unwrap();
        writer.finish().unwrap();
        draft
    }

    #[test]
    fn a_backup_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::at(folder.path().join("backups"));
        assert_eq!(repository.list().unwrap(), []);
        let draft = make(&repository, 1, "one");
        assert_eq!(repository.list().unwrap(), []);
        let second = repository.begin(id(2)).map(drop).unwrap_err();
        assert_eq!(second.code(), "FB6005");
        draft.publish().unwrap();
        drop(make(&repository, 2, "two"));
        // A killed one runs no destructor.
        fs::create_dir(repository.folder().join("new-20260102T030405Z-000000")).unwrap();
        let draft = make(&repository, 3, "three");
        draft.publish().unwrap();
        let listed: Vec<_> = repository.list().unwrap();
        let ids: Vec<_> = listed.iter().map(|one| one.id.clone()).collect();
        assert_eq!(ids, [id(1), id(3)]);
        assert_eq!(repository.find("latest").unwrap(), id(3));
        assert_eq!(repository.find("../x").unwrap_err().code(), "FB6007");
        let names = fs::read_dir(repository.folder()).unwrap().flatten();
        assert!(!names.map(|one| one.file_name()).any(|name| {
            let name = name.to_string_lossy().into_owned();
            name.starts_with(NEW)
        }));
    }

    #[test]
    fn removing_takes_the_files_that_nobody_names_and_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::at(folder.path());
        for (second, text) in [(1, "shared"), (2, "shared"), (3, "alone")] {
            make(&repository, second, text).publish().unwrap();
        }
        let reader = repository.read_lock().unwrap();
        let refused = repository.remove(&[id(1)]).unwrap_err();
        assert_eq!(refused.code(), "FB6005");
        drop(reader);
        assert_eq!(repository.remove(&[id(1)]).unwrap(), 0);
        assert_eq!(repository.remove(&[id(3)]).unwrap(), 1);
        assert_eq!(repository.list().unwrap().len(), 1);
    }
}

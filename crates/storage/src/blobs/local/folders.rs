//! Folders of finished names: which one a name is in, and waiting together for
//! the disk to have one.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::super::BlobId;
use super::private_folder;

/// Folders that are kept open: new names are in one or two, those that are
/// removed anywhere.
const OPEN_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    open: Mutex<VecDeque<Arc<Folder>>>,
}

/// A folder whose syncs are shared: who comes while one is running waits for
/// the next, together with all who came meanwhile.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    file: File,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Syncs are counted; these have begun, ended, and failed last.
    begun: u64,
    ended: u64,
    failed: u64,
    running: bool,
}

impl Folders {
    pub(super) fn new(root: PathBuf) -> Self {
        let open = Mutex::default();
        Self { root, open }
    }

    /// Five digits of a v7 name are three days, three more are 65 seconds.
    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        let days = name.get(..5).unwrap_or_default();
        let minute = name.get(5..8).unwrap_or_default();
        let mut path = self.root.join(days);
        path.push(minute);
        path.push(name);
        path
    }

    /// Makes a name's folder, durably.
    pub(super) fn make(&self, id: BlobId) -> io::Result<()> {
        let path = self.path(id);
        let Some(minute) = path.parent() else {
            return Ok(());
        };
        if self.known(minute).is_some() && minute.exists() {
            return Ok(());
        }
        if let Some(days) = minute.parent() {
            if made(days)? {
                File::open(&self.root)?.sync_all()?;
            }
            // Also when it was there: who made it may not have synced it yet.
            made(minute)?;
            File::open(days)?.sync_all()?;
        }
        self.opened(minute).map(drop)
    }

    /// Waits until the disk has the folder of a name.
    pub(super) fn sync_of(&self, id: BlobId) -> io::Result<()> {
        let path = self.path(id);
        path.parent().map_or(Ok(()), |folder| self.sync(folder))
    }

    /// Waits until the disk has a folder as it is now.
    pub(super) fn sync(&self, path: &Path) -> io::Result<()> {
        self.opened(path)?.sync()
    }

    fn known(&self, path: &Path) -> Option<Arc<Folder>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .find(|folder| folder.path == path)
            .map(Arc::clone)
    }

    fn opened(&self, path: &Path) -> io::Result<Arc<Folder>> {
        if let Some(folder) = self.known(path) {
            return Ok(folder);
        }
        let folder = Arc::new(Folder {
            path: path.to_owned(),
            file: File::open(path)?,
            state: Mutex::default(),
            ended: Condvar::new(),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.truncate(OPEN_MAX - 1);
        open.push_front(Arc::clone(&folder));
        Ok(folder)
    }

    /// The folders that hold names after this one, in order.
    pub(super) fn after(&self, after: Option<BlobId>) -> io::Result<Vec<PathBuf>> {
        let text = after.map(|id| id.to_string()).unwrap_or_default();
        let (first_days, first_minute) = (text.get(..5), text.get(..8));
        let mut found = Vec::new();
        for days in sorted(&self.root)? {
            if Some(days.as_str()) < first_days {
                continue;
            }
            for minute in sorted(&self.root.join(&days))? {
                let prefix = format!("{days}{minute}");
                if Some(prefix.as_str()) >= first_minute {
                    found.push(self.root.join(&days).join(minute));
                }
            }
        }
        Ok(found)
    }
}

impl Folder {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        // One that is running may have begun before what is to be synced.
        let mine = state.begun + 1;
        loop {
            if state.ended >= mine {
                let failed = state.failed >= mine;
                let error = || io::Error::other("the folder could not be synced");
                return if failed { Err(error()) } else { Ok(()) };
            }
            if state.running {
                state = self
                    .ended
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.begun += 1;
            let number = state.begun;
            drop(state);
            let result = self.file.sync_all();
            state = self.lock();
            state.running = false;
            state.ended = number;
            if result.is_err() {
                state.failed = number;
            }
            self.ended.notify_all();
            result?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a folder; whether it was missing.
fn made(path: &Path) -> io::Result<bool> {
    match private_folder().create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn sorted(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // What is not ours has other names.
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// The names of one folder after `after`, with sizes, in order.
pub(super) fn entries(folder: &Path, after: Option<BlobId>) -> io::Result<Vec<(BlobId, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<BlobId>().ok()) else {
            continue;
        };
        if Some(id) <= after {
            continue;
        }
        match entry.metadata() {
            Ok(metadata) => found.push((id, metadata.len())),
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_share_a_sync_and_each_waits_for_one_that_began_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let folders = Folders::new(folder.path().to_owned());
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        folders.sync(folder.path()).expect("synced");
                    }
                });
            }
        });
        let state = folders.opened(folder.path()).expect("open");
        let state = state.lock();
        assert_eq!((state.begun, state.failed), (state.ended, 0));
        assert!(state.begun <= 320);
    }
}

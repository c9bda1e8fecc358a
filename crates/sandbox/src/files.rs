//! The workspace's files, for the server. Paths are relative to the home (or
//! absolute below `/home/user`); no symbolic link is ever followed.
//!
//! The server opens what hostile code has arranged, with more rights than
//! that code has. So nothing is opened by a path: `beneath` walks from the
//! open home, and what comes out must be a plain file that is the sandbox's.

mod beneath;
mod layer;
mod watch;

use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kernel::Tasks;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{SandboxError, tree};
use beneath::{Spot, refused};

/// One file that is written; larger ones are made inside.
const WRITE_MOST: u64 = 512 << 20;
/// Entries of one listing.
const LIST_MOST: usize = 50_000;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
pub struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    home: OwnedFd,
    /// The sandbox's user on the host, when that is not ours.
    owner: Option<u32>,
    tasks: Tasks,
    next: AtomicU64,
}

impl Entry {
    fn of(path: String, about: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let seconds = about.st_mtime.saturating_mul(1_000_000_000);
        Self {
            path,
            kind,
            size: u64::try_from(about.st_size).unwrap_or(0),
            modified: seconds.saturating_add(i64::try_from(about.st_mtime_nsec).unwrap_or(0)),
            mode: about.st_mode & 0o7777,
        }
    }
}

impl Files {
    pub(crate) fn new(home: OwnedFd, owner: Option<u32>, tasks: Tasks) -> Self {
        let next = AtomicU64::new(0);
        Self {
            inner: Arc::new(Inner {
                home,
                owner,
                tasks,
                next,
            }),
        }
    }

    /// Runs `work` where it may wait for a disk.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, SandboxError> + Send + 'static,
    ) -> Result<T, SandboxError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || work(&inner));
        done.await.unwrap_or(Err(SandboxError::Ended))
    }

    /// A plain file of at most `most` bytes.
    pub async fn read(&self, path: &str, most: u64) -> Result<Bytes, SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| inner.read(&spot, most)).await
    }

    /// Replaces or makes a file as a whole, with the folders above it. Who
    /// reads meanwhile sees the old content or the new one. Without `mode`
    /// the old one is kept.
    pub async fn write(
        &self,
        path: &str,
        bytes: Bytes,
        mode: Option<u32>,
    ) -> Result<Entry, SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| inner.write(&spot, &bytes, mode))
            .await
    }

    /// What is in a folder, `depth` levels down (1: the folder itself), by
    /// path.
    pub async fn list(&self, path: &str, depth: u32) -> Result<Vec<Entry>, SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| inner.list(&spot, depth)).await
    }

    /// What is at `path`; of a link the link.
    pub async fn stat(&self, path: &str) -> Result<Entry, SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| inner.stat(&spot)).await
    }

    /// Makes a folder and those above it; true when it was not there.
    pub async fn mkdir(&self, path: &str) -> Result<bool, SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| inner.folder(&spot.all()).map(|(_, made)| made))
            .await
    }

    /// Moves a file or folder; what is at `to` is replaced if it is a file.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), SandboxError> {
        let (from, to) = (Spot::of(from)?, Spot::of(to)?);
        self.blocking(move |inner| {
            let (source, source_name) = inner.above(&from)?;
            let (above, _) = inner.folder(&to.above())?;
            let name = to.name()?;
            let moved = rustix::fs::renameat(&source, source_name, &above, name);
            moved.map_err(|error| refused(&from.path, error))
        })
        .await
    }

    /// Removes a file, or a folder with everything in it.
    pub async fn remove(&self, path: &str) -> Result<(), SandboxError> {
        let spot = Spot::of(path)?;
        self.blocking(move |inner| {
            let (above, name) = inner.above(&spot)?;
            rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| refused(&spot.path, error))?;
            tree::remove_at(&above, name)
                .map_err(|error| SandboxError::system("remove files", error))
        })
        .await
    }

    /// Changes in a folder, and in those below when `recursive`; what happens
    /// to one name within `settle` is told once. Ends when the receiver is
    /// dropped.
    pub async fn watch(
        &self,
        path: &str,
        recursive: bool,
        settle: Duration,
    ) -> Result<mpsc::Receiver<Change>, SandboxError> {
        let spot = Spot::of(path)?;
        let watching = self
            .blocking(move |inner| watch::Watching::start(inner, &spot, recursive))
            .await?;
        let (tell, told) = mpsc::channel(watch::CHANGES_MOST);
        let inner = Arc::clone(&self.inner);
        self.inner.tasks.spawn("sandbox watch", async move {
            let stop = inner.tasks.clone();
            tokio::select! {
                () = watching.run(&inner, &tell, settle) => {}
                () = tell.closed() => {}
                () = stop.stopping() => {}
            }
        });
        Ok(told)
    }

    /// See [`crate::Sandbox::keep_layer`].
    pub(crate) async fn copy_out(
        &self,
        path: &str,
        layers: &Path,
        name: &str,
    ) -> Result<bool, SandboxError> {
        let spot = Spot::of(path)?;
        let (layers, name) = (layers.to_owned(), name.to_owned());
        self.blocking(move |inner| {
            let from = inner.open(&spot.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let number = inner.next.fetch_add(1, Ordering::Relaxed);
            layer::copy(&from, &layers, &name, number)
        })
        .await
    }
}

impl Inner {
    fn read(&self, spot: &Spot, most: u64) -> Result<Bytes, SandboxError> {
        // A FIFO without a writer would make an open wait.
        let file = self.open(
            &spot.path,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        )?;
        let about = rustix::fs::fstat(&file).map_err(|error| refused(&spot.path, error))?;
        self.check_plain(&spot.path, &about)?;
        let size = u64::try_from(about.st_size).unwrap_or(0);
        if size > most {
            return Err(SandboxError::TooMuch {
                what: "bytes of a file",
                most,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        // It may grow while it is read.
        std::fs::File::from(file)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| SandboxError::system("read a file", error))?;
        if bytes.len() as u64 > most {
            return Err(SandboxError::TooMuch {
                what: "bytes of a file",
                most,
            });
        }
        Ok(bytes.into())
    }

    /// A plain file; a second name of somebody else's file is none.
    fn check_plain(&self, path: &str, about: &Stat) -> Result<(), SandboxError> {
        if !FileType::from_raw_mode(about.st_mode).is_file() {
            return Err(SandboxError::Forbidden(format!(
                "{path} is not a plain file"
            )));
        }
        let ours = rustix::process::geteuid().as_raw();
        let owner = self.owner.unwrap_or(ours);
        if about.st_nlink > 1 && about.st_uid != owner {
            return Err(SandboxError::Forbidden(format!(
                "{path} is a hard link to a foreign file"
            )));
        }
        Ok(())
    }

    fn write(&self, spot: &Spot, bytes: &[u8], mode: Option<u32>) -> Result<Entry, SandboxError> {
        if bytes.len() as u64 > WRITE_MOST {
            return Err(SandboxError::TooMuch {
                what: "bytes of a file",
                most: WRITE_MOST,
            });
        }
        let name = spot.name()?;
        let (above, _) = self.folder(&spot.above())?;
        let old = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW).ok();
        let old = old.filter(|about| FileType::from_raw_mode(about.st_mode).is_file());
        let mode = mode
            .or(old.map(|about| about.st_mode & 0o777))
            .unwrap_or(0o644)
            & 0o777;
        // Beside it under another name, then put in its place: a link there
        // is replaced, not followed.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let beside = format!(".ferrobase-{}-{number}", std::process::id());
        let beside = CString::new(beside).map_err(|_| SandboxError::Ended)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&above, &beside, flags, Mode::from_raw_mode(0o600))
            .map_err(|error| refused(&spot.path, error))?;
        let put = || -> std::io::Result<Stat> {
            let mut file = std::fs::File::from(file);
            file.write_all(bytes)?;
            self.give(&file)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            rustix::fs::renameat(&above, &beside, &above, name)?;
            Ok(rustix::fs::fstat(&file)?)
        };
        match put() {
            Ok(about) => Ok(Entry::of(spot.path.clone(), &about)),
            Err(error) => {
                let _ = rustix::fs::unlinkat(&above, &beside, AtFlags::empty());
                Err(match error.raw_os_error() {
                    Some(libc::EISDIR) => SandboxError::Exists(format!("folder {}", spot.path)),
                    _ => SandboxError::system("write a file", error),
                })
            }
        }
    }

    fn list(&self, spot: &Spot, depth: u32) -> Result<Vec<Entry>, SandboxError> {
        let top = self.open(&spot.path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        let mut open = vec![(top, spot.path.clone(), 1)];
        while let Some((folder, path, level)) = open.pop() {
            let dir = rustix::fs::Dir::read_from(&folder).map_err(|error| refused(&path, error))?;
            for entry in dir.flatten() {
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                // Gone again meanwhile is no error.
                let Ok(about) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                if found.len() >= LIST_MOST {
                    return Err(SandboxError::TooMuch {
                        what: "entries of a listing",
                        most: LIST_MOST as u64,
                    });
                }
                let entry = Entry::of(beneath::join(&path, &name.to_string_lossy()), &about);
                let further =
                    entry.kind == Kind::Folder && level < depth && open.len() < tree::DEPTH_MOST;
                if further
                    && let Ok(below) =
                        self.open_at(&folder, name, OFlags::RDONLY | OFlags::DIRECTORY)
                {
                    open.push((below, entry.path.clone(), level + 1));
                }
                found.push(entry);
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn stat(&self, spot: &Spot) -> Result<Entry, SandboxError> {
        let about = if spot.name().is_ok() {
            let (above, name) = self.above(spot)?;
            rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW)
        } else {
            rustix::fs::fstat(&self.home)
        };
        let about = about.map_err(|error| refused(&spot.path, error))?;
        Ok(Entry::of(spot.path.clone(), &about))
    }
}

//! What backups ask of the disk: copies without copying where the file system
//! can, everything flushed before it gets its name, locks that a killed
//! process cannot leave behind.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::BackupError;

const CHUNK_BYTES: usize = 1 << 20;
/// Left free in any case: a full disk stops the database.
const SPARE_BYTES: u64 = 64 << 20;
/// A process that was told to end may still hold files in a folder for an
/// instant.
const REMOVE_TRIES: u32 = 50;
const REMOVE_PAUSE: Duration = Duration::from_millis(100);

/// Size and SHA-256 of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) size: u64,
    /// Lower-case hex.
    pub(super) sha256: String,
}

/// Adds up bytes as they pass.
#[derive(Default)]
pub(super) struct Summing {
    size: u64,
    hash: Sha256,
}

impl Summing {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hash.update(bytes);
    }

    pub(super) fn sum(self) -> Sum {
        Sum {
            size: self.size,
            sha256: format!("{:x}", self.hash.finalize()),
        }
    }
}

/// Reads a file to its end.
pub(super) fn sum(path: &Path) -> io::Result<Sum> {
    copy_summed(&mut File::open(path)?, &mut io::sink())
}

fn copy_summed(from: &mut impl Read, to: &mut impl Write) -> io::Result<Sum> {
    let mut summing = Summing::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match from.read(&mut chunk) {
            Ok(0) => return Ok(summing.sum()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let bytes = chunk.get(..count).unwrap_or_default();
        summing.add(bytes);
        to.write_all(bytes)?;
    }
}

/// Gives the bytes of a file a second name, as a clone, else a link, else a
/// copy, and reads all of them once. Neither file may ever be written to again.
pub(super) fn take(from: &Path, to: &Path) -> io::Result<Sum> {
    if clone(from, to) || fs::hard_link(from, to).is_ok() {
        return sum(to);
    }
    let mut source = File::open(from)?;
    let mut target = create_private(to)?;
    copy_summed(&mut source, &mut target)
}

/// Shares the blocks of a file where the file system can (btrfs, XFS).
#[cfg(target_os = "linux")]
fn clone(from: &Path, to: &Path) -> bool {
    let (Ok(source), Ok(target)) = (File::open(from), create_private(to)) else {
        return false;
    };
    let cloned = rustix::fs::ioctl_ficlone(&target, &source).is_ok();
    if !cloned {
        let _ = fs::remove_file(to);
    }
    cloned
}

#[cfg(not(target_os = "linux"))]
fn clone(_: &Path, _: &Path) -> bool {
    false
}

/// A new file for its owner's eyes.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// A folder, with its parents, for its owner's eyes.
pub(super) fn make_private(folder: &Path) -> Result<(), BackupError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(BackupError::file("make", folder))
}

/// Writes a small file whole: beside its place, flushed, then into it.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let draft = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create_private(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.map_err(BackupError::file("write", path))
}

/// Puts everything below a folder on the disk, then gives it its name.
pub(super) fn publish(draft: &Path, name: &Path) -> Result<(), BackupError> {
    flush(draft).map_err(BackupError::file("flush", draft))?;
    fs::rename(draft, name).map_err(BackupError::file("name", name))?;
    let parent = name.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|folder| folder.sync_all())
        .map_err(BackupError::file("flush", parent))
}

/// One call for the whole file system: a backup may have taken in a hundred
/// thousand files.
#[cfg(target_os = "linux")]
fn flush(folder: &Path) -> io::Result<()> {
    rustix::fs::syncfs(File::open(folder)?).map_err(Into::into)
}

#[cfg(not(target_os = "linux"))]
fn flush(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            flush(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// A lock on a file; it goes with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(path: &Path, how: FlockOperation) -> Result<Self, BackupError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options
            .mode(0o600)
            .open(path)
            .map_err(BackupError::file("open", path))?;
        match flock(&file, how) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(BackupError::Busy {
                folder: path.parent().unwrap_or(path).to_owned(),
            }),
            Err(error) => Err(BackupError::file("lock", path)(error.into())),
        }
    }
}

/// Whether so many bytes fit beside what is there.
pub(super) fn needs_room(path: &Path, needed_bytes: u64) -> Result<(), BackupError> {
    let existing = path.ancestors().find(|path| path.exists());
    // A file system that cannot tell is believed to have room.
    let Ok(stat) = rustix::fs::statvfs(existing.unwrap_or(Path::new("/"))) else {
        return Ok(());
    };
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed_bytes = needed_bytes.saturating_add(SPARE_BYTES);
    if free_bytes >= needed_bytes {
        return Ok(());
    }
    Err(BackupError::Space {
        path: path.to_owned(),
        needed_bytes,
        free_bytes,
    })
}

/// Whether a folder is missing or has nothing in it.
pub(super) fn is_empty(folder: &Path) -> Result<bool, BackupError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(BackupError::file("list", folder)(error)),
    }
}

/// Removes a folder that somebody who was told to end may still write into.
pub(super) async fn remove_busy(folder: PathBuf) -> Result<(), BackupError> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {}
            _ => return Ok(()),
        }
        tokio::time::sleep(REMOVE_PAUSE).await;
    }
    fs::remove_dir_all(&folder).map_err(BackupError::file("remove", &folder))
}

/// Runs what waits for the disk on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(BackupError::File {
            what: "finish work on",
            path: PathBuf::from("the disk"),
            source: io::Error::other(error),
        }),
    }
}

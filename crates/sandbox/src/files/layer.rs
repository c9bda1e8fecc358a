//! Copies a folder of a workspace into the cache, as a layer that others may
//! read: plain files, folders and links as links, for every user.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use crate::SandboxError;
use crate::tree::{self, DEPTH_MOST, ENTRIES_MOST};

/// Bytes of one layer.
const LAYER_MOST: u64 = 4 << 30;

struct Copy {
    entries: u64,
    bytes: u64,
}

/// False when there is one of that name.
pub(super) fn copy(
    from: &OwnedFd,
    layers: &Path,
    name: &str,
    number: u64,
) -> Result<bool, SandboxError> {
    let to = layers.join(name);
    if to.is_dir() {
        return Ok(false);
    }
    let making = layers.join(format!(".{name}-{}-{number}", std::process::id()));
    let failed = |error| SandboxError::system("keep a layer", error);
    let copied = std::fs::create_dir(&making).and_then(|()| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(&making, flags, Mode::empty())?;
        Copy {
            entries: 0,
            bytes: 0,
        }
        .folder(from, &top, 0)
    });
    let named = copied.and_then(|()| match std::fs::rename(&making, &to) {
        // Somebody else was faster with the same.
        Err(_) if to.is_dir() => Ok(false),
        done => done.map(|()| true),
    });
    if !matches!(named, Ok(true)) {
        tree::remove(&making).map_err(failed)?;
    }
    named.map_err(failed)
}

fn too_much() -> io::Error {
    io::Error::other("the folder is too large or too deep for a layer")
}

impl Copy {
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MOST {
            return Err(too_much());
        }
        // Who copies up from the layer has another user than who made it; the
        // cache itself is closed to others.
        rustix::fs::fchmod(to, Mode::from_raw_mode(0o777))?;
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES_MOST {
                return Err(too_much());
            }
            let about = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(about.st_mode) {
                FileType::Directory => {
                    let folder = read | OFlags::DIRECTORY;
                    rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o777))?;
                    let below = rustix::fs::openat(from, name, folder, Mode::empty())?;
                    let new = rustix::fs::openat(to, name, folder, Mode::empty())?;
                    self.folder(&below, &new, depth + 1)?;
                }
                FileType::Symlink => {
                    let target: CString = rustix::fs::readlinkat(from, name, Vec::new())?;
                    rustix::fs::symlinkat(target, to, name)?;
                }
                FileType::RegularFile => self.file(from, to, name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, from: impl AsFd, to: impl AsFd, name: &CStr) -> io::Result<()> {
        let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from, name, read, Mode::empty())?;
        // Asked of what is open now: the name may mean another by now.
        let about = rustix::fs::fstat(&source)?;
        if !FileType::from_raw_mode(about.st_mode).is_file() {
            return Ok(());
        }
        let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let target = rustix::fs::openat(to, name, write, Mode::from_raw_mode(0o600))?;
        let left = LAYER_MOST.saturating_sub(self.bytes);
        let mut source = io::Read::take(std::fs::File::from(source), left + 1);
        let mut target = std::fs::File::from(target);
        let copied = io::copy(&mut source, &mut target)?;
        if copied > left {
            return Err(too_much());
        }
        self.bytes += copied;
        let mode = if about.st_mode & 0o111 == 0 {
            0o666
        } else {
            0o777
        };
        rustix::fs::fchmod(&target, Mode::from_raw_mode(mode))?;
        Ok(())
    }
}

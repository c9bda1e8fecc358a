//! Walks over trees that hostile code has made: as deep and as large as it
//! liked, with links to anywhere. Always by descriptors, never by paths.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A tree deeper or larger than this counts as over any limit: nobody needs
/// it, and looking at it is work. Each level is an open descriptor.
pub(crate) const DEPTH_MOST: usize = 128;
pub(crate) const ENTRIES_MOST: u64 = 1_000_000;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// An open folder and how far it has been read.
struct Level {
    fd: OwnedFd,
    dir: Dir,
    /// Its own name in the level above.
    name: CString,
}

impl Level {
    fn open(at: impl AsFd, name: &CStr) -> Result<Self, Errno> {
        let fd = rustix::fs::openat(at, name, FOLDER, Mode::empty())?;
        let dir = Dir::read_from(&fd)?;
        Ok(Self {
            fd,
            dir,
            name: name.to_owned(),
        })
    }

    fn next(&mut self) -> Option<CString> {
        loop {
            let name = self.dir.read()?.ok()?.file_name().to_owned();
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                return Some(name);
            }
        }
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    use std::os::unix::ffi::OsStrExt as _;
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// Bytes on the disk below `folder`; more than `most` when it is too deep or
/// too large to look at.
pub(crate) fn size(folder: &Path, most: u64) -> u64 {
    let over = most.saturating_add(1);
    let Some(top) = c_path(folder)
        .ok()
        .and_then(|path| Level::open(CWD, &path).ok())
    else {
        return 0;
    };
    let (mut sum, mut entries) = (0_u64, 0_u64);
    let mut open = vec![top];
    while let Some(level) = open.last_mut() {
        let Some(name) = level.next() else {
            open.pop();
            continue;
        };
        let Ok(about) = rustix::fs::statat(&level.fd, &name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        entries += 1;
        sum = sum.saturating_add(u64::try_from(about.st_blocks).unwrap_or(0) * 512);
        if entries > ENTRIES_MOST || sum > most {
            return sum.max(over);
        }
        if FileType::from_raw_mode(about.st_mode).is_dir() {
            let Ok(below) = Level::open(&level.fd, &name) else {
                continue;
            };
            if open.len() >= DEPTH_MOST {
                return over;
            }
            open.push(below);
        }
    }
    sum
}

/// Removes `path` with all below it. What is not there is no error.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    match rustix::fs::open(above, FOLDER, Mode::empty()) {
        Ok(above) => remove_at(&above, &c_path(Path::new(name))?),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// [`remove`] of a name in an open folder.
pub(crate) fn remove_at(above: impl AsFd, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(above.as_fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let mut moved = 0_u64;
    let mut open = vec![Level::open(above.as_fd(), name)?];
    while let Some(level) = open.last_mut() {
        let Some(entry) = level.next() else {
            let Some(done) = open.pop() else { break };
            match open.last() {
                Some(above) => rustix::fs::unlinkat(&above.fd, &done.name, AtFlags::REMOVEDIR)?,
                None => rustix::fs::unlinkat(above.as_fd(), name, AtFlags::REMOVEDIR)?,
            }
            continue;
        };
        match rustix::fs::unlinkat(&level.fd, &entry, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
        if open.len() < DEPTH_MOST {
            let below = Level::open(&open.last().ok_or(Errno::NOENT)?.fd, &entry)?;
            open.push(below);
        } else if let (Some(level), Some(top)) = (open.last(), open.first()) {
            // Too deep to go on: to the top with it, where it is met again.
            let to = format!(".deep-{moved}");
            rustix::fs::renameat(&level.fd, &entry, &top.fd, to.as_str())?;
            moved += 1;
            let below = Level::open(&top.fd, &CString::new(to).map_err(io::Error::from)?)?;
            // The top is read again from its beginning when its turn comes.
            open.truncate(1);
            if let Some(top) = open.first_mut() {
                top.dir.rewind();
            }
            open.push(below);
        }
    }
    Ok(())
}

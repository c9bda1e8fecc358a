//! From a path to an open file, without leaving the home and without links.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::Inner;
use crate::SandboxError;
use crate::spec::HOME;

/// Longer paths are refused.
const PATH_MOST: usize = 2048;

/// A checked path: relative to the home, without `.` and `..`.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// Empty for the home itself.
    pub(super) path: String,
    parts: Vec<CString>,
}

impl Spot {
    pub(super) fn of(path: &str) -> Result<Self, SandboxError> {
        if path.len() > PATH_MOST {
            return Err(SandboxError::TooMuch {
                what: "bytes of a path",
                most: PATH_MOST as u64,
            });
        }
        let below = match path.strip_prefix(HOME) {
            Some(below) if below.is_empty() || below.starts_with('/') => below,
            _ if path.starts_with('/') => {
                return Err(SandboxError::Forbidden(format!(
                    "{path} is not below {HOME}"
                )));
            }
            _ => path,
        };
        let parts: Vec<&str> = below
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            return Err(SandboxError::Forbidden(format!("{path} leads upwards")));
        }
        let c_parts = parts
            .iter()
            .map(|part| CString::new(*part))
            .collect::<Result<_, _>>();
        Ok(Self {
            path: parts.join("/"),
            parts: c_parts.map_err(|_| SandboxError::invalid("a path holds a zero byte"))?,
        })
    }

    /// The last part.
    pub(super) fn name(&self) -> Result<&CStr, SandboxError> {
        let home = || SandboxError::invalid("the home itself cannot be named here");
        self.parts.last().map(CString::as_c_str).ok_or_else(home)
    }

    pub(super) fn all(&self) -> Vec<&CStr> {
        self.parts.iter().map(CString::as_c_str).collect()
    }

    /// All parts but the last.
    pub(super) fn above(&self) -> Vec<&CStr> {
        let mut parts = self.all();
        parts.pop();
        parts
    }
}

/// A path below a path.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}/{name}")
    }
}

/// What the kernel's refusal of a path means.
pub(super) fn refused(path: &str, error: Errno) -> SandboxError {
    match error {
        Errno::NOENT | Errno::NOTDIR => SandboxError::NotFound(path.to_owned()),
        Errno::LOOP | Errno::XDEV | Errno::NXIO => SandboxError::Forbidden(format!(
            "{path} is or leads through a link or a special file"
        )),
        Errno::EXIST | Errno::NOTEMPTY => SandboxError::Exists(path.to_owned()),
        error => SandboxError::system("reach a file of the workspace", error),
    }
}

impl Inner {
    /// Opens a checked path.
    pub(super) fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, SandboxError> {
        let path = if path.is_empty() { "." } else { path };
        let c_path = CString::new(path).map_err(|_| SandboxError::invalid("a zero byte"))?;
        self.open_at(&self.home, &c_path, flags)
            .map_err(|error| refused(path, error))
    }

    /// The one place that opens something of a workspace by name. The kernel
    /// itself refuses what leads out, at the moment of opening: there is no
    /// time between a check and its use.
    #[expect(clippy::unused_self, reason = "belongs to a workspace")]
    pub(super) fn open_at(
        &self,
        at: impl AsFd,
        path: &CStr,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(at, path, flags | OFlags::CLOEXEC, Mode::empty(), how)
    }

    /// The folder above, opened, and the name in it.
    pub(super) fn above<'a>(&self, spot: &'a Spot) -> Result<(OwnedFd, &'a CStr), SandboxError> {
        let name = spot.name()?;
        let above = spot.path.rsplit_once('/').map_or("", |(above, _)| above);
        Ok((self.open(above, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }

    /// A folder, made with all above it when missing; and whether it was.
    pub(super) fn folder(&self, parts: &[&CStr]) -> Result<(OwnedFd, bool), SandboxError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut here = self.open("", flags)?;
        let mut made = false;
        for part in parts {
            let words = || part.to_string_lossy();
            made = match rustix::fs::mkdirat(&here, *part, Mode::from_raw_mode(0o755)) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(refused(&words(), error)),
            };
            let open = if made {
                OFlags::RDONLY | OFlags::DIRECTORY
            } else {
                flags
            };
            here = self
                .open_at(&here, part, open)
                .map_err(|error| match error {
                    Errno::NOTDIR => SandboxError::Exists(format!("file {}", words())),
                    error => refused(&words(), error),
                })?;
            if made {
                self.give(&here)
                    .map_err(|error| SandboxError::system("make a folder", error))?;
            }
        }
        Ok((here, made))
    }

    /// Makes the sandbox's user the owner of what was just made.
    pub(super) fn give(&self, file: impl AsFd) -> io::Result<()> {
        if let Some(owner) = self.owner {
            let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
            rustix::fs::fchown(file, Some(user), Some(group))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_home_or_refused() {
        let path = |text: &str| {
            Spot::of(text)
                .map(|spot| spot.path)
                .map_err(|error| error.to_string())
        };
        assert_eq!(path("/home/user/src//./a.js").as_deref(), Ok("src/a.js"));
        assert_eq!(path("src/a.js/").as_deref(), Ok("src/a.js"));
        assert_eq!(path("/home/user").as_deref(), Ok(""));
        for bad in [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "/home/username/x",
            "a\0b",
            "/home/user/../x",
        ] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
        assert!(path(&"a/".repeat(2000)).is_err());
    }
}

//! Which user PostgreSQL runs as.
//!
//! PostgreSQL refuses to run as root. When Ferrobase is root, the server gets
//! the user that owns the data folder, else the system's `postgres`, else
//! `nobody`. Otherwise it runs as ourselves. Start with [`Owner::choose`].

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `nobody` where /etc/passwd does not say otherwise.
const NOBODY: u32 = 65534;

/// How deep a data folder may be nested before we stop handing it over: real
/// ones end at three levels, a loop of mounts never does.
const DEPTH_MAX: u32 = 16;

/// The user and group PostgreSQL runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) name: String,
    /// Whether we are root and have to become that user.
    pub(super) switch: bool,
}

impl Owner {
    /// Decides, given the data folder if there is one already.
    pub(super) fn choose(data_dir: Option<&Path>) -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = rustix::process::geteuid();
        if !uid.is_root() {
            return Self::of(
                uid.as_raw(),
                rustix::process::getegid().as_raw(),
                &users,
                false,
            );
        }
        if let Some(meta) = data_dir.and_then(|dir| fs::symlink_metadata(dir).ok())
            && meta.uid() != 0
        {
            return Self::of(meta.uid(), meta.gid(), &users, true);
        }
        parse(&users)
            .find(|user| user.name == "postgres" && user.uid != 0)
            .or_else(|| parse(&users).find(|user| user.name == "nobody" && user.uid != 0))
            .map_or_else(
                || Self::of(NOBODY, NOBODY, &users, true),
                |user| Self {
                    uid: user.uid,
                    gid: user.gid,
                    name: user.name.to_owned(),
                    switch: true,
                },
            )
    }

    fn of(uid: u32, gid: u32, users: &str, switch: bool) -> Self {
        let user = parse(users).find(|user| user.uid == uid);
        Self {
            uid,
            gid: user.as_ref().map_or(gid, |user| user.gid),
            name: user.map_or_else(|| uid.to_string(), |user| user.name.to_owned()),
            switch,
        }
    }

    /// Makes `command` run as this user. The standard library also drops the
    /// supplementary groups when root does this.
    pub(super) fn apply(&self, command: &mut Command) {
        if self.switch {
            command.gid(self.gid).uid(self.uid);
        }
    }

    /// Gives one file or folder to this user, without following a link.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        if self.switch {
            lchown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// Gives a whole folder, for one that root copied or restored.
    pub(super) fn give_all(&self, path: &Path) -> io::Result<()> {
        if self.switch {
            self.give_below(path, 0)?;
        }
        Ok(())
    }

    fn give_below(&self, path: &Path, depth: u32) -> io::Result<()> {
        if depth < DEPTH_MAX && fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_below(&entry?.path(), depth + 1)?;
            }
        }
        self.give(path)
    }

    /// The first folder on the way to `path`, itself included, that this user
    /// may not enter. Only asked for a user we switch to: we ourselves just
    /// came that way.
    pub(super) fn barred_from(&self, path: &Path) -> Option<PathBuf> {
        if !self.switch {
            return None;
        }
        let mut way: Vec<&Path> = path.ancestors().collect();
        way.reverse();
        way.into_iter()
            .find(|folder| !self.may_enter(folder))
            .map(Path::to_owned)
    }

    fn may_enter(&self, folder: &Path) -> bool {
        let Ok(meta) = fs::metadata(folder) else {
            return false;
        };
        let bit = if meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        meta.permissions().mode() & bit != 0
    }
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

/// Reads /etc/passwd itself: the C library's look-up would need `unsafe`, and
/// the users that matter here are local ones.
fn parse(text: &str) -> impl Iterator<Item = User<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { name, uid, gid })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn passwd_lines_are_read_and_bad_ones_skipped() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# comment\nbad:x:y:z\npostgres:x:101:104:,:/var/lib/postgresql:/bin/bash\n";
        let users: Vec<_> = parse(text)
            .map(|user| (user.name, user.uid, user.gid))
            .collect();
        assert_eq!(users, [("root", 0, 0), ("postgres", 101, 104)]);
        assert_eq!(Owner::of(7, 8, text, true).name, "7");
        assert_eq!(Owner::of(101, 0, text, true).gid, 104);
    }

    #[test]
    fn the_closed_parent_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        fs::create_dir_all(closed.join("project")).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Owner {
            uid: 54321,
            gid: 54321,
            name: "stranger".to_owned(),
            switch: true,
        };
        assert_eq!(
            stranger.barred_from(&closed.join("project")),
            Some(closed.clone())
        );
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(stranger.barred_from(&closed), None);
    }
}

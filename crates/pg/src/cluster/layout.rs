//! Where everything of the managed PostgreSQL lies.
//!
//! ```text
//! <folder>/lock            who runs here
//! <base>/pg15/             the data folder, one per major version
//! <base>/pg15.conf         settings, rewritten at every start
//! <base>/pg15.hba.conf     who may connect, rewritten at every start
//! /tmp/ferrobase-<uid>-<hash>/   the socket, in a short path of its own
//! ```
//!
//! `base` is the folder itself, or a folder below the state folder when
//! PostgreSQL's user may not enter the first. Start with [`Site::survey`].

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::ClusterError;
use super::owner::Owner;

/// What the kernel takes as the path of a socket, its final zero not counted.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How many names are tried for the socket's folder when somebody else has
/// taken the first ones in the shared /tmp.
const SOCKET_FOLDERS_MAX: u32 = 4;

/// The longest version file believed.
const VERSION_BYTES_MAX: usize = 16;

/// What is there before anything is changed, and who PostgreSQL will be.
#[derive(Debug)]
pub(super) struct Site {
    /// The folder that holds the clusters.
    pub(super) base: PathBuf,
    /// The cluster found there, if any.
    pub(super) existing: Option<Existing>,
    /// The user PostgreSQL runs as.
    pub(super) owner: Owner,
    /// Said to the operator when `base` is not the folder asked for.
    pub(super) note: Option<String>,
    hash: String,
}

/// A cluster that is already there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Existing {
    pub(super) data_dir: PathBuf,
    /// The content of its version file.
    pub(super) version: String,
}

impl Site {
    /// Looks at `folder` and, for root, at the place below `state_folder`.
    /// `folder` exists and is canonical.
    pub(super) fn survey(folder: &Path, state_folder: &Path) -> Result<Self, ClusterError> {
        let hash = short_hash(folder);
        let elsewhere = state_folder.join(&hash);
        for base in [folder, &elsewhere] {
            let Some(existing) = find_cluster(base)? else {
                continue;
            };
            let owner = Owner::choose(Some(&existing.data_dir));
            open_to_owner(base, &owner)?;
            if let Some(parent) = owner.barred_from(base) {
                return Err(barred(base, parent, &owner));
            }
            return Ok(Self {
                base: base.to_owned(),
                existing: Some(existing),
                note: (base != folder).then(|| note(folder, base)),
                owner,
                hash,
            });
        }
        Self::fresh(folder, elsewhere, hash)
    }

    fn fresh(folder: &Path, elsewhere: PathBuf, hash: String) -> Result<Self, ClusterError> {
        let owner = Owner::choose(None);
        open_to_owner(folder, &owner)?;
        if owner.barred_from(folder).is_none() {
            return Ok(Self {
                base: folder.to_owned(),
                existing: None,
                owner,
                note: None,
                hash,
            });
        }
        ensure_folder(&elsewhere)?;
        for made in elsewhere.ancestors().take(2) {
            open_to_owner(made, &owner)?;
        }
        if let Some(parent) = owner.barred_from(&elsewhere) {
            return Err(barred(folder, parent, &owner));
        }
        Ok(Self {
            note: Some(note(folder, &elsewhere)),
            base: elsewhere,
            existing: None,
            owner,
            hash,
        })
    }

    /// The data folder for this major version.
    pub(super) fn data_dir(&self, major: u16) -> PathBuf {
        match &self.existing {
            Some(existing) => existing.data_dir.clone(),
            None => self.base.join(format!("pg{major}")),
        }
    }

    /// A folder that only PostgreSQL's user may enter, with a path short
    /// enough for a socket.
    pub(super) fn socket_dir(&self, port: u16) -> Result<PathBuf, ClusterError> {
        let uid = self.owner.uid;
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        if !self.owner.switch && fs::metadata(&runtime).is_ok_and(|meta| meta.uid() == uid) {
            let dir = runtime.join(format!("fb-{}", self.hash));
            if claim(&dir, &self.owner).is_ok() {
                return Ok(dir);
            }
        }
        let mut dir = PathBuf::new();
        let mut detail = String::new();
        for attempt in 0..SOCKET_FOLDERS_MAX {
            let name = match attempt {
                0 => format!("/tmp/ferrobase-{uid}-{}", self.hash),
                n => format!("/tmp/ferrobase-{uid}-{}-{n}", self.hash),
            };
            dir = PathBuf::from(name);
            let socket = dir.join(format!(".s.PGSQL.{port}"));
            if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
                "its path is too long for a socket".clone_into(&mut detail);
                break;
            }
            match claim(&dir, &self.owner) {
                Ok(()) => return Ok(dir),
                Err(error) => detail = error.to_string(),
            }
        }
        Err(ClusterError::SocketFolder { path: dir, detail })
    }
}

/// Makes the folder if it is missing; only its owner may list it.
pub(super) fn ensure_folder(folder: &Path) -> Result<PathBuf, ClusterError> {
    if !folder.exists() {
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::io("create", parent))?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .map_err(ClusterError::io("create", folder))?;
    }
    fs::canonicalize(folder).map_err(ClusterError::io("open", folder))
}

/// Lets PostgreSQL's user pass through a folder that is root's and ours. The
/// right to pass is not the right to list: the names inside stay hidden.
fn open_to_owner(folder: &Path, owner: &Owner) -> Result<(), ClusterError> {
    if !owner.switch {
        return Ok(());
    }
    let meta = fs::metadata(folder).map_err(ClusterError::io("open", folder))?;
    let mode = meta.permissions().mode();
    if meta.uid() == 0 && mode & 0o011 != 0o011 {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011))
            .map_err(ClusterError::io("open to PostgreSQL's user", folder))?;
    }
    Ok(())
}

/// Makes a 0700 folder or accepts one that is already exactly that. In /tmp
/// anybody may have made it first, hence the look at owner, kind and mode.
fn claim(dir: &Path, owner: &Owner) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => return owner.give(dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let meta = fs::symlink_metadata(dir)?;
    // Root's own: an earlier start was killed before it gave the folder away.
    let ours = meta.uid() == owner.uid || (owner.switch && meta.uid() == 0);
    if !meta.is_dir() || !ours || meta.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "it exists and is not a folder that only user {} may enter",
            owner.name
        )));
    }
    owner.give(dir)
}

/// The newest `pg<major>` folder with a version file. Newest, because an older
/// one beside it is what an upgrade left, and starting it would show old data.
fn find_cluster(base: &Path) -> Result<Option<Existing>, ClusterError> {
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClusterError::io("list", base)(error)),
    };
    let mut newest: Option<(u16, PathBuf)> = None;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let major = name
            .to_str()
            .and_then(|name| name.strip_prefix("pg"))
            .and_then(|digits| digits.parse::<u16>().ok());
        if let Some(major) = major
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && !is_empty(&entry.path())
            && newest.as_ref().is_none_or(|(best, _)| major > *best)
        {
            newest = Some((major, entry.path()));
        }
    }
    let Some((_, data_dir)) = newest else {
        return Ok(None);
    };
    let version = version_of(&data_dir)?;
    Ok(Some(Existing { data_dir, version }))
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn version_of(data_dir: &Path) -> Result<String, ClusterError> {
    let path = data_dir.join("PG_VERSION");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ClusterError::NotACluster {
                data_dir: data_dir.to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ClusterError::Permission {
                path: data_dir.to_owned(),
                detail: error.to_string(),
            });
        }
        Err(error) => return Err(ClusterError::io("read", &path)(error)),
    };
    let version = text.trim();
    let plausible = !version.is_empty()
        && version.len() <= VERSION_BYTES_MAX
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !plausible {
        return Err(ClusterError::DataDamaged {
            data_dir: data_dir.to_owned(),
            detail: "its file PG_VERSION does not hold a version".to_owned(),
        });
    }
    Ok(version.to_owned())
}

fn barred(folder: &Path, parent: PathBuf, owner: &Owner) -> ClusterError {
    ClusterError::ParentNotSearchable {
        folder: folder.to_owned(),
        parent,
        user: owner.name.clone(),
    }
}

fn note(folder: &Path, base: &Path) -> String {
    format!(
        "PostgreSQL's user may not enter {}, so the database lies in {}",
        folder.display(),
        base.display()
    )
}

/// Twelve hex digits that stand for a path: enough that two projects of one
/// machine do not meet, short enough for a socket.
fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    format!("{digest:x}").chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn cluster(base: &Path, name: &str, version: &str) {
        fs::create_dir_all(base.join(name)).unwrap();
        fs::write(base.join(name).join("PG_VERSION"), version).unwrap();
    }

    #[test]
    fn the_newest_cluster_is_found_and_half_made_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        cluster(dir.path(), "pg15.tmp-77", "15\n");
        fs::create_dir(dir.path().join("pg17")).unwrap();
        assert_eq!(find_cluster(dir.path()).unwrap(), None);
        cluster(dir.path(), "pg9", "9.6\n");
        cluster(dir.path(), "pg15", "15\n");
        let found = find_cluster(dir.path()).unwrap().unwrap();
        assert_eq!(found.version, "15");
        assert!(found.data_dir.ends_with("pg15"));
    }

    #[test]
    fn a_foreign_or_damaged_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("pg15")).unwrap();
        fs::write(dir.path().join("pg15/letter.txt"), "dear").unwrap();
        assert_eq!(find_cluster(dir.path()).unwrap_err().code(), "FB1011");
        cluster(dir.path(), "pg15", "\0\0");
        assert_eq!(find_cluster(dir.path()).unwrap_err().code(), "FB1010");
    }

    #[test]
    fn a_socket_folder_of_somebody_else_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let me = Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            name: "me".to_owned(),
            switch: false,
        };
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(claim(&open, &me).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(claim(&link, &me).is_err());
        let own = dir.path().join("own");
        claim(&own, &me).unwrap();
        claim(&own, &me).unwrap();
        let stranger = Owner { uid: 54321, ..me };
        assert!(claim(&own, &stranger).is_err());
    }
}

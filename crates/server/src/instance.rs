//! One `dev` per folder, and what it says about itself to `status` and `stop`.
//!
//! `<folder>/running.json` is held with flock(2) while the process lives, so
//! that a killed one frees it without help. Unlike the managed cluster's own
//! lock it is there for a database given by URL, too, and carries what `status`
//! prints. Start with [`Announcement::take`] and [`read`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FILE: &str = "running.json";
/// Longest content believed; a real one has about 2 kB.
const BYTES_MAX: u64 = 64 * 1024;
/// A reader holds the lock for an instant while it looks, and a writer's
/// content is incomplete for an instant: both are outwaited.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(20);

/// A running Ferrobase. It prints nothing by accident: `values` holds secrets.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Where its API answers, or will.
    pub api_url: String,
    /// Whether it serves already.
    pub ready: bool,
    /// What `status` prints, by the names of `supabase status -o env`.
    pub values: Map<String, Value>,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another one works in it.
    #[error("another Ferrobase already runs in {}: process {pid}, since {started_at}, {api_url}", folder.display())]
    Held {
        /// The folder both want.
        folder: PathBuf,
        /// Its process id.
        pid: u32,
        /// When it started.
        started_at: String,
        /// Where its API answers.
        api_url: String,
    },
    /// The folder or the file in it cannot be made or written.
    #[error("could not {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl InstanceError {
    /// The stable code; a held folder has the managed cluster's.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "FB1003",
            Self::File { .. } => "FB1018",
        }
    }

    /// What to do now.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Held { .. } => {
                "Use that one, or end it with `ferrobase stop` in the same folder.".to_owned()
            }
            Self::File { path, .. } => format!(
                "Check that {} exists and that you may write there.",
                path.parent().unwrap_or(path).display()
            ),
        }
    }
}

impl Running {
    /// Asks it to drain and end, as SIGTERM does.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        kill_process(pid, Signal::TERM).map_err(io::Error::from)
    }
}

/// Makes the folder for cluster, keys and files, invisible to git.
pub fn make_folder(folder: &Path) -> Result<(), InstanceError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| InstanceError::File { what, path, source }
    };
    if !folder.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed("make", folder))?;
    }
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, "*\n").map_err(failed("write", &ignore))?;
    }
    Ok(())
}

/// Who runs in the folder now.
#[must_use]
pub fn read(folder: &Path) -> Option<Running> {
    let mut file = File::open(folder.join(FILE)).ok()?;
    for _ in 0..TRIES {
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            _ => return None,
        }
        if let Some(running) = parse(&mut file) {
            return Some(running);
        }
        std::thread::sleep(TRY_PAUSE);
    }
    Some(Running::default())
}

fn parse(file: &mut File) -> Option<Running> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The folder, held until dropped.
#[derive(Debug)]
pub struct Announcement {
    file: File,
    path: PathBuf,
}

impl Announcement {
    /// Takes the folder or says who has it.
    pub fn take(folder: &Path, running: &Running) -> Result<Self, InstanceError> {
        let path = folder.join(FILE);
        let failed = |what| {
            let path = path.clone();
            move |source| InstanceError::File { what, path, source }
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open"))?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let held = Self { file, path };
                    held.publish(running)?;
                    return Ok(held);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(TRY_PAUSE),
                Err(error) => return Err(failed("lock")(error.into())),
            }
        }
        let other = read(folder).unwrap_or_default();
        Err(InstanceError::Held {
            folder: folder.to_owned(),
            pid: other.pid,
            started_at: other.started_at,
            api_url: other.api_url,
        })
    }

    /// Replaces what is said.
    pub fn publish(&self, running: &Running) -> Result<(), InstanceError> {
        self.write(running).map_err(|source| InstanceError::File {
            what: "write",
            path: self.path.clone(),
            source,
        })
    }

    fn write(&self, running: &Running) -> io::Result<()> {
        let mut file = &self.file;
        let text = serde_json::to_vec(running)?;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&text)
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // Emptied, not removed: somebody may have it open already and would
        // then hold a lock on a file that no longer has a name.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "Could not empty the file of the running instance");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_second_is_told_about_the_first_and_a_dead_one_is_nobody() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).is_none());
        let first = Running {
            pid: 7,
            api_url: "http://127.0.0.1:1".to_owned(),
            ..Running::default()
        };
        let held = Announcement::take(folder.path(), &first).unwrap();
        assert_eq!(read(folder.path()).unwrap().pid, 7);
        let error = Announcement::take(folder.path(), &first).unwrap_err();
        assert_eq!(error.code(), "FB1003");
        assert!(error.to_string().contains("process 7"), "{error}");
        drop(held);
        assert!(read(folder.path()).is_none());
    }
}

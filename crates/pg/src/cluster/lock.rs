//! One Ferrobase per folder.
//!
//! `<folder>/lock` is held with flock(2) for as long as the process lives, so
//! that a killed one frees it without help; its content tells `status`, `stop`
//! and a second instance who has it. Start with [`FolderLock::take`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::error::ClusterError;

const FILE: &str = "lock";

/// Longest content believed; a real one has about 300 bytes.
const BYTES_MAX: u64 = 64 * 1024;

/// A reader holds the lock for an instant while it looks, and a writer's
/// content is incomplete for an instant: both are outwaited.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(20);

/// A running (or killed) Ferrobase, as its lock file describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Its process id.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    /// Where its API answers.
    pub url: String,
    /// PostgreSQL's TCP port, when it has one.
    pub port: Option<u16>,
    /// PostgreSQL's data folder.
    pub data_dir: PathBuf,
    /// The folder of PostgreSQL's socket.
    pub socket_dir: PathBuf,
    /// Whether it still holds the folder; not part of the file.
    #[serde(skip)]
    pub alive: bool,
}

impl Instance {
    /// Asks it to drain and end, as SIGTERM does. It is gone once
    /// [`read_instance`] says that it is not alive.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        let pid = i32::try_from(self.pid)
            .ok()
            .filter(|_| self.alive)
            .and_then(Pid::from_raw)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        kill_process(pid, Signal::TERM).map_err(io::Error::from)
    }
}

/// Who has the folder, or had it last. `None` when nobody ever had, or the
/// last one ended cleanly.
#[must_use]
pub fn read_instance(folder: &Path) -> Option<Instance> {
    let file = File::open(folder.join(FILE)).ok()?;
    let mut instance = None;
    for _ in 0..TRIES {
        instance = parse(&file);
        if instance.is_some() {
            break;
        }
        sleep(TRY_PAUSE);
    }
    let alive = match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => false,
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    };
    match instance {
        Some(instance) => Some(Instance { alive, ..instance }),
        None if alive => Some(Instance {
            alive,
            ..Instance::default()
        }),
        None => None,
    }
}

fn parse(mut file: &File) -> Option<Instance> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(BYTES_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The folder, held. Dropping it frees the folder.
#[derive(Debug)]
pub(super) struct FolderLock {
    file: File,
    path: PathBuf,
}

impl FolderLock {
    /// Takes the folder or says who has it.
    pub(super) fn take(folder: &Path, instance: &Instance) -> Result<Self, ClusterError> {
        let path = folder.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(ClusterError::io("open", &path))?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let lock = Self { file, path };
                    lock.publish(instance)?;
                    return Ok(lock);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => sleep(TRY_PAUSE),
                Err(error) => {
                    return Err(ClusterError::io("lock", &path)(error.into()));
                }
            }
        }
        Err(ClusterError::AlreadyRunning {
            folder: folder.to_owned(),
            instance: Box::new(read_instance(folder).unwrap_or_default()),
        })
    }

    /// Writes who we are. Readers meet either nothing or a whole object.
    pub(super) fn publish(&self, instance: &Instance) -> Result<(), ClusterError> {
        self.write(instance)
            .map_err(ClusterError::io("write", &self.path))
    }

    fn write(&self, instance: &Instance) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(&serde_json::to_vec(instance)?)
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Emptied, not removed: somebody may have it open already and would
        // then hold a lock on a file that no longer has a name.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "could not empty the lock file");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_second_is_told_about_the_first() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_instance(dir.path()), None);
        let first = Instance {
            pid: std::process::id(),
            started_at: "2026-01-02T03:04:05Z".to_owned(),
            url: "http://127.0.0.1:54321".to_owned(),
            port: Some(54322),
            ..Instance::default()
        };
        let lock = FolderLock::take(dir.path(), &first).unwrap();
        let error = FolderLock::take(dir.path(), &Instance::default()).unwrap_err();
        assert_eq!(error.code(), "FB1003");
        let text = error.to_string();
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
        assert!(
            text.contains("since 2026-01-02T03:04:05Z, http://127.0.0.1:54321"),
            "{text}"
        );
        assert!(read_instance(dir.path()).unwrap().alive);
        drop(lock);
        assert_eq!(read_instance(dir.path()), None);
        drop(FolderLock::take(dir.path(), &first).unwrap());
    }

    #[test]
    fn a_killed_instance_is_known_and_not_alive() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), r#"{"pid":4,"url":"u"}"#).unwrap();
        let instance = read_instance(dir.path()).unwrap();
        assert_eq!((instance.pid, instance.alive), (4, false));
        assert!(instance.ask_to_stop().is_err());
    }
}

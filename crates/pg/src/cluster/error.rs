//! What can go wrong with the managed PostgreSQL, in the operator's words.
//!
//! Every variant has a stable code, a cause and a next step, so the command
//! line can print all three without knowing the variant. Start with
//! [`ClusterError::next_step`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::free_bytes;
use super::lock::Instance;

/// Why there is no running PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// FB1001: no PostgreSQL of a supported version is installed.
    #[error("no PostgreSQL server program was found")]
    NoBinaries {
        /// Every folder that was looked into.
        searched: Vec<PathBuf>,
        /// The exact command that brings one.
        hint: String,
    },
    /// FB1002: the data folder was made by a version that is not installed.
    #[error("the data folder {} belongs to PostgreSQL {data_version}, but installed is {}", .data_dir.display(), list(.installed))]
    VersionMismatch {
        /// The folder, untouched.
        data_dir: PathBuf,
        /// What its version file says.
        data_version: String,
        /// The major versions that are there.
        installed: Vec<u16>,
    },
    /// FB1003: another Ferrobase works in this folder.
    #[error("another Ferrobase already runs in {}: process {}, since {}, {}", .folder.display(), .instance.pid, .instance.started_at, .instance.url)]
    AlreadyRunning {
        /// The folder both want.
        folder: PathBuf,
        /// The one that has it.
        instance: Box<Instance>,
    },
    /// FB1004: the TCP port belongs to somebody else.
    #[error("TCP port {port} on 127.0.0.1 is already in use")]
    PortInUse {
        /// The port of the setting `db.port`.
        port: u16,
    },
    /// FB1005: no room for data or log.
    #[error("the disk that holds {} has no room for PostgreSQL ({} MiB free)", .path.display(), .free_bytes / (1024 * 1024))]
    DiskFull {
        /// Where the room is missing.
        path: PathBuf,
        /// What is left.
        free_bytes: u64,
    },
    /// FB1006: PostgreSQL's user cannot reach a folder through its parents.
    #[error("user {user} may not enter {}, so PostgreSQL cannot use {}", .parent.display(), .folder.display())]
    ParentNotSearchable {
        /// The folder that PostgreSQL needs.
        folder: PathBuf,
        /// The first parent that is closed.
        parent: PathBuf,
        /// The user PostgreSQL runs as.
        user: String,
    },
    /// FB1007: a file or folder belongs to somebody else.
    #[error("PostgreSQL has no permission for {}", .path.display())]
    Permission {
        /// What it was refused.
        path: PathBuf,
        /// Who was refused, and by what.
        detail: String,
    },
    /// FB1008: the kernel gave no shared memory.
    #[error("the system gave PostgreSQL no shared memory")]
    SharedMemory {
        /// PostgreSQL's own lines.
        detail: String,
    },
    /// FB1009: the cluster's locale is not installed here.
    #[error("the locale that the data folder was made with is not installed")]
    Locale {
        /// PostgreSQL's own lines.
        detail: String,
    },
    /// FB1010: the data folder is damaged. Nothing is removed or repaired.
    #[error("the data folder {} is damaged", .data_dir.display())]
    DataDamaged {
        /// The folder, untouched.
        data_dir: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// FB1011: something else lies where the cluster should be.
    #[error("{} exists, is not empty and is not a PostgreSQL data folder", .data_dir.display())]
    NotACluster {
        /// The folder, untouched.
        data_dir: PathBuf,
    },
    /// FB1012: a server that an earlier run left behind does not stop.
    #[error("PostgreSQL process {pid}, left by an earlier run on {}, does not stop", .data_dir.display())]
    OrphanStuck {
        /// The process.
        pid: u32,
        /// Its data folder.
        data_dir: PathBuf,
    },
    /// FB1013: no private folder for the socket.
    #[error("no private folder for PostgreSQL's socket at {}", .path.display())]
    SocketFolder {
        /// The folder that was tried last.
        path: PathBuf,
        /// Why it cannot be used.
        detail: String,
    },
    /// FB1014: `initdb` failed for a reason that has no variant of its own.
    #[error("initdb failed ({exit})")]
    InitFailed {
        /// How it ended.
        exit: String,
        /// Its last lines.
        log: String,
    },
    /// FB1015: `postgres` ended during start for a reason without a variant.
    #[error("PostgreSQL ended while starting ({exit})")]
    StartFailed {
        /// How it ended.
        exit: String,
        /// Its last lines.
        log: String,
    },
    /// FB1016: `postgres` runs and does not answer.
    #[error("PostgreSQL did not answer within {} s", .waited.as_secs())]
    NotReady {
        /// How long was waited.
        waited: Duration,
        /// Its last lines.
        log: String,
    },
    /// FB1017: installing the distribution's package failed.
    #[error("could not install PostgreSQL with `{command}`")]
    Install {
        /// The command.
        command: String,
        /// Its last lines.
        detail: String,
    },
    /// FB1018: the operating system refused something else.
    #[error("could not {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// FB1019: a server that we did not start works on the data folder.
    #[error("another PostgreSQL server works on {}", .data_dir.display())]
    InUse {
        /// The folder.
        data_dir: PathBuf,
        /// PostgreSQL's own lines.
        detail: String,
    },
}

impl ClusterError {
    /// The stable code, for scripts and search engines.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoBinaries { .. } => "FB1001",
            Self::VersionMismatch { .. } => "FB1002",
            Self::AlreadyRunning { .. } => "FB1003",
            Self::PortInUse { .. } => "FB1004",
            Self::DiskFull { .. } => "FB1005",
            Self::ParentNotSearchable { .. } => "FB1006",
            Self::Permission { .. } => "FB1007",
            Self::SharedMemory { .. } => "FB1008",
            Self::Locale { .. } => "FB1009",
            Self::DataDamaged { .. } => "FB1010",
            Self::NotACluster { .. } => "FB1011",
            Self::OrphanStuck { .. } => "FB1012",
            Self::SocketFolder { .. } => "FB1013",
            Self::InitFailed { .. } => "FB1014",
            Self::StartFailed { .. } => "FB1015",
            Self::NotReady { .. } => "FB1016",
            Self::Install { .. } => "FB1017",
            Self::Io { .. } => "FB1018",
            Self::InUse { .. } => "FB1019",
        }
    }

    /// What lies behind the message, where more than the message is known.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::NoBinaries { searched, .. } => Some(format!(
                "looked in {}",
                searched
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
            Self::Permission { detail, .. }
            | Self::SharedMemory { detail }
            | Self::Locale { detail }
            | Self::DataDamaged { detail, .. }
            | Self::InUse { detail, .. }
            | Self::SocketFolder { detail, .. }
            | Self::Install { detail, .. } => Some(detail.clone()),
            Self::InitFailed { log, .. }
            | Self::StartFailed { log, .. }
            | Self::NotReady { log, .. } => Some(log.clone()),
            Self::Io { source, .. } => Some(source.to_string()),
            Self::VersionMismatch { .. }
            | Self::AlreadyRunning { .. }
            | Self::PortInUse { .. }
            | Self::DiskFull { .. }
            | Self::ParentNotSearchable { .. }
            | Self::NotACluster { .. }
            | Self::OrphanStuck { .. } => None,
        }
    }

    /// What to do now, as one sentence.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::NoBinaries { hint, .. } => {
                format!("Run `{hint}`, or give any PostgreSQL 14 to 18 with --database-url.")
            }
            Self::VersionMismatch { data_version, .. } => format!(
                "Install PostgreSQL {data_version} (14 to 18 are supported) beside the other, or move the data folder away to begin with an empty one; nothing was changed."
            ),
            Self::AlreadyRunning { .. } => {
                "Use that one, or end it with `ferrobase stop` in the same folder.".to_owned()
            }
            Self::PortInUse { .. } => {
                "Stop the program that listens there, or choose another port with [db] port in supabase/config.toml.".to_owned()
            }
            Self::DiskFull { .. } => {
                "Free some space (a new cluster takes 96 MiB) and start again; everything that was acknowledged is kept.".to_owned()
            }
            Self::ParentNotSearchable { parent, .. } => format!(
                "Run `chmod o+x {}`, or move the project below a folder that everybody may enter, such as /srv.",
                parent.display()
            ),
            Self::Permission { path, .. } => format!(
                "Start Ferrobase as the user that owns {}, or as root.",
                path.display()
            ),
            Self::SharedMemory { .. } => {
                "Give the machine or container more memory (in Docker: --shm-size), or lower shared_buffers.".to_owned()
            }
            Self::Locale { .. } => {
                "Install the locale that the lines above name, for example with `apt-get install locales-all`.".to_owned()
            }
            Self::DataDamaged { .. } => {
                "Restore it from a backup, or move it away to begin with an empty one; nothing was changed.".to_owned()
            }
            Self::NotACluster { data_dir } => {
                format!("Move {} away and start again.", data_dir.display())
            }
            Self::OrphanStuck { pid, .. } => {
                format!("See what process {pid} waits for, end it with `kill -QUIT {pid}` and start again.")
            }
            Self::SocketFolder { path, .. } => {
                format!("Remove {} if nothing uses it, and start again.", path.display())
            }
            Self::InitFailed { .. } | Self::StartFailed { .. } | Self::NotReady { .. } => {
                "Read PostgreSQL's own lines above; `ferrobase doctor` checks the surroundings.".to_owned()
            }
            Self::Install { command, .. } => {
                format!("Run `{command}` by hand and see what it says.")
            }
            Self::InUse { .. } => {
                "Stop that server (its process number is in the lines above) and start again.".to_owned()
            }
            Self::Io { path, .. } => {
                format!("Check that {} exists and that you may write there.", path.display())
            }
        }
    }

    /// Wraps a system error with what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                free_bytes: free_bytes(&path),
                path,
            },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

fn list(majors: &[u16]) -> String {
    if majors.is_empty() {
        return "none".to_owned();
    }
    majors
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

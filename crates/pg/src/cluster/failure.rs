//! Turns an ended `postgres` or `initdb` into an error that says why.
//!
//! The lines are PostgreSQL's own, in English because `LC_ALL=C` is all the
//! environment it gets. Start with [`classify`].

use std::path::Path;

use super::error::ClusterError;
use super::settings::Launch;

/// Which program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Initdb,
    Postgres,
}

/// The reason, read from the last lines of `log`.
pub(super) fn classify(
    program: Program,
    launch: &Launch,
    exit: String,
    log: String,
) -> ClusterError {
    let says = |words: &[&str]| words.iter().any(|word| log.contains(word));
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return ClusterError::DiskFull {
            free_bytes: free_bytes(&launch.data_dir),
            path: launch.data_dir.clone(),
        };
    }
    if says(&["Address already in use"])
        && let Some(port) = launch.port
    {
        return ClusterError::PortInUse { port };
    }
    if says(&["incompatible with server"]) {
        return ClusterError::VersionMismatch {
            data_dir: launch.data_dir.clone(),
            data_version: "another version".to_owned(),
            installed: vec![launch.binaries.major],
        };
    }
    if says(&["anonymous shared memory", "shared memory segment"])
        && says(&["Cannot allocate memory", "Invalid argument", "No space"])
    {
        return ClusterError::SharedMemory { detail: log };
    }
    if says(&["invalid value for parameter \"lc_", "locale is not supported", "invalid locale"]) {
        return ClusterError::Locale { detail: log };
    }
    if says(&["Permission denied", "wrong ownership", "invalid permissions"]) {
        return ClusterError::Permission {
            path: launch.data_dir.clone(),
            detail: log,
        };
    }
    let damaged = [
        "could not locate a valid checkpoint record",
        "invalid data in file",
        "could not read file \"global/",
        "could not open file \"global/",
        "incorrect checksum in control file",
    ];
    if says(&damaged) {
        return ClusterError::DataDamaged {
            data_dir: launch.data_dir.clone(),
            detail: log,
        };
    }
    match program {
        Program::Initdb => ClusterError::InitFailed { exit, log },
        Program::Postgres => ClusterError::StartFailed { exit, log },
    }
}

/// What unprivileged users may still write on the disk that holds `path`.
pub(super) fn free_bytes(path: &Path) -> u64 {
    path.ancestors()
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

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

/// Words of PostgreSQL that name a reason.
const DISK_FULL: [&str; 3] = [
    "No space left on device",
    "Disk quota exceeded",
    "Check free disk space",
];
const LOCALE: [&str; 3] = [
    "invalid value for parameter \"lc_",
    "locale is not supported",
    "invalid locale",
];
const PERMISSION: [&str; 3] = [
    "Permission denied",
    "wrong ownership",
    "invalid permissions",
];
const DAMAGED: [&str; 5] = [
    "could not locate a valid checkpoint record",
    "invalid data in file",
    "could not read file \"global/",
    "could not open file \"global/",
    "incorrect checksum in control file",
];
const SHARED_MEMORY: [&str; 2] = ["anonymous shared memory", "shared memory segment"];

/// The reason, read from the last lines of `log`.
pub(super) fn classify(
    program: Program,
    launch: &Launch,
    exit: String,
    log: String,
) -> ClusterError {
    let says = |words: &[&str]| words.iter().any(|word| log.contains(word));
    let data_dir = launch.data_dir.clone();
    if says(&DISK_FULL) {
        return ClusterError::DiskFull {
            free_bytes: free_bytes(&data_dir),
            path: data_dir,
        };
    }
    if says(&["Address already in use"])
        && let Some(port) = launch.port
    {
        return ClusterError::PortInUse { port };
    }
    if log.contains("pre-existing shared memory block")
        || (log.contains("lock file") && log.contains("already exists"))
    {
        let detail = log;
        return ClusterError::InUse { data_dir, detail };
    }
    if says(&["incompatible with server"]) {
        return ClusterError::VersionMismatch {
            data_dir,
            data_version: "another version".to_owned(),
            installed: vec![launch.binaries.major],
        };
    }
    if says(&SHARED_MEMORY) && says(&["Cannot allocate memory", "Invalid argument"]) {
        return ClusterError::SharedMemory { detail: log };
    }
    if says(&LOCALE) {
        return ClusterError::Locale { detail: log };
    }
    if says(&PERMISSION) {
        let (path, detail) = (data_dir, log);
        return ClusterError::Permission { path, detail };
    }
    if says(&DAMAGED) {
        let detail = log;
        return ClusterError::DataDamaged { data_dir, detail };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::binaries::Binaries;
    use crate::cluster::owner::Owner;

    fn code(program: Program, log: &str) -> &'static str {
        let launch = Launch {
            binaries: Binaries {
                dir: "/pg/bin".into(),
                major: 15,
                minor: 1,
            },
            owner: Owner {
                uid: 1,
                gid: 1,
                name: "one".to_owned(),
                switch: false,
            },
            data_dir: "/data/pg15".into(),
            socket_dir: "/run/fb".into(),
            port: Some(54322),
            setpriv: None,
        };
        classify(
            program,
            &launch,
            "exit status: 1".to_owned(),
            log.to_owned(),
        )
        .code()
    }

    #[test]
    fn every_known_reason_has_its_error() {
        for (expected, log) in [
            (
                "FB1005",
                "FATAL:  could not write lock file \"postmaster.pid\": No space left on device",
            ),
            (
                "FB1005",
                "PANIC:  could not write to file \"pg_wal/xlogtemp.9\": No space left on device",
            ),
            (
                "FB1004",
                "LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use",
            ),
            (
                "FB1002",
                "FATAL:  database files are incompatible with server",
            ),
            (
                "FB1008",
                "FATAL:  could not map anonymous shared memory: Cannot allocate memory",
            ),
            (
                "FB1009",
                "FATAL:  invalid value for parameter \"lc_numeric\": \"de_DE.UTF-8\"",
            ),
            (
                "FB1007",
                "FATAL:  data directory \"/d\" has wrong ownership",
            ),
            (
                "FB1010",
                "PANIC:  could not locate a valid checkpoint record",
            ),
            (
                "FB1019",
                "FATAL:  lock file \"postmaster.pid\" already exists",
            ),
            ("FB1015", "something new"),
        ] {
            assert_eq!(code(Program::Postgres, log), expected, "{log}");
        }
        let log = "initdb: error: invalid locale name \"C.UTF-8\"";
        assert_eq!(code(Program::Initdb, log), "FB1009");
        assert_eq!(code(Program::Initdb, "?"), "FB1014");
    }
}

//! How the managed PostgreSQL is configured.
//!
//! What must hold whatever the data folder says (durability, logical WAL,
//! where it listens) is on the command line, which outranks every file and
//! ALTER SYSTEM. The rest is a file that includes the folder's own
//! postgresql.conf first and is outranked by ALTER SYSTEM. Both files lie
//! beside the data folder: there only we can write, and root never writes into
//! a folder that PostgreSQL's user controls. Start with [`Launch::command`].

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::binaries::Binaries;
use super::error::ClusterError;
use super::owner::Owner;

/// The port that names the socket when there is no TCP.
pub(super) const SOCKET_PORT: u16 = 5432;

/// Names this server in `ps` and in the log.
const CLUSTER_NAME: &str = "ferrobase";

/// What the operator can tune.
#[derive(Clone, Debug)]
pub(super) struct Tuning {
    pub(super) max_connections: u16,
    pub(super) shared_buffers_mib: u32,
}

/// Everything needed to start this cluster, again and again.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) binaries: Binaries,
    pub(super) owner: Owner,
    pub(super) data_dir: PathBuf,
    pub(super) socket_dir: PathBuf,
    pub(super) port: Option<u16>,
    /// See [`super::child::parent_death`].
    pub(super) setpriv: Option<PathBuf>,
}

impl Launch {
    /// The port that is part of the socket's name.
    pub(super) fn socket_port(&self) -> u16 {
        self.port.unwrap_or(SOCKET_PORT)
    }

    /// A program of this installation, run as the right user with a bare
    /// environment: no `PG*` variable may redirect it, and no secret of ours
    /// may be read from it by a database superuser.
    pub(super) fn program(&self, name: &str) -> Command {
        let program = self.binaries.program(name);
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/");
        self.owner.apply(&mut command);
        command
    }

    /// The server itself.
    pub(super) fn command(&self) -> Command {
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.data_dir);
        let listen = if self.port.is_some() { "127.0.0.1" } else { "" };
        for (name, value) in [
            ("config_file", self.config_file().display().to_string()),
            ("hba_file", self.hba_file().display().to_string()),
            ("listen_addresses", listen.to_owned()),
            ("port", self.socket_port().to_string()),
            (
                "unix_socket_directories",
                self.socket_dir.display().to_string(),
            ),
            ("unix_socket_permissions", "0700".to_owned()),
            ("wal_level", "logical".to_owned()),
            ("fsync", "on".to_owned()),
            ("full_page_writes", "on".to_owned()),
            // The log comes to us through standard error and nothing else.
            ("log_destination", "stderr".to_owned()),
            ("logging_collector", "off".to_owned()),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }

    fn config_file(&self) -> PathBuf {
        self.data_dir.with_extension("conf")
    }

    fn hba_file(&self) -> PathBuf {
        self.data_dir.with_extension("hba.conf")
    }

    /// Writes both files anew.
    pub(super) fn write_files(&self, tuning: &Tuning) -> Result<(), ClusterError> {
        replace(&self.config_file(), &self.config_text(tuning))?;
        replace(&self.hba_file(), HBA)
    }

    fn config_text(&self, tuning: &Tuning) -> String {
        let Tuning {
            max_connections,
            shared_buffers_mib,
        } = tuning;
        let own = quote(&self.data_dir.join("postgresql.conf"));
        format!(
            "\
# Written by Ferrobase at every start; changes here are lost. Use ALTER SYSTEM.
include_if_exists = {own}
cluster_name = '{CLUSTER_NAME}'

# Durable: a commit that was acknowledged survives a power cut.
synchronous_commit = on

# Small: the whole idle tree fits in 128 MiB.
max_connections = {max_connections}
shared_buffers = {shared_buffers_mib}MB
huge_pages = off
max_worker_processes = 8
max_parallel_workers = 2
max_parallel_workers_per_gather = 1
max_parallel_maintenance_workers = 1
autovacuum_max_workers = 2
maintenance_work_mem = 64MB
max_wal_size = 1GB
min_wal_size = 80MB

# Short statements on local solid-state disks: compiling them never pays.
jit = off
random_page_cost = 1.1

# Change capture. A slot that nobody reads is dropped before it fills the disk.
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = 1GB
wal_sender_timeout = 60s

# Plans and statistics name their statements, as on the hosted platform. A
# prepared statement pays for it once.
compute_query_id = on

timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
password_encryption = 'scram-sha-256'

# An error belongs to the client that caused it; its text may hold user data
# and stays out of the log, and so do statements.
log_min_messages = fatal
log_min_error_statement = panic
log_error_verbosity = default
log_line_prefix = '%m [%p] '
"
        )
    }
}

/// The socket lies in a folder that only PostgreSQL's user and root may enter,
/// so it needs no password; TCP, which every local user can reach, does.
const HBA: &str = "\
# Written by Ferrobase at every start; changes here are lost.
# type  database     user  address       method
local   all          all                 trust
local   replication  all                 trust
host    all          all   127.0.0.1/32  scram-sha-256
host    all          all   ::1/128       scram-sha-256
host    replication  all   127.0.0.1/32  scram-sha-256
host    replication  all   ::1/128       scram-sha-256
";

/// A path as a value in a configuration file.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Readers see the old file or the new one. World-readable: nothing in them is
/// secret, and PostgreSQL's user does not own them.
fn replace(path: &Path, text: &str) -> Result<(), ClusterError> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(ClusterError::io("replace", &new)(error)),
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&new)
        .map_err(ClusterError::io("create", &new))?;
    // Set afterwards, since the umask may have taken it away at creation.
    file.set_permissions(fs::Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(ClusterError::io("write", &new))?;
    fs::rename(&new, path).map_err(ClusterError::io("replace", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted() {
        assert_eq!(quote(Path::new(r"/a'b\c")), r"'/a''b\\c'");
    }
}

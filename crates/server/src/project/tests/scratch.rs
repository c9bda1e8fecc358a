//! A throw-away PostgreSQL cluster for one test: made in a temporary folder,
//! run as the user `postgres` when we are root, stopped on drop.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pg::{Session, Target};

/// The port only names the socket file; nothing listens on TCP.
const PORT: u16 = 5432;

pub(super) struct Scratch {
    folder: tempfile::TempDir,
    programs: PathBuf,
}

impl Scratch {
    /// Makes and starts a cluster whose superuser is `superuser`.
    pub(super) fn start(superuser: &str) -> Self {
        let programs = ["18", "17", "16", "15", "14"]
            .map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")))
            .into_iter()
            .find(|folder| folder.join("initdb").exists())
            .expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().unwrap();
        let scratch = Self { folder, programs };
        if let Some((uid, gid)) = postgres_ids() {
            std::os::unix::fs::chown(scratch.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = scratch.data();
        scratch.run(
            "initdb",
            &[
                "-D", &data, "-U", superuser, "-A", "trust", "-E", "UTF8", "-N",
            ],
        );
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c port={PORT} -c fsync=off -c wal_level=logical",
            scratch.path().display()
        );
        let log = scratch.path().join("log").display().to_string();
        scratch.run(
            "pg_ctl",
            &["-D", &data, "-l", &log, "-o", &options, "-w", "start"],
        );
        scratch
    }

    pub(super) async fn connect(&self, user: &str, database: &str) -> Session {
        let target = Target::socket(self.path(), PORT, user, database);
        Session::connect(&target).await.unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> String {
        self.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        command.args(args).current_dir("/");
        if let Some((uid, gid)) = postgres_ids() {
            command.uid(uid).gid(gid);
        }
        let output = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(output.success(), "{program} failed");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data(), "-m", "immediate", "-w", "stop"],
        );
    }
}

/// PostgreSQL refuses to run as root; then it runs as its own user.
fn postgres_ids() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || fields.next()?.parse().ok();
    Some((id()?, id()?))
}

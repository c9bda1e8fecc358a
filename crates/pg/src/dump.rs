//! A whole database in PostgreSQL's own archive format, and back.
//!
//! `pg_dump` and `pg_restore` do the work: nothing else knows every kind of
//! object of every version. They get no shell, no inherited environment and no
//! secret on their command line; bytes pass through us, so that the caller
//! hashes, encrypts and stores them. Start with [`Programs::find`].

use std::io;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::cluster::{Binaries, Search, find_clients};
use crate::target::{Host, Target, Tls};

/// What is read from the archive at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// What is kept of what a program says; its last words name the reason.
const SAID_BYTES_MAX: usize = 16 * 1024;
/// Where distributions keep the authorities they trust; libpq before 16 cannot
/// be told to use the system's own.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why a database could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// No `pg_dump` that understands this server.
    #[error(
        "no pg_dump of version {wanted} or later is installed (found: {})",
        shown(found)
    )]
    NoProgram {
        /// The server's major version.
        wanted: u16,
        /// What there is.
        found: Vec<Binaries>,
    },
    /// The program could not be run, or the pipe to it broke.
    #[error("could not run {program}")]
    Io {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program gave up.
    #[error("{program} failed ({status}): {said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// How it ended.
        status: String,
        /// Its last words.
        said: String,
    },
}

fn shown(found: &[Binaries]) -> String {
    let all: Vec<String> = found
        .iter()
        .map(|one| format!("{}.{}", one.major, one.minor))
        .collect();
    if all.is_empty() {
        return "none".to_owned();
    }
    all.join(", ")
}

/// `pg_dump` and `pg_restore` of one version.
#[derive(Clone, Debug)]
pub struct Programs(Binaries);

/// What a restored database comes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// A cluster of our own: the database of that name is made anew, with its
    /// settings and rights. Connect to another database for it.
    NewDatabase,
    /// An empty database that is there already, in one transaction.
    Empty,
}

impl Programs {
    /// The oldest that knows the server's version (`server_version_num`): its
    /// archives can be read by the most programs. Looks at the disk and runs
    /// programs for an instant.
    pub fn find(search: &Search, server_version: u32) -> Result<Self, DumpError> {
        let wanted = u16::try_from(server_version / 10_000).unwrap_or(u16::MAX);
        let found = find_clients(search).usable;
        let known = found.iter().find(|one| one.major >= wanted);
        match known {
            Some(programs) => Ok(Self(programs.clone())),
            None => Err(DumpError::NoProgram { wanted, found }),
        }
    }

    /// Their version, as `15.18`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{}.{}", self.0.major, self.0.minor)
    }

    /// Starts to write the database's archive, as of an exported snapshot.
    pub fn dump(&self, source: &Target, snapshot: &str) -> Result<Dump, DumpError> {
        const PROGRAM: &str = "pg_dump";
        let mut command = self.command(PROGRAM, source);
        command
            .args(["--format=custom", "--create", "--no-password"])
            // Whoever changes a table's shape is not waited for longer than this.
            .arg("--lock-wait-timeout=60s")
            .arg(format!("--snapshot={snapshot}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut running = Running::start(PROGRAM, command)?;
        let stdout = running.child.stdout.take();
        Ok(Dump { running, stdout })
    }

    /// Starts to read an archive into a database.
    pub fn restore(&self, target: &Target, into: Into) -> Result<Restore, DumpError> {
        const PROGRAM: &str = "pg_restore";
        let mut command = self.command(PROGRAM, target);
        command.args(["--format=custom", "--exit-on-error", "--no-password"]);
        match into {
            Into::NewDatabase => command.args(["--create", "--clean", "--if-exists"]),
            Into::Empty => command.arg("--single-transaction"),
        };
        command
            // Without a database it would print the script.
            .arg(format!("--dbname={}", conninfo_database(&target.database)))
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut running = Running::start(PROGRAM, command)?;
        let stdin = running.child.stdin.take();
        Ok(Restore { running, stdin })
    }

    /// A program that finds the database in its environment, which only this
    /// user and root can read, and nothing else there.
    fn command(&self, program: &str, target: &Target) -> Command {
        let mut command = Command::new(self.0.program(program));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("PGPORT", target.port.to_string())
            .env("PGUSER", &target.user)
            .env("PGDATABASE", &target.database)
            .env("PGAPPNAME", "ferrobase backup")
            .env("PGCONNECT_TIMEOUT", "30")
            .env("PGPASSFILE", "/dev/null")
            .env("PGSSLMODE", ssl_mode(target.tls))
            .current_dir("/")
            .kill_on_drop(true);
        match &target.host {
            Host::Unix(folder) => command.env("PGHOST", folder),
            Host::Tcp(host) => command.env("PGHOST", host),
        };
        if target.tls == Tls::VerifyFull {
            command.env("PGSSLROOTCERT", AUTHORITIES);
        }
        if let Some(password) = &target.password {
            command.env("PGPASSWORD", password.expose());
        }
        if let Some(options) = target.startup_setting("options") {
            command.env("PGOPTIONS", options);
        }
        command
    }
}

/// A database's name that is not to be taken for a connection string.
fn conninfo_database(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
    format!("dbname='{escaped}'")
}

fn ssl_mode(tls: Tls) -> &'static str {
    match tls {
        Tls::Disable => "disable",
        Tls::Prefer => "prefer",
        Tls::Require => "require",
        Tls::VerifyFull => "verify-full",
    }
}

/// A program at work; dropping it kills it.
#[derive(Debug)]
struct Running {
    program: &'static str,
    child: Child,
    stderr: Option<ChildStderr>,
    said: BytesMut,
}

impl Running {
    fn start(program: &'static str, mut command: Command) -> Result<Self, DumpError> {
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|source| DumpError::Io { program, source })?;
        let stderr = child.stderr.take();
        Ok(Self {
            program,
            child,
            stderr,
            said: BytesMut::new(),
        })
    }

    fn io(&self, source: io::Error) -> DumpError {
        let program = self.program;
        DumpError::Io { program, source }
    }

    /// Hears what the program says until it says no more.
    async fn listen(&mut self) {
        while hear(&mut self.stderr, &mut self.said).await {}
    }

    async fn finish(mut self) -> Result<(), DumpError> {
        self.listen().await;
        let status = self.child.wait().await;
        let status = status.map_err(|source| self.io(source))?;
        if status.success() {
            return Ok(());
        }
        Err(DumpError::Failed {
            program: self.program,
            status: status.to_string(),
            said: String::from_utf8_lossy(&self.said).trim().to_owned(),
        })
    }
}

/// Takes up one piece of what the program says; false once that has ended.
async fn hear(stderr: &mut Option<ChildStderr>, said: &mut BytesMut) -> bool {
    let Some(pipe) = stderr else { return false };
    let more = matches!(pipe.read_buf(said).await, Ok(count) if count > 0);
    if said.len() > SAID_BYTES_MAX {
        let _ = said.split_to(said.len() - SAID_BYTES_MAX);
    }
    if !more {
        *stderr = None;
    }
    more
}

/// An archive being written.
#[derive(Debug)]
pub struct Dump {
    running: Running,
    stdout: Option<ChildStdout>,
}

impl Dump {
    /// The next bytes; none at the end. Believe the archive only after
    /// [`Dump::finish`].
    pub async fn read(&mut self) -> Result<Option<Bytes>, DumpError> {
        let Some(stdout) = &mut self.stdout else {
            return Ok(None);
        };
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let Running {
            stderr,
            said,
            program,
            ..
        } = &mut self.running;
        loop {
            tokio::select! {
                count = stdout.read_buf(&mut chunk) => {
                    let program = *program;
                    let count = count.map_err(|source| DumpError::Io { program, source })?;
                    if count == 0 {
                        self.stdout = None;
                        return Ok(None);
                    }
                    return Ok(Some(chunk.freeze()));
                }
                _ = hear(stderr, said), if stderr.is_some() => {}
            }
        }
    }

    /// Whether the program had no objection.
    pub async fn finish(self) -> Result<(), DumpError> {
        drop(self.stdout);
        self.running.finish().await
    }
}

/// An archive being read.
#[derive(Debug)]
pub struct Restore {
    running: Running,
    stdin: Option<ChildStdin>,
}

impl Restore {
    /// Hands over the next bytes. False when the program takes no more: then
    /// [`Restore::finish`] knows why.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<bool, DumpError> {
        let Running { stderr, said, .. } = &mut self.running;
        let Some(stdin) = &mut self.stdin else {
            return Ok(false);
        };
        while !bytes.is_empty() {
            tokio::select! {
                count = stdin.write(bytes) => match count {
                    Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                    Err(error) => return Err(self.running.io(error)),
                },
                _ = hear(stderr, said), if stderr.is_some() => {}
            }
        }
        Ok(true)
    }

    /// Waits until everything is in the database.
    pub async fn finish(mut self) -> Result<(), DumpError> {
        self.stdin = None;
        self.running.finish().await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::testing::TestDb;

    #[tokio::test]
    async fn an_archive_holds_the_snapshot_and_not_what_came_later() {
        let (from, to) = tokio::join!(TestDb::empty(), TestDb::empty());
        let mut session = from.session().await;
        let table = "CREATE TABLE notes AS SELECT n FROM generate_series(1, 20000) AS n";
        session.script(table).await.unwrap();
        let mut holder = from.session().await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_export_snapshot()";
        let exported = holder.script(begin).await.unwrap();
        let snapshot = exported.last().unwrap().scalar().unwrap().to_owned();
        session.script("DELETE FROM notes").await.unwrap();

        let version = session.server_version();
        let programs = Programs::find(&Search::default(), version).unwrap();
        let mut dump = programs.dump(&from.target(), &snapshot).unwrap();
        let mut restore = programs.restore(&to.target(), Into::Empty).unwrap();
        while let Some(bytes) = dump.read().await.unwrap() {
            assert!(restore.write(&bytes).await.unwrap());
        }
        dump.finish().await.unwrap();
        restore.finish().await.unwrap();
        let mut restored = to.session().await;
        let sum = restored
            .query("SELECT sum(n) FROM notes", &[])
            .await
            .unwrap();
        assert_eq!(sum.scalar(), Some("200010000"));
    }

    #[tokio::test]
    async fn last_words_are_told() {
        let db = TestDb::empty().await;
        let programs = Programs::find(&Search::default(), 140_000).unwrap();
        let mut dump = programs
            .dump(&db.target().with_database("none such"), "1-1-1")
            .unwrap();
        while dump.read().await.unwrap().is_some() {}
        let error = dump.finish().await.unwrap_err().to_string();
        assert!(error.contains("\"none such\" does not exist"), "{error}");
        let mut restore = programs.restore(&db.target(), Into::Empty).unwrap();
        let _ = restore.write(&vec![b'x'; 1 << 20]).await.unwrap();
        let error = restore.finish().await.unwrap_err().to_string();
        // Which of its two complaints depends on how much it has read.
        let complaints = ["not appear to be a valid archive", "magic string"];
        assert!(
            complaints.iter().any(|said| error.contains(said)),
            "{error}"
        );
        let none = Programs::find(&Search::default(), 990_000).unwrap_err();
        assert!(none.to_string().contains("version 99 or later"), "{none}");
    }
}

//! For tests: a database of one's own within a hundredth of a second.
//!
//! All test processes of a build folder share one throw-away cluster, which
//! lies in `target/test-pg-<user>` and keeps nothing safe (`fsync=off`). The
//! first process starts it; a small watchdog stops and removes it once no
//! process has used it for twenty seconds. Each `TestDb` is cloned from a
//! template that has the platform schema, and is dropped with its value.
//!
//! Start with `TestDb::new`. Everything here panics instead of returning
//! errors: a test without its database has nothing left to do.

mod lexed;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::Tasks;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, Search, find};
use crate::migrate::{MIGRATIONS, MigrateOptions, migrate};
use crate::pool::{Pool, PoolConfig};
use crate::session::Session;
use crate::sql_buf::SqlBuf;
use crate::target::Target;

pub use lexed::{Lexed, lexed};

/// Names the socket file; nothing listens on TCP.
const PORT: u16 = 5432;

/// A socket's path must fit into 108 bytes, its name takes 15 of them.
const SOCKET_FOLDER_MAX: usize = 90;

/// Stops the cluster when nobody has used it for ten looks of two seconds.
/// `$1` is the folder, `$2` is `pg_ctl`. Only one watchdog works at a time; a
/// second one waits and finds nothing to do. The exclusive lock is held until
/// all is removed, so a process that comes meanwhile waits, and starts afresh.
const WATCHDOG: &str = r#"
exec 8<"$1/watchdog" 9<"$1/users" || exit
flock -x 8
while [ -d "$1/run/data" ]; do
    idle=0
    while [ "$idle" -lt 10 ] && [ -d "$1/run/data" ]; do
        sleep 2
        if flock -xn "$1/users" true; then idle=$((idle + 1)); else idle=0; fi
    done
    flock -xn 9 && break
done
"$2" -D "$1/run/data" -m immediate -w stop
rm -rf "$1/run/data"
"#;

/// Settings of a cluster that may be lost at any moment.
const SETTINGS: &str = "
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 32MB
wal_level = logical
max_wal_senders = 20
max_replication_slots = 20
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_wal_size = 2GB
jit = off
timezone = 'UTC'
";

/// A database of one test. Dropping it drops the database.
#[derive(Debug)]
pub struct TestDb {
    server: &'static Server,
    name: String,
    pool_user: &'static str,
}

impl TestDb {
    /// A database with the platform schema.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn new() -> Self {
        let server = Server::get().await;
        let template = server.template().await;
        Self::clone_of(server, &template, "authenticator").await
    }

    /// A database with nothing in it.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn empty() -> Self {
        let server = Server::get().await;
        Self::clone_of(server, "template0", Cluster::superuser()).await
    }

    async fn clone_of(server: &'static Server, template: &str, pool_user: &'static str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}", std::process::id());
        let mut admin = server.admin().await;
        // A killed process with the same number may have left one behind.
        drop_database(&mut admin, &name).await;
        let mut sql = SqlBuf::new();
        sql.lit("CREATE DATABASE ").ident(&name);
        sql.lit(" TEMPLATE ").ident(template);
        if admin.server_version() >= 150_000 {
            // Without fsync, copying files beats writing all pages to the log.
            sql.lit(" STRATEGY file_copy");
        }
        let made = admin.query_buf(&sql).await;
        made.expect("the template can be cloned");
        admin.close().await;
        Self {
            server,
            name,
            pool_user,
        }
    }

    /// The database, as superuser.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target_as(Cluster::superuser())
    }

    /// The database, as any role that may log in.
    #[must_use]
    pub fn target_as(&self, user: &str) -> Target {
        self.server.target(user, &self.name)
    }

    /// A connection as superuser.
    ///
    /// # Panics
    /// When the server lets nobody in.
    pub async fn session(&self) -> Session {
        Session::connect(&self.target())
            .await
            .expect("the test server lets us in")
    }

    /// A pool as the server has it: as `authenticator`, or as superuser when
    /// the database is empty.
    #[must_use]
    pub fn pool(&self, tasks: &Tasks) -> Pool {
        self.pool_with(&PoolConfig::default(), tasks)
    }

    /// As [`TestDb::pool`], with other limits.
    #[must_use]
    pub fn pool_with(&self, config: &PoolConfig, tasks: &Tasks) -> Pool {
        Pool::new(&self.target_as(self.pool_user), config, tasks)
    }
}

impl Drop for TestDb {
    /// On a thread of its own, since a runtime may not wait inside another.
    fn drop(&mut self) {
        let (server, name) = (self.server, std::mem::take(&mut self.name));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut admin = server.admin().await;
                drop_database(&mut admin, &name).await;
                admin.close().await;
            });
        });
        // What is left behind goes with the cluster.
        let _ = dropping.join();
    }
}

async fn drop_database(admin: &mut Session, name: &str) {
    let mut sql = SqlBuf::new();
    sql.lit("DROP DATABASE IF EXISTS ").ident(name);
    sql.lit(" WITH (FORCE)");
    // What is left behind goes with the cluster.
    let _ = admin.query_buf(&sql).await;
}

/// The cluster that all test processes share.
#[derive(Debug)]
struct Server {
    folder: PathBuf,
    /// Who PostgreSQL runs as, when that is not us.
    user: Option<(u32, u32)>,
    /// Held shared for as long as this process lives: the sign of use.
    _users: File,
}

impl Server {
    async fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        // Locks are waited for, which would hold up a runtime's thread.
        tokio::task::spawn_blocking(|| SERVER.get_or_init(Self::enter))
            .await
            .expect("the test server starts")
    }

    /// Marks the cluster as used and starts it if it is not running.
    fn enter() -> Self {
        let user = other_user();
        let folder = folder(user);
        fs::create_dir_all(&folder).expect("the folder of the test server can be made");
        for lock in ["users", "start", "watchdog"] {
            open(&folder.join(lock));
        }
        let users = open(&folder.join("users"));
        flock(&users, FlockOperation::LockShared).expect("flock works");
        let server = Self {
            folder,
            user,
            _users: users,
        };
        let start = server.lock_start();
        if !server.answers() {
            server.start();
        }
        drop(start);
        server
    }

    /// Held while one process does what must be done once.
    fn lock_start(&self) -> File {
        let start = open(&self.folder.join("start"));
        flock(&start, FlockOperation::LockExclusive).expect("flock works");
        start
    }

    fn answers(&self) -> bool {
        let socket = self.run_dir().join(format!(".s.PGSQL.{PORT}"));
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    }

    fn start(&self) {
        let data = self.run_dir().join("data");
        // What a crash left of an unsafe cluster is not worth a look.
        let _ = fs::remove_dir_all(self.run_dir());
        fs::create_dir_all(self.run_dir()).expect("the folder of the test server can be made");
        fs::set_permissions(self.run_dir(), fs::Permissions::from_mode(0o700))
            .expect("the folder of the test server is ours");
        if let Some((uid, gid)) = self.user {
            chown(self.run_dir(), Some(uid), Some(gid)).expect("root may give folders away");
        }
        let found = find(&Search::default());
        let programs = found.usable.last().expect("PostgreSQL is installed");
        let mut init = self.command(&programs.dir.join("initdb"));
        init.arg("-D").arg(&data);
        init.args(["-U", Cluster::superuser(), "-A", "trust", "-E", "UTF8"]);
        init.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]);
        run(init);
        let settings = format!(
            "{SETTINGS}port = {PORT}\nunix_socket_directories = '{}'\n",
            self.run_dir().display().to_string().replace('\'', "''")
        );
        fs::write(data.join("postgresql.auto.conf"), settings).expect("we may write settings");
        let pg_ctl = programs.dir.join("pg_ctl");
        let mut start = self.command(&pg_ctl);
        start.arg("-D").arg(&data);
        start.arg("-l").arg(self.run_dir().join("log"));
        start.args(["-w", "-t", "60", "start"]);
        run(start);
        let mut watchdog = self.command(Path::new("/bin/sh"));
        watchdog.args(["-c", WATCHDOG, "test-pg-watchdog"]);
        watchdog.arg(&self.folder).arg(&pg_ctl);
        #[expect(clippy::zombie_processes, reason = "it outlives us on purpose")]
        watchdog.spawn().expect("there is a shell");
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.join("run")
    }

    /// A command that keeps nothing of ours open and ignores our Ctrl-C.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn target(&self, user: &str, database: &str) -> Target {
        Target::socket(self.run_dir(), PORT, user, database)
    }

    async fn admin(&self) -> Session {
        Session::connect(&self.target(Cluster::superuser(), "postgres"))
            .await
            .expect("the test server lets us in")
    }

    /// The database with the platform schema, made when it is missing. Its
    /// name tells the migrations, so an edited one makes another template.
    async fn template(&'static self) -> String {
        let mut hash = Sha256::new();
        for migration in MIGRATIONS {
            hash.update(migration.sql);
        }
        let name = format!("platform_{}", short(&hash.finalize()));
        let start = tokio::task::spawn_blocking(|| self.lock_start())
            .await
            .expect("flock works");
        let mut admin = self.admin().await;
        let known = admin
            .query(
                "SELECT FROM pg_database WHERE datname = $1",
                &[Some(name.as_str())],
            )
            .await
            .expect("the test server answers");
        if known.is_empty() {
            self.make_template(&mut admin, &name).await;
        }
        admin.close().await;
        drop(start);
        name
    }

    async fn make_template(&self, admin: &mut Session, name: &str) {
        // Under another name until it is whole.
        let half_made = format!("{name}_new");
        drop_database(admin, &half_made).await;
        let mut sql = SqlBuf::new();
        sql.lit("CREATE DATABASE ").ident(&half_made);
        let made = admin.query_buf(&sql).await;
        made.expect("a database can be made");
        let target = self.target(Cluster::superuser(), &half_made);
        let mut session = Session::connect(&target)
            .await
            .expect("the test server lets us in");
        migrate(&mut session, &MigrateOptions::default())
            .await
            .expect("the platform schema can be applied");
        session.close().await;
        let mut sql = SqlBuf::new();
        sql.lit("ALTER DATABASE ").ident(&half_made);
        sql.lit(" RENAME TO ").ident(name);
        // The session that we closed may take a moment to be gone.
        for _ in 0..100 {
            if admin.query_buf(&sql).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("somebody uses the database {half_made}");
    }
}

/// Opens a lock file that PostgreSQL's user can open as well.
fn open(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .expect("the lock file can be opened")
}

fn run(mut command: Command) {
    let status = command.status().expect("the program can be run");
    assert!(status.success(), "{command:?}: {status}");
}

/// Beside what was built, else in the folder for temporary files: when
/// PostgreSQL's user cannot get there, or its path is too long for a socket.
fn folder(user: Option<(u32, u32)>) -> PathBuf {
    let name = format!("test-pg-{}", rustix::process::geteuid().as_raw());
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists())
        .map(Path::to_owned);
    if let Some(target) = &target {
        let short = target.join(&name).join("run").as_os_str().len() <= SOCKET_FOLDER_MAX;
        let reachable = user.is_none() || target.ancestors().all(anybody_may_enter);
        if short && reachable {
            return target.join(name);
        }
    }
    let digest = Sha256::digest(target.unwrap_or(exe).as_os_str().as_encoded_bytes());
    std::env::temp_dir().join(format!("{name}-{}", short(&digest)))
}

/// The beginning of a digest, in hex: enough to tell a few things apart.
fn short(digest: &[u8]) -> String {
    let start = digest.first_chunk::<8>().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(start))
}

fn anybody_may_enter(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|meta| meta.mode() & 0o001 != 0)
}

/// PostgreSQL refuses to run as root; then it runs as its own user.
fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = ["postgres:", "nobody:"]
        .iter()
        .find_map(|name| users.lines().find(|line| line.starts_with(name)))?;
    let mut fields = line.split(':').skip(2);
    let mut id = || fields.next()?.parse().ok();
    Some((id()?, id()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn databases_are_apart_and_gone_when_dropped() {
        let (one, two) = tokio::join!(TestDb::new(), TestDb::new());
        let mut session = one.session().await;
        let made = session.script("CREATE TABLE only_here ()").await;
        assert!(made.is_ok());
        session.close().await;
        let mut session = two.session().await;
        let found = session
            .query(
                "SELECT to_regclass('only_here'), to_regprocedure('auth.uid()') IS NOT NULL",
                &[],
            )
            .await
            .expect("a question");
        let row = found.first().expect("one row");
        assert_eq!((row.get(0), row.get(1)), (None, Some("t")));
        session.close().await;
        let target = one.target();
        drop(one);
        let error = Session::connect(&target).await.expect_err("it is gone");
        assert_eq!(error.sqlstate(), Some("3D000"));
    }
}

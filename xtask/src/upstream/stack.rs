//! The servers that the suites expect, as their own `config.toml` and `docker-compose.yml` describe
//! them: which port, which schemas, which role, which fixtures.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::conformance::cluster::Cluster;
use crate::repo::Repo;

/// The Supabase CLI's port, in nearly every test of postgrest-js.
pub(super) const JS_PORT: u16 = 54321;

/// Where postgrest-js has an older PostgREST beside it.
pub(super) const JS_V12_PORT: u16 = 3012;

/// PostgREST's own port, which postgrest-py speaks to without a prefix.
pub(super) const PY_PORT: u16 = 3000;

/// A development build that makes its database on a busy machine; usually a second or two.
const READY_TIME_MAX: Duration = Duration::from_secs(120);

/// More than our own drain time, after which connections are closed.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// A question to a server that hangs must not hang the chore.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Whether nobody listens there.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// `ferrobase dev` on a copy of the suite's Supabase folder.
pub(super) fn javascript(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    let project = cluster.folder().join("project");
    copy(&sources.join("test/supabase"), &project.join("supabase"))?;
    let last = project.join("supabase/migrations/99999999999999_stack.sql");
    std::fs::copy(repo.path("tests/clients/upstream/stack.sql"), &last)
        .context("could not add the stack's own migration")?;
    let mut command = ours(repo);
    command
        .args(["dev", "--port", &JS_PORT.to_string(), "--db-port", "0"])
        .arg("--dir")
        .arg(&project);
    Server::start(command, JS_PORT, cluster.folder())
}

/// The configuration of `test/v12/docker-compose.yml`.
pub(super) fn javascript_v12(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    let file = |name: &str| sources.join("test/v12").join(name).display().to_string();
    cluster.psql("postgres", &["-c", "CREATE DATABASE v12"])?;
    load(
        cluster,
        "v12",
        &[file("00-schema.sql"), file("01-seed.sql")],
    )?;
    let mut command = compose(repo, &cluster.superuser_uri("v12"), JS_V12_PORT);
    command.env("PGRST_DB_AGGREGATES_ENABLED", "true");
    Server::start(command, JS_V12_PORT, cluster.folder())
}

/// The configuration of `infra/docker-compose.yaml`.
pub(super) fn python(repo: &Repo, sources: &Path, cluster: &Cluster) -> Result<Server> {
    let fixtures = sources.join("infra/init.sql").display().to_string();
    load(cluster, "postgres", &[fixtures])?;
    let command = compose(repo, &cluster.superuser_uri("postgres"), PY_PORT);
    Server::start(command, PY_PORT, cluster.folder())
}

/// Loads fixtures into a database that has the schemas of Supabase's image.
fn load(cluster: &Cluster, database: &str, files: &[String]) -> Result<()> {
    let schemas = "CREATE SCHEMA IF NOT EXISTS extensions; CREATE SCHEMA IF NOT EXISTS personal";
    cluster.psql(database, &["-c", schemas])?;
    for file in files {
        // `personal` is made by some of the fixtures as well.
        let complaints = cluster.psql(database, &["-f", file])?;
        if let Some(error) = complaints
            .lines()
            .find(|line| line.contains("ERROR") && !line.contains("schema \"personal\" already"))
        {
            bail!("the fixtures did not load: {error}");
        }
    }
    Ok(())
}

/// What both compose files ask of PostgREST.
fn compose(repo: &Repo, database: &str, port: u16) -> Command {
    let mut command = ours(repo);
    command
        .arg("serve")
        .env("PGRST_DB_URI", database)
        .env("PGRST_DB_SCHEMAS", "public,personal")
        .env("PGRST_DB_EXTRA_SEARCH_PATH", "extensions")
        .env("PGRST_DB_ANON_ROLE", "postgres")
        .env("PGRST_DB_PLAN_ENABLED", "1")
        .env("PGRST_DB_TX_END", "commit-allow-override")
        .env("PGRST_SERVER_HOST", "localhost")
        .env("PGRST_SERVER_PORT", port.to_string())
        .env("FERROBASE__REST__AT_ROOT", "true")
        .env("FERROBASE__API__REQUIRE_APIKEY", "false")
        .env("FERROBASE__JOBS__ENABLED", "false")
        .env("FERROBASE__DB__MIGRATE", "false");
    command
}

/// The binary under test with none of the caller's settings, interrupted when this process ends.
pub(super) fn ours(repo: &Repo) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "INT", "--"])
        .arg(repo.binary())
        .env("NO_COLOR", "1");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["PGRST_", "FERROBASE__", "GOTRUE_"];
        if ours.iter().any(|family| text.starts_with(family)) {
            command.env_remove(&name);
        }
    }
    command
}

/// A server that answers; stopped when dropped.
pub(super) struct Server {
    child: Child,
}

impl Server {
    pub(super) fn start(mut command: Command, port: u16, folder: &Path) -> Result<Self> {
        let log: PathBuf = folder.join(format!("server-{port}.log"));
        let file = std::fs::File::create(&log).context("could not make the server's log")?;
        let errors = file
            .try_clone()
            .context("could not share the server's log")?;
        // Its keys and its data, wherever it puts them, go with the folder.
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .context("could not start the server")?;
        let mut server = Self { child };
        let deadline = Instant::now() + READY_TIME_MAX;
        while !is_ready(port) {
            let ended = server
                .child
                .try_wait()
                .context("could not watch the server")?;
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("the server on port {port} is not ready:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first, so that it ends its own PostgreSQL.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let deadline = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the server says that it can do its work.
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.set_write_timeout(Some(ANSWER_TIME_MAX))?;
        stream.write_all(
            b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Copies a folder of plain files.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("could not make {}", to.display()))?;
    let entries =
        std::fs::read_dir(from).with_context(|| format!("could not list {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("could not copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

//! A throw-away PostgreSQL 15 that holds the specification's fixtures, or none.
//!
//! It lives in the folder for temporary files and goes away with the run, also when the run is
//! killed: the server asks the kernel to be stopped with its parent. Durability is switched off,
//! nobody keeps this data. The fixtures are loaded once into a template; a reset is a copy of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::conformance::Version;
use crate::conformance::replay::free_port;
use crate::setup;

/// A loaded two-core machine needs up to eight seconds for what takes half a second alone.
const START_SECONDS_MAX: u64 = 30;

/// Two views refer to themselves, which a dump cannot carry: each is made as a plain view first
/// and then replaced by itself. The database setting is one that copies of a database lose too.
const AFTER_FIXTURES: &str = r#"
CREATE VIEW test.infinite_recursion AS SELECT id, name, client_id FROM test.projects;
CREATE OR REPLACE VIEW test.infinite_recursion AS SELECT * FROM test.infinite_recursion;
GRANT ALL ON TABLE test.infinite_recursion TO postgrest_test_anonymous;
CREATE VIEW test.self_recursive_view AS SELECT id, name, client_id FROM test.projects;
CREATE OR REPLACE VIEW test.self_recursive_view AS SELECT * FROM test.self_recursive_view;
GRANT ALL ON TABLE test.self_recursive_view TO postgrest_test_anonymous;
ALTER ROLE "Postgrest_Test_Authenticator" SET search_path = public, test;
"#;

/// What the planner knows, on which estimated counts, costs and the order of unsorted rows depend.
/// The specification of version 14 was run on tables that had never been analysed but for two,
/// while loading a dump counts the rows of every table with an index.
const STATISTICS_14: &str = "
UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0
    WHERE relkind IN ('r', 'm', 'p') AND oid >= 16384;
UPDATE pg_class SET relpages = 1, reltuples = 0 WHERE relkind = 'i' AND oid >= 16384;
ANALYZE test.items;
ANALYZE test.child_entities;
";

/// Version 16 was run on analysed tables.
const STATISTICS_16: &str = "VACUUM ANALYZE;\n";

const RESET: &str = "\
DROP DATABASE IF EXISTS pgrst WITH (FORCE);
CREATE DATABASE pgrst TEMPLATE pgrst_template;
ALTER DATABASE pgrst SET request.jwt.claim.id = '-1';
";

/// The running server; stopped and removed when dropped.
pub(crate) struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    /// Makes the cluster, loads the fixtures and makes the first copy of them.
    pub(crate) fn start(data: &Path, version: Version) -> Result<Self> {
        let cluster = Self::empty("conformance")?;
        cluster.load(data, version)?;
        Ok(cluster)
    }

    /// A cluster with nothing in it; `what` it is for is part of its folder's name.
    pub(crate) fn empty(what: &str) -> Result<Self> {
        let bin = setup::postgres_15_bin().context("PostgreSQL is not installed")?;
        let folder = std::env::temp_dir().join(format!("ferrobase-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        if setup::is_root() {
            quietly(Command::new("chown").arg("postgres:").arg(&folder))?;
        }
        let store = folder.join("data");
        let mut initdb = unprivileged(&bin.join("initdb"));
        initdb
            .current_dir(&folder)
            .arg("-D")
            .arg(&store)
            .args(["-U", "postgres", "-A", "trust"]);
        quietly(initdb.args(["-E", "UTF8", "--no-locale", "--no-sync"]))?;
        let port = free_port()?;
        let server = serve(&bin, &folder, port)?;
        let mut cluster = Self {
            bin,
            folder,
            port,
            server,
        };
        cluster.wait()?;
        Ok(cluster)
    }

    /// Where the server under test connects, as the role the specification expects.
    pub(crate) fn uri(&self) -> String {
        format!(
            "postgresql://Postgrest_Test_Authenticator@127.0.0.1:{}/pgrst",
            self.port
        )
    }

    /// The same for the superuser and a database.
    pub(crate) fn superuser_uri(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A shell command that puts the fixtures back as they were.
    pub(crate) fn reset_command(&self) -> String {
        let psql = self.bin.join("psql");
        let file = self.folder.join("reset.sql");
        let flags = "-X -q -U postgres -d postgres -v ON_ERROR_STOP=1";
        format!(
            "'{}' {flags} -h '{}' -p {} -f '{}'",
            psql.display(),
            self.folder.display(),
            self.port,
            file.display()
        )
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while Instant::now() < deadline {
            if self.psql("postgres", &["-c", "SELECT 1"]).is_ok() {
                return Ok(());
            }
            if let Some(status) = self
                .server
                .try_wait()
                .context("could not watch the server")?
            {
                bail!(
                    "the fixture server ended with {status}; its log is {}",
                    self.folder.join("log").display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the fixture server did not answer within {START_SECONDS_MAX} s")
    }

    fn load(&self, data: &Path, version: Version) -> Result<()> {
        let file = |part: &str| data.join(format!("postgrest-{}-{part}.sql", version.name()));
        self.psql(
            "postgres",
            &[
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                &file("roles").to_string_lossy(),
            ],
        )?;
        self.psql("postgres", &["-c", "CREATE DATABASE pgrst_template"])?;
        // Not a failure to stop at: the two views that a dump cannot carry are expected to fail.
        let complaints = self.psql(
            "pgrst_template",
            &["-f", &file("fixtures").to_string_lossy()],
        )?;
        let unexpected: Vec<&str> = complaints
            .lines()
            .filter(|line| is_unexpected(line))
            .take(5)
            .collect();
        if !unexpected.is_empty() {
            bail!("the fixtures did not load:\n{}", unexpected.join("\n"));
        }
        let after = self.folder.join("after.sql");
        let statistics = match version {
            Version::V14 => STATISTICS_14,
            Version::V16_2 => STATISTICS_16,
        };
        let script = format!("{AFTER_FIXTURES}{}{statistics}", self.foreign_file());
        std::fs::write(&after, script).context("could not write the script")?;
        self.psql(
            "pgrst_template",
            &["-v", "ON_ERROR_STOP=1", "-f", &after.to_string_lossy()],
        )?;
        std::fs::write(self.folder.join("reset.sql"), RESET)
            .context("could not write the script")?;
        quietly(Command::new("sh").args(["-c", &self.reset_command()]))
    }

    /// The file behind the foreign table, which a dump does not carry either.
    fn foreign_file(&self) -> String {
        let file = self.folder.join("projects_dump.csv");
        let file = file.display();
        format!(
            "COPY (SELECT id, name, client_id FROM test.projects) TO '{file}' WITH (FORMAT csv);\n\
             ALTER FOREIGN TABLE test.projects_dump OPTIONS (SET filename '{file}');\n"
        )
    }

    /// Runs psql as the superuser and returns what it complained about.
    pub(crate) fn psql(&self, database: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-U",
                "postgres",
                "-d",
                database,
                "-p",
                &self.port.to_string(),
                "-h",
            ])
            .arg(&self.folder)
            .args(arguments)
            .env("PGTZ", "utc")
            .stdin(Stdio::null())
            .output()
            .context("could not start psql")?;
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!(
                "psql failed: {}",
                complaints.lines().next().unwrap_or_default()
            );
        }
        Ok(complaints)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = unprivileged(&self.bin.join("pg_ctl"));
        stop.current_dir(&self.folder)
            .arg("-D")
            .arg(self.folder.join("data"));
        // The run's result stands; a server or a folder that is left over is only untidy.
        let _ = quietly(stop.args(["-m", "immediate", "-w", "stop"]));
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether psql's complaint is about something else than the two self-referring views.
fn is_unexpected(line: &str) -> bool {
    line.contains("ERROR")
        && !line.contains("infinite_recursion")
        && !line.contains("self_recursive_view")
}

/// Starts the server as our child, so that it ends with us.
fn serve(bin: &Path, folder: &Path, port: u16) -> Result<Child> {
    let log =
        std::fs::File::create(folder.join("log")).context("could not make the server's log")?;
    let mut command = unprivileged(&bin.join("postgres"));
    command
        .current_dir(folder)
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder);
    for setting in [
        "listen_addresses=127.0.0.1",
        &format!("port={port}"),
        "timezone=utc",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        // Statistics must not change under the cases that compare planned counts.
        "autovacuum=off",
        "shared_preload_libraries=pg_stat_statements",
        "max_wal_senders=0",
        "wal_level=minimal",
    ] {
        command.args(["-c", setting]);
    }
    let errors = log
        .try_clone()
        .context("could not share the server's log")?;
    command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context("could not start postgres")
}

/// A command that runs as the system's `postgres` user when we are root (PostgreSQL refuses
/// root), and that the kernel interrupts when this process ends.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if setup::is_root() {
        command.args([
            "--reuid",
            "postgres",
            "--regid",
            "postgres",
            "--clear-groups",
        ]);
    }
    command
        .arg("--")
        .arg(program)
        .env("LC_ALL", "C")
        .env_remove("PGOPTIONS");
    command
}

/// Runs a command that has nothing to say; what it printed is the error when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    bail!("{name} failed: {}", said.trim())
}

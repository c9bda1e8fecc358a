//! A new binary on the database of an old one: from every earlier state of our
//! schema it comes up with the user's data and says nothing is missing; a
//! database that is newer, or was tampered with, is refused and left alone.
//!
//! What the schemas look like in the end is compared in `pg::migrate`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Ferrobase, postmaster_file, project};

const OWN_TABLE: &str = "create table public.kept (id int primary key);
    alter table public.kept enable row level security;
    grant select on public.kept to service_role;
    insert into public.kept values (7);";

/// A cluster to make databases in, entered as its superuser.
pub(crate) struct Cluster {
    _server: Ferrobase,
    socket_dir: String,
    port: String,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let folder = project(&[]);
        let server = Ferrobase::dev(folder.path());
        let file = std::fs::read_to_string(postmaster_file(folder.path()).unwrap()).unwrap();
        // PostgreSQL's documented lines: pid, folder, start, port, socket folder.
        let lines: Vec<&str> = file.lines().collect();
        let cluster = Self {
            socket_dir: lines[4].to_owned(),
            port: lines[3].to_owned(),
            _server: server,
            _folder: folder,
        };
        cluster.sql("postgres", "alter role supabase_admin password 'upgrade'");
        cluster
    }

    /// Runs statements, returns what they print.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(psql())
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args([
                "-h",
                &self.socket_dir,
                "-p",
                &self.port,
                "-U",
                "supabase_admin",
            ])
            .args(["-d", database, "-c", sql])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgresql://supabase_admin:upgrade@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// A database as the release that had only these migrations left it.
    fn release(&self, name: &str, files: &[PathBuf]) {
        self.sql(
            "postgres",
            &format!("create database {name} template template0"),
        );
        for file in files {
            // As ours does: the pinned path, and one transaction for each file.
            let text = std::fs::read_to_string(file).unwrap();
            let path = "set local search_path = pg_catalog, public;";
            self.sql(name, &format!("begin; {path}\n{text}\n; commit"));
        }
        let ledger = "select format('insert into ferrobase.schema_migrations (version, name, checksum) \
             values (%s, %L, %L);', version, name, checksum) from ferrobase.schema_migrations \
             where version <= ";
        let mut rows = String::new();
        if !files.is_empty() {
            let _ = write!(
                rows,
                "{}",
                self.sql("postgres", &format!("{ledger}{}", files.len()))
            );
        }
        self.sql(name, &format!("{rows} {OWN_TABLE}"));
    }
}

/// The newest on the path or where distributions put it.
pub(crate) fn psql() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    installed
        .filter_map(|version| Some(version.ok()?.path().join("bin/psql")))
        .filter(|path| path.is_file())
        .max()
        .unwrap_or_else(|| "psql".into())
}

fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sql"))
        .collect();
    files.sort();
    files
}

/// Levels that say something of their own: nothing, the ledger alone, before
/// and after the auth room, and those at which a version was left to others.
/// What lies between is `pg`'s to try.
const LEVELS: [usize; 6] = [0, 1, 5, 9, 13, 40];

#[test]
fn every_earlier_schema_comes_up_with_its_data() {
    let cluster = Cluster::start();
    let files = migrations();
    let applied = "select count(*) from ferrobase.schema_migrations";
    for first in LEVELS.into_iter().chain([files.len()]) {
        let name = format!("from_{first}");
        cluster.release(&name, &files[..first]);
        let folder = project(&[]);
        let server = Ferrobase::dev_with(folder.path(), &["--database-url", &cluster.url(&name)]);
        assert_eq!(server.field("warnings"), &json!([]), "{name}");
        let kept = server.get("/rest/v1/kept", server.service_key());
        assert_eq!(
            (kept.status, kept.json()),
            (200, json!([{"id": 7}])),
            "{name}"
        );
        assert!(server.stop().success());
        assert_eq!(
            cluster.sql(&name, applied),
            files.len().to_string(),
            "{name}"
        );
    }
}

#[test]
fn a_database_that_is_not_ours_to_change_is_refused() {
    let cluster = Cluster::start();
    let files = migrations();
    let all = files.len();
    for (name, change) in [
        (
            "newer",
            format!(
                "insert into ferrobase.schema_migrations (version, name, checksum) values ({}, 'later', 'x')",
                all + 1
            ),
        ),
        (
            "edited",
            "update ferrobase.schema_migrations set checksum = 'x' where version = 2".to_owned(),
        ),
    ] {
        cluster.release(name, &files);
        cluster.sql(name, &change);
        let dump = "select json_agg(s order by version) from ferrobase.schema_migrations s";
        let before = cluster.sql(name, dump);
        let folder = project(&[]);
        let Err(ended) = Ferrobase::try_dev(folder.path(), &["--database-url", &cluster.url(name)])
        else {
            panic!("it started on a database that is {name}");
        };
        let error = ended.error();
        assert_eq!(ended.code, Some(1), "{name}: {error}");
        assert!(
            error["code"].as_str().unwrap().starts_with("FB21"),
            "{name}: {error}"
        );
        assert_eq!(cluster.sql(name, dump), before, "{name}");
    }
}

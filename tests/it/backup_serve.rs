//! The duty of a running `serve`: a backup is made, tried out and removed again
//! without anybody asking, and the metrics say so. And a restore into a
//! PostgreSQL that is somebody else's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backup::{FILES, look_at_files, scene_with, send, upload, verb};
use crate::bucket::{BUCKET, Bucket};
use crate::support::{Ferrobase, ONE_SECRET, project, run};

/// A debug build makes and tries out a backup in a few seconds, several times.
const WAIT: Duration = Duration::from_secs(100);
const SERVE: [&str; 6] = ["serve", "--data-dir", ".ferrobase", "--json", "--port", "0"];

#[test]
fn a_server_backs_up_tries_out_and_prunes_by_itself() {
    let bucket = Bucket::start();
    let settings = format!(
        "{ONE_SECRET}[backup]\nevery = \"15s\"\nfirst_after = \"1s\"\nverify_every = \"1s\"\nkeep_daily = 1\n\
         keep_weekly = 0\nbucket = \"s3://{BUCKET}/copies\"\n{}",
        bucket.section("backup.s3")
    );
    let (folder, server) = scene_with(ONE_SECRET);
    upload(&server, "stays");
    let ready = server.ready();
    assert!(server.stop().success());
    std::fs::write(folder.path().join("ferrobase.toml"), settings).unwrap();
    let server = Ferrobase::start(folder.path(), &SERVE, &[("FERROBASE__DB__PORT", "0")]);
    let server = server.unwrap_or_else(|done| panic!("it ended: {done:?}"));
    let server = server.known_from(&ready);
    server.said("found equal");
    server.said("old backups removed");
    server.said("copied into the bucket");
    let page = until(&server, |page| {
        let (age, verified) = (
            metric(page, "backup_age_seconds"),
            metric(page, "backup_verified_age_seconds"),
        );
        age.is_finite() && verified.is_finite() && metric(page, "backups") >= 1.0
    });
    assert!(
        metric(&page, "backup_verified_age_seconds") < WAIT.as_secs_f64(),
        "{page}"
    );
    assert!(
        metric(&page, "backup_failures") < 1.0,
        "{}",
        server.stderr()
    );
    assert!(server.stop().success());
    // The newest stays, and the newest that was found equal.
    let listed = verb(folder.path(), &["list"]);
    let listed = listed["backups"].as_array().unwrap();
    assert!((1..=3).contains(&listed.len()), "{listed:?}");
    assert!(
        listed.iter().any(|one| one["verified_at"] != Value::Null),
        "{listed:?}"
    );
    let copies = std::fs::read_dir(bucket.objects().join("copies")).unwrap();
    let copies = copies.flatten().filter(|one| one.file_name() != "blobs");
    let whole = copies.filter(|one| one.path().join("manifest.jsonl").is_file());
    assert!((1..=3).contains(&whole.count()));
}

#[test]
fn an_own_schedule_is_taken_at_its_word_and_a_failure_is_counted() {
    let (folder, server) = scene_with("");
    assert!(server.stop().success());
    // Nobody can make a folder of a file.
    std::fs::write(folder.path().join("in-the-way"), "").unwrap();
    let settings = "[backup]\nschedule = \"on\"\nfirst_after = \"1s\"\nfolder = \"in-the-way\"\n";
    std::fs::write(folder.path().join("ferrobase.toml"), settings).unwrap();
    let server = Ferrobase::dev(folder.path());
    server.said("Backup failed");
    let page = until(&server, |page| metric(page, "backup_failures") >= 1.0);
    assert!(metric(&page, "backup_age_seconds").is_infinite(), "{page}");
    assert_eq!(
        server.get("/rest/v1/notes", server.service_key()).status,
        200
    );
}

fn until(server: &Ferrobase, so: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + WAIT;
    loop {
        let page = server.get("/metrics", server.anon_key()).body;
        if so(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "{page}\n{}", server.stderr());
        thread::sleep(Duration::from_millis(100));
    }
}

fn metric(page: &str, name: &str) -> f64 {
    let name = format!("ferrobase_{name} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("no {name} in {page}"))
        .parse()
        .unwrap()
}

/// A PostgreSQL of somebody else: nothing of ours but what is restored.
struct Elsewhere {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Elsewhere {
    fn start() -> Self {
        let mut this = Self {
            bin: bin(),
            folder: project(&[]),
            port: 0,
        };
        // PostgreSQL does not run as root; neither do the tests of it.
        if rustix::process::getuid().is_root() {
            let mut give = Command::new("chown");
            let given = give.arg("postgres").arg(this.folder.path()).status();
            assert!(given.unwrap().success());
        }
        this.tool(
            "initdb",
            &["-U", "admin", "-A", "trust", "--no-sync", "-D", "data"],
        );
        // Somebody else may be faster with a port that was free.
        for _ in 0..10 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            this.port = free.local_addr().unwrap().port();
            drop(free);
            let options = format!(
                "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''",
                this.port
            );
            let start = ["-D", "data", "-w", "-l", "log", "-o", &options, "start"];
            if this
                .command("pg_ctl")
                .args(start)
                .output()
                .unwrap()
                .status
                .success()
            {
                return this;
            }
        }
        panic!(
            "it does not start: {:?}",
            std::fs::read_to_string(this.folder.path().join("log"))
        );
    }

    fn command(&self, name: &str) -> Command {
        let program = self.bin.join(name);
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let done = self.command(name).args(arguments).output().unwrap();
        assert!(done.status.success(), "{name}: {done:?}");
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://admin@127.0.0.1:{}/{database}?sslmode=disable",
            self.port
        )
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        let done = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &self.url(database),
                "-c",
                sql,
            ])
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.tool("pg_ctl", &["-D", "data", "-m", "immediate", "stop"]);
        }
    }
}

/// Where PostgreSQL's programs are: those that the binary found.
fn bin() -> PathBuf {
    let named = std::env::var_os("PG_BINDIR").map(PathBuf::from);
    let debian =
        [18, 17, 16, 15].map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    let found = named
        .into_iter()
        .chain(debian)
        .find(|bin| bin.join("initdb").is_file());
    found.unwrap_or_else(|| panic!("there is no PostgreSQL to restore into"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story there and back")]
fn a_backup_is_restored_into_a_database_elsewhere() {
    let (folder, server) = scene_with(ONE_SECRET);
    for number in 0..FILES {
        upload(&server, &format!("stays-{number}"));
    }
    let user = r#"{"email": "ada@b.co", "password": "correct horse battery staple", "email_confirm": true}"#;
    let made = send(&server, "POST", "/auth/v1/admin/users", user.as_bytes());
    assert_eq!(made.status, 200, "{made:?}");
    verb(folder.path(), &["create"]);
    let ready = server.ready();
    drop(server);

    let elsewhere = Elsewhere::start();
    elsewhere.sql("postgres", "create database target");
    let room = project(&[]);
    let restore = |into: &Path, url: &str| {
        let into = into.to_str().unwrap().to_owned();
        run(
            folder.path(),
            &[
                "--json",
                "backup",
                "restore",
                "--into",
                &into,
                "--database-url",
                url,
            ],
        )
    };
    // A database with something in it is refused, and nothing is changed there.
    elsewhere.sql("postgres", "create database taken");
    elsewhere.sql("taken", "create table mine (n int)");
    let refused = restore(&room.path().join("refused"), &elsewhere.url("taken"));
    assert_eq!(refused.error()["code"], "FB6009", "{refused:?}");
    let tables = "select string_agg(schemaname || '.' || tablename, ',') from pg_tables \
                  where schemaname not in ('pg_catalog', 'information_schema')";
    assert_eq!(elsewhere.sql("taken", tables), "public.mine");

    let into = room.path().join("restored");
    let url = elsewhere.url("target");
    let done = restore(&into, &url);
    assert_eq!(done.code, Some(0), "{done:?}");
    let server = Ferrobase::start(
        &into,
        &[
            "serve",
            "--data-dir",
            ".ferrobase",
            "--json",
            "--port",
            "0",
            "--database-url",
            &url,
        ],
        &[],
    );
    let server = server.unwrap_or_else(|done| panic!("it ended: {done:?}"));
    // Its keys came with it.
    let server = server.known_from(&ready);
    look_at_files(&server, FILES);
    let body = r#"{"email": "ada@b.co", "password": "correct horse battery staple"}"#;
    let path = "/auth/v1/token?grant_type=password";
    let signed_in = server.send("POST", path, server.anon_key(), body);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    upload(&server, "after");
    look_at_files(&server, FILES + 1);
    // By hand, of a database that is elsewhere, and back into an own cluster.
    let created = [
        "backup",
        "create",
        "--data-dir",
        ".ferrobase",
        "--database-url",
        &url,
    ];
    let created = run(&into, &[&["--json"], &created[..]].concat());
    assert_eq!(created.code, Some(0), "{created:?}");
    drop(server);
    let verified = verb(&into, &["verify"]);
    assert_eq!(verified["files"], FILES + 1, "{verified}");
}

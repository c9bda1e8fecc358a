//! Backups, driven by the built binary: taken while somebody uploads and
//! deletes, restored elsewhere, started and asked; and killed at any moment.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, command, project, request, run};
use crate::wire::Dice;

const PASSWORD: &str = "correct horse battery staple";
pub(crate) const FILES: usize = 40;
const KILLS: usize = 6;

const SCHEMA: &str = "create table public.notes (\
     id bigint primary key, owner uuid not null default auth.uid(), text text not null);\n\
     alter table public.notes enable row level security;\n\
     create policy own on public.notes to authenticated \
     using (owner = auth.uid()) with check (owner = auth.uid());\n";

fn scene() -> (tempfile::TempDir, Ferrobase) {
    scene_with("")
}

/// A project with a bucket `b`, and these settings.
pub(crate) fn scene_with(settings: &str) -> (tempfile::TempDir, Ferrobase) {
    let folder = project(&[
        ("supabase/migrations/20240101000000_notes.sql", SCHEMA),
        ("ferrobase.toml", settings),
    ]);
    let server = Ferrobase::dev(folder.path());
    let made = send(
        &server,
        "POST",
        "/storage/v1/bucket",
        br#"{"name":"b","id":"b"}"#,
    );
    assert_eq!(made.status, 200, "{made:?}");
    (folder, server)
}

pub(crate) fn send(server: &Ferrobase, method: &str, path: &str, body: &[u8]) -> Answer {
    let bearer = format!("Bearer {}", server.service_key());
    let kind = if body.first() == Some(&b'{') {
        "application/json"
    } else {
        "text/plain"
    };
    let headers = [
        ("apikey", server.service_key()),
        ("authorization", bearer.as_str()),
        ("content-type", kind),
    ];
    request(server.address(), method, path, &headers, body).unwrap()
}

/// What the file of this name holds.
fn text_of(name: &str) -> String {
    format!("this is {name}\n").repeat(name.len() * 7)
}

pub(crate) fn upload(server: &Ferrobase, name: &str) {
    let path = format!("/storage/v1/object/b/{name}");
    let answer = send(server, "POST", &path, text_of(name).as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// So many files are there, each with its bytes.
pub(crate) fn look_at_files(server: &Ferrobase, count: usize) {
    assert_eq!(names(server).len(), count);
}

/// The names there are; each has its bytes.
fn names(server: &Ferrobase) -> BTreeSet<String> {
    let asked = br#"{"prefix":"","limit":1000}"#;
    let listed = send(server, "POST", "/storage/v1/object/list/b", asked);
    let names: BTreeSet<String> = listed
        .json()
        .as_array()
        .unwrap_or_else(|| panic!("{listed:?}"))
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    for name in &names {
        let path = format!("/storage/v1/object/authenticated/b/{name}");
        let answer = send(server, "GET", &path, b"");
        assert_eq!((answer.status, answer.body), (200, text_of(name)), "{name}");
    }
    names
}

pub(crate) fn verb(folder: &Path, arguments: &[&str]) -> Value {
    let done = run(folder, &[&["--json", "backup"], arguments].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}

fn ids(folder: &Path) -> Vec<String> {
    let listed = verb(folder, &["list"]);
    let ids = listed["backups"].as_array().unwrap().iter();
    ids.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

fn sign_in(server: &Ferrobase) -> String {
    let body = json!({"email": "ada@b.co", "password": PASSWORD});
    let path = "/auth/v1/token?grant_type=password";
    let answer = server.send("POST", path, server.anon_key(), &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one story from a project to its copy"
)]
fn everything_comes_back_and_works() {
    let (folder, server) = scene();
    let user = json!({"email": "ada@b.co", "password": PASSWORD, "email_confirm": true});
    let made = server.send(
        "POST",
        "/auth/v1/admin/users",
        server.service_key(),
        &user.to_string(),
    );
    assert_eq!(made.status, 200, "{made:?}");
    let token = sign_in(&server);
    let note = server.send(
        "POST",
        "/rest/v1/notes",
        &token,
        r#"{"id": 1, "text": "mine"}"#,
    );
    assert_eq!(note.status, 201, "{note:?}");
    let jobs = r#"{"jobs": [{"type": "later", "input": {"n": 7}}]}"#;
    let job = server
        .send("POST", "/jobs/v1/jobs", server.service_key(), jobs)
        .json();
    let job = job["jobs"][0]["id"].as_str().unwrap().to_owned();
    for number in 0..FILES {
        upload(&server, &format!("stays-{number}"));
    }
    let (server, over) = (Arc::new(server), Arc::new(AtomicBool::new(false)));
    let writer = {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        thread::spawn(move || {
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("goes-{number}");
                upload(&server, &name);
                let gone = send(
                    &server,
                    "DELETE",
                    &format!("/storage/v1/object/b/{name}"),
                    b"",
                );
                assert_eq!(gone.status, 200, "{gone:?}");
            }
        })
    };
    let made = verb(folder.path(), &["create"]);
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(made["first_missing"], Value::Null, "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(ids(folder.path()), [id]);
    let verified = verb(folder.path(), &["verify"]);
    assert_eq!(
        (&verified["id"], &verified["missing"]),
        (&json!(id), &json!(0))
    );

    let elsewhere = project(&[]);
    let into = elsewhere.path().join("restored");
    verb(
        folder.path(),
        &["restore", id, "--into", into.to_str().unwrap()],
    );
    let refused = run(
        folder.path(),
        &[
            "--json",
            "backup",
            "restore",
            "--into",
            into.to_str().unwrap(),
        ],
    );
    assert_eq!(refused.error()["code"], "FB6009");
    Arc::into_inner(server).unwrap().stop();

    look_around(&into, &job, verified["files"].as_u64().unwrap());
}

/// What was restored works: sign-in, rows under their policies, jobs, files.
fn look_around(into: &Path, job: &str, files: u64) {
    let server = Ferrobase::dev(into);
    let notes = server.get("/rest/v1/notes?select=text", &sign_in(&server));
    assert_eq!(notes.body, r#"[{"text":"mine"}]"#);
    let nobody = server.get("/rest/v1/notes?select=text", server.anon_key());
    assert_eq!(nobody.body, "[]", "policies came back as well");
    let shown = server.get(&format!("/jobs/v1/jobs/{job}"), server.service_key());
    assert_eq!(shown.status, 200, "{shown:?}");
    let names = names(&server);
    let stay = names.iter().filter(|name| name.starts_with("stays-"));
    assert_eq!(stay.count(), FILES);
    assert_eq!(names.len() as u64, files);
    upload(&server, "after");
    let page = server.get("/metrics", server.anon_key()).body;
    assert!(page.contains("ferrobase_backup_age_seconds inf"), "{page}");
}

/// Runs a verb and kills it after a while, unless it was faster.
fn kill_after(folder: &Path, arguments: &[&str], wait: Duration) {
    let mut child = command(folder, arguments).spawn().unwrap();
    thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_killed_leaves_nothing_that_looks_whole() {
    let (folder, server) = scene();
    for number in 0..FILES {
        upload(&server, &format!("stays-{number}"));
    }
    let folder = folder.path();
    let mut dice = Dice::new(u64::from(std::process::id()));
    for _ in 0..KILLS {
        let wait = Duration::from_millis(dice.below(1500) as u64);
        kill_after(folder, &["backup", "create"], wait);
    }
    // Whatever was faster than its end is listed, and whole.
    if let Some(id) = ids(folder).last() {
        verb(folder, &["verify", id]);
    }
    verb(folder, &["create"]);
    let backups = folder.join(".ferrobase/backups");
    let left = std::fs::read_dir(&backups).unwrap().flatten();
    let left: Vec<_> = left
        .map(|one| one.file_name())
        .filter(|name| name.to_string_lossy().starts_with("new-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    upload(&server, "after");

    let elsewhere = project(&[]);
    let into = elsewhere.path().join("restored");
    let arguments = ["backup", "restore", "--into", into.to_str().unwrap()];
    for _ in 0..KILLS {
        let wait = Duration::from_millis(dice.below(4000) as u64);
        kill_after(folder, &arguments, wait);
        if into.join(".ferrobase").exists() {
            break;
        }
    }
    if !into.join(".ferrobase").exists() {
        verb(folder, &arguments[1..]);
    }
    drop(server);
    let server = Ferrobase::dev(&into);
    assert_eq!(names(&server).len(), FILES);
}

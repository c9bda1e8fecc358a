//! `ferrobase gen types`: of a running instance, of one that does not run, of
//! none at all, to a file, and again when the schema changes.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Ferrobase, command, project, run, write};

const TODOS: &str = "create table public.todos (id bigint primary key, title text not null);\n\
     alter table public.todos enable row level security;\n";

const TAGS: &str = "create table public.tags (id int primary key);\n\
     alter table public.tags enable row level security;\n";

/// Longer than a loaded machine takes to migrate and to write a file.
const CHANGE_MAX: Duration = Duration::from_secs(60);

#[test]
fn types_come_from_what_runs_here_and_from_what_does_not() {
    let folder = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let none = run(folder.path(), &["gen", "types", "--json"]);
    assert_eq!(
        (none.code, none.error()["code"].as_str()),
        (Some(1), Some("FB4008"))
    );

    let server = Ferrobase::dev(folder.path());
    let running = run(folder.path(), &["gen", "types", "typescript"]);
    assert_eq!(running.code, Some(0), "{running:?}");
    assert!(running.stdout.contains("      todos: {\n        Row: {\n"));
    assert!(running.stdout.ends_with("} as const\n"));
    let url = server.field("db_url").as_str().unwrap().to_owned();
    let spelt = ["gen", "types", "--lang", "typescript", "--local"];
    assert_eq!(run(folder.path(), &spelt).stdout, running.stdout);
    let by_url = ["gen", "types", "--db-url", &url];
    assert_eq!(run(folder.path(), &by_url).stdout, running.stdout);
    assert_eq!(server.stop().code(), Some(0));

    let file = folder.path().join("database.types.ts");
    let stopped = run(
        folder.path(),
        &["gen", "types", "--output", file.to_str().unwrap()],
    );
    assert_eq!(
        (stopped.code, stopped.stdout.as_str()),
        (Some(0), ""),
        "{stopped:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), running.stdout);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let folder = project(&[]);
    for arguments in [
        &["gen", "types", "cobol"][..],
        &["gen", "types", "--watch"],
        &["gen", "types", "--local", "--db-url", "postgres://x/y"],
    ] {
        assert_eq!(run(folder.path(), arguments).code, Some(2), "{arguments:?}");
    }
    let nowhere = "postgres://postgres@127.0.0.1:1/nothing";
    let refused = run(
        folder.path(),
        &["gen", "types", "--json", "--db-url", nowhere],
    );
    assert_eq!(
        (refused.code, refused.error()["code"].as_str()),
        (Some(1), Some("FB3004"))
    );
}

#[test]
fn a_watched_file_follows_the_schema() {
    let folder = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let server = Ferrobase::dev(folder.path());
    let file = folder.path().join("types.ts");
    let watching = command(
        folder.path(),
        &[
            "gen",
            "types",
            "--watch",
            "--output",
            file.to_str().unwrap(),
        ],
    );
    let mut watching = Watching::start(watching);
    until(&file, "todos: {");
    write(
        folder.path(),
        "supabase/migrations/20240102000000_tags.sql",
        TAGS,
    );
    assert_eq!(run(folder.path(), &["migration", "up"]).code, Some(0));
    until(&file, "tags: {");
    assert_eq!(watching.stop(), Some(0));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_started_backend_keeps_the_file_it_is_told() {
    let folder = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let file = folder.path().join("types.ts");
    let server = Ferrobase::dev_with(folder.path(), &["--types", file.to_str().unwrap()]);
    until(&file, "todos: {");
    write(
        folder.path(),
        "supabase/migrations/20240102000000_tags.sql",
        TAGS,
    );
    assert_eq!(run(folder.path(), &["migration", "up"]).code, Some(0));
    until(&file, "tags: {");
    assert_eq!(server.stop().code(), Some(0));
}

/// Waits for the file to say something.
fn until(file: &Path, text: &str) {
    let deadline = Instant::now() + CHANGE_MAX;
    while Instant::now() < deadline {
        let seen = std::fs::read_to_string(file).unwrap_or_default();
        if seen.contains(text) {
            // It is replaced at once, never half written.
            assert!(seen.ends_with("} as const\n"), "{seen}");
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} never said `{text}`", file.display());
}

/// A verb that goes on until it is told to stop.
struct Watching(Child);

impl Watching {
    fn start(mut command: std::process::Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn stop(&mut self) -> Option<i32> {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

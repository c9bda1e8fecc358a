//! The command line: start, stop, status, second instance, broken projects,
//! broken pipes, `kill -9`, wrong settings, and the verbs that work on a
//! database.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Ferrobase, command, project, request, run, write};

const TODOS: &str = "create table public.todos (id bigint primary key, title text not null);\n\
     alter table public.todos enable row level security;\n";

#[test]
fn it_starts_tells_its_state_and_stops() {
    let folder = project(&[
        ("supabase/migrations/20240101000000_todos.sql", TODOS),
        (
            "supabase/seed.sql",
            "insert into public.todos values (1, 'first');",
        ),
    ]);
    let none = run(folder.path(), &["status", "--json"]);
    assert_eq!(
        (none.code, none.error()["code"].as_str()),
        (Some(1), Some("FB4001"))
    );

    let server = Ferrobase::dev(folder.path());
    assert_eq!(server.field("cold"), &json!(true));
    assert_eq!(server.field("pid"), &json!(server.pid()));
    assert_eq!(server.field("seeds"), &json!(["supabase/seed.sql"]));
    assert_eq!(
        request(server.address(), "GET", "/health", &[], b"")
            .unwrap()
            .status,
        200
    );

    let rows = server.get("/rest/v1/todos?select=title", server.service_key());
    assert_eq!(
        (rows.status, rows.json()),
        (200, json!([{"title": "first"}]))
    );
    let user = server.token("11111111-1111-4111-8111-111111111111", &json!({}));
    let hidden = server.send("GET", "/rest/v1/todos", &user, "");
    assert_eq!(hidden.body, "[]", "{}", hidden.head);

    let env = run(
        folder.path(),
        &[
            "status",
            "-o",
            "env",
            "--override-name",
            "api.url=NEXT_PUBLIC_SUPABASE_URL",
        ],
    );
    assert_eq!(env.code, Some(0));
    let line = |name: &str, value: &str| env.stdout.contains(&format!("{name}=\"{value}\"\n"));
    assert!(line("NEXT_PUBLIC_SUPABASE_URL", server.url()), "{env:?}");
    assert!(line("ANON_KEY", server.anon_key()), "{env:?}");

    let second = run(folder.path(), &["dev", "--json", "--port", "0"]);
    assert_eq!(
        (second.code, second.error()["code"].as_str()),
        (Some(1), Some("FB1003"))
    );
    let said = second.error()["message"].as_str().unwrap().to_owned();
    assert!(
        said.contains(&server.pid().to_string()) && said.contains(server.url()),
        "{said}"
    );

    let stopped = run(folder.path(), &["stop", "--json"]);
    assert_eq!(
        stopped.stdout.trim(),
        json!({"stopped": server.pid()}).to_string()
    );
    let mut server = server;
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(run(folder.path(), &["stop"]).code, Some(1));

    // What lay in the folder is found again, and nothing is applied twice.
    let again = Ferrobase::dev(folder.path());
    assert_eq!(again.field("cold"), &json!(false));
    assert_eq!(again.field("migrations"), &json!([]));
    assert_eq!(again.field("seeds"), &json!([]));
    assert_eq!(again.stop().code(), Some(0));
}

#[test]
fn a_broken_migration_names_its_line_and_leaves_nothing() {
    const FILE: &str = "supabase/migrations/20240102000000_broken.sql";
    let folder = project(&[
        ("supabase/migrations/20240101000000_todos.sql", TODOS),
        (
            FILE,
            "create table public.half (id int);\n\ncreate table public.other (\n  id nothing\n);\n",
        ),
    ]);
    let Err(ended) = Ferrobase::try_dev(folder.path(), &[]) else {
        panic!("it started");
    };
    assert_eq!(ended.code, Some(1));
    let error = ended.error();
    assert_eq!(error["code"], "FB2010");
    let said = error["message"].as_str().unwrap();
    assert!(said.starts_with(&format!("{FILE}:4:")), "{said}");

    let listed = run(folder.path(), &["migration", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let applied: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["applied"])
        .collect();
    assert_eq!(applied, [&json!(true), &json!(false)]);

    write(folder.path(), FILE, "create table public.half (id int);\n");
    let up = run(folder.path(), &["migration", "up", "--json"]);
    assert_eq!(
        up.stdout.trim(),
        r#"{"applied":["20240102000000_broken.sql"]}"#,
        "{up:?}"
    );
    let server = Ferrobase::dev(folder.path());
    let warnings = server.field("warnings").to_string();
    assert!(
        warnings.contains("public.half has no row level security"),
        "{warnings}"
    );
}

#[test]
fn a_reset_brings_back_the_seeds_with_and_without_a_server() {
    let folder = project(&[
        ("supabase/migrations/20240101000000_todos.sql", TODOS),
        (
            "supabase/seed.sql",
            "insert into public.todos values (1, 'first');",
        ),
    ]);
    let server = Ferrobase::dev(folder.path());
    let refused = run(folder.path(), &["db", "reset", "--json"]);
    assert_eq!(
        (refused.code, refused.error()["code"].as_str()),
        (Some(1), Some("FB4006"))
    );
    let reset = || {
        let done = run(folder.path(), &["db", "reset", "--yes", "--json"]);
        let applied =
            json!({"migrations": ["20240101000000_todos.sql"], "seeds": ["supabase/seed.sql"]});
        assert_eq!(done.stdout.trim(), applied.to_string(), "{done:?}");
    };
    reset();
    // The server goes on with the new database.
    let ready = || {
        request(server.address(), "GET", "/health/ready", &[], b"")
            .unwrap()
            .status
            == 200
    };
    let mut tries = 0;
    while !ready() {
        tries += 1;
        assert!(tries < 200, "{}", server.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.stop().success());
    reset();
}

#[test]
fn after_kill_9_the_next_start_needs_no_help() {
    let folder = project(&[]);
    for round in 0..3 {
        let server = Ferrobase::dev(folder.path());
        assert_eq!(server.field("cold"), &json!(round == 0));
        server.kill9();
        assert_eq!(run(folder.path(), &["status"]).code, Some(1));
    }
    let server = Ferrobase::dev(folder.path());
    server.signal(Signal::INT);
    let mut server = server;
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_wrong_setting_is_named_with_what_was_meant() {
    let folder = project(&[("ferrobase.toml", "[api]\nprot = 1\n")]);
    let done = run(folder.path(), &["dev", "--json"]);
    assert_eq!(
        (done.code, done.error()["code"].as_str()),
        (Some(1), Some("FB3001"))
    );
    let said = done.error()["message"].as_str().unwrap().to_owned();
    assert!(
        said.contains("api.prot") && said.contains("did you mean `api.port`"),
        "{said}"
    );
    let plain = run(folder.path(), &["dev"]);
    assert!(plain.stderr.starts_with("error[FB3001]: "), "{plain:?}");
    assert!(!plain.stderr.contains('\u{1b}'), "{plain:?}");
}

#[test]
fn a_reader_who_leaves_is_no_panic() {
    let folder = project(&[]);
    for arguments in [
        &["config", "explain"][..],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = command(folder.path(), arguments).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(
            (done.status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
    // The first screen may be cut off; the server serves.
    let mut child = command(folder.path(), &["dev", "--port", "0", "--db-port", "0"])
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert!(first.starts_with("Ferrobase is ready"), "{first}");
    assert_eq!(run(folder.path(), &["stop"]).code, Some(0));
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"));
}

#[test]
fn serve_wants_a_database_and_secrets_stay_hidden() {
    let folder = project(&[]);
    let done = run(folder.path(), &["serve", "--json"]);
    assert_eq!(
        (done.code, done.error()["code"].as_str()),
        (Some(1), Some("FB4004"))
    );
    let explained = command(folder.path(), &["config", "explain", "--json"])
        .env("FERROBASE__DATABASE__URL", "postgres://u:hunter2@h/d")
        .env("FERROBASE__GATEWAY__REQUIRE_APIKEY", "true")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(!text.contains("hunter2") && text.contains("environment FERROBASE__DATABASE__URL"));
    assert_eq!(run(folder.path(), &["nonsense"]).code, Some(2));
}

#[test]
fn new_migrations_carry_the_time() {
    let folder = project(&[]);
    let done = run(folder.path(), &["migration", "new", "add todos"]);
    assert_eq!(done.code, Some(0));
    assert!(
        done.stdout.starts_with("supabase/migrations/20")
            && done.stdout.ends_with("_add_todos.sql\n")
    );
    assert!(folder.path().join(done.stdout.trim()).is_file());
}

#[test]
fn migrations_need_no_dev_before_them() {
    let folder = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let list = |applied: bool| {
        let done = run(folder.path(), &["migration", "list", "--json"]);
        let all = json!([{
            "version": "20240101000000",
            "name": "todos",
            "local": true,
            "applied": applied,
        }]);
        let listed: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(listed, all, "{done:?}");
    };
    list(false);
    let made = folder.path().join(".ferrobase");
    assert!(!made.exists(), "looking made {}", made.display());
    let up = run(folder.path(), &["migration", "up", "--json"]);
    assert_eq!(
        up.stdout.trim(),
        r#"{"applied":["20240101000000_todos.sql"]}"#,
        "{up:?}"
    );
    list(true);
}

#[test]
fn a_start_that_is_interrupted_leaves_nothing_in_the_way() {
    let folder = project(&[]);
    // From before the cluster is made until after it answers.
    for pause_ms in [30, 150, 400, 800] {
        let mut child = command(folder.path(), &["dev", "--port", "0", "--db-port", "0"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
        let code = child.wait().unwrap().code();
        // Before the first instruction a signal still ends it as it ends any.
        assert!(matches!(code, Some(0 | 130) | None), "{pause_ms}: {code:?}");
    }
    assert_eq!(Ferrobase::dev(folder.path()).stop().code(), Some(0));
}

#[test]
fn another_database_is_used_when_it_is_named() {
    let first = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let owner = Ferrobase::dev(first.path());
    let url = owner.field("db_url").as_str().unwrap().to_owned();
    let second = project(&[("supabase/migrations/20240101000000_todos.sql", TODOS)]);
    let guest = Ferrobase::dev_with(second.path(), &["--database-url", &url]);
    assert_eq!(
        (guest.field("cold"), guest.field("db_url")),
        (&json!(false), &json!(url))
    );
    let rows = guest.get("/rest/v1/todos?select=title", guest.service_key());
    assert_eq!((rows.status, rows.body.as_str()), (200, "[]"));
    // The verbs beside it do not start a second database behind its back.
    let refused = run(second.path(), &["db", "reset", "--yes", "--json"]);
    assert_eq!(refused.error()["code"], "FB4007", "{refused:?}");
    let doctor = run(second.path(), &["doctor", "--json", "--database-url", &url]);
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    assert!(guest.stop().success());
    assert!(owner.stop().success());
}

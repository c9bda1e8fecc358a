//! Explanations and reports of access, by HTTP and by the command line,
//! against a running project.

use serde_json::{Value, json};

use crate::support::{Ferrobase, project, request, run, write};

const ANA: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const BEN: &str = "bbbbbbbb-0000-4000-8000-000000000002";

const NOTES: &str = "
create table public.notes (
    id bigint generated always as identity primary key,
    user_id uuid not null default auth.uid(),
    title text not null
);
alter table public.notes enable row level security;
create policy own on public.notes for select to authenticated using ((select auth.uid()) = user_id);
create policy add on public.notes for insert to authenticated with check ((select auth.uid()) = user_id);
insert into public.notes (user_id, title) values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'of Ana'), ('bbbbbbbb-0000-4000-8000-000000000002', 'of Ben');
";

/// A request with a key and preferences of its own.
fn ask(
    server: &Ferrobase,
    line: &str,
    key: &str,
    more: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = format!("Bearer {key}");
    let mut headers = vec![
        ("apikey", key),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    headers.extend(more);
    let answer = request(server.address(), method, path, &headers, body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

#[test]
fn a_service_key_is_told_and_nobody_else_is() {
    let folder = project(&[("supabase/migrations/20260101000000_notes.sql", NOTES)]);
    let server = Ferrobase::dev(folder.path());
    let token = server.token(BEN, &json!({}));
    let explain = ("prefer", "explain=access");

    // By the user's own token, for the row that is not his.
    let headers = [explain, ("explain-as", token.as_str())];
    let line = "GET /rest/v1/notes?select=id,title";
    let (status, told) = ask(&server, line, server.service_key(), &headers, "");
    assert_eq!(
        (status, &told["outcome"]),
        (200, &json!("rows_hidden")),
        "{told}"
    );
    let rows = &told["relations"][0]["rows"];
    assert_eq!(
        (&rows[0]["visible"], &rows[1]["visible"]),
        (&json!(false), &json!(true))
    );

    // A write is explained and not carried out.
    let one = [(
        "prefer",
        "explain=access; for=aaaaaaaa-0000-4000-8000-000000000001",
    )];
    let (_, told) = ask(
        &server,
        "DELETE /rest/v1/notes?id=gt.0",
        server.service_key(),
        &one,
        "",
    );
    assert_eq!(told["subject"]["claims"]["sub"], ANA);
    assert_eq!(told["reasons"][0]["code"], "no_policy", "{told}");
    let (_, told) = ask(
        &server,
        "POST /rest/v1/notes",
        server.service_key(),
        &one,
        r#"{"title":"new"}"#,
    );
    assert_eq!(told["outcome"], "allowed", "{told}");
    let all = server
        .get("/rest/v1/notes?select=id", server.service_key())
        .json();
    assert_eq!(all, json!([{"id": 1}, {"id": 2}]));

    // Neither with the public key nor as a user.
    for (key, status) in [(server.anon_key(), 401), (token.as_str(), 403)] {
        let (refused, told) = ask(&server, "DELETE /rest/v1/notes?id=gt.0", key, &headers, "");
        assert_eq!((refused, &told["code"]), (status, &json!("42501")));
        assert!(!told.to_string().contains("notes"), "{told}");
    }
    let nobody = request(server.address(), "GET", "/rest/v1/notes", &[explain], b"").unwrap();
    assert_eq!(
        (nobody.status, &nobody.json()["code"]),
        (401, &json!("42501"))
    );
    assert_eq!(
        server
            .get("/rest/v1/notes?select=id", server.service_key())
            .json(),
        all
    );
}

#[test]
fn the_command_line_explains_a_running_project() {
    let folder = project(&[("supabase/migrations/20260101000000_notes.sql", NOTES)]);
    let none = run(
        folder.path(),
        &["access", "explain", "GET", "/notes", "--json"],
    );
    assert_eq!(
        (none.code, none.error()["code"].as_str()),
        (Some(1), Some("FB4008"))
    );

    let server = Ferrobase::dev(folder.path());
    let explain = |more: &[&str]| {
        let mut arguments = vec!["access", "explain"];
        arguments.extend(more);
        run(folder.path(), &arguments)
    };
    let hidden = explain(&["--as", ANA, "GET", "/rest/v1/notes"]);
    assert_eq!(hidden.code, Some(3), "{hidden:?}");
    for said in [
        "rows hidden",
        "own (select using): true",
        "own (select using): false",
        "CREATE POLICY",
    ] {
        assert!(hidden.stdout.contains(said), "{said}: {}", hidden.stdout);
    }
    let fine = explain(&["--json", "--as", ANA, "GET", "notes?id=eq.1"]);
    let told: Value = serde_json::from_str(&fine.stdout).unwrap();
    assert_eq!((fine.code, &told["outcome"]), (Some(0), &json!("allowed")));

    let theirs = json!({"title": "x", "user_id": BEN}).to_string();
    let prefer = "return=representation";
    let refused = explain(&[
        "--as", ANA, "--data", &theirs, "--prefer", prefer, "POST", "/notes",
    ]);
    assert_eq!(refused.code, Some(3));
    assert!(
        refused.stdout.contains("check_failed"),
        "{}",
        refused.stdout
    );

    let unknown = explain(&["--json", "GET", "/nothing"]);
    assert_eq!(
        (unknown.code, unknown.error()["code"].as_str()),
        (Some(1), Some("FB4009"))
    );
    assert!(
        unknown.error()["message"]
            .as_str()
            .unwrap()
            .contains("PGRST205")
    );
    let unreadable = explain(&["--json", "GET", "/a b"]);
    assert_eq!(
        (unreadable.code, unreadable.error()["code"].as_str()),
        (Some(1), Some("FB4009"))
    );

    let all = server
        .get("/rest/v1/notes?select=id", server.service_key())
        .json();
    assert_eq!(all, json!([{"id": 1}, {"id": 2}]), "nothing was changed");
}

#[test]
fn a_report_objects_with_an_exit_status_of_its_own() {
    let folder = project(&[("supabase/migrations/20260101000000_notes.sql", NOTES)]);
    let server = Ferrobase::dev(folder.path());
    let report = |more: &[&str]| {
        let mut arguments = vec!["access", "report"];
        arguments.extend(more);
        run(folder.path(), &arguments)
    };
    let text = report(&[]);
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(text.stdout.contains("own USING"), "{}", text.stdout);
    let json = report(&["--json"]);
    write(folder.path(), "access.json", &json.stdout);
    let checks = [
        "--fail-on",
        "no-rls,anon-write,anon-read",
        "--expect",
        "access.json",
    ];
    let same = report(&checks);
    assert_eq!(same.code, Some(0), "{same:?}");

    // Somebody opens the table.
    write(
        folder.path(),
        "supabase/migrations/20260102000000_open.sql",
        "create policy anyone on public.notes for update using (true);",
    );
    assert_eq!(run(folder.path(), &["migration", "up"]).code, Some(0));
    let differs = report(&["--expect", "access.json"]);
    assert_eq!(differs.code, Some(3), "{differs:?}");
    assert!(
        differs
            .stdout
            .contains("+ anon update public.notes all rows: the policy anyone is true"),
        "{}",
        differs.stdout
    );
    let found = report(&["--fail-on", "anon-write"]);
    assert_eq!(found.code, Some(3));
    assert!(
        found.stderr.contains("anon-write: public.notes"),
        "{}",
        found.stderr
    );
    assert_eq!(report(&["--fail-on", "no-rls"]).code, Some(0));

    assert_eq!(
        report(&["--fail-on", "nonsense"]).code,
        Some(2),
        "wrong usage"
    );
    write(folder.path(), "bad.json", "[]");
    let bad = report(&["--json", "--expect", "bad.json"]);
    assert_eq!(
        (bad.code, bad.error()["code"].as_str()),
        (Some(1), Some("FB4010"))
    );
    drop(server);
}

//! The generator on a real database, beside golden files.
//!
//! `UPDATE=1 cargo nextest run -p server typegen` writes them anew. That they
//! are what the official CLI prints is checked by `cargo xtask test --only types`.

use std::path::PathBuf;

use pg::Session;
use pg::testing::TestDb;

use super::{Request, TypegenError, Watch, typescript};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/typegen")
        .join(name)
}

fn request(schemas: &[&str]) -> Request {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Request {
        schemas: owned(schemas),
        extra_search_path: owned(&["public", "extensions"]),
        one_to_one: true,
        postgrest_version: None,
    }
}

async fn run(session: &mut Session, script: &str) {
    let done = session.script(script).await;
    done.expect("the script runs");
}

async fn generate(session: &mut Session, request: &Request) -> String {
    let text = typescript(session, request).await;
    text.expect("the catalog can be read")
}

/// Compares with a golden file, or writes it.
fn golden(name: &str, text: &str) {
    let file = data(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = text
        .lines()
        .zip(expected.lines())
        .position(|(new, old)| new != old);
    assert!(
        text == expected,
        "{name} differs from line {} on: {:?}",
        differs.map_or(0, |line| line + 1),
        differs.and_then(|line| text.lines().nth(line))
    );
}

#[tokio::test]
async fn everything_is_printed_as_the_official_cli_does() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let script = std::fs::read_to_string(data("everything.sql")).expect("the fixture is there");
    run(&mut session, &script).await;
    let text = generate(
        &mut session,
        &request(&["public", "other", "empty", "We ird-schema"]),
    )
    .await;
    golden("everything.ts", &text);

    // Without `public` the helper types take the first schema.
    let mut other = request(&["unseen", "other"]);
    other.one_to_one = false;
    other.postgrest_version = Some("14.1".to_owned());
    golden("other.ts", &generate(&mut session, &other).await);
    session.close().await;
}

#[tokio::test]
async fn what_the_official_cli_gets_wrong_is_right() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    let script = std::fs::read_to_string(data("better.sql")).expect("the fixture is there");
    run(&mut session, &script).await;
    let text = generate(&mut session, &request(&["public", "Quoted Schema"])).await;
    assert!(text.contains(r#"Returns: ("one" | "two")[]"#), "{text}");
    assert!(text.contains(r#"columns: ["parent"]"#), "{text}");
    session.close().await;
}

#[tokio::test]
async fn neither_the_session_nor_the_order_of_making_changes_the_text() {
    let made = [
        "create table public.b (id int primary key);",
        "create table public.a (id int primary key, note text);",
        "create function public.f(x int) returns setof public.a language sql as 'select * from public.a';",
    ];
    let mut texts = Vec::new();
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0]] {
        let db = TestDb::empty().await;
        let mut session = db.session().await;
        for step in order {
            run(&mut session, made.get(step).copied().unwrap_or_default()).await;
        }
        run(&mut session, "set search_path = pg_catalog").await;
        texts.push(generate(&mut session, &request(&["public"])).await);
        session.close().await;
    }
    assert!(texts.iter().all(|text| Some(text) == texts.first()));
}

#[tokio::test]
async fn a_question_that_fails_leaves_the_session_usable() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    run(&mut session, "begin").await;
    let refused = session.script("select 1 / 0").await;
    assert!(refused.is_err());
    // The transaction is broken, so the first question is refused …
    let failed = typescript(&mut session, &request(&["public"])).await;
    assert!(matches!(failed, Err(TypegenError::Database(_))));
    run(&mut session, "rollback").await;
    // … and the next one is answered.
    let text = generate(&mut session, &request(&["public"])).await;
    assert!(text.starts_with("export type Json ="));
    session.close().await;
}

#[tokio::test]
async fn a_watch_gives_the_types_when_they_have_become_others() {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    let mut watch = Watch::new(db.target(), request(&["public"]));
    let ignore = |_: &TypegenError| {};
    assert!(!watch.next(ignore).await.contains("watched"));
    // A change that makes no difference is passed over; the event trigger of
    // the platform's schema tells of both.
    run(
        &mut session,
        "create table public.watched (id int); drop table public.watched;",
    )
    .await;
    run(
        &mut session,
        "create table public.watched (id int primary key)",
    )
    .await;
    assert!(watch.next(ignore).await.contains("watched: {"));
    session.close().await;
}

#[tokio::test]
async fn a_watch_survives_the_loss_of_its_connection() {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    let mut watch = Watch::new(db.target(), request(&["public"]));
    watch.next(|_| {}).await;
    run(
        &mut session,
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid(); \
         create table public.later (id int primary key)",
    )
    .await;
    let mut failures = 0;
    let text = watch.next(|_| failures += 1).await;
    assert!(text.contains("later: {"));
    assert!(failures > 0);
    session.close().await;
}

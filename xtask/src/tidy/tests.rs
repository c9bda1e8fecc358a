//! Every rule of tidy, tripped once and kept once.

use std::path::{Path, PathBuf};

use super::*;

/// The complaints about one file, as `line: text`.
fn complaints(check: fn(&[File]) -> Vec<Complaint>, path: &str, text: &str) -> Vec<String> {
    let files = [file(path, text)];
    check(&files)
        .into_iter()
        .map(|complaint| format!("{}: {}", complaint.line, complaint.text))
        .collect()
}

fn file(path: &str, text: &str) -> File {
    File {
        path: PathBuf::from(path),
        text: text.to_owned(),
    }
}

fn trips(check: fn(&[File]) -> Vec<Complaint>, path: &str, text: &str, expected: &str) {
    let found = complaints(check, path, text);
    assert!(
        found.iter().any(|complaint| complaint.contains(expected)),
        "{path}: {found:?}"
    );
}

fn passes(check: fn(&[File]) -> Vec<Complaint>, path: &str, text: &str) {
    assert_eq!(
        complaints(check, path, text),
        Vec::<String>::new(),
        "{path}"
    );
}

const LINTS: &str = "[lints]\nworkspace = true\n";

fn manifest(name: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[dependencies]\n{dependencies}\n{LINTS}")
}

fn workspace(of: &[(&str, &str)]) -> Vec<String> {
    let code = "//! Something.\n".to_owned() + &"fn work() {}\n".repeat(12);
    let mut files = Vec::new();
    for (name, dependencies) in of {
        files.push(file(
            &format!("crates/{name}/Cargo.toml"),
            &manifest(name, dependencies),
        ));
        files.push(file(&format!("crates/{name}/src/lib.rs"), &code));
    }
    arrows::check(&files)
        .into_iter()
        .map(|complaint| complaint.text)
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let server = (
        "server",
        "kernel.workspace = true\npg.workspace = true\nrest.workspace = true",
    );
    let rest = ("rest", "pg.workspace = true\naxum.workspace = true");
    assert_eq!(
        workspace(&[
            server,
            rest,
            ("pg", "kernel.workspace = true"),
            ("kernel", "")
        ]),
        Vec::<String>::new()
    );

    let upward = workspace(&[("kernel", "pg.workspace = true"), ("pg", "")]);
    assert!(
        upward
            .iter()
            .any(|text| text.contains("`kernel` may not depend on `pg`")),
        "{upward:?}"
    );
    let dev = "[dev-dependencies]\nrest.workspace = true";
    let hidden = workspace(&[("pg", dev), ("rest", "")]);
    assert!(
        hidden
            .iter()
            .any(|text| text.contains("`pg` may not depend on `rest`")),
        "{hidden:?}"
    );
    let target = "[target.'cfg(unix)'.dependencies]\nrest.workspace = true";
    assert!(!workspace(&[("pg", target), ("rest", "")]).is_empty());
}

#[test]
fn knowledge_stays_where_it_belongs() {
    for (krate, outside) in [
        ("kernel", "axum"),
        ("pg", "axum"),
        ("server", "clap"),
        ("rest", "openssl"),
    ] {
        let found = workspace(&[(krate, &format!("{outside}.workspace = true"))]);
        assert!(
            found
                .iter()
                .any(|text| text.contains(&format!("must not know `{outside}`"))),
            "{found:?}"
        );
    }
    let renamed = workspace(&[("pg", "web = { package = \"axum\", version = \"1\" }")]);
    assert!(
        renamed
            .iter()
            .any(|text| text.contains("must not know `axum`")),
        "{renamed:?}"
    );
}

#[test]
fn versions_features_lints_and_rows_are_in_the_root() {
    assert!(
        workspace(&[("pg", "bytes = \"1\"")])
            .iter()
            .any(|text| text.contains("versions live in the root"))
    );
    let features = "bytes = { workspace = true, features = [\"serde\"] }";
    assert!(
        workspace(&[("pg", features)])
            .iter()
            .any(|text| text.contains("features live in the root"))
    );
    assert!(
        workspace(&[("common", "")])
            .iter()
            .any(|text| text.contains("has no row"))
    );
    let bare = "[package]\nname = \"pg\"\n";
    trips(arrows::check, "crates/pg/Cargo.toml", bare, "lints");
    trips(
        arrows::check,
        "crates/pg/Cargo.toml",
        bare,
        "an empty crate",
    );
}

#[test]
fn a_module_opens_with_what_it_is() {
    passes(
        source::check,
        "crates/pg/src/a.rs",
        "//! Pools connections.\n",
    );
    trips(
        source::check,
        "crates/pg/src/a.rs",
        "use std::fmt;\n",
        "open the file with `//!`",
    );
    trips(
        source::check,
        "crates/pg/src/a.rs",
        "//!\n",
        "open the file with `//!`",
    );
    passes(
        source::check,
        "crates/pg/src/a.sql",
        "-- Reads roles; called at start.\nSELECT 1;\n",
    );
    trips(
        source::check,
        "crates/pg/src/a.sql",
        "SELECT 1;\n",
        "open the file with a comment",
    );
}

#[test]
fn a_file_fits_a_sitting() {
    let long = "//! Long.\n".to_owned() + &"\n".repeat(500);
    trips(source::check, "crates/pg/src/a.rs", &long, "501 lines");
    passes(
        source::check,
        "crates/pg/src/a.rs",
        long.trim_end_matches('\n'),
    );
}

#[test]
fn sql_is_not_formatted_where_it_is_sent() {
    let bad =
        "//! Reads.\nlet sql = format!(\"SELECT {x}\");\n\n\nrows = session.query(&sql, &[]);\n";
    trips(
        source::check,
        "crates/pg/src/a.rs",
        bad,
        "2: `format!` beside a call",
    );
    let far = "//! Reads.\nlet sql = format!(\"{x}\");\n\n\n\nrows = session.query(SQL, &[]);\n";
    passes(source::check, "crates/pg/src/a.rs", far);
    let error = "//! Reads.\nsession.script(SQL).await.map_err(|e| format!(\"{e}\"))?;\n";
    passes(source::check, "crates/pg/src/a.rs", error);
    let test = format!("//! Reads.\n#[cfg(test)]\nmod tests {{\n{bad}}}\n");
    passes(source::check, "crates/pg/src/a.rs", &test);
    passes(source::check, "tests/it/a.rs", bad);
}

#[test]
fn unfinished_work_names_its_issue() {
    let mark = concat!("TO", "DO");
    trips(
        source::check,
        "a/b.rs",
        &format!("//! Works.\n// {mark} later\n"),
        "2: unfinished work",
    );
    passes(
        source::check,
        "a/b.rs",
        &format!("//! Works.\n// {mark}(#12): later\n"),
    );
    passes(
        source::check,
        "docs/a.md",
        &format!("a list called {mark}\n"),
    );
}

#[test]
fn lints_are_expected_not_allowed() {
    let text = concat!("//! Works.\n#[al", "low(dead_code)]\nfn a() {}\n");
    trips(source::check, "a/b.rs", text, "expect(lint");
}

/// A rule of `documents` needs a repository; one that is not under git has no version before.
fn documents_of(root: &str, files: &[File]) -> Vec<String> {
    let found = documents::check(&Repo::at(Path::new(root)), files);
    found.into_iter().map(|complaint| complaint.text).collect()
}

#[test]
fn decision_numbers_are_unique() {
    let one = || file("docs/adr/0001-database.md", "# Database\n");
    assert!(documents_of("/nowhere/repo", &[one(), file("docs/adr/0002-orm.md", "")]).is_empty());
    let twice = documents_of("/nowhere/repo", &[one(), file("docs/adr/0001-orm.md", "")]);
    assert!(
        twice.iter().any(|text| text.contains("0001 is taken")),
        "{twice:?}"
    );
    assert!(!documents_of("/nowhere/repo", &[file("docs/adr/database.md", "")]).is_empty());
}

#[test]
fn hosts_and_machine_paths_stay_out() {
    let leak = |text: &str| !documents_of("/builder/repo", &[file("a.json", text)]).is_empty();
    assert!(leak(concat!("https://registry.", "npmjs.org/x")));
    assert!(leak(concat!("see /bui", "lder/x")));
    assert!(leak(concat!("see /ho", "me/me/x")));
    assert!(!leak("see target/builder/x and /var/lib/x"));
    assert!(!leak("$HOME/x, https://example.com/home/x"));
}

#[test]
fn the_list_of_known_failures_only_shrinks() {
    let list = "tests/conformance/known-failures.txt";
    let reasonless = documents_of("/nowhere/repo", &[file(list, "Query:1\n")]);
    assert!(
        reasonless
            .iter()
            .any(|text| text.contains("needs its reason")),
        "{reasonless:?}"
    );

    let root = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
    let repo = Repo::at(&root);
    let git = |arguments: &[&str]| assert!(repo.git(arguments).is_some(), "git {arguments:?}");
    std::fs::create_dir_all(root.join("tests/conformance")).expect("a folder for the test");
    std::fs::write(root.join(list), "Query:1 no fts\nQuery:2 no fts\n").expect("a list");
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@localhost",
        "commit",
        "--quiet",
        "--message",
        "a list",
    ]);
    let check = |text: &str| {
        let found = documents::check(&repo, &[file(list, text)]);
        found
            .into_iter()
            .map(|complaint| complaint.text)
            .collect::<Vec<_>>()
    };
    assert_eq!(check("Query:2 no fts\n"), Vec::<String>::new());
    assert_eq!(
        check("Query:2 no fts\nQuery:3 new\n"),
        ["Query:3 is new; this list may only shrink"]
    );
    std::fs::remove_dir_all(&root).expect("the test's own folder");
}

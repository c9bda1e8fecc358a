//! The seeds, replayed: what a fuzzer starts from, and whatever one has ever
//! found, in `seeds/<target>/`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let seed = std::fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| run(&seed));
        assert!(outcome.is_ok(), "{}", path.display());
        replayed += 1;
    }
    assert!(replayed > 10, "{} has seeds", folder.display());
}

#[test]
fn query_strings() {
    replay("query", fuzz::query);
}

#[test]
fn headers() {
    replay("headers", fuzz::headers);
}

#[test]
fn pictures() {
    replay("picture", fuzz::picture);
}

#[test]
fn bodies() {
    replay("body", fuzz::body);
}

#[test]
fn answers() {
    replay("answer", fuzz::answer);
}

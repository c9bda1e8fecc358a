//! Resumable uploads on a database, files and sockets of their own.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod concat;
mod cuts;
mod owners;
mod protocol;
mod support;

use support::Bench;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let bench = Bench::new().await;
    let mut session = bench.db.session().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tus/sql");
    let mut names = 0;
    for (n, entry) in std::fs::read_dir(folder).unwrap().enumerate() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let prepared = session.script(&format!("PREPARE s{n} AS {text}")).await;
        prepared.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        names = n;
    }
    assert!(names > 6);
}

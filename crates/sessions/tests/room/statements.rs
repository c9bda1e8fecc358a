//! Every fixed statement is one that PostgreSQL understands.

use crate::support::Room;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let room = Room::new().await;
    let mut session = room.db.session().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 15);
    for (n, file) in files.iter().enumerate() {
        let text = std::fs::read_to_string(file).unwrap();
        let prepared = session.script(&format!("PREPARE s{n} AS {text}")).await;
        prepared.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

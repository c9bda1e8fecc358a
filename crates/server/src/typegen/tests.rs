//! The generator on a real database, beside golden files.
//!
//! `UPDATE=1 cargo nextest run -p server typegen` writes them anew. That they
//! are what the official CLI prints is checked by `cargo xtask test --only types`.

use std::path::PathBuf;

use pg::testing::TestDb;

use super::{Request, typescript};

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

#[tokio::test]
async fn scratch() {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    session
        .script(&std::fs::read_to_string("/tmp/tg/w/nasty.sql").unwrap())
        .await
        .unwrap();
    let text = typescript(
        &mut session,
        &request(&["public", "other", "empty", "We ird-schema"]),
    )
    .await
    .unwrap();
    std::fs::write("/tmp/tg/w/ours.ts", text).unwrap();
    let _ = data("x");
}

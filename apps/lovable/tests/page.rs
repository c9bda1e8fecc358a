//! The built page is built from the sources beside it. A change of sources
//! needs `npm ci && npm run build` in `apps/lovable/page`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

#[test]
fn the_built_page_is_not_stale() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
    let beside = [
        "index.html",
        "package-lock.json",
        "package.json",
        "tsconfig.json",
        "vite.config.ts",
    ];
    let mut files: Vec<String> = beside.map(str::to_owned).to_vec();
    for folder in ["public", "src"] {
        collect(&page, folder, &mut files);
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        hash.update(format!("{file}\0"));
        hash.update(std::fs::read(page.join(file)).unwrap());
        hash.update("\0");
    }
    let mut found = String::new();
    for byte in hash.finalize() {
        write!(found, "{byte:02x}").unwrap();
    }
    let built = std::fs::read_to_string(page.join("dist/.stamp")).unwrap();
    assert_eq!(
        built.trim(),
        found,
        "run `npm ci && npm run build` in apps/lovable/page"
    );
}

/// Nothing in it is inline, and nothing comes from elsewhere: the policy allows neither.
#[test]
fn the_page_asks_for_nothing_that_its_policy_refuses() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("page/dist");
    let index = std::fs::read_to_string(dist.join("index.html")).unwrap();
    assert!(
        !index.contains("http://") && !index.contains("https://"),
        "{index}"
    );
    assert!(
        !index.contains("style=") && !index.contains("<style"),
        "{index}"
    );
    for script in index.split("<script").skip(1) {
        assert!(
            script.contains("src=\"/lovable/assets/") && script.contains("></script>"),
            "{script}"
        );
    }
}

fn collect(page: &Path, folder: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(page.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(page, &path, files);
        } else {
            files.push(path);
        }
    }
}

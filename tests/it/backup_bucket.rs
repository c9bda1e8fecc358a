//! Backups and buckets: files that are in a bucket, and copies of backups that
//! go to one and come back when the folder is lost.

use std::path::Path;

use serde_json::Value;

use crate::backup::{FILES, look_at_files, scene_with, upload, verb};
use crate::bucket::{BUCKET, Bucket};
use crate::support::{Ferrobase, project, run, write};

#[test]
fn files_in_a_bucket_are_backed_up_and_restored_into_a_folder() {
    let bucket = Bucket::start();
    let (folder, server) = scene_with(&bucket.storage());
    for number in 0..FILES {
        upload(&server, &format!("stays-{number}"));
    }
    // Longer than a part of the bucket's own.
    upload(&server, &"long-".repeat(180));
    let made = verb(folder.path(), &["create"]);
    assert_eq!(made["first_missing"], Value::Null, "{made}");
    assert_eq!(made["new_files"], FILES + 1, "{made}");
    let again = verb(folder.path(), &["create"]);
    assert_eq!(again["new_files"], 0, "{again}");
    let verified = verb(folder.path(), &["verify"]);
    assert_eq!(verified["files"], FILES + 1, "{verified}");

    let elsewhere = project(&[]);
    let into = elsewhere.path().join("restored");
    let restored = verb(
        folder.path(),
        &["restore", "--into", into.to_str().unwrap()],
    );
    let notes = restored["notes"].to_string();
    assert!(notes.contains("storage.url"), "{restored}");
    drop(server);
    // With the settings of the original it would go on with its bucket, which
    // is not its own any more: it may read there, and removes nothing.
    let there = objects(&bucket);
    let server = Ferrobase::dev(&into);
    look_at_files(&server, FILES + 1);
    drop(server);
    assert_eq!(objects(&bucket), there);
    // As the note says: without the bucket, from its own folder.
    drop(bucket);
    let settings = std::fs::read_to_string(into.join("ferrobase.toml")).unwrap();
    write(
        &into,
        "ferrobase.toml",
        &settings.replace(&format!("s3://{BUCKET}"), ""),
    );
    let server = Ferrobase::dev(&into);
    look_at_files(&server, FILES + 1);
}

#[test]
fn copies_in_a_bucket_bring_everything_back() {
    let bucket = Bucket::start();
    let settings = format!(
        "[backup]\nbucket = \"s3://{BUCKET}/of/this\"\n{}",
        bucket.section("backup.s3")
    );
    let (folder, server) = scene_with(&settings);
    for number in 0..FILES {
        upload(&server, &format!("stays-{number}"));
    }
    let first = verb(folder.path(), &["create"]);
    upload(&server, "one-more");
    let second = verb(folder.path(), &["create"]);
    verb(folder.path(), &["verify"]);
    let sent = verb(folder.path(), &["send"]);
    assert_eq!(
        (&sent["id"], &sent["new_files"]),
        (&second["id"], &Value::from(0))
    );
    drop(server);

    // The disk is lost; what is left is the bucket, and who knows its key.
    let elsewhere = project(&[("ferrobase.toml", &settings)]);
    let fetched = verb(elsewhere.path(), &["fetch"]);
    assert_eq!(fetched["id"], second["id"]);
    assert_eq!(fetched["new_files"], FILES + 1, "{fetched}");
    // Files are shared here as well.
    let older = verb(elsewhere.path(), &["fetch", first["id"].as_str().unwrap()]);
    assert_eq!(older["new_files"], 0, "{older}");
    let listed = verb(elsewhere.path(), &["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 2, "{listed}");
    verb(elsewhere.path(), &["verify", first["id"].as_str().unwrap()]);
    let into = elsewhere.path().join("restored");
    verb(
        elsewhere.path(),
        &["restore", "--into", into.to_str().unwrap()],
    );
    let server = Ferrobase::dev(&into);
    look_at_files(&server, FILES + 1);
    drop(server);
    damaged_copies_are_refused(&bucket, &settings);
}

/// Whoever changes something in the bucket is noticed before it is a backup.
fn damaged_copies_are_refused(bucket: &Bucket, settings: &str) {
    let blobs = files_below(&bucket.objects().join("of/this/blobs"));
    let victim = blobs.first().unwrap();
    let bytes = std::fs::read(victim).unwrap();
    std::fs::write(victim, [&bytes[..bytes.len() - 1], b"!"].concat()).unwrap();
    let elsewhere = project(&[("ferrobase.toml", settings)]);
    let refused = run(elsewhere.path(), &["--json", "backup", "fetch"]);
    assert_eq!(refused.error()["code"], "FB6008", "{refused:?}");
    let listed = verb(elsewhere.path(), &["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 0, "{listed}");
    std::fs::write(victim, bytes).unwrap();
    verb(elsewhere.path(), &["fetch"]);
    verb(elsewhere.path(), &["verify"]);
    let wrong = settings.replace("ours", "wrong");
    let elsewhere = project(&[("ferrobase.toml", &wrong)]);
    let refused = run(elsewhere.path(), &["--json", "backup", "fetch"]);
    assert_eq!(refused.error()["code"], "FB6015", "{refused:?}");
    assert!(!refused.stderr.contains("wrong"), "{refused:?}");
}

fn objects(bucket: &Bucket) -> usize {
    files_below(&bucket.objects()).len()
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files_below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

//! Connections that break, and requests that come before the last one ended.

use tokio::io::AsyncWriteExt as _;

use kernel::Rng;

use super::support::{Bench, OCTETS, Reply, noise};
use crate::blobs::BlobId;

const SIZE: usize = 8 << 20;
const UPLOADS: usize = 10;
const CUTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_uploads_are_each_cut_off_twenty_times() {
    let bench = Bench::new().await;
    let uploads = (0..UPLOADS).map(|n| cut_and_resumed(&bench, n));
    futures_util::future::join_all(uploads).await;
    let count = "SELECT count(*) FROM storage.objects WHERE (metadata ->> 'size')::int = 8388608";
    assert_eq!(bench.value(count).await, UPLOADS.to_string());
    assert!(bench.room.blobs.unfinished().await.unwrap().is_empty());
    bench.end().await;
}

async fn cut_and_resumed(bench: &Bench, n: usize) {
    let bytes = noise(SIZE, n as u64);
    let name = format!("upload-{n}");
    let path = bench.create("ann", &format!("photos/{name}"), SIZE).await;
    let mut offset = 0;
    for cut in 0..CUTS {
        let (at, left) = (offset.to_string(), (SIZE - offset).to_string());
        let head = [("upload-offset", at.as_str()), OCTETS];
        let mut stream = bench
            .start("ann", &format!("PATCH {path}"), &head, &left)
            .await;
        // Odd numbers, so that cuts fall between the pieces of everything.
        let sent = (SIZE / (CUTS + 2) + cut * 1237 + n * 31).min(SIZE - offset - 1);
        stream
            .write_all(&bytes[offset..offset + sent])
            .await
            .unwrap();
        drop(stream);
        let now = bench.offset("ann", &path).await;
        assert!(
            offset <= now && now <= offset + sent,
            "{offset} {now} {sent}"
        );
        offset = now;
    }
    assert!(offset > 0);
    // The server may still be hearing of what was cut off last; clients ask
    // again then.
    loop {
        let last = bench.patch("ann", &path, offset, &bytes[offset..]).await;
        if last.status == 204 {
            break;
        }
        assert!(matches!(last.status, 409 | 423), "{last:?}");
        offset = bench.offset("ann", &path).await;
    }
    assert!(bench.bytes(&name).await.unwrap() == bytes);
}

#[tokio::test]
async fn the_second_request_makes_the_first_one_stop() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 10).await;
    let head = [("upload-offset", "0"), OCTETS];
    let mut first = bench
        .start("ann", &format!("PATCH {path}"), &head, "10")
        .await;
    first.write_all(b"0123").await.unwrap();
    let one = "SELECT count(holder) FROM storage_engine.tus_uploads";
    while bench.value(one).await != "1" {}
    // What the first one brought is kept, and it is told.
    let offset = bench.offset("ann", &path).await;
    assert!(offset <= 4);
    assert_eq!(Reply::read(first).await.status, 423);
    let rest = &b"0123456789"[offset..];
    bench.patch("ann", &path, offset, rest).await.is(204);
    assert_eq!(bench.bytes("x").await.unwrap(), b"0123456789");
    bench.end().await;
}

#[tokio::test]
async fn a_cut_piece_with_a_checksum_does_not_count() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 10).await;
    let head = [
        ("upload-offset", "0"),
        ("upload-checksum", "sha1 AA=="),
        OCTETS,
    ];
    let mut cut = bench
        .start("ann", &format!("PATCH {path}"), &head, "10")
        .await;
    cut.write_all(b"01234").await.unwrap();
    cut.shutdown().await.unwrap();
    Reply::read(cut).await;
    assert_eq!(bench.offset("ann", &path).await, 0);
    bench.patch("ann", &path, 0, b"abcdefghij").await.is(204);
    assert_eq!(bench.bytes("x").await.unwrap(), b"abcdefghij");
    bench.end().await;
}

#[tokio::test]
async fn an_upload_goes_on_at_another_node() {
    let mut bench = Bench::new().await;
    let other = bench.second_node().await;
    let path = bench.create("ann", "photos/x", 10).await;
    let head = [("upload-offset", "0"), OCTETS];
    let mut first = bench
        .start("ann", &format!("PATCH {path}"), &head, "10")
        .await;
    first.write_all(b"0123").await.unwrap();
    let one = "SELECT count(holder) FROM storage_engine.tus_uploads";
    while bench.value(one).await != "1" {}
    // The other node asks for it, and this one lets go.
    bench.address = other;
    let offset = bench.offset("ann", &path).await;
    assert!(offset <= 4);
    assert_eq!(Reply::read(first).await.status, 423);
    // One that died lets go when its lease is over.
    bench
        .script(
            "UPDATE storage_engine.tus_uploads SET holder = gen_random_uuid(), \
             held_until = now() + interval '1 second'",
        )
        .await;
    let rest = &b"0123456789"[offset..];
    bench.patch("ann", &path, offset, rest).await.is(204);
    assert_eq!(bench.bytes("x").await.unwrap(), b"0123456789");
    bench.end().await;
}

#[tokio::test]
async fn who_lost_an_upload_counts_nothing_more() {
    let mut bench = Bench::new().await;
    bench.second_node().await;
    let path = bench.create("ann", "photos/x", 10).await;
    let head = [("upload-offset", "0"), OCTETS];
    let mut first = bench
        .start("ann", &format!("PATCH {path}"), &head, "10")
        .await;
    first.write_all(b"0123").await.unwrap();
    let one = "SELECT count(holder) FROM storage_engine.tus_uploads";
    while bench.value(one).await != "1" {}
    // As if it had stood still until its lease was over, and somebody came.
    bench
        .script("UPDATE storage_engine.tus_uploads SET holder = gen_random_uuid()")
        .await;
    let _ = first.write_all(b"456789").await;
    assert_eq!(Reply::read(first).await.status, 423);
    let now = "SELECT \"offset\"::text || count(o.id) FROM storage_engine.tus_uploads \
               LEFT JOIN storage.objects o ON true GROUP BY \"offset\"";
    assert_eq!(bench.value(now).await, "00");
    bench.end().await;
}

#[tokio::test]
async fn who_came_later_to_the_same_folder_is_not_taken_for_dead() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    // Another node that serves this folder as well: its holders are named after
    // the moment when this one had the folder to itself.
    let later = BlobId::new(&bench.clock, &Rng::system());
    let held = format!(
        "UPDATE storage_engine.tus_uploads SET holder = '{later}', held_until = now() + interval '1 hour'"
    );
    bench.script(&held).await;
    bench.patch("ann", &path, 0, b"abc").await.is(423);
    assert_eq!(
        bench
            .value("SELECT wanted FROM storage_engine.tus_uploads")
            .await,
        "t"
    );
    bench.end().await;
}

#[tokio::test]
async fn bytes_that_are_lost_end_an_upload() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 10).await;
    bench.patch("ann", &path, 0, b"01234").await.is(204);
    for blob in bench.room.blobs.unfinished().await.unwrap() {
        bench.room.blobs.discard(blob).await.unwrap();
    }
    bench.patch("ann", &path, 5, b"56789").await.is(410);
    bench.head("ann", &path).await.is(404);
    bench.end().await;
}

#[tokio::test]
async fn a_server_that_died_before_the_object_is_no_loss() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    bench.patch("ann", &path, 0, b"abc").await.is(204);
    // As if it had died between the object and its own row...
    bench
        .script("UPDATE storage_engine.tus_uploads SET finished_at = NULL")
        .await;
    assert_eq!(bench.offset("ann", &path).await, 3);
    let ended = "SELECT count(*) FROM storage_engine.tus_uploads WHERE finished_at IS NOT NULL";
    assert_eq!(bench.value(ended).await, "1");
    // ... or before the object, holding the upload.
    bench
        .script(
            "SET storage.allow_delete_query = 'true'; DELETE FROM storage.objects; DELETE FROM storage_engine.removed; \
             UPDATE storage_engine.tus_uploads SET finished_at = NULL, \
             holder = '019aa000-0000-7000-8000-000000000000', held_until = now() + interval '1 hour'",
        )
        .await;
    assert_eq!(bench.offset("ann", &path).await, 3);
    assert_eq!(bench.bytes("x").await.unwrap(), b"abc");
    bench.end().await;
}

#[tokio::test]
async fn an_upload_that_landed_keeps_its_bytes_when_its_row_goes() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    bench.patch("ann", &path, 0, b"abc").await.is(204);
    bench
        .script("UPDATE storage_engine.tus_uploads SET finished_at = NULL")
        .await;
    bench
        .ask("ann", &format!("DELETE {path}"), &[], b"")
        .await
        .is(204);
    assert_eq!(
        bench
            .value("SELECT count(*) FROM storage_engine.removed")
            .await,
        "0"
    );
    assert_eq!(bench.bytes("x").await.unwrap(), b"abc");
    bench.end().await;
}

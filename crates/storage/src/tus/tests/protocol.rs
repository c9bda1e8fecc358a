//! What clients ask, and what they are told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::support::{Bench, EXPIRE_AFTER, LIMIT, OCTETS, metadata, noise};

#[tokio::test]
async fn an_upload_becomes_an_object() {
    let bench = Bench::new().await;
    let more = [
        ("contentType", "image/png"),
        ("cacheControl", "3600"),
        ("metadata", r#"{"camera":"old"}"#),
    ];
    let about = metadata("photos/a/cat.png", &more);
    let head = [("upload-length", "10"), ("upload-metadata", about.as_str())];
    let made = bench.ask("ann", "POST /upload/resumable", &head, b"").await;
    let made = made.is(201);
    let path = made.path();
    assert_eq!(
        made.header("upload-expires"),
        "Mon, 23 Nov 2026 00:00:00 GMT"
    );
    assert_eq!(made.header("tus-resumable"), "1.0.0");
    assert!(
        made.header("access-control-expose-headers")
            .contains("Upload-Offset")
    );

    let half = bench.patch("ann", &path, 0, b"01234").await.is(204);
    assert_eq!(half.header("upload-offset"), "5");
    let seen = bench.head("ann", &path).await.is(200);
    let told = [
        "upload-offset",
        "upload-length",
        "upload-metadata",
        "cache-control",
    ];
    let told = told.map(|name| seen.header(name).to_owned());
    assert_eq!(told, ["5", "10", &about, "no-store"]);
    assert_eq!(bench.bytes("a/cat.png").await, None);

    let rest = bench.patch("ann", &path, 5, b"56789").await.is(204);
    assert_eq!(rest.header("tus-complete"), "1");
    assert_eq!(bench.bytes("a/cat.png").await.unwrap(), b"0123456789");
    let row = "SELECT jsonb_build_array(metadata ->> 'mimetype', metadata ->> 'cacheControl', \
               metadata ->> 'size', user_metadata, owner_id)::text FROM storage.objects";
    let row = bench.value(row).await;
    assert_eq!(
        row,
        r#"["image/png", "max-age=3600", "10", {"camera": "old"}, "ann"]"#
    );
    // A client whose last answer was lost asks, and is told that it is done.
    assert_eq!(bench.offset("ann", &path).await, 10);
    let over = bench.ask("ann", &format!("DELETE {path}"), &[], b"").await;
    assert_eq!(
        over.is(400).body,
        "Cannot terminate an already completed upload\n"
    );
    assert_eq!(bench.bytes("a/cat.png").await.unwrap(), b"0123456789");
    bench.end().await;
}

#[tokio::test]
async fn bytes_may_come_with_the_creation() {
    let bench = Bench::new().await;
    let about = metadata("photos/one", &[]);
    let head = [("upload-length", "4"), ("upload-metadata", &about), OCTETS];
    let all = bench
        .ask("ann", "POST /upload/resumable", &head, b"once")
        .await;
    let all = all.is(201);
    assert_eq!(
        (all.header("upload-offset"), all.header("tus-complete")),
        ("4", "1")
    );
    assert_eq!(bench.bytes("one").await.unwrap(), b"once");
    // Nothing at all is an object, too.
    bench.create("ann", "photos/empty", 0).await;
    assert_eq!(bench.bytes("empty").await.unwrap(), b"");
    bench.end().await;
}

#[tokio::test]
async fn a_length_may_come_later() {
    let bench = Bench::new().await;
    let about = metadata("photos/late", &[]);
    let head = [("upload-defer-length", "1"), ("upload-metadata", &about)];
    let made = bench.ask("ann", "POST /upload/resumable", &head, b"").await;
    let path = made.is(201).path();
    bench.patch("ann", &path, 0, b"abc").await.is(204);
    let open = bench.head("ann", &path).await.is(200);
    assert_eq!(open.header("upload-defer-length"), "1");
    assert_eq!(open.header("upload-length"), "-");
    let last = [("upload-length", "5")];
    bench
        .patch_with("ann", &path, 3, &last, b"de")
        .await
        .is(204);
    assert_eq!(bench.bytes("late").await.unwrap(), b"abcde");
    bench.end().await;
}

#[tokio::test]
async fn a_damaged_piece_is_not_applied() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/sum", 11).await;
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, b"hello ");
    let sum = format!("sha1 {}", STANDARD.encode(digest));
    let sum = [("upload-checksum", sum.as_str())];
    let damaged = bench.patch_with("ann", &path, 0, &sum, b"hellO ").await;
    assert_eq!(damaged.status, 460);
    assert_eq!(bench.offset("ann", &path).await, 0);
    bench
        .patch_with("ann", &path, 0, &sum, b"hello ")
        .await
        .is(204);
    // The last piece, damaged, makes no object.
    let last = bench.patch_with("ann", &path, 6, &sum, b"world").await;
    assert_eq!(last.status, 460);
    assert_eq!(bench.bytes("sum").await, None);
    let crc = [("upload-checksum", "crc32 OncRQw==")];
    bench
        .patch_with("ann", &path, 6, &crc, b"world")
        .await
        .is(204);
    assert_eq!(bench.bytes("sum").await.unwrap(), b"hello world");
    let unknown = [("upload-checksum", "sha9 AA==")];
    let other = bench.create("ann", "photos/sum2", 1).await;
    bench
        .patch_with("ann", &other, 0, &unknown, b"x")
        .await
        .is(400);
    bench.end().await;
}

#[tokio::test]
async fn limits_are_asked_before_the_first_byte() {
    let bench = Bench::new().await;
    let make = async |to: &str, length: &str, kind: &str| {
        let about = metadata(to, &[("contentType", kind)]);
        let head = [("upload-length", length), ("upload-metadata", &about)];
        bench.ask("ann", "POST /upload/resumable", &head, b"").await
    };
    assert_eq!(
        make("small/x", "11", "a/b").await.is(413).body,
        "Maximum size exceeded\n"
    );
    make("small/x", "10", "a/b").await.is(201);
    make("photos/x", &(LIMIT + 1).to_string(), "a/b")
        .await
        .is(413);
    make("pictures/x", "1", "text/html").await.is(415);
    make("pictures/x", "1", "image/png").await.is(201);
    assert_eq!(
        make("nowhere/x", "1", "a/b").await.is(404).body,
        "Bucket not found"
    );
    make("closed/x", "1", "a/b").await.is(403);
    assert!(
        make("photos/../x", "1", "a/b")
            .await
            .is(400)
            .body
            .contains("Invalid key")
    );

    // A length that comes later meets the same limit, before and in the body.
    let about = metadata("small/later", &[]);
    let head = [("upload-defer-length", "1"), ("upload-metadata", &about)];
    let later = bench.ask("ann", "POST /upload/resumable", &head, b"").await;
    let path = later.is(201).path();
    bench.patch("ann", &path, 0, b"01234567890").await.is(413);
    let said = [("upload-length", "11")];
    bench.patch_with("ann", &path, 0, &said, b"0").await.is(413);
    assert_eq!(bench.offset("ann", &path).await, 0);
    bench.patch("ann", &path, 0, b"0123456789").await.is(204);
    bench.patch("ann", &path, 10, b"0").await.is(413);
    bench.end().await;
}

#[tokio::test]
async fn a_bucket_that_closed_meanwhile_gets_no_object() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/late", 3).await;
    bench.script("DROP POLICY writing ON storage.objects").await;
    bench.patch("ann", &path, 0, b"abc").await.is(403);
    assert_eq!(bench.bytes("late").await, None);
    bench.head("ann", &path).await.is(403);
    bench
        .script("CREATE POLICY writing ON storage.objects TO authenticated USING (true)")
        .await;
    // The bytes are there; nothing is sent twice.
    assert_eq!(bench.offset("ann", &path).await, 3);
    assert_eq!(bench.bytes("late").await.unwrap(), b"abc");
    bench.end().await;
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    let what = format!("PATCH {path}");
    let version = [("tus-resumable", "0.2"), ("upload-offset", "0"), OCTETS];
    let old = bench.ask("ann", &what, &version, b"a").await.is(412);
    assert_eq!(old.header("tus-version"), "1.0.0");
    bench.ask("ann", &what, &[OCTETS], b"a").await.is(400);
    let kind = [("upload-offset", "0"), ("content-type", "text/plain")];
    bench.ask("ann", &what, &kind, b"a").await.is(415);
    let wrong = bench.patch("ann", &path, 1, b"a").await.is(409);
    assert!(wrong.body.contains("Upload-Offset conflict"));
    bench.patch("ann", &path, 0, b"abcd").await.is(413);
    bench
        .ask("ann", "GET /upload/resumable", &[], b"")
        .await
        .is(404);
    let reads = bench
        .ask("reader", &what, &[("upload-offset", "0"), OCTETS], b"a")
        .await;
    assert_eq!(reads.status, 403);
    bench
        .ask(
            "ann",
            "POST /upload/resumable",
            &[("upload-length", "1")],
            b"",
        )
        .await
        .is(400);
    let unknown = "HEAD /upload/resumable/cGhvdG9zL3gvbm8tdmVyc2lvbg";
    bench.ask("ann", unknown, &[], b"").await.is(404);
    assert_eq!(bench.offset("ann", &path).await, 0);
    bench.end().await;
}

#[tokio::test]
async fn options_says_what_there_is() {
    let bench = Bench::new().await;
    for path in ["", "/", "/sign", "/some-id"] {
        let what = format!("OPTIONS /upload/resumable{path}");
        let reply = bench
            .ask("nobody", &what, &[("tus-resumable", "x")], b"")
            .await;
        let reply = reply.is(204);
        assert_eq!(reply.header("tus-version"), "1.0.0");
        assert_eq!(reply.header("tus-max-size"), LIMIT.to_string());
        assert_eq!(
            reply.header("tus-checksum-algorithm"),
            "sha1,md5,sha256,crc32"
        );
        assert!(reply.header("tus-extension").contains("concatenation"));
    }
    bench.end().await;
}

#[tokio::test]
async fn a_post_may_mean_another_method() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    let post = format!("POST {path}");
    let means = [
        ("x-http-method-override", "PATCH"),
        ("upload-offset", "0"),
        OCTETS,
    ];
    bench.ask("ann", &post, &means, b"abc").await.is(204);
    assert_eq!(bench.bytes("x").await.unwrap(), b"abc");
    let other = bench.create("ann", "photos/y", 3).await;
    let delete = [("x-http-method-override", "DELETE")];
    bench
        .ask("ann", &format!("POST {other}"), &delete, b"")
        .await
        .is(204);
    bench.head("ann", &other).await.is(404);
    bench.end().await;
}

#[tokio::test]
async fn an_object_of_that_name_is_replaced_when_that_was_asked() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 1).await;
    bench.patch("ann", &path, 0, b"1").await.is(204);
    let about = metadata("photos/x", &[]);
    let head = [("upload-length", "1"), ("upload-metadata", about.as_str())];
    let taken = bench.ask("ann", "POST /upload/resumable", &head, b"").await;
    taken.is(409);
    let upsert = [head[0], head[1], ("x-upsert", "true"), OCTETS];
    bench
        .ask("ann", "POST /upload/resumable", &upsert, b"2")
        .await
        .is(201);
    assert_eq!(bench.bytes("x").await.unwrap(), b"2");
    bench.end().await;
}

#[tokio::test]
async fn an_upload_ends_by_itself_and_when_it_is_told_to() {
    let bench = Bench::new().await;
    let late = bench.create("ann", "photos/late", 40).await;
    bench.patch("ann", &late, 0, &noise(20, 1)).await.is(204);
    bench.clock.advance(EXPIRE_AFTER / 2);
    // Whoever goes on gets more time.
    bench.patch("ann", &late, 20, &noise(10, 1)).await.is(204);
    let done = bench.create("ann", "photos/done", 1).await;
    bench.patch("ann", &done, 0, b"1").await.is(204);
    bench.clock.advance(EXPIRE_AFTER * 3 / 4);
    bench.head("ann", &late).await.is(200);
    bench.clock.advance(EXPIRE_AFTER / 2);
    bench.head("ann", &late).await.is(410);
    bench.patch("ann", &late, 30, &noise(10, 1)).await.is(410);
    assert_eq!(bench.tus.sweep_once().await, Ok(2));
    bench.head("ann", &late).await.is(404);
    assert_eq!(bench.bytes("done").await.unwrap(), b"1");

    let gone = bench.create("ann", "photos/gone", 5).await;
    bench.patch("ann", &gone, 0, b"ab").await.is(204);
    bench
        .ask("ann", &format!("DELETE {gone}"), &[], b"")
        .await
        .is(204);
    bench.head("ann", &gone).await.is(404);
    // Both left a tombstone and no bytes; the object has neither.
    assert_eq!(
        bench
            .value("SELECT count(*) FROM storage_engine.removed")
            .await,
        "2"
    );
    assert!(bench.room.blobs.unfinished().await.unwrap().is_empty());
    bench.end().await;
}

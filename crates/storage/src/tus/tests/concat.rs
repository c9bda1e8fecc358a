//! Uploads made of parts that came side by side.

use super::support::{Bench, OCTETS, Reply, metadata, noise};

async fn part(bench: &Bench, who: &str, bytes: &[u8]) -> String {
    let (about, length) = (metadata("photos/part", &[]), bytes.len().to_string());
    let head = [
        ("upload-concat", "partial"),
        ("upload-length", length.as_str()),
        ("upload-metadata", &about),
        OCTETS,
    ];
    let made = bench.ask(who, "POST /upload/resumable", &head, bytes).await;
    made.is(201).path()
}

async fn join(bench: &Bench, who: &str, to: &str, parts: &[&str]) -> Reply {
    let (about, list) = (metadata(to, &[]), format!("final;{}", parts.join(" ")));
    let head = [
        ("upload-concat", list.as_str()),
        ("upload-metadata", &about),
    ];
    bench.ask(who, "POST /upload/resumable", &head, b"").await
}

#[tokio::test]
async fn parts_become_one_object_in_the_order_of_the_list() {
    let bench = Bench::new().await;
    let (one, two) = (noise(300_000, 1), noise(5, 2));
    let first = part(&bench, "ann", &one).await;
    let second = part(&bench, "ann", &two).await;
    assert_eq!(bench.bytes("part").await, None);
    let seen = bench.head("ann", &first).await.is(200);
    assert_eq!(seen.header("upload-concat"), "partial");
    let whole = join(&bench, "ann", "photos/whole", &[&second, &first])
        .await
        .is(201);
    let bytes = bench.bytes("whole").await.unwrap();
    assert!(bytes == [two, one].concat());
    let seen = bench.head("ann", &whole.path()).await.is(200);
    assert_eq!(seen.header("upload-length"), "300005");
    assert_eq!(
        seen.header("upload-concat"),
        format!("final;{second} {first}")
    );
    bench
        .patch("ann", &whole.path(), 300_005, b"x")
        .await
        .is(403);
    // A client whose answer was lost may say it again, under another name.
    join(&bench, "ann", "photos/again", &[&second, &first])
        .await
        .is(201);
    bench
        .ask("ann", &format!("DELETE {first}"), &[], b"")
        .await
        .is(204);
    join(&bench, "ann", "photos/third", &[&second, &first])
        .await
        .is(400);
    assert_eq!(bench.bytes("again").await.unwrap().len(), 300_005);
    bench.end().await;
}

#[tokio::test]
async fn only_ones_own_finished_parts_are_joined() {
    let bench = Bench::new().await;
    let whole = bench.create("ann", "photos/no-part", 1).await;
    let theirs = part(&bench, "bob", b"secret").await;
    let about = metadata("photos/part", &[]);
    let open = [
        ("upload-concat", "partial"),
        ("upload-length", "9"),
        ("upload-metadata", about.as_str()),
    ];
    let open = bench.ask("ann", "POST /upload/resumable", &open, b"").await;
    let open = open.is(201).path();
    for bad in [&whole, &theirs, &open, "/upload/resumable/nothing"] {
        let refused = join(&bench, "ann", "photos/x", &[bad]).await;
        assert_eq!(refused.status, 400, "{bad}");
    }
    let big = part(&bench, "ann", &noise(11, 1)).await;
    join(&bench, "ann", "small/x", &[&big]).await.is(413);
    join(&bench, "ann", "closed/x", &[&big]).await.is(403);
    assert_eq!(
        bench.value("SELECT count(*) FROM storage.objects").await,
        "0"
    );
    bench.end().await;
}

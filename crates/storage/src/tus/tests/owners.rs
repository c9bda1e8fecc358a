//! Whose an upload is.

use super::support::{BOUNDS, Bench, LIMIT, OCTETS, metadata, token};

#[tokio::test]
async fn nobody_else_sees_or_touches_an_upload() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    for other in ["bob", "nobody", "service"] {
        let shows = [("apikey", "x")];
        for method in ["HEAD", "DELETE"] {
            let what = format!("{method} {path}");
            bench.ask(other, &what, &shows, b"").await.is(404);
        }
        bench
            .patch_with(other, &path, 0, &shows, b"abc")
            .await
            .is(404);
    }
    // A signature for this very object does not speak for ann either.
    let signed = path.replace("resumable/", "resumable/sign/");
    let good = token("photos/x", "upload", 60);
    let head = [("x-signature", good.as_str())];
    bench
        .ask("nobody", &format!("HEAD {signed}"), &head, b"")
        .await
        .is(404);
    assert_eq!(bench.offset("ann", &path).await, 0);
    bench.end().await;
}

#[tokio::test]
async fn who_shows_nothing_is_refused() {
    let bench = Bench::new().await;
    let path = bench.create("ann", "photos/x", 3).await;
    let refused = bench.patch("nobody", &path, 0, b"abc").await.is(400);
    assert!(refused.body.contains("authorization"));
    bench.end().await;
}

#[tokio::test]
async fn rows_are_closed_to_everybody_in_the_database() {
    let bench = Bench::new().await;
    bench.create("ann", "photos/x", 3).await;
    for role in ["anon", "authenticated", "service_role"] {
        let look = format!("SET ROLE {role}; SELECT * FROM storage_engine.tus_uploads");
        let refused = bench.db.session().await.script(&look).await;
        assert!(refused.is_err(), "{role}");
    }
    // The room's own role sees nothing unless it says for whom it asks.
    let count = "SET ROLE supabase_storage_admin; \
                 DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM storage_engine.tus_uploads); END $$";
    bench.script(count).await;
    bench.end().await;
}

#[tokio::test]
async fn a_signature_speaks_for_one_object() {
    let bench = Bench::new().await;
    let about = metadata("closed/x", &[]);
    let make = async |token: &str| {
        let head = [
            ("upload-length", "3"),
            ("upload-metadata", about.as_str()),
            ("x-signature", token),
        ];
        bench
            .ask("nobody", "POST /upload/resumable/sign", &head, b"")
            .await
    };
    let good = token("closed/x", "upload", 60);
    let path = make(&good).await.is(201).path();
    assert!(path.starts_with("/upload/resumable/sign/"));
    for (bad, says) in [
        (token("closed/y", "upload", 60), "Invalid signature"),
        (token("closed/x", "download", 60), "not scoped for upload"),
        (
            token("closed/x", "upload", 0),
            "\"exp\" claim timestamp check failed",
        ),
        ("x".to_owned(), "Invalid Compact JWS"),
        (String::new(), "Missing x-signature header"),
    ] {
        let refused = make(&bad).await.is(400);
        assert!(refused.body.contains(says), "{}", refused.body);
        let head = [
            ("x-signature", bad.as_str()),
            ("upload-offset", "0"),
            OCTETS,
        ];
        let what = format!("PATCH {path}");
        let refused = bench.ask("nobody", &what, &head, b"abc").await;
        assert!(matches!(refused.status, 400 | 404), "{refused:?}");
    }
    // Without a signature the address is nobody's.
    let plain = path.replace("/sign", "");
    for who in ["nobody", "ann", "service"] {
        let shows = [("apikey", "x")];
        bench
            .patch_with(who, &plain, 0, &shows, b"abc")
            .await
            .is(404);
    }
    let sign = [("x-signature", good.as_str())];
    bench
        .patch_with("nobody", &path, 0, &sign, b"abc")
        .await
        .is(204);
    assert_eq!(bench.bytes("x").await.unwrap(), b"abc");
    let owner = "SELECT owner_id FROM storage.objects WHERE name = 'x'";
    assert_eq!(bench.value(owner).await, "ann");
    // It does not allow replacing.
    make(&good).await.is(409);
    bench.end().await;
}

#[tokio::test]
async fn an_owner_has_no_more_than_so_many_open() {
    let bench = Bench::new().await;
    let mut paths = Vec::new();
    for number in 0..BOUNDS.uploads {
        paths.push(bench.create("ann", &format!("photos/{number}"), 3).await);
    }
    let begin = async |who: &str, what: &str, to: &str, head: &[(&str, &str)]| {
        let about = metadata(to, &[]);
        let head = [&[("upload-metadata", about.as_str())], head].concat();
        bench.ask(who, &format!("POST {what}"), &head, b"").await
    };
    let three = [("upload-length", "3")];
    let plain = "/upload/resumable";
    let refused = begin("ann", plain, "photos/more", &three).await.is(429);
    assert!(
        refused.body.contains("Too many unfinished uploads"),
        "{refused:?}"
    );
    // Nor by a signature that she gave out; and nothing is left of either.
    let signature = token("photos/more", "upload", 60);
    let signed = [("upload-length", "3"), ("x-signature", signature.as_str())];
    begin("nobody", "/upload/resumable/sign", "photos/more", &signed)
        .await
        .is(429);
    assert_eq!(
        bench.room.blobs.unfinished().await.unwrap().len(),
        paths.len()
    );
    // Others are not concerned, and what is finished or ended makes room.
    begin("bob", plain, "photos/bob", &three).await.is(201);
    bench.patch("ann", &paths[0], 0, b"abc").await.is(204);
    begin("ann", plain, "photos/more", &three).await.is(201);
    begin("ann", plain, "photos/even", &three).await.is(429);
    bench
        .ask("ann", &format!("DELETE {}", paths[1]), &[], b"")
        .await
        .is(204);
    begin("ann", plain, "photos/even", &three).await.is(201);
    bench.end().await;
}

#[tokio::test]
async fn bytes_that_are_announced_are_counted_together() {
    let bench = Bench::new().await;
    let begin = async |to: &str, length: (&str, &str)| {
        let about = metadata(to, &[]);
        let head = [("upload-metadata", about.as_str()), length];
        bench.ask("ann", "POST /upload/resumable", &head, b"").await
    };
    let most = LIMIT.to_string();
    for number in 0..BOUNDS.bytes / LIMIT - 1 {
        let to = format!("photos/{number}");
        begin(&to, ("upload-length", &most)).await.is(201);
    }
    // Without a length it is as long as it may become.
    let deferred = begin("photos/deferred", ("upload-defer-length", "1"))
        .await
        .is(201);
    let refused = begin("photos/more", ("upload-length", "1")).await.is(413);
    assert!(
        refused.body.contains("too many bytes together"),
        "{refused:?}"
    );
    begin("photos/none", ("upload-length", "0")).await.is(201);
    // Once it is known how long it is, there is room.
    let path = deferred.path();
    let head = [("upload-length", "5")];
    bench
        .patch_with("ann", &path, 0, &head, b"abc")
        .await
        .is(204);
    begin("photos/more", ("upload-length", "1")).await.is(201);
    bench.end().await;
}

/// Those who begin at the same time do not see each other's rows.
#[tokio::test]
async fn the_bound_holds_for_those_who_begin_at_once() {
    let bench = Bench::new().await;
    let about = metadata("photos/x", &[]);
    let head = [("upload-metadata", about.as_str()), ("upload-length", "3")];
    let asked =
        (0..3 * BOUNDS.uploads).map(|_| bench.ask("ann", "POST /upload/resumable", &head, b""));
    let replies = futures_util::future::join_all(asked).await;
    let begun = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(u64::try_from(begun).unwrap(), BOUNDS.uploads);
    assert!(
        replies
            .iter()
            .all(|reply| matches!(reply.status, 201 | 429)),
        "{replies:?}"
    );
    bench.end().await;
}

//! Whose an upload is.

use super::support::{Bench, OCTETS, metadata, token};

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

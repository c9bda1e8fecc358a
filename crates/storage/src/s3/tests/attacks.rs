//! What must not pass, and leaves nothing behind.

use std::time::Duration;

use super::bench::{Ask, Bench, Told, element};

const ANN: &str = "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a01";
const BOB: &str = "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a02";
const FOLDERS: &str = "
    INSERT INTO storage.buckets (id, name) VALUES ('b', 'b'), ('c', 'c');
    INSERT INTO storage_engine.s3_keys (access_key, role, reads) VALUES ('reads-only-key-01', 'service_role', true);
    INSERT INTO storage_engine.s3_keys (access_key, role, revoked_at) VALUES ('revoked-key-00001', 'service_role', now());
    INSERT INTO storage_engine.s3_keys (access_key, role) VALUES ('anonymous-key-001', 'anon');
    CREATE POLICY own_folder ON storage.objects TO authenticated
        USING ((storage.foldername(name))[1] = auth.uid()::text)
        WITH CHECK ((storage.foldername(name))[1] = auth.uid()::text);";

fn code(told: &Told) -> (u16, &str) {
    (told.0, element(told, "Code"))
}

#[tokio::test]
async fn a_signature_is_good_for_its_request_and_its_time() {
    let bench = Bench::new(FOLDERS).await;
    let put = Ask::new("PUT", "/b/a").body(b"hello");
    let now = bench.clock.now();
    assert_eq!(bench.send(put.signed(now)).await.0, 200);
    // The same request again, much later.
    let late = put.signed(now);
    bench.clock.advance(Duration::from_secs(15 * 60 + 1));
    let told = bench.send(late).await;
    assert_eq!(code(&told), (403, "RequestTimeTooSkewed"));
    let now = bench.clock.now();
    // Another body under the signature.
    let (parts, _) = put.signed(now).into_parts();
    let told = bench
        .send(http::Request::from_parts(parts, "olleh".into()))
        .await;
    assert_eq!(code(&told), (400, "XAmzContentSHA256Mismatch"));
    let (parts, _) = put.signed(now).into_parts();
    let told = bench
        .send(http::Request::from_parts(parts, "hell".into()))
        .await;
    assert_eq!(code(&told), (400, "IncompleteBody"));
    // Another address, method, header or query.
    let changes: [fn(&mut http::Request<axum::body::Body>); 4] = [
        |request| *request.uri_mut() = "/s3/b/z".parse().expect("an address"),
        |request| *request.uri_mut() = "/s3/b/a?uploads".parse().expect("an address"),
        |request| *request.uri_mut() = "/s3/b%2f../a".parse().expect("an address"),
        |request| *request.method_mut() = http::Method::DELETE,
    ];
    for change in changes {
        let mut request = put.signed(now);
        change(&mut request);
        assert_eq!(
            code(&bench.send(request).await),
            (403, "SignatureDoesNotMatch")
        );
    }
    let mut copies = Ask::new("PUT", "/b/z");
    copies
        .beside
        .push(("x-amz-copy-source", "/c/secret".to_owned()));
    assert_eq!(code(&bench.ask(copies).await), (403, "AccessDenied"));
    let unsigned = http::Request::get("/s3/b/a").header("host", "files.example");
    let told = bench
        .send(unsigned.body(axum::body::Body::empty()).expect("a request"))
        .await;
    assert_eq!(code(&told), (403, "AccessDenied"));
    assert_eq!(
        bench
            .number("SELECT string_agg(name, ',') FROM storage.objects")
            .await,
        "a"
    );
    assert_eq!(bench.blobs().await, 1);
    bench.end().await;
}

#[tokio::test]
async fn a_key_is_what_its_row_says() {
    let bench = Bench::new(FOLDERS).await;
    let with = |key: &str, method, path: &str| {
        let mut ask = Ask::new(method, path);
        key.clone_into(&mut ask.key);
        ask.secret = super::bench::secret(key);
        ask
    };
    assert_eq!(bench.ask(Ask::new("PUT", "/b/a")).await.0, 200);
    let reads = "reads-only-key-01";
    assert_eq!(bench.ask(with(reads, "GET", "/b/a")).await.0, 200);
    for (method, path) in [
        ("PUT", "/b/z"),
        ("DELETE", "/b/a"),
        ("PUT", "/new"),
        ("POST", "/b/z?uploads="),
    ] {
        let told = bench.ask(with(reads, method, path)).await;
        assert_eq!(code(&told), (403, "AccessDenied"), "{method} {path}");
    }
    let revoked = bench.ask(with("revoked-key-00001", "GET", "/b/a")).await;
    assert_eq!(code(&revoked), (403, "InvalidAccessKeyId"));
    let anonymous = bench.ask(with("anonymous-key-001", "GET", "/b/a")).await;
    assert_eq!(code(&anonymous), (404, "NoSuchKey"));
    let mut stolen = with(reads, "GET", "/b/a");
    stolen.key = super::bench::KEY.to_owned();
    assert_eq!(
        code(&bench.ask(stolen).await),
        (403, "SignatureDoesNotMatch")
    );
    let mut elsewhere = Ask::new("GET", "/b/a");
    elsewhere.region = "eu-west-1";
    assert_eq!(code(&bench.ask(elsewhere).await), (403, "AccessDenied"));
    // A public key alone is nobody's: it has no row.
    let mut public = Ask::new("GET", "/b/a");
    (public.key, public.secret) = ("project".to_owned(), super::bench::ANON.to_owned());
    assert_eq!(code(&bench.ask(public).await), (403, "InvalidAccessKeyId"));
    bench.end().await;
}

#[tokio::test]
async fn users_see_and_change_their_own() {
    let bench = Bench::new(FOLDERS).await;
    let put = |who, folder: &str| {
        Ask::new("PUT", &format!("/b/{folder}/f"))
            .body(b"x")
            .user(who)
    };
    assert_eq!(bench.ask(put(ANN, ANN)).await.0, 200);
    assert_eq!(bench.ask(put(BOB, BOB)).await.0, 200);
    assert_eq!(code(&bench.ask(put(BOB, ANN)).await), (403, "AccessDenied"));
    for query in [
        "list-type=2".to_owned(),
        format!("list-type=2&prefix={ANN}%2F"),
        "delimiter=%2F&list-type=2".to_owned(),
        "marker=0".to_owned(),
        "delimiter=9".to_owned(),
    ] {
        let told = bench
            .ask(Ask::new("GET", &format!("/b?{query}")).user(BOB))
            .await;
        let seen = told.1.replace(&format!("<Prefix>{ANN}/</Prefix>"), "");
        assert!(told.0 == 200 && !seen.contains(ANN), "{query}: {}", told.1);
    }
    let path = format!("/b/{ANN}/f");
    let got = bench.ask(Ask::new("GET", &path).user(BOB)).await;
    assert_eq!(code(&got), (404, "NoSuchKey"));
    let copied = Ask::new("PUT", &format!("/b/{BOB}/g")).user(BOB);
    let copied = bench.ask(copied.header("x-amz-copy-source", &path)).await;
    assert_eq!(code(&copied), (404, "NoSuchKey"));
    // A refusal is not told as a deletion.
    let ended = bench.ask(Ask::new("DELETE", &path).user(BOB)).await;
    assert_eq!(code(&ended), (403, "AccessDenied"));
    let body = format!("<Delete><Object><Key>{ANN}/f</Key></Object></Delete>");
    let many = Ask::new("POST", "/b?delete=")
        .body(body.as_bytes())
        .user(BOB);
    let told = bench.ask(many).await;
    assert_eq!((told.0, element(&told, "Code")), (200, "AccessDenied"));
    assert_eq!(
        bench.number("SELECT count(*) FROM storage.objects").await,
        "2"
    );
    let nobody = bench
        .ask(Ask::new("GET", "/b").header("x-amz-security-token", "x.y.z"))
        .await;
    assert_eq!(code(&nobody), (403, "SignatureDoesNotMatch"));
    bench.end().await;
}

#[tokio::test]
async fn limits_are_hit_before_bytes_are_kept() {
    let bench = Bench::new(
        "INSERT INTO storage.buckets (id, name, file_size_limit, allowed_mime_types) VALUES ('b', 'b', 10, '{text/plain}');",
    )
    .await;
    let put = |body: &[u8], mime| {
        Ask::new("PUT", "/b/a")
            .body(body)
            .header("content-type", mime)
    };
    assert_eq!(bench.ask(put(b"0123456789", "text/plain")).await.0, 200);
    let told = bench.ask(put(b"0123456789+", "text/plain")).await;
    assert_eq!(code(&told), (413, "EntityTooLarge"));
    let told = bench.ask(put(b"x", "text/html")).await;
    assert_eq!(code(&told), (415, "InvalidMimeType"));
    let metadata = "m".repeat(2048);
    let told = bench
        .ask(put(b"x", "text/plain").header("x-amz-meta-a", &metadata))
        .await;
    assert_eq!(code(&told), (400, "MetadataTooLarge"));
    let told = bench
        .ask(put(b"x", "text/plain").header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="))
        .await;
    assert_eq!(code(&told), (400, "BadDigest"));
    assert_eq!(bench.blobs().await, 1);
    for path in [
        "/b/..",
        "/b/a/../c",
        "/b/%2e%2e/c",
        "/b/a%5cb",
        "/b/%F0%9F%92%A9",
    ] {
        let told = bench.ask(Ask::new("PUT", path)).await;
        assert_eq!(code(&told), (400, "InvalidKey"), "{path}");
    }
    let told = bench.ask(Ask::new("GET", "/b?prefix=%00")).await;
    assert_eq!(code(&told), (400, "InvalidArgument"));
    let told = bench.ask(Ask::new("GET", "/b%00")).await;
    assert_eq!(code(&told).0 / 100, 4, "{}", told.1);
    bench.end().await;
}

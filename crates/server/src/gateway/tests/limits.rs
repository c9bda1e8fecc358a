//! What the gateway bounds, and what it says by itself.

use super::*;

#[tokio::test]
async fn bodies_are_bounded_declared_or_not() {
    let door = door(&[("FERROBASE__API__BODY_BYTES_MAX", "10")]);
    let post = |body: Body| Request::post("/rest/v1/upload").body(body).unwrap();
    let mut declared = post(Body::from("x".repeat(11)));
    declared.headers_mut().insert("content-length", 11.into());
    let answer = door.send(declared).await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (413, Some("FB413"))
    );
    let chunks = |count: usize| {
        let chunk = || Ok::<_, std::io::Error>(bytes::Bytes::from_static(b"12345"));
        Body::from_stream(futures_util::stream::iter((0..count).map(move |_| chunk())))
    };
    assert_eq!(door.send(post(chunks(3))).await.status, 413);
    assert_eq!(door.send(post(chunks(2))).await.body["size"], 10);
}

#[tokio::test]
async fn a_panicking_room_is_a_500_and_a_slow_one_a_504() {
    let door = door(&[("FERROBASE__API__REQUEST_TIMEOUT", "20ms")]);
    let answer = door.get("/rest/v1/boom", &[]).await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (500, Some("FB500"))
    );
    let answer = door.get("/rest/v1/slow", &[]).await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (504, Some("FB504"))
    );
}

#[tokio::test]
async fn too_many_requests_are_told_to_wait() {
    let door = door(&[
        ("FERROBASE__RATE_LIMIT__PER_IP", "1"),
        ("FERROBASE__RATE_LIMIT__BURST", "2"),
    ]);
    assert_eq!(door.role(&[]).await, "anon");
    assert_eq!(door.role(&[]).await, "anon");
    let answer = door.get("/rest/v1/items", &[]).await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (429, Some("FB429"))
    );
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(door.get("/health", &[]).await.status, 200);

    let door = self::door(&[
        ("FERROBASE__RATE_LIMIT__PER_KEY", "1"),
        ("FERROBASE__RATE_LIMIT__BURST", "1"),
    ]);
    assert_eq!(door.role(&[("apikey", ANON)]).await, "anon");
    assert_eq!(door.role(&[("apikey", ANON)]).await, "429 FB429");
    assert_eq!(door.role(&[("apikey", SECRET)]).await, "service_role");
}

#[tokio::test]
async fn own_pages_and_request_ids() {
    let door = door(&[]);
    let jwks = door.get("/auth/v1/.well-known/jwks.json", &[]).await;
    assert_eq!(jwks.body["keys"][0]["alg"], "ES256");
    assert!(jwks.body["keys"][0].get("d").is_none());
    assert_eq!(door.get("/health/ready", &[]).await.body["status"], "ready");
    assert_eq!(door.get("/", &[]).await.body["rooms"]["rest"], "/rest/v1");
    assert!(
        door.get("/metrics", &[])
            .await
            .body
            .as_str()
            .unwrap()
            .contains("ferrobase_http_requests_total")
    );
    let echoed = door.get("/health", &[("x-request-id", "abc-1")]).await;
    assert_eq!(echoed.headers["x-request-id"], "abc-1");
    let too_long = "x".repeat(REQUEST_ID_BYTES_MAX + 1);
    let own = door.get("/health", &[("x-request-id", &too_long)]).await;
    assert_ne!(own.headers["x-request-id"], too_long.as_str());
    assert_ne!(
        own.headers["x-request-id"],
        door.get("/health", &[]).await.headers["x-request-id"]
    );
}

#[tokio::test]
async fn cors_marks_every_answer_and_preflights_need_no_key() {
    let door = door(&[("FERROBASE__API__REQUIRE_APIKEY", "true")]);
    let preflight = Request::options("/rest/v1/items")
        .header("origin", "http://app.example")
        .header("access-control-request-method", "POST")
        .body(Body::empty())
        .unwrap();
    assert_eq!(door.send(preflight).await.status, 200);
    let refused = door
        .get("/rest/v1/items", &[("origin", "http://app.example")])
        .await;
    assert_eq!(
        (
            refused.status,
            &refused.headers["access-control-allow-origin"]
        ),
        (401, &HeaderValue::from_static("*"))
    );
    assert!(
        refused.headers["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("Content-Range")
    );
    let options = Request::options("/rest/v1/items")
        .body(Body::empty())
        .unwrap();
    assert_eq!(door.send(options).await.body["role"], "anon");
}

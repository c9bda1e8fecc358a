//! The routes, with callers as the gateway leaves them.

use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kernel::Caller;
use pg::testing::TestDb;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::{Node, PATIENCE, piece, service, sql, stream, user};

async fn send(node: &Node, caller: &Caller, line: &str, body: &str) -> (StatusCode, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::from(body.to_owned()))
        .unwrap();
    request.extensions_mut().insert(caller.clone());
    let router = std::sync::Arc::clone(&node.streams).router();
    let answering = async {
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    };
    tokio::time::timeout(PATIENCE, answering).await.unwrap()
}

#[tokio::test]
async fn a_page_waits_for_events_and_says_where_it_is() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let ann = user("ann");
    let path = format!("/streams/{id}/events");
    let (status, page) = send(&node, &ann, &format!("GET {path}"), "").await;
    assert_eq!(
        (status.as_u16(), page),
        (200, json!({"events": [], "after": 0}))
    );

    let body = json!({"events": [{"kind": "note", "data": {"a": 1}}, {"kind": "note"}], "producer": "me", "n": 0});
    let waiting = format!("GET {path}?after=0&wait_ms=25000");
    let post = format!("POST {path}");
    let body = body.to_string();
    let ((_, page), (status, told)) = tokio::join!(
        send(&node, &ann, &waiting, ""),
        send(&node, &ann, &post, &body)
    );
    assert_eq!(
        (status.as_u16(), told),
        (200, json!({"next_n": 2, "appended": 2}))
    );
    assert_eq!(page["after"], 2);
    assert_eq!(page["events"][0]["data"], json!({"a": 1}));
    assert_eq!(page["events"][1]["seq"], 2);
    assert_eq!(page["events"][1]["stream_id"], json!(id));

    for garbage in ["-1", "x", "3", "99999999999999999999", "1%20"] {
        let (status, error) = send(&node, &ann, &format!("GET {path}?after={garbage}"), "").await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (400, &json!("invalid")),
            "{garbage}"
        );
    }
    node.tasks.stop().await;
}

#[tokio::test]
async fn foreign_and_unknown_streams_answer_alike() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    node.streams
        .appender()
        .append(piece(id, "p", 0, 1))
        .await
        .unwrap();
    let ben = user("ben");
    let said = json!({"events": [{"kind": "note"}]}).to_string();
    let mut answers = Vec::new();
    for id in [
        id.to_string(),
        Uuid::from_u128(5).to_string(),
        "me".to_owned(),
    ] {
        let get = send(&node, &ben, &format!("GET /streams/{id}/events"), "").await;
        let post = send(&node, &ben, &format!("POST /streams/{id}/events"), &said).await;
        assert_eq!((get.0.as_u16(), post.0.as_u16()), (404, 404));
        answers.push((get.1, post.1));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    let anon = Caller::anonymous("anon");
    for method in ["GET", "POST"] {
        let line = format!("{method} /streams/{id}/events");
        assert_eq!(send(&node, &anon, &line, &said).await.0.as_u16(), 401);
    }
    let read_only = Caller {
        read_only: true,
        ..user("ann")
    };
    let line = format!("POST /streams/{id}/events");
    assert_eq!(send(&node, &read_only, &line, &said).await.0.as_u16(), 403);
    let count = "SELECT count(*) FROM work.events";
    assert_eq!(sql(&db, count, &[]).await.unwrap(), "1");
    node.tasks.stop().await;
}

#[tokio::test]
async fn what_the_engine_tells_nobody_else_can_tell() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    let line = format!("POST /streams/{id}/events");
    let job = Uuid::from_u128(3);
    for (body, expected) in [
        (json!({"events": [{"kind": "job.completed"}]}), 403),
        (json!({"events": [{"kind": "job.chunk"}]}), 403),
        (
            json!({"events": [{"kind": "step.completed"}], "producer": format!("{job}:1:x"), "n": 0}),
            403,
        ),
        (json!({"events": [{"kind": "note"}], "job_id": job}), 403),
        // The database asks for the claim, which is nobody's.
        (
            json!({"events": [{"kind": "job.chunk"}], "producer": format!("{job}:1:x"), "n": 0}),
            409,
        ),
        (json!({"events": [{"kind": "note"}], "producer": "x"}), 400),
        (json!({"events": [{"kind": "note"}], "n": 0}), 400),
        (json!({"events": []}), 400),
        (json!({"events": [{"kind": "note"}], "owner": "ben"}), 400),
        (json!([]), 400),
        (
            json!({"events": [{"kind": "note"}], "producer": "x", "n": 1}),
            409,
        ),
        (json!({"events": [{"kind": "note"}]}), 200),
    ] {
        let (status, answer) = send(&node, &user("ann"), &line, &body.to_string()).await;
        assert_eq!(status.as_u16(), expected, "{body} {answer}");
        if body.get("job_id").is_none() && body.get("owner").is_none() && body.is_object() {
            assert_eq!(by_function(&db, id, &body).await, expected, "{body}");
        }
    }
    let all = json!({"events": [{"kind": "job.completed"}], "job_id": job}).to_string();
    assert_eq!(send(&node, &service(), &line, &all).await.0.as_u16(), 200);
    node.tasks.stop().await;
}

#[tokio::test]
async fn server_sent_events_end_with_a_reason() {
    let db = TestDb::new().await;
    let node = Node::new(&db);
    let id = stream(&db, "ann").await;
    node.streams
        .appender()
        .append(piece(id, "p", 0, 2))
        .await
        .unwrap();
    let mut request = Request::builder()
        .uri(format!("/streams/{id}/events?after=0"))
        .header("accept", "text/event-stream")
        .header("last-event-id", "1")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(user("ann"));
    let router = std::sync::Arc::clone(&node.streams).router();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap() {
        text.push_str(std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap());
        if text.contains("id: 2\n") {
            node.leaving.cancel();
        }
    }
    assert!(
        text.starts_with("retry: 1000\n\nid: 2\nevent: job.chunk\ndata: {"),
        "{text}"
    );
    let end = "event: end\ndata: {\"code\":\"restarting\",\"reconnect\":true}\n\n";
    assert!(text.ends_with(end), "{text}");
    node.tasks.stop().await;
}

/// The same by function, as a client's RPC calls it; the status.
async fn by_function(db: &TestDb, id: Uuid, body: &Value) -> u16 {
    let mut session = db.session().await;
    let caller = r#"SET request.jwt.claims = '{"sub": "ann"}'; SET ROLE authenticated"#;
    session.script(caller).await.unwrap();
    let (events, n) = (body["events"].to_string(), body["n"].as_i64());
    let (id, n) = (id.to_string(), n.map(|n| n.to_string()));
    let call = "SELECT work.append($1::text::uuid, $2::text::jsonb, $3, $4::text::bigint)";
    let params = [
        Some(id.as_str()),
        Some(events.as_str()),
        body["producer"].as_str(),
        n.as_deref(),
    ];
    let outcome = session.query(call, &params).await;
    session.close().await;
    match outcome {
        Ok(_) => 200,
        Err(error) => {
            let state = error.sqlstate().unwrap_or_default();
            state.trim_start_matches("PT").parse().unwrap_or(500)
        }
    }
}

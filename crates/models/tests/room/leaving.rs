//! Who goes before anything is said, whose session a call may name, and what
//! hostile words do to the books.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use models::{Asker, ChatRequest, EmbedRequest, ModelErrorKind};
use serde_json::json;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::provider::{Say, end, text};
use crate::support::{Room, asker};

fn vectors() -> EmbedRequest {
    EmbedRequest {
        target: "embed".to_owned(),
        texts: vec!["a".to_owned()],
        dimensions: None,
    }
}

async fn settled(room: &Room) -> String {
    let open = "SELECT count(*) FROM ai.calls WHERE finished_at IS NULL";
    for _ in 0..100 {
        if room.one(open).await == "0" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    room.one("SELECT concat_ws(' ', outcome, cost > 0, tokens_in > 0, estimated) FROM ai.calls")
        .await
}

#[tokio::test]
async fn who_leaves_before_the_first_word_pays_for_the_input() {
    let room = Room::new().await;
    let silent = json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant"}}]});
    room.first.says([Say::Hang(silent)]);
    let asked = room
        .models
        .stream(asker("ada"), ChatRequest::to("coder").user("x"));
    let gone = tokio::time::timeout(Duration::from_secs(2), asked).await;
    assert!(gone.is_err() && room.first.calls() == 1);
    assert_eq!(settled(&room).await, "cancelled t t t");
}

#[tokio::test]
async fn who_leaves_an_embedding_pays_for_the_input() {
    let room = Room::new().await;
    room.run("INSERT INTO ai.budgets (scope, subject, period, cost) VALUES ('user', 'ada', 'month', 1.0)").await;
    room.first.says([Say::Hang(json!({}))]);
    let asked = room.models.embed(asker("ada"), vectors());
    let gone = tokio::time::timeout(Duration::from_secs(2), asked).await;
    assert!(gone.is_err() && room.first.calls() == 1);
    assert_eq!(settled(&room).await, "cancelled t t t");
    assert_eq!(
        room.one("SELECT (cost_spent > 0 AND cost_reserved = 0)::text FROM ai.spending")
            .await,
        "true",
        "nothing stays reserved"
    );
}

#[tokio::test]
async fn a_session_of_somebody_else_is_none() {
    let room = Room::new().await;
    room.run("INSERT INTO work.sessions (owner) VALUES ('ada')")
        .await;
    let session: Uuid = room
        .one("SELECT id FROM work.sessions")
        .await
        .parse()
        .unwrap();
    let of = |name: &str| Asker {
        session: Some(session),
        ..asker(name)
    };
    let mut nobody = of("ada");
    nobody.caller.claims = json!({"role": "authenticated"}).to_string().into();
    for other in [of("eve"), nobody] {
        let embedded = room.models.embed(other.clone(), vectors()).await;
        assert_eq!(embedded.unwrap_err().kind, ModelErrorKind::BadRequest);
        let asked = ChatRequest::to("coder").user("x");
        let answered = room.models.complete(other, asked).await;
        assert_eq!(answered.unwrap_err().kind, ModelErrorKind::BadRequest);
    }
    assert_eq!(room.one("SELECT count(*) FROM ai.calls").await, "0");
    let mut project = of("ada");
    project.caller.role = "service_role".into();
    project.caller.claims = json!({"role": "service_role"}).to_string().into();
    for owner in [of("ada"), project] {
        room.first.says([Say::Vectors(1)]);
        room.models.embed(owner, vectors()).await.unwrap();
    }
}

#[tokio::test]
async fn a_nul_in_an_answer_or_a_name_stops_no_row() {
    let room = Room::new().await;
    let mut end = end(10, 1);
    end["usage"]["odd"] = json!("a\0b");
    let say = Say::Stream(vec![text("a\0b"), end], true);
    room.first.says([say.clone(), say]);
    let token = Some(Uuid::from_u128(1));
    let asked = |target: &str| {
        let asker = Asker {
            token,
            ..asker("ada")
        };
        room.models
            .complete(asker, ChatRequest::to(target).user("x"))
    };
    assert_eq!(asked("coder").await.unwrap().text, "a\0b");
    assert_eq!(asked("coder").await.unwrap().text, "a\u{fffd}b", "as kept");
    assert_eq!(asked("kept").await.unwrap().text, "a\0b");
    let error = asked("first/m\0").await.unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::NotFound);
    let done = "SELECT count(*) || ' ' || count(*) FILTER (WHERE outcome = 'ok') FROM ai.calls";
    assert_eq!(room.one(done).await, "2 2");
    assert_eq!(room.one("SELECT count(*) FROM ai.cache").await, "1");
    let told = Asker::direct(asker("eve").caller);
    room.models
        .complete(told, ChatRequest::to("coder").user("a\0b"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_try_that_was_overtaken_books_what_it_cost() {
    let room = Room::new().await;
    room.run("INSERT INTO ai.budgets (scope, subject, period, cost) VALUES ('user', 'ada', 'month', 9.0)").await;
    room.first.says([Say::Hang(text("once upon a time"))]);
    let ada = Asker {
        token: Some(Uuid::from_u128(2)),
        ..asker("ada")
    };
    let asked = || ChatRequest::to("first/m").user("x");
    let slow = room.models.stream(ada.clone(), asked()).await.unwrap();
    let quick = room.another().complete(ada, asked()).await.unwrap();
    assert_eq!(quick.text, "hello");
    assert_eq!(
        room.one("SELECT (cost_reserved > 0)::text FROM ai.spending")
            .await,
        "true",
        "the first is still at work"
    );
    drop(slow);
    let booked = "SELECT (cost_reserved = 0 AND cost_spent = charged AND charged > cost)::text \
        FROM ai.spending, ai.calls";
    for _ in 0..100 {
        if room.one(booked).await == "true" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(room.one(booked).await, "true");
}

// Without a bound on steps this would not end.
#[tokio::test]
async fn a_schema_whose_branches_multiply_is_refused_at_once() {
    let room = Room::new().await;
    let mut defs = serde_json::Map::new();
    for n in 0..30 {
        let next = json!({"$ref": format!("#/$defs/n{}", n + 1)});
        defs.insert(format!("n{n}"), json!({"anyOf": vec![next; 8]}));
    }
    defs.insert("n30".to_owned(), json!({"type": "string"}));
    let schema = json!({"type": "object", "$defs": defs,
        "properties": {"a": {"$ref": "#/$defs/n0"}}});
    for stream in [true, false] {
        let body = json!({"model": "coder", "stream": stream,
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {"type": "json_schema",
                "json_schema": {"name": "a", "schema": schema}}});
        let (status, _, told) = room
            .http(&asker("ada").caller, "/chat/completions", &body)
            .await;
        assert_eq!(status, 400, "{told}");
        assert!(told.contains("branches"), "{told}");
    }
    assert_eq!(room.first.calls(), 0);
}

#[tokio::test]
async fn nobody_is_refused_the_list_in_the_words_of_the_dialect() {
    let room = Room::new().await;
    let request = http::Request::get("/models")
        .header("anthropic-version", "2023-06-01")
        .body(axum::body::Body::empty())
        .unwrap();
    let router = Arc::clone(&room.models).router();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["type"], "error", "{told}");
}

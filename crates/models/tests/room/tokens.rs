//! A memoised step pays once, whatever dies between its answer and its record.

use std::sync::Arc;

use models::{Asker, ChatRequest, EmbedRequest, ModelErrorKind};
use serde_json::json;
use uuid::Uuid;

use crate::provider::{Say, answer};
use crate::support::{Room, asker};

fn step(token: Uuid) -> Asker {
    Asker {
        step: Some("generate".to_owned()),
        token: Some(token),
        ..asker("ada")
    }
}

#[tokio::test]
async fn the_same_step_again_is_answered_without_asking() {
    let room = Room::new().await;
    room.first
        .says([answer("four", 100, 10), answer("five", 100, 10)]);
    let token = Uuid::from_u128(7);
    let ask = |models: Arc<models::Models>, words: &'static str| async move {
        models
            .complete(step(token), ChatRequest::to("coder").user(words))
            .await
            .unwrap()
    };
    let first = ask(Arc::clone(&room.models), "2+2").await;
    // As after a restart: another server, which knows nothing but the rows.
    let again = ask(room.another(), "2+2").await;
    assert_eq!((again.text.as_str(), again.cost), ("four", first.cost));
    assert!(again.head.cached && again.head.call == first.head.call);
    assert_eq!(room.first.calls(), 1);
    assert_eq!(
        room.one("SELECT count(*) || ' ' || sum(cost)::float8 FROM ai.calls")
            .await,
        "1 0.2"
    );
    let shown = room.first.last().0["idempotency-key"].clone();
    // Another question of the same step is another call.
    assert_eq!(ask(room.another(), "2+3").await.text, "five");
    assert_ne!(
        room.first.last().0["idempotency-key"],
        shown,
        "so it has another key"
    );
}

#[tokio::test]
async fn a_step_that_failed_is_tried_anew_in_its_row() {
    let room = Room::new().await;
    room.first.says([Say::Refuse(400, "", json!({}))]);
    let ask = || {
        room.models.complete(
            step(Uuid::from_u128(8)),
            ChatRequest::to("first/m").user("x"),
        )
    };
    assert_eq!(ask().await.unwrap_err().kind, ModelErrorKind::BadRequest);
    let shown = room.first.last().0["idempotency-key"].clone();
    assert_eq!(ask().await.unwrap().text, "hello");
    assert_eq!(
        room.first.last().0["idempotency-key"],
        shown,
        "the provider knows the call again"
    );
    assert_eq!(
        room.one(
            "SELECT concat_ws(' ', count(*), max(outcome), max(try), max(attempts)) FROM ai.calls"
        )
        .await,
        "1 ok 2 2"
    );
}

#[tokio::test]
async fn nobody_is_given_anothers_answer_by_its_token() {
    let room = Room::new().await;
    room.first
        .says([answer("for ada", 1, 1), answer("for bob", 1, 1)]);
    let token = Uuid::from_u128(9);
    room.models
        .complete(step(token), ChatRequest::to("first/m").user("x"))
        .await
        .unwrap();
    let bob = Asker {
        token: Some(token),
        ..asker("bob")
    };
    let reply = room
        .models
        .complete(bob, ChatRequest::to("first/m").user("x"))
        .await
        .unwrap();
    assert_eq!(reply.text, "for bob");
}

#[tokio::test]
async fn vectors_of_a_step_are_made_once() {
    let room = Room::new().await;
    room.first.says([Say::Vectors(1)]);
    let asked = || EmbedRequest {
        target: "embed".to_owned(),
        texts: vec!["a".to_owned()],
        dimensions: None,
    };
    let token = Uuid::from_u128(10);
    let first = room.models.embed(step(token), asked()).await.unwrap();
    let again = room.another().embed(step(token), asked()).await.unwrap();
    assert_eq!(first.vectors, again.vectors);
    assert_eq!(room.first.calls(), 1);
}

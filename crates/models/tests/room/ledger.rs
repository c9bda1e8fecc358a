//! Every call is a row that tells how it ended, whichever way it took.

use futures_util::StreamExt as _;
use models::{ChatEvent, ChatRequest, EmbedRequest, ModelErrorKind, StopReason};
use serde_json::json;

use crate::provider::{Say, answer, text};
use crate::support::{KEY, Room, asker, user};

const LAST: &str = "SELECT concat_ws(' ', owner, provider, model, outcome, attempts, tokens_in, tokens_out, \
    cost::float8, error) FROM ai.calls ORDER BY started_at DESC LIMIT 1";

#[tokio::test]
async fn an_answer_is_priced_and_written_down_before_its_end_is_told() {
    let room = Room::new().await;
    room.first.says([answer("four", 100, 10)]);
    let reply = room
        .models
        .complete(asker("ada"), ChatRequest::to("coder").user("2+2"))
        .await
        .unwrap();
    assert_eq!((reply.text.as_str(), reply.stop), ("four", StopReason::End));
    assert_eq!(reply.cost, Some(0.2));
    assert_eq!(room.one(LAST).await, "ada first m ok 1 100 10 0.2");
    let (headers, body) = room.first.last();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        body["max_tokens"]
            .as_u64()
            .or(body["max_completion_tokens"].as_u64()),
        Some(100)
    );
}

#[tokio::test]
async fn before_anything_is_said_another_is_asked_and_nobody_notices() {
    let room = Room::new().await;
    // A quota error within an answer that had begun, twice, then the next provider.
    let broken = || {
        Say::Stream(
            vec![json!({"error": {"message": "overloaded", "code": 503}})],
            false,
        )
    };
    room.first.says([broken(), broken()]);
    room.second.says([answer("here", 5, 1)]);
    let stream = room
        .models
        .stream(asker("ada"), ChatRequest::to("coder").user("x"))
        .await
        .unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let attempts = events
        .iter()
        .filter(|e| matches!(e, ChatEvent::Attempt { .. }))
        .count();
    assert_eq!(attempts, 2);
    assert!(matches!(
        events.last(),
        Some(ChatEvent::End(StopReason::End))
    ));
    assert_eq!(room.one(LAST).await, "ada second m ok 3 5 1 0.03");
}

#[tokio::test]
async fn after_something_is_said_a_failure_is_the_answer() {
    let room = Room::new().await;
    room.first.says([Say::Stream(vec![text("I will")], false)]);
    let stream = room
        .models
        .stream(asker("ada"), ChatRequest::to("coder").user("x"))
        .await
        .unwrap();
    let items: Vec<_> = stream.collect().await;
    let error = items.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Truncated);
    assert_eq!(
        (room.first.calls(), room.second.calls()),
        (1, 0),
        "nobody is asked again"
    );
    assert_eq!(
        room.one("SELECT outcome || ' ' || estimated FROM ai.calls")
            .await,
        "truncated true"
    );
    assert_eq!(
        room.one("SELECT (cost > 0)::text FROM ai.calls").await,
        "true",
        "what was said is paid for"
    );
}

#[tokio::test]
async fn who_leaves_pays_for_what_came() {
    let room = Room::new().await;
    room.first.says([Say::Hang(text("once upon a time"))]);
    let mut stream = room
        .models
        .stream(asker("ada"), ChatRequest::to("coder").user("x"))
        .await
        .unwrap();
    while !matches!(stream.next().await, Some(Ok(ChatEvent::Text(_)))) {}
    drop(stream);
    for _ in 0..100 {
        if room
            .one("SELECT count(*) FROM ai.calls WHERE finished_at IS NOT NULL")
            .await
            == "1"
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        room.one("SELECT outcome || ' ' || (cost > 0) FROM ai.calls")
            .await,
        "cancelled true"
    );
}

#[tokio::test]
async fn a_wrong_request_is_not_sent_around() {
    let room = Room::new().await;
    room.first
        .says([Say::Refuse(400, "", json!({"error": {"message": "no"}}))]);
    let error = room
        .models
        .complete(asker("ada"), ChatRequest::to("coder").user("x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::BadRequest);
    assert_eq!((room.first.calls(), room.second.calls()), (1, 0));
    assert_eq!(
        room.one(LAST).await,
        "ada first m error 1 0 0 0 bad_request"
    );
}

#[tokio::test]
async fn an_unknown_price_is_null_and_not_zero() {
    let room = Room::new().await;
    room.first.says([answer("x", 1_000_000, 0)]);
    let reply = room
        .models
        .complete(asker("ada"), ChatRequest::to("first/other").user("x"))
        .await
        .unwrap();
    assert_eq!(reply.cost, None);
    assert_eq!(
        room.one("SELECT (cost IS NULL)::text || ' ' || (charged > 1)::text FROM ai.calls")
            .await,
        "true true"
    );
}

#[tokio::test]
async fn callers_see_their_own_calls_and_change_none() {
    let room = Room::new().await;
    for name in ["ada", "bob", "ada"] {
        room.models
            .complete(asker(name), ChatRequest::to("coder").user("x"))
            .await
            .unwrap();
    }
    let count = "SELECT count(*) FROM ai.calls";
    assert_eq!(room.as_caller(&user("ada"), count).await.unwrap(), "2");
    assert_eq!(room.as_caller(&user("eve"), count).await.unwrap(), "0");
    for change in [
        "UPDATE ai.calls SET cost = 0",
        "DELETE FROM ai.calls",
        "INSERT INTO ai.budgets (scope, cost) VALUES ('user', 1000000)",
        "SELECT ai_engine.sweep(1)",
        "SELECT count(*) FROM ai_engine.answers",
        "SELECT count(*) FROM ai.cache",
    ] {
        let error = room.as_caller(&user("ada"), change).await.unwrap_err();
        assert!(error.contains("42501"), "{change}: {error}");
    }
    let spent = room.models.spent(&asker("ada")).await.unwrap();
    let spent: serde_json::Value = serde_json::from_str(&spent).unwrap();
    assert_eq!(
        (spent["calls"].as_u64(), spent["tokens_in"].as_u64()),
        (Some(2), Some(20))
    );
}

#[tokio::test]
async fn a_key_is_in_no_row_and_no_error() {
    let room = Room::new().await;
    let says = json!({"error": {"message": format!("Incorrect API key provided: {KEY}"), "type": "invalid_request_error"}});
    room.first.says([Say::Refuse(401, "", says.clone())]);
    room.second.says([Say::Refuse(401, "", says)]);
    let body = json!({"model": "coder", "messages": [{"role": "user", "content": "x"}]});
    let (status, headers, told) = room.http(&user("ada"), "/chat/completions", &body).await;
    assert_eq!(status, 502);
    let rows = room
        .one("SELECT coalesce(json_agg(c)::text, '') FROM ai.calls AS c")
        .await;
    for place in [
        told,
        rows,
        format!("{headers:?}"),
        format!("{:?}", room.models),
    ] {
        assert!(!place.contains("sk-very"), "{place}");
    }
}

#[tokio::test]
async fn the_cache_gives_an_owner_the_same_answer_for_nothing() {
    let room = Room::new().await;
    room.first
        .says([answer("one", 10, 1), answer("two", 10, 1)]);
    let ask = |name: &str| {
        room.models
            .complete(asker(name), ChatRequest::to("kept").user("x"))
    };
    assert_eq!(ask("ada").await.unwrap().text, "one");
    let again = ask("ada").await.unwrap();
    assert_eq!(
        (again.text.as_str(), again.cost, again.head.cached),
        ("one", Some(0.0), true)
    );
    assert_eq!(
        ask("bob").await.unwrap().text,
        "two",
        "another owner asks anew"
    );
    assert_eq!(room.first.calls(), 2);
    assert_eq!(
        room.one("SELECT count(*) FILTER (WHERE cached) || ' of ' || count(*) FROM ai.calls")
            .await,
        "1 of 3"
    );
}

#[tokio::test]
async fn vectors_are_calls_too() {
    let room = Room::new().await;
    room.first.says([Say::Vectors(2)]);
    let asked = EmbedRequest {
        target: "embed".to_owned(),
        texts: vec!["a".to_owned(), "b".to_owned()],
        dimensions: None,
    };
    let made = room.models.embed(asker("ada"), asked).await.unwrap();
    assert_eq!(made.vectors, [[0.5, -1.0], [0.5, -1.0]]);
    assert_eq!(room.one(LAST).await, "ada first e ok 1 4 0 0.004");
}

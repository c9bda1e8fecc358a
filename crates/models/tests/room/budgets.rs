//! Budgets hold, whoever comes at once and whatever dies.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use models::{ChatRequest, ModelErrorKind};

use crate::provider::{Say, answer, text};
use crate::support::{Room, asker};

fn short() -> ChatRequest {
    // Some 12 tokens of input at $1000 and 10 of output at $10000 a million: $0.11 to $0.13.
    ChatRequest::to("first/m").user("x").max_tokens(10)
}

#[tokio::test]
async fn many_at_once_cannot_overspend() {
    let room = Room::new().await;
    room.run("INSERT INTO ai.budgets (scope, subject, period, cost) VALUES ('user', 'ada', 'month', 1.0)").await;
    room.first.says((0..40).map(|_| answer("x", 12, 10)));
    let nodes = [room.another(), room.another()];
    let asked = (0..40).map(|n| nodes[n % 2].complete(asker("ada"), short()));
    let answers = join_all(asked).await;
    let refused = answers
        .iter()
        .filter_map(|a| a.as_ref().err())
        .collect::<Vec<_>>();
    assert!(
        refused
            .iter()
            .all(|error| error.kind == ModelErrorKind::BudgetExceeded)
    );
    assert!(
        !refused.is_empty() && refused.len() < 40,
        "{}",
        refused.len()
    );
    let paid = 40 - refused.len();
    assert_eq!(room.first.calls(), paid, "who is refused is not sent");
    assert_eq!(
        room.one("SELECT (sum(cost) <= 1.0)::text FROM ai.calls")
            .await,
        "true"
    );
    assert_eq!(
        room.one("SELECT (cost_spent <= 1.0 AND cost_reserved = 0 AND tokens_reserved = 0)::text FROM ai.spending").await,
        "true"
    );
    // What refused calls had reserved is free, so one fits as long as there is room.
    let spent: f64 = room
        .one("SELECT cost_spent FROM ai.spending")
        .await
        .parse()
        .unwrap();
    assert!(
        (spent - 0.112 * f64::from(u32::try_from(paid).unwrap())).abs() < 1e-6,
        "{spent} for {paid}"
    );
}

#[tokio::test]
async fn a_budget_for_everybody_is_each_ones_own_and_an_own_one_outranks_it() {
    let room = Room::new().await;
    room.run(
        "INSERT INTO ai.budgets (scope, subject, period, tokens) VALUES ('user', '', 'day', 40), ('user', 'bob', 'day', 100000)",
    )
    .await;
    let ask = |name: &str| room.models.complete(asker(name), short());
    assert!(ask("ada").await.is_ok());
    assert!(ask("ada").await.is_ok());
    let refused = ask("ada").await.unwrap_err();
    assert!(
        refused.message.contains("day") && refused.message.contains("tokens"),
        "{refused}"
    );
    assert!(ask("eve").await.is_ok());
    for _ in 0..4 {
        assert!(ask("bob").await.is_ok());
    }
}

#[tokio::test]
async fn a_free_pass_at_one_model_is_none_at_a_dearer_one() {
    let room = Room::new().await;
    // Room for the first, which fails, and not for the second, at twice the price.
    room.run("INSERT INTO ai.budgets (scope, subject, period, cost) VALUES ('user', 'ada', 'total', 0.15)").await;
    room.first
        .says([Say::Refuse(401, "", serde_json::json!({}))]);
    let request = ChatRequest::to("coder").user("x").max_tokens(10);
    let error = room
        .models
        .complete(asker("ada"), request)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::BudgetExceeded);
    assert_eq!(room.second.calls(), 0);
    assert_eq!(
        room.one("SELECT cost_reserved::float8 FROM ai.spending")
            .await,
        "0"
    );
}

#[tokio::test]
async fn what_a_dead_server_held_is_given_back() {
    let room = Room::new().await;
    room.run("INSERT INTO ai.budgets (scope, subject, period, cost) VALUES ('user', 'ada', 'total', 0.2)").await;
    room.first.says([Say::Hang(text("once"))]);
    let mut stream = room.models.stream(asker("ada"), short()).await.unwrap();
    assert!(stream.next().await.is_some());
    // Nobody settles what is forgotten, as when the process is killed.
    std::mem::forget(stream);
    assert!(
        room.models.complete(asker("ada"), short()).await.is_err(),
        "it is still held"
    );
    room.run("UPDATE ai.calls SET until = now() - interval '1 second' WHERE finished_at IS NULL; \
        UPDATE ai_engine.holds SET until = now() - interval '1 second'; SELECT ai_engine.sweep(100)").await;
    assert_eq!(
        room.one("SELECT outcome FROM ai.calls ORDER BY started_at LIMIT 1")
            .await,
        "lost"
    );
    let left = "SELECT (cost_reserved = 0 AND cost_spent > 0 AND cost_spent < 0.05)::text FROM ai.spending";
    assert_eq!(
        room.one(left).await,
        "true",
        "asking is paid for, the answer is not"
    );
    assert!(room.models.complete(asker("ada"), short()).await.is_ok());
}

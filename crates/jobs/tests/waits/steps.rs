//! What was paid for once is not paid for again.

use serde_json::{Value, json};

use crate::support::{World, text};

#[tokio::test]
async fn a_result_is_kept_and_found_by_every_later_claim() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    assert_eq!(world.verdict(&first, "call", json!({})).await, "run");
    let ended = world
        .end(&first, "call", json!({"text": "hi"}), "0.5")
        .await;
    assert_eq!(ended, json!({"outcome": "kept", "winner": {"text": "hi"}}));
    let second = world.crash(&first).await;
    let hit = world.begin(&second, "call", json!({})).await;
    assert_eq!(text(&hit, "verdict"), "hit");
    assert_eq!(hit["result"], json!({"text": "hi"}));
    assert_eq!(world.told("step.completed").await, 1);
    world.check().await;
}

#[tokio::test]
async fn a_crash_before_the_answer_runs_again_with_the_same_token() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let began = world.begin(&first, "call", json!({})).await;
    // The message came twice.
    assert_eq!(world.begin(&first, "call", json!({})).await, began);
    let second = world.crash(&first).await;
    let again = world.begin(&second, "call", json!({})).await;
    assert_eq!(text(&again, "verdict"), "run");
    assert_eq!(again["idempotency_token"], began["idempotency_token"]);
    // The dead one asks again: it is another's job by now.
    assert_eq!(world.verdict(&first, "call", json!({})).await, "stale");
    world.check().await;
}

#[tokio::test]
async fn work_in_progress_at_the_provider_is_taken_up_again() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    world
        .begin(&first, "video", json!({"idempotent": false}))
        .await;
    let handle = "SELECT to_json(work_engine.step_handle($1::uuid, $2::integer, 'video', '{\"id\": \"op-7\"}'))";
    let kept = world.ask(handle, &[&first.job, &first.epoch]).await;
    assert_eq!(kept, json!("kept"));
    let second = world.crash(&first).await;
    let resumed = world
        .begin(&second, "video", json!({"idempotent": false}))
        .await;
    assert_eq!(text(&resumed, "verdict"), "resume");
    assert_eq!(resumed["handle"], json!({"id": "op-7"}));
    world.end(&second, "video", json!("done"), "1").await;
    let late = world.ask(handle, &[&first.job, &first.epoch]).await;
    assert_eq!(late, json!("stale"));
    world.check().await;
}

#[tokio::test]
async fn without_idempotency_nobody_knows_and_the_handler_decides() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let with = json!({"idempotent": false, "unit": "usd", "estimate": 2});
    world.begin(&first, "mail", with.clone()).await;
    let second = world.crash(&first).await;
    assert_eq!(
        world.verdict(&second, "mail", with.clone()).await,
        "in_doubt"
    );
    assert_eq!(
        world.verdict(&second, "mail", with.clone()).await,
        "in_doubt"
    );
    let fail = "SELECT to_json(work_engine.step_fail($1::uuid, $2::integer, 'mail', '{\"code\": \"lost\"}', true))";
    assert_eq!(
        world.ask(fail, &[&second.job, &second.epoch]).await,
        json!("kept")
    );
    assert_eq!(world.verdict(&second, "mail", with).await, "run");
    // It may have been paid, so it counts as paid.
    let cost = world.ask("SELECT to_json(cost) FROM work.steps", &[]).await;
    assert_eq!(cost, json!(2));
    world.check().await;
}

#[tokio::test]
async fn another_version_runs_anew_and_another_request_does_not() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t"})).await;
    let with = |version: &str, request: &str| json!({"version": version, "request": request});
    let began = world.begin(&claim, "call", with("1", "a")).await;
    assert_eq!(
        world.verdict(&claim, "call", with("1", "b")).await,
        "mismatch"
    );
    world.end(&claim, "call", json!(1), "0.1").await;
    assert_eq!(world.verdict(&claim, "call", with("1", "a")).await, "hit");
    assert_eq!(
        world.verdict(&claim, "call", with("1", "b")).await,
        "mismatch"
    );
    let anew = world.begin(&claim, "call", with("2", "b")).await;
    assert_eq!(text(&anew, "verdict"), "run");
    // Another question must not find the old answer at the provider.
    assert_ne!(anew["idempotency_token"], began["idempotency_token"]);
    world.end(&claim, "call", json!(2), "0.1").await;
    let hit = world.begin(&claim, "call", with("2", "b")).await;
    assert_eq!(hit["result"], json!(2));
    let cost = world.ask("SELECT to_json(cost) FROM work.steps", &[]).await;
    assert_eq!(cost, json!(0.2));
    world.check().await;
}

#[tokio::test]
async fn what_a_lost_claim_paid_for_is_kept_if_nobody_was_first() {
    let mut world = World::new().await;
    let zombie = world.running(json!({"type": "t"})).await;
    world.begin(&zombie, "call", json!({"unit": "usd"})).await;
    let live = world.crash(&zombie).await;
    assert_eq!(
        world.verdict(&live, "call", json!({"unit": "usd"})).await,
        "run"
    );
    let late = world.end(&zombie, "call", json!("zombie"), "3").await;
    assert_eq!(late, json!({"outcome": "late", "winner": "zombie"}));
    // The live one has paid as well: the first result wins, both costs count,
    // each once however often it is told.
    for _ in 0..2 {
        let second = world.end(&live, "call", json!("live"), "4").await;
        assert_eq!(second, json!({"outcome": "superseded", "winner": "zombie"}));
    }
    let again = world.end(&zombie, "call", json!("zombie"), "3").await;
    assert_eq!(text(&again, "outcome"), "late");
    let booked = "SELECT json_build_array((SELECT cost FROM work.steps), sum(amount)) FROM work.ledger WHERE kind = 'settle'";
    assert_eq!(world.ask(booked, &[]).await, json!([7, 7]));
    assert_eq!(world.verdict(&live, "call", json!({})).await, "hit");
    world.check().await;
}

#[tokio::test]
async fn a_late_result_of_another_version_is_booked_and_not_kept() {
    let mut world = World::new().await;
    let zombie = world.running(json!({"type": "t"})).await;
    world
        .begin(&zombie, "call", json!({"version": "1", "unit": "usd"}))
        .await;
    let live = world.crash(&zombie).await;
    let with = json!({"version": "2", "unit": "usd"});
    assert_eq!(world.verdict(&live, "call", with.clone()).await, "run");
    let late = world.end(&zombie, "call", json!("old"), "3").await;
    assert_eq!(late, json!({"outcome": "superseded", "winner": null}));
    let ended = world.end(&live, "call", json!("new"), "4").await;
    assert_eq!(ended, json!({"outcome": "kept", "winner": "new"}));
    let cost = world.ask("SELECT to_json(cost) FROM work.steps", &[]).await;
    assert_eq!(cost, json!(7));
    world.check().await;
}

#[tokio::test]
async fn a_failed_call_may_be_made_again() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t"})).await;
    let began = world.begin(&claim, "call", json!({})).await;
    let fail = "SELECT to_json(work_engine.step_fail($1::uuid, $2::integer, $3, '{\"code\": \"503\"}', false))";
    let failed = world.ask(fail, &[&claim.job, &claim.epoch, "call"]).await;
    assert_eq!(failed, json!("kept"));
    let again = world.begin(&claim, "call", json!({})).await;
    assert_eq!(text(&again, "verdict"), "run");
    assert_eq!(again["idempotency_token"], began["idempotency_token"]);
    assert_eq!(
        world
            .refused(fail, &[&claim.job, &claim.epoch, "never"])
            .await,
        "PT404 not_found"
    );
    world.check().await;
}

#[tokio::test]
async fn results_and_handles_are_bounded() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t"})).await;
    world.begin(&claim, "call", json!({})).await;
    let end = "SELECT to_json(s) FROM work_engine.step_end($1::uuid, $2::integer, 'call', to_jsonb(repeat('x', $3::integer))) AS s";
    let params = |n: &'static str| [claim.job.clone(), claim.epoch.clone(), n.to_owned()];
    let too_large = params("1048576");
    let too_large: Vec<&str> = too_large.iter().map(String::as_str).collect();
    assert_eq!(world.refused(end, &too_large).await, "PT413 too_large");
    let fits = params("1048000");
    let fits: Vec<&str> = fits.iter().map(String::as_str).collect();
    assert_eq!(text(&world.ask(end, &fits).await, "outcome"), "kept");
    let handle = "SELECT work_engine.step_handle($1::uuid, $2::integer, 'call', to_jsonb(repeat('x', 16384)))";
    let refused = world.refused(handle, &[&claim.job, &claim.epoch]).await;
    assert_eq!(refused, "PT413 too_large");
    world.check().await;
}

#[tokio::test]
async fn one_key_is_one_step_however_many_begin_it_at_once() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t"})).await;
    let mut tokens = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut session = crate::support::connect(&world.db).await;
        let claim = claim.clone();
        tasks.spawn(async move {
            crate::support::begin(&mut session, &claim, "call", &json!({})).await
        });
    }
    while let Some(began) = tasks.join_next().await {
        let began: Value = began.expect("no deadlock");
        assert_eq!(text(&began, "verdict"), "run");
        tokens.push(text(&began, "idempotency_token"));
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    world.check().await;
}

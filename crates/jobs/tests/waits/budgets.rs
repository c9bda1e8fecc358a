//! Nobody spends more than the cap, and raising it lets exactly that go on
//! which it had stopped.

use serde_json::{Value, json};

use crate::support::{Claim, NULL, World, begin, connect, text};

const ROW: &str = "SELECT json_build_array(trim_scale(spent), trim_scale(reserved)) FROM work.budgets WHERE job_id = $1::uuid AND unit = $2";
/// The ledger says what the budget says: spent, reserved.
const LEDGER: &str = "SELECT json_build_array(
    coalesce(trim_scale(sum(amount) FILTER (WHERE kind = 'settle')), 0),
    coalesce(trim_scale(sum(amount) FILTER (WHERE kind IN ('reserve', 'release'))), 0))
    FROM work.ledger WHERE unit = $1";
const SET: &str = "SELECT coalesce(json_agg(b.id), '[]') FROM work_engine.set_budget($1::uuid, $2, $3::numeric) AS b";

fn usd(estimate: f64) -> Value {
    json!({"unit": "usd", "estimate": estimate})
}

fn root(budget: &Value) -> Value {
    json!({"type": "root", "budget": budget})
}

#[tokio::test]
async fn an_estimate_is_reserved_and_the_cost_is_settled() {
    let mut world = World::new().await;
    let claim = world
        .running(root(&json!([{"unit": "usd", "cap": 10, "soft_cap": 5}])))
        .await;
    let row = |usd: [i32; 2]| json!(usd);
    assert_eq!(world.verdict(&claim, "a", usd(4.0)).await, "run");
    assert_eq!(world.ask(ROW, &[&claim.job, "usd"]).await, row([0, 4]));
    world.end(&claim, "a", json!(1), "3").await;
    assert_eq!(world.ask(ROW, &[&claim.job, "usd"]).await, row([3, 0]));
    assert_eq!(world.told("budget.warning").await, 0);
    // What fails may have cost nothing, or what was reserved.
    let fail =
        "SELECT to_json(work_engine.step_fail($1::uuid, $2::integer, $3, NULL, $4::boolean))";
    for (key, charged) in [("b", "false"), ("c", "true")] {
        assert_eq!(world.verdict(&claim, key, usd(2.0)).await, "run");
        world
            .ask(fail, &[&claim.job, &claim.epoch, key, charged])
            .await;
    }
    assert_eq!(world.ask(ROW, &[&claim.job, "usd"]).await, row([5, 0]));
    assert_eq!(world.told("budget.warning").await, 1);
    // Without a cost, it was the estimate.
    assert_eq!(world.verdict(&claim, "d", usd(1.0)).await, "run");
    world.end(&claim, "d", json!(1), NULL).await;
    assert_eq!(world.ask(ROW, &[&claim.job, "usd"]).await, row([6, 0]));
    assert_eq!(world.ask(LEDGER, &["usd"]).await, row([6, 0]));
    assert_eq!(world.told("budget.warning").await, 1);
    world.check().await;
}

#[tokio::test]
async fn every_budget_above_counts_in_every_unit() {
    let mut world = World::new().await;
    let made = world
        .submit(json!([
            {"ref": "root", "type": "g", "group": true, "budget": [{"unit": "usd", "cap": 10}, {"unit": "tokens", "cap": 1000}]},
            {"ref": "mid", "parent_ref": "root", "type": "g", "group": true, "budget": [{"unit": "usd", "cap": 3, "on_exceed": "fail"}]},
            {"parent_ref": "mid", "type": "leaf"}
        ]))
        .await;
    let [top, mid] = [0, 1].map(|n| made.get(n).expect("made").clone());
    let claim = world.claim().await.expect("the leaf");
    assert_eq!(world.verdict(&claim, "a", usd(2.0)).await, "run");
    let end = "SELECT to_json(s) FROM work_engine.step_end($1::uuid, $2::integer, 'a', '1', 2.5, '{\"tokens\": 700, \"model\": \"x\"}') AS s";
    world.ask(end, &[&claim.job, &claim.epoch]).await;
    for job in [&top, &mid] {
        assert_eq!(world.ask(ROW, &[job, "usd"]).await, json!([2.5, 0]));
    }
    assert_eq!(world.ask(ROW, &[&top, "tokens"]).await, json!([700, 0]));
    let refused = world.begin(&claim, "b", usd(1.0)).await;
    assert_eq!(text(&refused, "verdict"), "over_budget");
    assert_eq!(refused["result"]["job_id"], json!(mid));
    assert_eq!(refused["result"]["cap"], json!(3));
    // `fail` leaves it to the job, which may try something cheaper.
    assert_eq!(world.state(&claim.job).await, "running");
    assert_eq!(world.verdict(&claim, "b", usd(0.5)).await, "run");
    let tokens = world
        .begin(&claim, "c", json!({"unit": "tokens", "estimate": 301}))
        .await;
    assert_eq!(tokens["result"]["job_id"], json!(top));
    assert_eq!(world.state(&claim.job).await, "paused");
    world.check().await;
}

#[tokio::test]
async fn two_hundred_steps_at_once_reserve_the_cap_and_no_more() {
    let mut world = World::new().await;
    let mut jobs = vec![
        json!({"ref": "root", "type": "g", "group": true, "budget": [{"unit": "usd", "cap": 100}]}),
    ];
    jobs.extend((0..200).map(|_| json!({"parent_ref": "root", "type": "leaf"})));
    let made = world.submit(json!(jobs)).await;
    let top = made.first().expect("the root").clone();
    let claims = "SELECT json_agg(json_build_array(c.id, c.epoch)) FROM work_engine.claim(
                  'worker', '{default}', NULL, NULL, true, 200, '1 minute', 'v1') AS c";
    let claims: Vec<(String, i32)> =
        serde_json::from_value(world.ask(claims, &[]).await).expect("claims");
    assert_eq!(claims.len(), 200);
    let mut racing = tokio::task::JoinSet::new();
    for part in claims.chunks(10) {
        let mut session = connect(&world.db).await;
        let part = part.to_vec();
        racing.spawn(async move {
            let mut verdicts = Vec::new();
            for (job, epoch) in part {
                let claim = Claim {
                    job,
                    epoch: epoch.to_string(),
                };
                let with = json!({"unit": "usd", "estimate": 1});
                verdicts.push(text(
                    &begin(&mut session, &claim, "call", &with).await,
                    "verdict",
                ));
            }
            verdicts
        });
    }
    let mut run = 0;
    while let Some(verdicts) = racing.join_next().await {
        let verdicts = verdicts.expect("no deadlock");
        run += verdicts.iter().filter(|v| *v == "run").count();
        assert!(
            verdicts
                .iter()
                .all(|v| ["run", "over_budget", "stale"].contains(&v.as_str())),
            "{verdicts:?}"
        );
    }
    assert_eq!(run, 100);
    assert_eq!(world.ask(ROW, &[&top, "usd"]).await, json!([0, 100]));
    assert_eq!(world.told("budget.exceeded").await, 1);
    assert_eq!(world.state(&top).await, "paused");
    // With more money everything is done, and what was begun is not paid twice.
    let resumed = world.ask(SET, &[&top, "usd", "250"]).await;
    assert_eq!(resumed.as_array().map(Vec::len), Some(201));
    while let Some(claim) = world.claim().await {
        assert_eq!(world.verdict(&claim, "call", usd(1.0)).await, "run");
        world.end(&claim, "call", json!(1), "1").await;
        world.finish(&claim).await;
    }
    assert_eq!(world.state(&top).await, "completed");
    assert_eq!(world.ask(ROW, &[&top, "usd"]).await, json!([200, 0]));
    assert_eq!(world.ask(LEDGER, &["usd"]).await, json!([200, 0]));
    assert_eq!(world.told("budget.exceeded").await, 1);
    world.check().await;
}

#[tokio::test]
async fn raising_a_cap_resumes_what_the_budget_stopped_and_nothing_else() {
    let mut world = World::new().await;
    let made = world
        .submit(json!([
            {"ref": "root", "type": "g", "group": true, "budget": [{"unit": "usd", "cap": 1}]},
            {"parent_ref": "root", "type": "leaf"},
            {"parent_ref": "root", "type": "leaf"},
            {"parent_ref": "root", "type": "leaf"}
        ]))
        .await;
    let [top, first, by_hand] = [0, 1, 3].map(|n| made.get(n).expect("made").clone());
    world
        .ask(
            "SELECT count(*) FROM work_engine.pause($1::uuid)",
            &[&by_hand],
        )
        .await;
    let claim = world.claim().await.expect("a leaf");
    assert_eq!(claim.job, first);
    assert_eq!(world.verdict(&claim, "a", usd(2.0)).await, "over_budget");
    let reasons = "SELECT json_agg(DISTINCT split_part(coalesce(reason, '-'), ':', 2)) FROM work.jobs WHERE id <> $1::uuid AND state = 'paused'";
    assert_eq!(world.ask(reasons, &[&by_hand]).await, json!(["usd"]));
    // Too little still: nothing goes on only to be stopped again.
    assert_eq!(world.ask(SET, &[&top, "usd", "0"]).await, json!([]));
    let resumed = world.ask(SET, &[&top, "usd", "5"]).await;
    assert_eq!(resumed.as_array().map(Vec::len), Some(3));
    assert_eq!(world.state(&by_hand).await, "paused");
    assert_eq!(world.state(&top).await, "running/children");
    let again = world.claim().await.expect("it goes on");
    assert_eq!(world.verdict(&again, "a", usd(2.0)).await, "run");
    // A second time, of which one is told again.
    let more = world.begin(&again, "b", usd(4.0)).await;
    assert_eq!(text(&more, "verdict"), "over_budget");
    assert_eq!(world.told("budget.exceeded").await, 2);
    let failures = "SELECT sum(failures + crashes) FROM work.jobs";
    assert_eq!(world.ask(failures, &[]).await, json!(0));
    world.check().await;
}

#[tokio::test]
async fn whoever_is_asked_for_more_raises_the_cap_with_the_answer() {
    let mut world = World::new().await;
    let job = json!({"type": "root", "owner": "ann", "budget": [{"unit": "usd", "cap": 1, "on_exceed": "ask"}]});
    let claim = world.running(job).await;
    assert_eq!(world.verdict(&claim, "a", usd(2.0)).await, "over_budget");
    assert_eq!(world.state(&claim.job).await, "paused");
    let approval = world
        .ask(
            "SELECT json_build_array(id, owner, state) FROM work.approvals",
            &[],
        )
        .await;
    assert_eq!(
        (&approval[1], &approval[2]),
        (&json!("ann"), &json!("pending"))
    );
    let id = approval[0].as_str().expect("an id").to_owned();
    let answer = "SELECT to_json(a) FROM work_engine.answer($1::uuid, $2::jsonb, 'ann') AS a";
    assert_eq!(world.refused(answer, &[&id, "{}"]).await, "PT422 invalid");
    assert_eq!(
        text(&world.ask(answer, &[&id, "{\"cap\": 3}"]).await, "state"),
        "answered"
    );
    assert_eq!(world.state(&claim.job).await, "queued");
    let state = world
        .ask("SELECT json_agg(state) FROM work.approvals", &[])
        .await;
    assert_eq!(state, json!(["answered"]));
    let again = world.claim().await.expect("it goes on");
    assert_eq!(world.verdict(&again, "a", usd(2.0)).await, "run");
    // Asked once more, of the new cap; raised by hand, nobody need answer.
    assert_eq!(world.verdict(&again, "b", usd(2.0)).await, "over_budget");
    world.ask(SET, &[&claim.job, "usd", "9"]).await;
    let state = world
        .ask(
            "SELECT json_agg(state ORDER BY id) FROM work.approvals",
            &[],
        )
        .await;
    assert_eq!(state, json!(["answered", "withdrawn"]));
    world.check().await;
}

#[tokio::test]
async fn calls_and_seconds_are_counted_without_being_named() {
    let mut world = World::new().await;
    let caps = json!([{"unit": "calls", "cap": 2, "on_exceed": "fail"}, {"unit": "seconds", "cap": 60, "on_exceed": "fail"}]);
    let claim = world.running(root(&caps)).await;
    assert_eq!(world.verdict(&claim, "a", json!({})).await, "run");
    assert_eq!(world.verdict(&claim, "a", json!({})).await, "run");
    let slow = "WITH s AS (UPDATE work.steps SET started_at = started_at - interval '100 seconds') SELECT 1";
    world.ask(slow, &[]).await;
    world.end(&claim, "a", json!(1), NULL).await;
    assert_eq!(world.ask(ROW, &[&claim.job, "calls"]).await, json!([1, 0]));
    let seconds = world.ask(ROW, &[&claim.job, "seconds"]).await;
    assert!(seconds[0].as_f64().is_some_and(|s| s >= 100.0), "{seconds}");
    assert_eq!(world.verdict(&claim, "a", json!({})).await, "hit");
    let late = world.begin(&claim, "b", json!({})).await;
    assert_eq!(late["result"]["unit"], json!("seconds"));
    world.ask(SET, &[&claim.job, "seconds", "1000"]).await;
    assert_eq!(world.verdict(&claim, "b", json!({})).await, "run");
    let third = world.begin(&claim, "c", json!({})).await;
    assert_eq!(third["result"]["unit"], json!("calls"));
    world.check().await;
}

#[tokio::test]
async fn a_budget_that_comes_later_knows_what_was_spent() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "root"})).await;
    world.begin(&claim, "a", usd(2.0)).await;
    world.end(&claim, "a", json!(1), "2").await;
    world.begin(&claim, "b", usd(3.0)).await;
    world.ask(SET, &[&claim.job, "usd", "6"]).await;
    assert_eq!(world.ask(ROW, &[&claim.job, "usd"]).await, json!([2, 3]));
    world.ask(SET, &[&claim.job, "calls", "6"]).await;
    assert_eq!(world.ask(ROW, &[&claim.job, "calls"]).await, json!([2, 0]));
    assert_eq!(world.verdict(&claim, "c", usd(2.0)).await, "over_budget");
    let wrong = "SELECT work_engine.set_budget($1::uuid, $2, $3::numeric)";
    for (unit, cap) in [("gold", "1"), ("usd", "-1"), ("usd", "NaN")] {
        assert_eq!(
            world.refused(wrong, &[&claim.job, unit, cap]).await,
            "PT400 invalid"
        );
    }
    world.check().await;
}

#[tokio::test]
async fn what_a_dead_claim_reserved_stays_until_the_step_is_over() {
    let mut world = World::new().await;
    let first = world
        .running(root(&json!([{"unit": "usd", "cap": 3}])))
        .await;
    world.begin(&first, "a", usd(2.0)).await;
    let second = world.crash(&first).await;
    assert_eq!(world.ask(ROW, &[&first.job, "usd"]).await, json!([0, 2]));
    assert_eq!(world.verdict(&second, "a", usd(2.0)).await, "run");
    assert_eq!(world.ask(ROW, &[&first.job, "usd"]).await, json!([0, 2]));
    world.finish(&second).await;
    let release = "SELECT work_engine.release_reserved(10)";
    assert_eq!(world.ask(release, &[]).await, json!(0));
    let old =
        "WITH o AS (UPDATE work.jobs SET finished_at = finished_at - interval '1 hour') SELECT 1";
    world.ask(old, &[]).await;
    assert_eq!(world.ask(release, &[]).await, json!(1));
    assert_eq!(world.ask(ROW, &[&first.job, "usd"]).await, json!([0, 0]));
    // And if it comes all the same, it is booked.
    assert_eq!(
        text(&world.end(&second, "a", json!(1), "2").await, "outcome"),
        "late"
    );
    assert_eq!(world.ask(ROW, &[&first.job, "usd"]).await, json!([2, 0]));
    assert_eq!(world.ask(LEDGER, &["usd"]).await, json!([2, 0]));
    world.check().await;
}

#[tokio::test]
async fn steps_of_a_tree_that_is_stopped_and_let_go_do_not_deadlock() {
    let mut world = World::new().await;
    let mut jobs = vec![
        json!({"ref": "root", "type": "g", "group": true, "budget": [{"unit": "usd", "cap": 5}]}),
    ];
    jobs.extend(
        (0..40).map(|_| json!({"parent_ref": "root", "type": "leaf", "max_attempts": 1000})),
    );
    let made = world.submit(json!(jobs)).await;
    let top = made.first().expect("the root").clone();
    let mut racing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let mut session = connect(&world.db).await;
        let top = top.clone();
        racing.spawn(async move {
            if n == 0 {
                for cap in 6..60 {
                    let cap = cap.to_string();
                    crate::support::ask(&mut session, SET, &[&top, "usd", &cap]).await.expect("no deadlock");
                    tokio::task::yield_now().await;
                }
                return;
            }
            for _ in 0..60 {
                let Some(claim) = crate::support::claim(&mut session).await else {
                    continue;
                };
                let with = json!({"unit": "usd", "estimate": 1});
                let verdict = text(&begin(&mut session, &claim, "call", &with).await, "verdict");
                if verdict == "run" {
                    let end = "SELECT to_json(s) FROM work_engine.step_end($1::uuid, $2::integer, 'call', '1', 1) AS s";
                    crate::support::ask(&mut session, end, &[&claim.job, &claim.epoch]).await.expect("no deadlock");
                }
                if verdict == "run" || verdict == "hit" {
                    crate::support::finish(&mut session, &claim).await;
                }
            }
        });
    }
    while let Some(done) = racing.join_next().await {
        done.expect("no deadlock");
    }
    world.ask(SET, &[&top, "usd", "100"]).await;
    let rescue =
        "WITH late AS (UPDATE work.jobs SET lease_until = clock_timestamp() - interval '1 second'
                  WHERE lease_until IS NOT NULL) SELECT 1";
    world.ask(rescue, &[]).await;
    world.ask("SELECT work_engine.rescue(100)", &[]).await;
    while let Some(claim) = world.claim().await {
        if world.verdict(&claim, "call", usd(1.0)).await == "run" {
            world.end(&claim, "call", json!(1), "1").await;
        }
        world.finish(&claim).await;
    }
    world.ask("SELECT work_engine.arrive_some(1000)", &[]).await;
    assert_eq!(world.state(&top).await, "completed");
    let steps =
        "SELECT json_build_array(count(*), sum(tries) >= 40) FROM work.steps WHERE state = 'done'";
    assert_eq!(world.ask(steps, &[]).await, json!([40, true]));
    // Some were paid for twice, by a claim that had lost its job and the next
    // one: both are on the bill.
    let bill = world.ask(LEDGER, &["usd"]).await;
    assert_eq!(world.ask(ROW, &[&top, "usd"]).await, bill);
    assert!(
        bill[0].as_i64() >= Some(40) && bill[1] == json!(0),
        "{bill}"
    );
    world.check().await;
}

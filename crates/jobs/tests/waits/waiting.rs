//! Jobs that wait hold nothing, are woken once, and replay the same.

use serde_json::{Value, json};

use crate::support::{Claim, World, text};

/// What a claim brings of the job's steps.
async fn steps_of(world: &mut World, job: &str) -> Value {
    let sql = "SELECT work_engine.done_steps($1::uuid)";
    world.ask(sql, &[job]).await
}

async fn woken(world: &mut World, job: &str) -> Claim {
    let claim = world.claim().await.expect("it is queued again");
    assert_eq!(claim.job, job);
    claim
}

#[tokio::test]
async fn a_timer_gives_the_worker_back_and_the_job_later() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let waits = json!([{"key": "nap", "kind": "timer", "due_ms": 3_600_000}]);
    let suspended = world.suspend(&first, waits.clone(), "any").await;
    assert_eq!(suspended, json!({"state": "suspended", "steps": {}}));
    assert_eq!(world.state(&first.job).await, "running/timer");
    // No lease: nobody rescues what nobody runs.
    let lease = "SELECT to_json(lease_until IS NULL AND worker IS NULL) FROM work.jobs";
    assert_eq!(world.ask(lease, &[]).await, json!(true));
    assert_eq!(
        world.ask("SELECT work_engine.promote(100)", &[]).await,
        json!(0)
    );
    world.pass_time().await;
    let second = woken(&mut world, &first.job).await;
    let ready = world.suspend(&second, waits, "any").await;
    assert_eq!(
        ready,
        json!({"state": "ready", "steps": {"nap": {"state": "done", "result": null}}})
    );
    let failures = "SELECT json_build_array(failures, crashes) FROM work.jobs";
    assert_eq!(world.ask(failures, &[]).await, json!([0, 0]));
    // The dead claim waits for nothing any more.
    let stale = world
        .suspend(&first, json!([{"key": "k", "kind": "signal"}]), "any")
        .await;
    assert_eq!(text(&stale, "state"), "stale");
    world.check().await;
}

#[tokio::test]
async fn a_signal_wakes_and_one_that_came_before_is_taken_at_once() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    world.signal(&first.job, "go", json!(1)).await;
    world.signal(&first.job, "go", json!(2)).await;
    let once = json!([{"key": "first", "kind": "signal", "name": "go"}]);
    let ready = world.suspend(&first, once, "any").await;
    assert_eq!(ready["steps"]["first"]["result"], json!(1));
    let twice = json!([{"key": "second", "kind": "signal", "name": "go"}]);
    let ready = world.suspend(&first, twice, "any").await;
    assert_eq!(ready["steps"]["second"]["result"], json!(2));
    let third = json!([{"key": "third", "kind": "signal", "name": "go"}]);
    let suspended = world.suspend(&first, third, "any").await;
    assert_eq!(text(&suspended, "state"), "suspended");
    world.signal(&first.job, "other", json!("ignored")).await;
    assert_eq!(world.state(&first.job).await, "running/signal");
    world.signal(&first.job, "go", json!(3)).await;
    assert_eq!(world.state(&first.job).await, "queued");
    let steps = steps_of(&mut world, &first.job).await;
    assert_eq!(steps["third"]["result"], json!(3));
    world.check().await;
}

#[tokio::test]
async fn a_signal_with_a_key_is_sent_once() {
    let mut world = World::new().await;
    let made = world.submit(json!({"type": "t"})).await;
    let job = made.first().expect("a job").clone();
    let sql = "SELECT to_json(s) FROM work_engine.signal($1::uuid, 'go', '1', 'once') AS s";
    let first = world.ask(sql, &[&job]).await;
    let second = world.ask(sql, &[&job]).await;
    assert_eq!(
        (&first["is_new"], &second["is_new"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(first["id"], second["id"]);
    let nobody = "SELECT work_engine.signal('00000000-0000-7000-8000-000000000000', 'go')";
    assert_eq!(world.refused(nobody, &[]).await, "PT404 not_found");
    let claim = world.claim().await.expect("a claim");
    world.finish(&claim).await;
    let late = "SELECT work_engine.signal($1::uuid, 'late')";
    assert_eq!(world.refused(late, &[&job]).await, "PT409 conflict");
    // The one that was sent before the end is the same signal still.
    assert_eq!(world.ask(sql, &[&job]).await["id"], first["id"]);
    world.check().await;
}

#[tokio::test]
async fn signals_that_nobody_takes_are_a_thousand_at_most() {
    let mut world = World::new().await;
    let made = world.submit(json!({"type": "t"})).await;
    let job = made.first().expect("a job").clone();
    let fill = "SELECT count(work_engine.signal($1::uuid, 'go')) FROM generate_series(1, 1000)";
    assert_eq!(world.ask(fill, &[&job]).await, json!(1000));
    let more = "SELECT work_engine.signal($1::uuid, 'go')";
    assert_eq!(world.refused(more, &[&job]).await, "PT429 over_limit");
    world.check().await;
}

#[tokio::test]
async fn of_several_waits_one_wins_for_ever() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let waits = json!([
        {"key": "yes", "kind": "signal"},
        {"key": "late", "kind": "timer", "due_ms": 60_000},
        {"key": "ask", "kind": "approval", "prompt": "Well?"},
    ]);
    world.suspend(&first, waits.clone(), "any").await;
    assert_eq!(world.state(&first.job).await, "running/approval");
    world.pass_time().await;
    assert_eq!(world.state(&first.job).await, "queued");
    // What comes too late changes nothing: not the step, not the replay.
    world.signal(&first.job, "yes", json!(true)).await;
    let second = woken(&mut world, &first.job).await;
    world.signal(&first.job, "yes", json!(true)).await;
    let ready = world.suspend(&second, waits, "any").await;
    assert_eq!(
        ready,
        json!({"state": "ready", "steps": {"late": {"state": "done", "result": null}}})
    );
    let asked = "SELECT to_json(state) FROM work.approvals";
    assert_eq!(world.ask(asked, &[]).await, json!("withdrawn"));
    world.check().await;
}

#[tokio::test]
async fn all_waits_means_all() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let waits = json!([
        {"key": "a", "kind": "signal"},
        {"key": "b", "kind": "signal", "due_ms": 60_000},
        {"key": "t", "kind": "timer", "due_ms": 60_000},
    ]);
    world.suspend(&first, waits.clone(), "all").await;
    world.signal(&first.job, "a", json!(1)).await;
    assert_eq!(world.state(&first.job).await, "running/signal");
    world.pass_time().await;
    let second = woken(&mut world, &first.job).await;
    let ready = world.suspend(&second, waits, "all").await;
    assert_eq!(
        ready["steps"],
        json!({
            "a": {"state": "done", "result": 1},
            "b": {"state": "expired", "result": null},
            "t": {"state": "done", "result": null},
        })
    );
    let steps = steps_of(&mut world, &first.job).await;
    assert_eq!(steps["b"]["state"], json!("expired"));
    world.check().await;
}

#[tokio::test]
async fn a_timer_does_not_begin_again_with_every_replay() {
    let mut world = World::new().await;
    let first = world.running(json!({"type": "t"})).await;
    let waits =
        json!([{"key": "a", "kind": "signal"}, {"key": "t", "kind": "timer", "due_ms": 60_000}]);
    world.suspend(&first, waits.clone(), "all").await;
    let due = "SELECT to_json(due_at) FROM work.steps WHERE key = 't'";
    let before = world.ask(due, &[]).await;
    // A crash of the handler between two waits of the same set.
    let woken_up = "WITH w AS (UPDATE work.jobs SET state = 'queued', waiting_on = NULL) SELECT 1";
    world.ask(woken_up, &[]).await;
    let second = woken(&mut world, &first.job).await;
    world.suspend(&second, waits, "all").await;
    assert_eq!(world.ask(due, &[]).await, before);
    world.check().await;
}

#[tokio::test]
async fn children_are_waited_for_unless_they_are_over() {
    let mut world = World::new().await;
    let parent = world.running(json!({"type": "parent"})).await;
    let waits = json!([{"key": "shots", "kind": "children"}]);
    let none = world.suspend(&parent, waits.clone(), "any").await;
    assert_eq!(
        none["steps"]["shots"]["result"],
        json!({"total": 0, "failed": 0})
    );
    let spawn = "SELECT json_agg(s.id) FROM work_engine.spawn($1::uuid, $2::integer, '[{\"type\": \"c\"}, {\"type\": \"c\"}]') AS s";
    world.ask(spawn, &[&parent.job, &parent.epoch]).await;
    let waits = json!([{"key": "more", "kind": "children"}]);
    let suspended = world.suspend(&parent, waits.clone(), "any").await;
    assert_eq!(text(&suspended, "state"), "suspended");
    for _ in 0..2 {
        assert_eq!(world.state(&parent.job).await, "running/children");
        let child = world.claim().await.expect("a child");
        world.finish(&child).await;
    }
    let again = woken(&mut world, &parent.job).await;
    let steps = steps_of(&mut world, &parent.job).await;
    assert_eq!(steps["more"]["result"], json!({"total": 2, "failed": 0}));
    let ready = world.suspend(&again, waits, "any").await;
    assert_eq!(text(&ready, "state"), "ready");
    world.check().await;
}

#[tokio::test]
async fn children_and_a_signal_are_waited_for_together() {
    let mut world = World::new().await;
    let parent = world.running(json!({"type": "parent"})).await;
    let spawn = "SELECT json_agg(s.id) FROM work_engine.spawn($1::uuid, $2::integer, '[{\"type\": \"c\"}]') AS s";
    world.ask(spawn, &[&parent.job, &parent.epoch]).await;
    let waits = json!([{"key": "shots", "kind": "children"}, {"key": "go", "kind": "signal"}]);
    world.suspend(&parent, waits, "all").await;
    assert_eq!(world.state(&parent.job).await, "running/children");
    let child = world.claim().await.expect("a child");
    world.finish(&child).await;
    assert_eq!(world.state(&parent.job).await, "running/signal");
    world.signal(&parent.job, "go", json!(null)).await;
    assert_eq!(world.state(&parent.job).await, "queued");
    let steps = steps_of(&mut world, &parent.job).await;
    assert_eq!(steps["shots"]["result"], json!({"total": 1, "failed": 0}));
    world.check().await;
}

#[tokio::test]
async fn slow_children_are_given_up_when_their_time_is_over() {
    let mut world = World::new().await;
    let parent = world.running(json!({"type": "parent"})).await;
    let spawn = "SELECT json_agg(s.id) FROM work_engine.spawn($1::uuid, $2::integer, '[{\"type\": \"c\"}]') AS s";
    world.ask(spawn, &[&parent.job, &parent.epoch]).await;
    let waits = json!([{"key": "shots", "kind": "children", "due_ms": 1000}]);
    world.suspend(&parent, waits.clone(), "any").await;
    let child = world.claim().await.expect("the child");
    world.pass_time().await;
    let again = woken(&mut world, &parent.job).await;
    let ready = world.suspend(&again, waits, "any").await;
    assert_eq!(ready["steps"]["shots"]["state"], json!("expired"));
    assert_eq!(world.finish(&child).await, json!("completed"));
    world.check().await;
}

#[tokio::test]
async fn what_is_no_wait_is_refused() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t"})).await;
    world.begin(&claim, "call", json!({})).await;
    let sql = "SELECT work_engine.suspend($1::uuid, $2::integer, $3::jsonb, $4)";
    for (waits, mode, refusal) in [
        (json!([]), "any", "PT400 invalid"),
        (json!({}), "any", "PT400 invalid"),
        (
            json!([{"key": "a", "kind": "signal"}]),
            "most",
            "PT400 invalid",
        ),
        (
            json!([{"key": "a", "kind": "moon"}]),
            "any",
            "PT400 invalid",
        ),
        (json!([{"kind": "signal"}]), "any", "PT400 invalid"),
        (
            json!([{"key": "a", "kind": "timer"}]),
            "any",
            "PT400 invalid",
        ),
        (
            json!([{"key": "a", "kind": "timer", "due_ms": 1e15}]),
            "any",
            "PT400 invalid",
        ),
        (
            json!([{"key": "a", "kind": "timer", "due_ms": "soon"}]),
            "any",
            "PT400 invalid",
        ),
        (
            json!([{"key": "budget:usd:1", "kind": "approval"}]),
            "any",
            "PT400 invalid",
        ),
        (
            json!([{"key": "a", "kind": "approval", "form": 1}]),
            "any",
            "PT400 invalid",
        ),
        (
            json!([{"key": "call", "kind": "signal"}]),
            "any",
            "PT409 conflict",
        ),
        (
            json!(vec![json!({"key": "a", "kind": "signal"}); 101]),
            "any",
            "PT400 invalid",
        ),
    ] {
        let params = [claim.job.as_str(), &claim.epoch, &waits.to_string(), mode];
        assert_eq!(world.refused(sql, &params).await, refusal, "{waits}");
    }
    assert_eq!(world.state(&claim.job).await, "running");
    world.check().await;
}

#[tokio::test]
async fn what_waits_can_be_listed() {
    let mut world = World::new().await;
    let claim = world.running(json!({"type": "t", "owner": "ann"})).await;
    let waits = json!([{"key": "ok", "kind": "approval", "prompt": "Ship it?", "assignee": "bob"}]);
    world.suspend(&claim, waits, "any").await;
    world
        .submit(json!({"type": "later", "owner": "eve", "delay_ms": 60_000}))
        .await;
    let list =
        "SELECT json_agg(json_build_array(key, kind, prompt) ORDER BY kind) FROM work.waiting";
    assert_eq!(
        world.ask(list, &[]).await,
        json!([["ok", "approval", "Ship it?"], [null, "time", null]])
    );
    // As somebody who is neither owner nor asked.
    let mut admin = world.db.session().await;
    for (who, seen) in [("ann", "1"), ("eve", "1"), ("mallory", "0")] {
        let claims = json!({"sub": who}).to_string();
        let script = format!(
            "BEGIN; SELECT set_config('request.jwt.claims', '{claims}', true); SET LOCAL ROLE authenticated;
             SELECT count(*) FROM work.waiting; COMMIT"
        );
        let results = admin.script(&script).await.expect("it may be read");
        let listed = results.iter().rev().nth(1).and_then(pg::Rows::scalar);
        assert_eq!(listed, Some(seen), "{who}");
    }
    world.check().await;
}

#[tokio::test]
async fn signals_and_timers_at_once_wake_a_job_once() {
    let mut world = World::new().await;
    for _ in 0..10 {
        let claim = world.running(json!({"type": "t"})).await;
        let waits =
            json!([{"key": "go", "kind": "signal"}, {"key": "t", "kind": "timer", "due_ms": 1}]);
        let suspended = world.suspend(&claim, waits, "any").await;
        if text(&suspended, "state") == "ready" {
            world.finish(&claim).await;
            continue;
        }
        let mut racing = tokio::task::JoinSet::new();
        for n in 0..4 {
            let mut session = crate::support::connect(&world.db).await;
            let job = claim.job.clone();
            racing.spawn(async move {
                if n % 2 == 0 {
                    let sql = "SELECT to_json(s) FROM work_engine.signal($1::uuid, 'go', '1') AS s";
                    crate::support::ask(&mut session, sql, &[&job]).await
                } else {
                    crate::support::ask(&mut session, "SELECT work_engine.due_steps(10)", &[]).await
                }
            });
        }
        while let Some(raced) = racing.join_next().await {
            raced.expect("no panic").expect("no deadlock");
        }
        let winners = "SELECT count(*) FROM work.steps WHERE job_id = $1::uuid";
        assert_eq!(world.ask(winners, &[&claim.job]).await, json!(1));
        let again = woken(&mut world, &claim.job).await;
        assert_eq!(world.finish(&again).await, json!("completed"));
    }
    world.check().await;
}

//! Cancel, pause, resume, retry, prune.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Work, pair, refused};

const NOBODY: &str = "00000000-0000-7000-8000-000000000000";

#[tokio::test]
async fn a_cancelled_tree_is_over_at_once() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "top", "group": true},
            {"ref": "g", "group": true, "parent_ref": "top"},
            {"ref": "a", "type": "a", "parent_ref": "g", "priority": 1},
            {"ref": "b", "type": "b", "parent_ref": "g", "depends_on": [{"ref": "a"}]},
            {"type": "done", "parent_ref": "g", "priority": 9},
            {"type": "beside", "parent_ref": "top"},
            {"type": "after", "depends_on": [{"ref": "g"}]},
            {"type": "either way", "depends_on": [{"ref": "a", "when": "terminal"}]},
        ]))
        .await;
    let claims = work.claim(2).await;
    work.complete(&claims[..1]).await;
    work.run(
        "INSERT INTO work.approvals (job_id, step_key) VALUES ($1, 'ok?')",
        &[&ids[2]],
    )
    .await;
    assert_eq!(work.cancel(&ids[1]).await, 3);
    let over = "cancelled (enough)";
    assert_eq!(
        work.states(&ids).await,
        [
            "running/children",
            over,
            over,
            over,
            "completed",
            "queued",
            "cancelled (dependency failed)",
            "queued"
        ]
    );
    assert_eq!(
        work.end(&claims[1..], "completed", true).await,
        [Value::Null]
    );
    let sql = "SELECT to_jsonb(state) FROM work.approvals";
    assert_eq!(work.ask(sql, &[]).await.unwrap(), "withdrawn");
    let sql = "SELECT to_jsonb(outcome) FROM work.attempts";
    assert_eq!(work.ask(sql, &[]).await.unwrap(), "cancelled");
    assert_eq!(work.cancel(&ids[1]).await, 0, "what is over stays as it is");
    work.pause(&ids[5]).await;
    assert_eq!(work.cancel(&ids[5]).await, 1, "paused or not");
    work.assert_sound().await;
    let sql = "SELECT jsonb_agg(c) FROM work_engine.cancel($1, 'x') AS c";
    assert_eq!(
        refused(work.ask(sql, &[NOBODY]).await),
        pair("PT404", "not_found")
    );
}

#[tokio::test]
async fn pause_and_resume_bring_each_job_back_to_where_it_was() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true, "on_child_failure": "continue"},
            {"ref": "runs", "type": "runs", "parent_ref": "g", "priority": 9},
            {"type": "ready", "parent_ref": "g"},
            {"type": "waits", "parent_ref": "g", "depends_on": [{"ref": "runs"}]},
            {"type": "delayed", "parent_ref": "g", "delay_ms": 60_000},
            {"type": "fails", "parent_ref": "g", "priority": 8, "backoff_ms": 600_000},
        ]))
        .await;
    let claims = work.claim(2).await;
    work.end(&claims[1..], "failed", true).await;
    let before = work.states(&ids).await;
    assert_eq!(work.pause(&ids[0]).await, 6);
    assert_eq!(work.pause(&ids[0]).await, 0);
    assert!(
        work.states(&ids)
            .await
            .iter()
            .all(|state| state == "paused")
    );
    assert!(work.claim(10).await.is_empty());
    assert_eq!(
        work.end(&claims[..1], "completed", true).await,
        [Value::Null]
    );
    work.assert_sound().await;
    assert_eq!(work.resume(&ids[0]).await, 6);
    let after = work.states(&ids).await;
    assert_eq!(after[1], "queued", "it must be claimed again");
    assert_eq!(after[0], before[0]);
    assert_eq!(after[2..], before[2..]);
    let job = work.job(&ids[1]).await;
    assert_eq!(
        (&job["failures"], &job["crashes"]),
        (&json!(0), &json!(0)),
        "a pause costs nothing"
    );
    assert_eq!(work.next_of("runs").await.epoch, 2);
    work.assert_sound().await;
}

#[tokio::test]
async fn news_arrives_during_a_pause_and_counts_when_it_is_over() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "a", "type": "a", "priority": 9}, {"ref": "b", "type": "b", "priority": 8},
            {"ref": "after a", "type": "after a", "depends_on": [{"ref": "a"}]},
            {"ref": "after b", "type": "after b", "depends_on": [{"ref": "b"}]},
            {"ref": "late", "type": "late", "depends_on": [{"ref": "a"}], "delay_ms": 60_000},
        ]))
        .await;
    for id in &ids[2..] {
        work.pause(id).await;
    }
    let claims = work.claim(10).await;
    work.complete(&claims[..1]).await;
    work.fail(&claims[1..]).await;
    assert_eq!(work.states(&ids[2..]).await, ["paused", "paused", "paused"]);
    work.assert_sound().await;
    for id in &ids[2..] {
        assert_eq!(work.resume(id).await, 1);
    }
    assert_eq!(
        work.states(&ids[2..]).await,
        ["queued", "cancelled (dependency failed)", "queued/time"]
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn a_group_whose_children_ended_during_its_pause_ends_when_resumed() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([{"ref": "g", "group": true}, {"type": "a", "parent_ref": "g"}]))
        .await;
    work.pause(&ids[0]).await;
    work.resume(&ids[1]).await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    assert_eq!(work.state(&ids[0]).await, "paused");
    work.assert_sound().await;
    work.resume(&ids[0]).await;
    assert_eq!(work.state(&ids[0]).await, "completed");
    work.assert_sound().await;
}

#[tokio::test]
async fn suspended_jobs_are_suspended_again_unless_it_came_meanwhile() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "parent"})).await;
    let claim = work.next().await;
    let child = json!([{"type": "child", "queue": "below"}]);
    work.spawn(&claim, &child).await.unwrap();
    work.run(
        "UPDATE work.jobs SET waiting_on = 'children', lease_until = NULL WHERE id = $1",
        &[&id],
    )
    .await;
    work.run(
        "INSERT INTO work.steps (job_id, key, kind, state, epoch) VALUES ($1, 'children', 'children', 'waiting', 1)",
        &[&id],
    )
    .await;
    work.run("SELECT work_engine.pause($1)", &[&id]).await;
    assert_eq!(work.resume(&id).await, 2);
    assert_eq!(work.state(&id).await, "running/children");
    let below = work.claim_from("{below}", 1).await;
    let top = "UPDATE work.jobs SET state = 'paused', paused_from = waiting_on, waiting_on = NULL WHERE id = $1";
    work.run(top, &[&id]).await;
    work.complete(&below).await;
    assert_eq!(work.state(&id).await, "paused");
    work.resume(&id).await;
    assert_eq!(work.state(&id).await, "queued");
    work.assert_sound().await;
}

#[tokio::test]
async fn retry_begins_anew_with_all_that_failed_with_it() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "top", "group": true, "on_child_failure": "continue"},
            {"ref": "g", "group": true, "parent_ref": "top", "on_child_failure": "continue"},
            {"ref": "good", "type": "good", "parent_ref": "g", "priority": 9},
            {"ref": "bad", "type": "bad", "parent_ref": "g", "priority": 8, "max_attempts": 1},
            {"ref": "x", "type": "x", "parent_ref": "g", "depends_on": [{"ref": "bad"}]},
            {"type": "y", "depends_on": [{"ref": "top"}]},
        ]))
        .await;
    let claims = work.claim(10).await;
    work.run(
        "INSERT INTO work.steps (job_id, key, state, epoch) VALUES ($1, 'paid', 'done', 1)",
        &[&ids[3]],
    )
    .await;
    work.complete(&claims[..1]).await;
    work.fail(&claims[1..]).await;
    let given_up = "cancelled (dependency failed)";
    assert_eq!(
        work.states(&ids).await,
        [
            "failed",
            "failed",
            "completed",
            "failed",
            given_up,
            given_up
        ]
    );
    work.assert_sound().await;
    assert_eq!(work.retry(&ids[3]).await.unwrap(), 5);
    let waits = "queued/dependencies";
    assert_eq!(
        work.states(&ids).await,
        [
            "running/children",
            "running/children",
            "completed",
            "queued",
            waits,
            waits
        ]
    );
    let job = work.job(&ids[3]).await;
    assert_eq!(
        (&job["failures"], &job["error"], &job["finished_at"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
    assert_eq!(
        work.number("SELECT count(*) FROM work.steps WHERE state = 'done'")
            .await,
        1
    );
    work.assert_sound().await;
    let claim = work.next().await;
    assert_eq!(
        claim.epoch, 2,
        "epochs go on, so that no old claim comes back"
    );
    work.complete(&[claim]).await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    assert_eq!(work.states(&ids[..2]).await, ["completed", "completed"]);
    assert_eq!(work.state(&ids[5]).await, "queued");
    work.assert_sound().await;
}

#[tokio::test]
async fn retry_of_a_cancelled_tree_and_what_cannot_be_retried() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true},
            {"ref": "a", "type": "a", "parent_ref": "g", "priority": 9},
            {"type": "b", "parent_ref": "g"},
            {"type": "ran", "depends_on": [{"ref": "g", "when": "terminal"}], "queue": "other"},
        ]))
        .await;
    let claims = work.claim(1).await;
    work.complete(&claims).await;
    work.cancel(&ids[0]).await;
    let ran = work.claim_from("{other}", 1).await;
    work.complete(&ran).await;
    assert_eq!(work.retry(&ids[0]).await.unwrap(), 2);
    assert_eq!(
        work.states(&ids).await,
        ["running/children", "completed", "queued", "completed"]
    );
    work.assert_sound().await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    assert_eq!(work.state(&ids[0]).await, "completed");
    work.assert_sound().await;
    assert_eq!(
        refused(work.retry(&ids[0]).await),
        pair("PT409", "conflict")
    );
    assert_eq!(
        refused(work.retry(NOBODY).await),
        pair("PT404", "not_found")
    );
    // Below a job that was cancelled nothing begins on its own.
    let parent = work.one(json!({"type": "parent"})).await;
    let claim = work.next().await;
    let child = work.spawn(&claim, &json!([{"type": "child"}])).await;
    work.cancel(&parent).await;
    assert_eq!(
        refused(work.retry(&child.unwrap()[0]).await),
        pair("PT409", "conflict")
    );
    assert_eq!(work.retry(&parent).await.unwrap(), 2);
    work.assert_sound().await;
}

#[tokio::test]
async fn what_depends_on_a_failure_that_stays_is_given_up_again() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "a", "type": "a", "priority": 9}, {"ref": "b", "type": "b"},
            {"type": "both", "depends_on": [{"ref": "a"}, {"ref": "b"}]},
        ]))
        .await;
    let claims = work.claim(10).await;
    work.fail(&claims).await;
    assert_eq!(work.retry(&ids[0]).await.unwrap(), 2);
    assert_eq!(
        work.states(&ids).await,
        ["queued", "failed", "cancelled (dependency failed)"]
    );
    work.assert_sound().await;
    assert_eq!(work.retry(&ids[1]).await.unwrap(), 2);
    let claims = work.claim(10).await;
    work.complete(&claims).await;
    assert_eq!(work.state(&ids[2]).await, "queued");
    work.assert_sound().await;
}

#[tokio::test]
async fn whole_trees_go_when_they_are_old_and_nobody_needs_them() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work.job_types (name, keep_for) VALUES ('kept', '1 year')",
        &[],
    )
    .await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true}, {"ref": "a", "type": "a", "parent_ref": "g", "priority": 9},
            {"type": "kept", "priority": 8},
            {"ref": "needed", "type": "a", "priority": 7},
            {"type": "waits", "depends_on": [{"ref": "needed"}, {"ref": "open"}]},
            {"ref": "open", "type": "open"},
        ]))
        .await;
    let claims = work.claim(3).await;
    work.complete(&claims).await;
    let prune = "SELECT work_engine.prune(100, '0 seconds')";
    assert_eq!(work.number(prune).await, 1, "the group");
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 4);
    assert_eq!(work.job(&ids[0]).await, Value::Null);
    assert_eq!(
        work.number("SELECT count(*) FROM work.streams").await,
        4,
        "its events as well"
    );
    work.assert_sound().await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    assert_eq!(work.number(prune).await, 3);
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 1);
    assert_eq!(
        work.number("SELECT work_engine.prune(100, '1 hour')").await,
        0
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn jobs_without_children_go_together_by_the_same_rules() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work.job_types (name, keep_for) VALUES ('kept', '1 year')",
        &[],
    )
    .await;
    work.submit(json!([
        {"ref": "g", "group": true}, {"type": "child", "parent_ref": "g", "priority": 9},
        {"type": "kept", "priority": 8},
        {"ref": "needed", "type": "needed", "priority": 7},
        {"type": "over", "priority": 6},
        {"type": "over", "priority": 5},
        {"type": "waits", "depends_on": [{"ref": "needed"}, {"ref": "open"}]},
        {"ref": "open", "type": "open"},
    ]))
    .await;
    let claims = work.claim(5).await;
    work.complete(&claims).await;
    let young = "SELECT work_engine.prune(100, '1 hour')";
    assert_eq!(work.number(young).await, 0);
    let prune = "SELECT work_engine.prune(100, '0 seconds')";
    assert_eq!((work.number(prune).await, work.number(prune).await), (3, 0));
    let over = "SELECT count(*) FROM work.jobs WHERE type = 'over'";
    assert_eq!(work.number(over).await, 0);
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 4);
    assert_eq!(work.number("SELECT count(*) FROM work.streams").await, 4);
    work.assert_sound().await;
}

//! How the end of one job reaches others.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::Work;

#[tokio::test]
async fn conditions_and_quorums() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "a", "type": "a", "queue": "a"}, {"ref": "b", "type": "b", "queue": "b"}, {"ref": "c", "type": "c", "queue": "c"},
            {"type": "all", "depends_on": [{"ref": "a"}, {"ref": "b"}]},
            {"type": "any", "depends_on": [{"ref": "a"}, {"ref": "b"}], "need": "any"},
            {"type": "two", "depends_on": [{"ref": "a"}, {"ref": "b"}, {"ref": "c"}], "need": 2},
            {"type": "either way", "depends_on": [{"ref": "b", "when": "terminal"}]},
            {"type": "if it fails", "depends_on": [{"ref": "b", "when": "failure"}]},
            {"type": "if it fails", "depends_on": [{"ref": "a", "when": "failure"}]},
        ]))
        .await;
    let a = work.claim_from("{a}", 1).await;
    work.complete(&a).await;
    let waits = "queued/dependencies";
    let given_up = "cancelled (dependency failed)";
    assert_eq!(
        work.states(&ids[3..]).await,
        [waits, "queued", waits, waits, waits, given_up]
    );
    let b = work.claim_from("{b}", 1).await;
    work.fail(&b).await;
    assert_eq!(
        work.states(&ids[3..]).await,
        [given_up, "queued", waits, "queued", "queued", given_up]
    );
    let c = work.claim_from("{c}", 1).await;
    work.complete(&c).await;
    assert_eq!(work.state(&ids[5]).await, "queued");
    work.assert_sound().await;
}

#[tokio::test]
async fn what_can_never_be_takes_its_dependants_along() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "a", "type": "a"},
            {"ref": "b", "type": "b", "depends_on": [{"ref": "a"}]},
            {"ref": "c", "type": "c", "depends_on": [{"ref": "b"}]},
            {"ref": "d", "type": "d", "depends_on": [{"ref": "c", "when": "terminal"}]},
        ]))
        .await;
    let claim = work.next().await;
    work.fail(&[claim]).await;
    let given_up = "cancelled (dependency failed)";
    assert_eq!(
        work.states(&ids).await,
        ["failed", given_up, given_up, "queued"]
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn the_first_failed_child_ends_its_siblings_and_the_group() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true},
            {"type": "fails", "parent_ref": "g", "priority": 1},
            {"type": "runs", "parent_ref": "g"},
            {"ref": "h", "group": true, "parent_ref": "g"},
            {"type": "below", "parent_ref": "h"},
            {"type": "waits", "parent_ref": "g", "delay_ms": 60_000},
        ]))
        .await;
    let claims = work.claim(10).await;
    assert_eq!(claims[0].kind, "fails");
    work.fail(&claims[..1]).await;
    assert_eq!(
        work.states(&ids).await,
        [
            "failed",
            "failed",
            "cancelled (sibling failed)",
            "cancelled (sibling failed)",
            "cancelled (parent cancelled)",
            "cancelled (sibling failed)"
        ]
    );
    assert_eq!(
        work.job(&ids[0]).await["error"],
        json!({"code": "child_failed"})
    );
    let rest = work.end(&claims[1..], "completed", true).await;
    assert_eq!(rest, [Value::Null, Value::Null]);
    work.assert_sound().await;
}

#[tokio::test]
async fn groups_may_go_on_after_a_failure() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    for (policy, end) in [("continue", "failed"), ("ignore", "completed")] {
        let ids = work
            .submit(json!([
                {"ref": "g", "group": true, "on_child_failure": policy},
                {"type": "a", "parent_ref": "g"}, {"type": "b", "parent_ref": "g"},
            ]))
            .await;
        let claims = work.claim(10).await;
        work.fail(&claims[..1]).await;
        assert_eq!(work.state(&ids[0]).await, "running/children");
        work.complete(&claims[1..]).await;
        assert_eq!(work.state(&ids[0]).await, end);
        work.assert_sound().await;
    }
}

#[tokio::test]
async fn a_group_of_cancelled_children_is_cancelled_and_they_are_no_failures() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true}, {"type": "a", "parent_ref": "g"}, {"type": "b", "parent_ref": "g"},
            {"ref": "h", "group": true}, {"type": "a", "parent_ref": "h"}, {"type": "b", "parent_ref": "h", "queue": "b"},
        ]))
        .await;
    for child in [1, 2, 4] {
        assert_eq!(work.cancel(&ids[child]).await, 1);
    }
    let claim = work.claim_from("{b}", 1).await;
    work.complete(&claim).await;
    assert_eq!(work.state(&ids[0]).await, "cancelled");
    assert_eq!(work.state(&ids[3]).await, "completed");
    work.assert_sound().await;
}

#[tokio::test]
async fn progress_rises_through_the_tree_by_weight() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "top", "group": true, "on_child_failure": "continue"},
            {"ref": "g", "group": true, "parent_ref": "top", "weight": 3},
            {"type": "big", "parent_ref": "g", "weight": 3, "priority": 9},
            {"type": "small", "parent_ref": "g", "priority": 8},
            {"type": "beside", "parent_ref": "top"},
        ]))
        .await;
    let claims = work.claim(10).await;
    work.complete(&claims[..1]).await;
    assert_eq!(work.job(&ids[1]).await["progress"], 0.75);
    assert_eq!(work.job(&ids[0]).await["progress"], 0.5625);
    work.assert_sound().await;
    // Over is over, whichever way.
    work.fail(&claims[2..]).await;
    assert_eq!(work.job(&ids[0]).await["progress"], 0.8125);
    work.complete(&claims[1..2]).await;
    assert_eq!(work.states(&ids[..2]).await, ["failed", "completed"]);
    work.assert_sound().await;
}

#[tokio::test]
async fn children_that_a_job_spawns_are_its_own_even_when_it_runs_again() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "parent", "owner": "ada"})).await;
    let first = work.next().await;
    let children = json!([{"type": "child", "name": "one", "queue": "below"}, {"type": "child", "name": "two", "queue": "below"}]);
    let born = work.spawn(&first, &children).await.unwrap();
    work.expire_leases().await;
    work.run("SELECT work_engine.rescue(10)", &[]).await;
    let second = work.next().await;
    assert_eq!(work.spawn(&second, &children).await.unwrap(), born);
    let job = work.job(&id).await;
    assert_eq!(
        (&job["children_total"], &job["children_open"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(work.job(&born[0]).await["owner"], "ada");
    // Without waiting for them it may end, and they go on.
    work.complete(&[second]).await;
    let below = work.claim_from("{below}", 10).await;
    work.complete(&below).await;
    assert_eq!(work.job(&id).await["children_open"], 0);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_job_suspended_for_its_children_is_claimed_again_when_they_are_over() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work
        .one(json!({"type": "parent", "on_child_failure": "continue"}))
        .await;
    let claim = work.next().await;
    let children = json!([{"type": "a", "queue": "below"}, {"type": "b", "queue": "below"}]);
    work.spawn(&claim, &children).await.unwrap();
    // As a suspension leaves it.
    work.run(
        "UPDATE work.jobs SET waiting_on = 'children', lease_until = NULL, worker = NULL WHERE id = $1",
        &[&id],
    )
    .await;
    work.run(
        "INSERT INTO work.steps (job_id, key, kind, state, epoch) VALUES ($1, 'children', 'children', 'waiting', 1)",
        &[&id],
    )
    .await;
    assert_eq!(work.end(&[claim], "completed", true).await, [Value::Null]);
    let below = work.claim_from("{below}", 10).await;
    work.fail(&below[..1]).await;
    assert_eq!(work.state(&id).await, "running/children");
    work.complete(&below[1..]).await;
    assert_eq!(work.state(&id).await, "queued");
    let again = work.next().await;
    assert_eq!((again.id.as_str(), again.epoch), (id.as_str(), 2));
    work.complete(&[again]).await;
    let job = work.job(&id).await;
    assert_eq!(job["children_failed"], 1);
    work.assert_sound().await;
}

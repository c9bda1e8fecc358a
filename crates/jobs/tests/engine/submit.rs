//! What may be submitted, and what becomes of it at first.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Work, pair, refused};

#[tokio::test]
async fn each_job_stands_at_its_first_gate() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"type": "plain"},
            {"ref": "group", "group": true},
            {"type": "child", "parent_ref": "group", "ref": "child"},
            {"type": "later", "delay_ms": 60_000},
            {"type": "after", "depends_on": [{"ref": "child"}], "delay_ms": 60_000},
            {"type": "limited", "limit_keys": ["gpu"], "delay_ms": 60_000},
        ]))
        .await;
    assert_eq!(
        work.states(&ids).await,
        [
            "queued",
            "running/children",
            "queued",
            "queued/time",
            "queued/dependencies",
            "queued/time"
        ]
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn an_empty_group_is_over_at_once_and_tells_whoever_waits_for_it() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "outer", "group": true},
            {"ref": "inner", "group": true, "parent_ref": "outer"},
            {"type": "after", "depends_on": [{"ref": "outer"}]},
        ]))
        .await;
    assert_eq!(
        work.states(&ids).await,
        ["completed", "completed", "queued"]
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn defaults_come_from_the_type_and_a_child_inherits() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work.job_types (name, queue, priority, max_attempts, time_limit, events)
         VALUES ('render', 'gpu', 7, 9, '1 minute', false), ('quiet', 'default', 3, 1, NULL, false)",
        &[],
    )
    .await;
    let session = "SELECT to_jsonb(id) FROM work.sessions";
    work.run(
        "INSERT INTO work.sessions (owner, key) VALUES ('ada', 'one')",
        &[],
    )
    .await;
    let session = work.ask(session, &[]).await.unwrap();
    let ids = work
        .submit(json!([
            {"ref": "root", "type": "any", "owner": "ada", "session_id": session, "priority": 5},
            {"type": "render", "parent_ref": "root"},
            {"type": "any", "parent_ref": "root", "priority": 1, "events": false},
            {"type": "render"},
        ]))
        .await;
    let child = work.job(&ids[1]).await;
    assert_eq!(child["owner"], "ada");
    assert_eq!(child["session_id"], session);
    assert_eq!(child["queue"], "gpu");
    assert_eq!(child["priority"], 5, "the parent's, before the type's");
    assert_eq!(child["max_attempts"], 9);
    assert_eq!(child["stream_id"], Value::Null, "its type tells nothing");
    assert_eq!(child["root_id"], ids[0]);
    assert_eq!(child["depth"], 1);
    let other = work.job(&ids[2]).await;
    assert_eq!(
        (&other["priority"], &other["stream_id"]),
        (&json!(1), &Value::Null)
    );
    let root = work.job(&ids[0]).await;
    assert_eq!(root["stream_id"], session);
    assert_eq!(root["children_total"], 2);
    assert_eq!(work.job(&ids[3]).await["priority"], 7);
    work.assert_sound().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_job_and_another_input_a_conflict() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let job = json!([{"type": "a", "owner": "ada", "idempotency_key": "k", "input": {"n": 1}}]);
    let first = work.try_submit(&job).await.unwrap();
    let again = work.try_submit(&job).await.unwrap();
    assert_eq!(first[0]["is_new"], true);
    assert_eq!(again[0]["is_new"], false);
    assert_eq!(first[0]["id"], again[0]["id"]);
    let other = json!([{"type": "a", "owner": "ada", "idempotency_key": "k", "input": {"n": 2}}]);
    assert_eq!(
        refused(work.try_submit(&other).await),
        pair("PT409", "conflict")
    );
    // Keys are an owner's own.
    let theirs = json!([{"type": "a", "owner": "bob", "idempotency_key": "k", "input": {"n": 2}}]);
    assert_eq!(work.try_submit(&theirs).await.unwrap()[0]["is_new"], true);
    // Twice in one submission.
    let twice =
        json!([{"type": "b", "idempotency_key": "k"}, {"type": "b", "idempotency_key": "k"}]);
    let twice = work.try_submit(&twice).await.unwrap();
    assert_eq!(twice[0]["id"], twice[1]["id"]);
    assert_eq!(
        (&twice[0]["is_new"], &twice[1]["is_new"]),
        (&json!(true), &json!(false))
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn a_tree_with_a_key_is_submitted_once() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let tree = json!([
        {"ref": "g", "group": true, "idempotency_key": "k"},
        {"ref": "a", "type": "a", "name": "first", "parent_ref": "g"},
        {"type": "b", "name": "second", "parent_ref": "g", "depends_on": [{"ref": "a"}]},
        {"type": "new", "depends_on": [{"ref": "g"}]},
    ]);
    let first = work.try_submit(&tree).await.unwrap();
    let again = work.try_submit(&tree).await.unwrap();
    for n in 0..3 {
        assert_eq!(first[n]["id"], again[n]["id"]);
        assert_eq!(again[n]["is_new"], false);
    }
    assert_eq!(
        again[3]["is_new"], true,
        "without a key and outside the tree"
    );
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 5);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_window_makes_jobs_unique_in_it() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    // A century: no window of it ends while this runs.
    let job =
        json!([{"type": "a", "unique": {"key": "page-7", "within_ms": 3_155_760_000_000_u64}}]);
    let first = work.try_submit(&job).await.unwrap();
    let again = work.try_submit(&job).await.unwrap();
    assert_eq!(first[0]["id"], again[0]["id"]);
}

#[tokio::test]
async fn circles_are_refused_and_nothing_is_inserted() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let circles = [
        json!([{"ref": "a", "type": "a", "depends_on": [{"ref": "b"}]}, {"ref": "b", "type": "b", "depends_on": [{"ref": "a"}]}]),
        // A job below a group cannot wait for it, nor for what waits for it.
        json!([{"ref": "g", "group": true}, {"ref": "a", "type": "a", "parent_ref": "g", "depends_on": [{"ref": "g"}]}]),
        json!([
            {"ref": "g", "group": true},
            {"ref": "x", "type": "x", "depends_on": [{"ref": "g"}]},
            {"ref": "a", "type": "a", "parent_ref": "g", "depends_on": [{"ref": "x"}]},
        ]),
        json!([{"ref": "a", "type": "a", "parent_ref": "b"}, {"ref": "b", "type": "b", "parent_ref": "a"}]),
    ];
    for circle in circles {
        assert_eq!(
            refused(work.try_submit(&circle).await),
            pair("PT400", "cycle"),
            "{circle}"
        );
    }
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 0);
    // Through jobs that are there already.
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true},
            {"type": "keeps it open", "parent_ref": "g"},
            {"type": "after", "depends_on": [{"ref": "g"}]},
        ]))
        .await;
    let late = json!([{"type": "late", "parent_id": ids[0], "depends_on": [{"id": ids[2]}]}]);
    assert_eq!(
        refused(work.try_submit(&late).await),
        pair("PT400", "cycle")
    );
    // Backwards through the list is no circle.
    work.submit(json!([
        {"ref": "c", "type": "c", "depends_on": [{"ref": "b"}]},
        {"ref": "b", "type": "b", "depends_on": [{"ref": "a"}]},
        {"ref": "a", "type": "a"},
    ]))
    .await;
    work.assert_sound().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let mine = work.one(json!({"type": "mine", "owner": "ada"})).await;
    let over = work.one(json!({"group": true})).await;
    let nobody = "00000000-0000-7000-8000-000000000000";
    let cases = [
        (json!([]), "PT400", "invalid"),
        (json!({"type": "a"}), "PT400", "invalid"),
        (json!([{"name": "no type"}]), "PT400", "invalid"),
        (
            json!([{"type": "a", "parent_ref": "x"}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"type": "a", "depends_on": [{"ref": "x"}]}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"type": "a", "depends_on": [{"id": mine, "when": "maybe"}]}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"ref": "a", "type": "a"}, {"ref": "a", "type": "b"}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"ref": "a", "type": "a"}, {"group": true, "depends_on": [{"ref": "a"}]}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"type": "a", "depends_on": [{"id": mine}], "need": 2}]),
            "PT400",
            "invalid",
        ),
        (
            json!([{"type": "a", "depends_on": [{"id": nobody}]}]),
            "PT404",
            "not_found",
        ),
        (
            json!([{"type": "a", "parent_id": nobody}]),
            "PT404",
            "not_found",
        ),
        // Whose it is is not told.
        (
            json!([{"type": "a", "owner": "bob", "parent_id": mine}]),
            "PT404",
            "not_found",
        ),
        (
            json!([{"type": "a", "owner": "bob", "depends_on": [{"id": mine}]}]),
            "PT404",
            "not_found",
        ),
        (
            json!([{"type": "a", "parent_id": over}]),
            "PT409",
            "conflict",
        ),
    ];
    for (jobs, code, word) in cases {
        assert_eq!(
            refused(work.try_submit(&jobs).await),
            pair(code, word),
            "{jobs}"
        );
    }
    let many: Vec<Value> = (0..10_001).map(|_| json!({"type": "a"})).collect();
    assert_eq!(
        refused(work.try_submit(&json!(many)).await),
        pair("PT400", "invalid")
    );
    let mut deep = vec![json!({"ref": "0", "group": true})];
    deep.extend(
        (1..=17).map(
            |n| json!({"ref": n.to_string(), "group": true, "parent_ref": (n - 1).to_string()}),
        ),
    );
    assert_eq!(
        refused(work.try_submit(&json!(deep)).await),
        pair("PT400", "over_limit")
    );
    deep.pop();
    work.submit(json!(deep)).await;
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 2 + 17);
}

#[tokio::test]
async fn dependencies_on_jobs_that_are_over_count_at_once() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let done = work.one(json!({"type": "a"})).await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    let broken = work.one(json!({"type": "a"})).await;
    let claim = work.next().await;
    work.fail(&[claim]).await;
    let ids = work
        .submit(json!([
            {"type": "1", "depends_on": [{"id": done}]},
            {"type": "2", "depends_on": [{"id": broken}]},
            {"type": "3", "depends_on": [{"id": broken, "when": "failure"}]},
            {"type": "4", "depends_on": [{"id": broken}, {"id": done}], "need": "any"},
            {"type": "5", "depends_on": [{"id": done}], "delay_ms": 60_000},
        ]))
        .await;
    assert_eq!(
        work.states(&ids).await,
        [
            "queued",
            "cancelled (dependency failed)",
            "queued",
            "queued",
            "queued/time"
        ]
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn children_of_a_paused_job_are_paused() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let group = work
        .submit(json!([{"ref": "g", "group": true}, {"type": "a", "parent_ref": "g"}]))
        .await
        .remove(0);
    assert_eq!(work.pause(&group).await, 2);
    let late = work.one(json!({"type": "late", "parent_id": group})).await;
    assert_eq!(work.state(&late).await, "paused");
    work.assert_sound().await;
    assert_eq!(work.resume(&group).await, 3);
    assert_eq!(work.claim(10).await.len(), 2);
    work.assert_sound().await;
}

//! `check()` finds what should not be: each rule is broken once.

use pg::testing::TestDb;
use serde_json::json;

use crate::Work;

/// What is done to a sound database, and what `check()` says about it then.
const CORRUPTIONS: &[(&str, &str)] = &[
    (
        "UPDATE work.jobs SET children_total = 7 WHERE type = 'group'",
        "children_total",
    ),
    (
        "UPDATE work.jobs SET children_open = 7 WHERE type = 'group'",
        "children_open",
    ),
    (
        "UPDATE work.jobs SET children_failed = 7 WHERE type = 'group'",
        "children_failed",
    ),
    (
        "UPDATE work.jobs SET weight_total = 7 WHERE type = 'group'",
        "weight_total",
    ),
    (
        "UPDATE work.jobs SET weight_done = 7 WHERE type = 'group'",
        "weight_done",
    ),
    (
        "UPDATE work.jobs SET deps_open = 7 WHERE type = 'waits'",
        "deps_open",
    ),
    (
        "UPDATE work.jobs SET deps_left = 7 WHERE type = 'waits'",
        "deps_left",
    ),
    (
        "UPDATE work.jobs SET deps_left = 0 WHERE type = 'waits'",
        "dependencies decided, job still waits",
    ),
    (
        "UPDATE work.jobs SET state = 'running', waiting_on = NULL, epoch = 1 WHERE type = 'waits'",
        "started before its dependencies",
    ),
    (
        "UPDATE work.jobs SET children_open = 0 WHERE type = 'group'",
        "group has no open child and is not over",
    ),
    (
        "UPDATE work.jobs SET epoch = 1 WHERE type = 'group'",
        "group in a state that groups do not have",
    ),
    (
        "UPDATE work.jobs SET state = 'cancelled', waiting_on = NULL, finished_at = now() WHERE type = 'group'",
        "over, but open children of a group",
    ),
    (
        "UPDATE work.jobs SET state = 'cancelled', finished_at = now() WHERE type = 'runs'",
        "over, but still held",
    ),
    (
        "UPDATE work.jobs SET state = 'cancelled' WHERE type = 'ready'",
        "over without an end",
    ),
    (
        "UPDATE work.jobs SET finished_at = now() WHERE type = 'ready'",
        "open with an end",
    ),
    (
        "UPDATE work.jobs SET progress = 0.5 WHERE type = 'done'",
        "completed, but progress says otherwise",
    ),
    (
        "UPDATE work.jobs SET lease_until = NULL WHERE type = 'runs'",
        "running without a lease",
    ),
    (
        "UPDATE work.jobs SET state = 'queued' WHERE type = 'runs'",
        "lease without running",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'retry', run_at = NULL WHERE type = 'ready'",
        "waits for a time that it does not have",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'limit' WHERE type = 'ready'",
        "waits for limits that it does not have",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'signal' WHERE type = 'ready'",
        "waits in a way its state does not",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'time' WHERE type = 'runs'",
        "waits in a way its state does not",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'signal', lease_until = NULL WHERE type = 'runs'",
        "suspended for nothing",
    ),
    (
        "UPDATE work.jobs SET waiting_on = 'children', lease_until = NULL WHERE type = 'runs'",
        "suspended for children that are over",
    ),
    (
        "UPDATE work.jobs SET state = 'paused' WHERE type = 'ready'",
        "paused from nowhere",
    ),
    (
        "UPDATE work.jobs SET failures = 4 WHERE type = 'ready'",
        "failed more often than it may",
    ),
    (
        "UPDATE work.jobs SET root_id = gen_random_uuid() WHERE type = 'ready'",
        "tree does not fit",
    ),
    (
        "UPDATE work.jobs SET owner = 'eve' WHERE type = 'waits'",
        "tree does not fit",
    ),
    (
        "INSERT INTO work_engine.slots SELECT 'k', id FROM work.jobs WHERE type = 'done'",
        "slots of a job that does not run",
    ),
    (
        "DELETE FROM work.streams",
        "tells a stream that there is not",
    ),
    (
        "DELETE FROM work.events WHERE seq = 1",
        "numbers of events have gaps",
    ),
    (
        "UPDATE work.streams SET last_seq = last_seq + 1",
        "numbers of events have gaps",
    ),
    (
        "INSERT INTO work_engine.arrivals (job_id, kind, source_id) VALUES (gen_random_uuid(), 'child', gen_random_uuid())",
        "news for a job that there is not",
    ),
    (
        "DELETE FROM work_engine.line",
        "can start and is not in line",
    ),
    (
        "UPDATE work_engine.line SET sort_key = sort_key + 1",
        "can start and is not in line",
    ),
    (
        "INSERT INTO work_engine.line SELECT id, queue, priority, sort_key, type, owner FROM work.jobs WHERE type = 'runs'",
        "in line and cannot start",
    ),
    (
        "INSERT INTO work_engine.line SELECT job_id, queue, priority, sort_key + 1, type, owner FROM work_engine.line",
        "in line twice",
    ),
    (
        "DELETE FROM work_engine.holds",
        "nobody looks after its lease",
    ),
    (
        "UPDATE work_engine.holds SET look_at = look_at + interval '1 hour'",
        "nobody looks after its lease",
    ),
];

#[tokio::test]
async fn every_planted_corruption_is_found() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.submit(json!([
        {"ref": "g", "group": true},
        {"ref": "r", "type": "runs", "parent_ref": "g", "priority": 8},
        {"type": "waits", "parent_ref": "g", "depends_on": [{"ref": "r"}]},
        {"type": "done", "priority": 9},
        {"type": "ready"},
    ]))
    .await;
    let claims = work.claim(2).await;
    work.complete(&claims[..1]).await;
    work.assert_sound().await;
    for (corruption, expected) in CORRUPTIONS {
        work.begin().await;
        work.run(corruption, &[]).await;
        let problems = work.problems().await;
        assert!(
            problems.iter().any(|problem| problem == expected),
            "{corruption}: {problems:?}"
        );
        work.session.script("ROLLBACK").await.unwrap();
    }
    work.assert_sound().await;
}

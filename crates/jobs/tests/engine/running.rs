//! Claims, fences, ends of attempts, rescue and what falls due.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Claim, Work, pair, refused};

#[tokio::test]
async fn claims_take_the_most_urgent_of_their_queues_first() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.submit(json!([
        {"type": "low", "priority": -1},
        {"type": "high", "priority": 9, "queue": "other"},
        {"type": "middle"},
        {"type": "elsewhere", "priority": 50, "queue": "elsewhere"},
        {"type": "second", "priority": 5, "queue": "other"},
    ]))
    .await;
    let first = work.claim_from("{default,other}", 3).await;
    let mut kinds: Vec<&str> = first.iter().map(|claim| claim.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["high", "middle", "second"]);
    assert!(first.iter().all(|claim| claim.epoch == 1));
    assert_eq!(work.next().await.kind, "low");
    assert!(work.claim(10).await.is_empty());
    work.run(
        "INSERT INTO work.queues (name, paused) VALUES ('elsewhere', true)",
        &[],
    )
    .await;
    assert!(work.claim_from("{elsewhere}", 10).await.is_empty());
    work.run("UPDATE work.queues SET paused = false", &[]).await;
    assert_eq!(work.claim_from("{elsewhere}", 10).await.len(), 1);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_worker_may_be_bound_to_types_and_to_an_owner() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.submit(json!([
        {"type": "a", "owner": "ada"}, {"type": "b", "owner": "ada"}, {"type": "a", "owner": "bob"}, {"type": "a"},
    ]))
    .await;
    let sql = "SELECT coalesce(jsonb_agg(c.owner || '/' || c.type), '[]')
        FROM work_engine.claim('w', '{default}', $1, $2, false, 10, '1 minute', 'v1') AS c";
    let taken = work.ask(sql, &["{a}", "ada"]).await.unwrap();
    assert_eq!(taken, json!(["ada/a"]));
    let taken = work.ask(sql, &["{a,b}", "bob"]).await.unwrap();
    assert_eq!(taken, json!(["bob/a"]));
    let taken = work.ask(sql, &["{a,b}", "nobody"]).await.unwrap();
    assert_eq!(taken, json!([]));
}

#[tokio::test]
async fn only_the_last_claim_counts() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "a"})).await;
    let first = work.next().await;
    work.expire_leases().await;
    assert_eq!(work.number("SELECT work_engine.rescue(10)").await, 1);
    assert_eq!(work.state(&id).await, "queued");
    let late = std::slice::from_ref(&first);
    assert_eq!(work.end(late, "completed", true).await, [Value::Null]);
    let second = work.next().await;
    assert_eq!(second.epoch, 2);
    assert_eq!(work.end(late, "failed", true).await, [Value::Null]);
    assert_eq!(
        refused(work.spawn(&first, &json!([{"type": "child"}])).await),
        pair("PT409", "stale")
    );
    let beat = "SELECT jsonb_object_agg(h.directive, true)
        FROM work_engine.heartbeat('w', ARRAY[$1::uuid], ARRAY[$2::int], NULL, NULL, '1 minute') AS h";
    assert_eq!(
        work.ask(beat, &[&id, "1"]).await.unwrap(),
        json!({"lost": true})
    );
    assert_eq!(
        work.ask(beat, &[&id, "2"]).await.unwrap(),
        json!({"ok": true})
    );
    work.complete(std::slice::from_ref(&second)).await;
    assert_eq!(work.end(&[second], "completed", true).await, [Value::Null]);
    let job = work.job(&id).await;
    assert_eq!(job["output"], json!({"done": 1}));
    assert_eq!(job["crashes"], 1);
    assert_eq!(job["failures"], 0);
    work.assert_sound().await;
}

#[tokio::test]
async fn failures_are_tried_again_until_there_have_been_enough() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work
        .one(json!({"type": "a", "max_attempts": 2, "backoff_ms": 60_000}))
        .await;
    let claim = work.next().await;
    assert_eq!(work.end(&[claim], "failed", true).await, ["queued"]);
    assert_eq!(work.state(&id).await, "queued/retry");
    let sql = "SELECT to_jsonb(run_at > now() + interval '20 seconds' AND run_at < now() + interval '100 seconds')
        FROM work.jobs WHERE id = $1";
    assert_eq!(
        work.ask(sql, &[&id]).await.unwrap(),
        true,
        "half to one and a half times"
    );
    assert!(work.claim(10).await.is_empty());
    work.make_due().await;
    let claim = work.next().await;
    assert_eq!(claim.epoch, 2);
    assert_eq!(work.end(&[claim], "failed", true).await, ["failed"]);
    let job = work.job(&id).await;
    assert_eq!(job["error"], json!({"code": "broken"}));
    assert_eq!(job["failures"], 2);
    let attempts = "SELECT jsonb_agg(outcome ORDER BY epoch) FROM work.attempts";
    assert_eq!(
        work.ask(attempts, &[]).await.unwrap(),
        json!(["failed", "failed"])
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn what_cannot_be_tried_again_fails_at_once_and_what_is_released_costs_nothing() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "a", "max_attempts": 1})).await;
    let claim = work.next().await;
    assert_eq!(work.end(&[claim], "released", true).await, ["queued"]);
    let claim = work.next().await;
    assert_eq!(claim.epoch, 2);
    assert_eq!(work.job(&id).await["failures"], 0);
    work.fail(&[claim]).await;
    assert_eq!(work.state(&id).await, "failed");
    work.assert_sound().await;
}

#[tokio::test]
async fn a_batch_may_end_in_different_ways_and_name_jobs_twice() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([{"type": "a"}, {"type": "b"}, {"type": "c"}, {"type": "d"}]))
        .await;
    let claims = work.claim(10).await;
    let of = |n: usize| -> Claim {
        let found = claims.iter().find(|claim| claim.id == ids[n]);
        found.unwrap().clone()
    };
    let sql = "SELECT jsonb_object_agg(f.id, f.state) FROM work_engine.finish(
        $1, '{1,1,1,7,1}', '{completed,failed,released,completed,completed}',
        ARRAY['{\"n\": 1}'::jsonb, NULL, NULL, NULL, '{\"n\": 2}'::jsonb], ARRAY[NULL, '{\"code\": \"x\"}'::jsonb, NULL, NULL, NULL],
        '{true,true,true,true,true}', ARRAY[NULL, interval '1 hour', NULL, NULL, NULL]) AS f";
    let given = format!(
        "{{{},{},{},{},{}}}",
        of(0).id,
        of(1).id,
        of(2).id,
        of(3).id,
        of(0).id
    );
    let ended = work.ask(sql, &[&given]).await.unwrap();
    assert_eq!(
        ended,
        json!({&ids[0]: "completed", &ids[1]: "queued", &ids[2]: "queued", &ids[3]: null})
    );
    assert_eq!(
        work.states(&ids).await,
        ["completed", "queued/retry", "queued", "running"]
    );
    assert_eq!(
        work.job(&ids[0]).await["output"],
        json!({"n": 1}),
        "the first word counts"
    );
    let later =
        "SELECT to_jsonb(run_at > now() + interval '50 minutes') FROM work.jobs WHERE id = $1";
    assert_eq!(work.ask(later, &[&ids[1]]).await.unwrap(), true);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_is_given_up() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true},
            {"type": "a", "parent_ref": "g", "max_attempts": 1},
        ]))
        .await;
    for crash in 1..=5 {
        assert_eq!(work.next().await.epoch, crash);
        work.expire_leases().await;
        work.run("SELECT work_engine.rescue(10)", &[]).await;
    }
    assert_eq!(work.states(&ids).await, ["failed", "failed"]);
    assert_eq!(
        work.job(&ids[1]).await["error"],
        json!({"code": "poisoned"})
    );
    assert_eq!(
        work.number("SELECT count(*) FROM work.attempts WHERE outcome = 'crashed'")
            .await,
        5
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn a_deadline_ends_a_job_and_what_is_below_it() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true, "deadline_ms": 60_000},
            {"ref": "h", "group": true, "parent_ref": "g"},
            {"type": "a", "parent_ref": "h"},
            {"type": "after", "depends_on": [{"ref": "g"}]},
            {"type": "limited", "time_limit_ms": 60_000, "queue": "other"},
        ]))
        .await;
    let running = work.next().await;
    work.claim_from("{other}", 1).await;
    let sql =
        "SELECT to_jsonb(deadline_at < now() + interval '2 minutes') FROM work.jobs WHERE id = $1";
    assert_eq!(
        work.ask(sql, &[&ids[4]]).await.unwrap(),
        true,
        "counted from the first start"
    );
    work.run(
        "UPDATE work.jobs SET deadline_at = now() WHERE deadline_at IS NOT NULL",
        &[],
    )
    .await;
    assert_eq!(work.number("SELECT work_engine.promote(10)").await, 2);
    assert_eq!(
        work.states(&ids).await,
        [
            "failed",
            "cancelled (deadline)",
            "cancelled (parent cancelled)",
            "cancelled (dependency failed)",
            "failed"
        ]
    );
    assert_eq!(
        work.job(&ids[0]).await["error"],
        json!({"code": "deadline"})
    );
    assert_eq!(work.end(&[running], "completed", true).await, [Value::Null]);
    work.assert_sound().await;
}

#[tokio::test]
async fn what_is_delayed_starts_when_it_is_due() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work
        .one(json!({"type": "a", "owner": "ada", "delay_ms": 60_000}))
        .await;
    assert!(work.claim(10).await.is_empty());
    assert_eq!(work.number("SELECT work_engine.promote(10)").await, 0);
    work.make_due().await;
    assert_eq!(work.state(&id).await, "queued");
    assert_eq!(work.next().await.id, id);
    work.assert_sound().await;
}

#[tokio::test]
async fn heartbeats_extend_leases_and_tell_progress_and_orders() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "top", "group": true},
            {"ref": "g", "group": true, "parent_ref": "top"},
            {"type": "a", "parent_ref": "g", "weight": 3},
            {"type": "b", "parent_ref": "g"},
            {"type": "c"},
            {"type": "d"},
        ]))
        .await;
    assert_eq!(work.claim(10).await.len(), 4);
    work.expire_leases().await;
    work.cancel(&ids[4]).await;
    work.pause(&ids[5]).await;
    let sql = "SELECT jsonb_object_agg(h.id, h.directive)
        FROM work_engine.heartbeat('w', $1, '{1,1,1}', '{0.5,NULL,NULL}', '{half,NULL,NULL}', '1 minute') AS h";
    let given = format!("{{{},{},{}}}", ids[2], ids[4], ids[5]);
    let told = work.ask(sql, &[&given]).await.unwrap();
    assert_eq!(
        told,
        json!({&ids[2]: "ok", &ids[4]: "cancel", &ids[5]: "pause"})
    );
    let job = work.job(&ids[2]).await;
    assert_eq!(
        (&job["progress"], &job["message"]),
        (&json!(0.5), &json!("half"))
    );
    work.settle().await;
    assert_eq!(work.job(&ids[1]).await["progress"], 0.375);
    assert_eq!(work.job(&ids[0]).await["progress"], 0.375);
    work.assert_sound().await;
    // The one that was heard of keeps its job.
    assert_eq!(work.number("SELECT work_engine.rescue(10)").await, 1);
    assert_eq!(work.state(&ids[2]).await, "running");
    work.assert_sound().await;
}

#[tokio::test]
async fn a_claim_brings_the_steps_that_are_done() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "a"})).await;
    let claim = work.next().await;
    work.run(
        "INSERT INTO work.steps (job_id, key, state, epoch, version, result) VALUES
         ($1, 'one', 'done', 1, '2', '{\"paid\": true}'), ($1, 'two', 'started', 1, '', NULL)",
        &[&id],
    )
    .await;
    work.end(&[claim], "released", true).await;
    let sql = "SELECT c.steps FROM work_engine.claim('w', '{default}', NULL, NULL, true, 1, '1 minute', 'v1') AS c";
    assert_eq!(
        work.ask(sql, &[]).await.unwrap(),
        json!({"one": {"result": {"paid": true}, "version": "2"}})
    );
}

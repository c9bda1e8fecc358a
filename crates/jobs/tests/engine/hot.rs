//! The short way of a job: the line, what is held, and what neither writes.

use pg::migrate::{MIGRATIONS, MigrateOptions, migrate};
use pg::testing::TestDb;
use serde_json::json;

use crate::{Work, text};

/// The last level whose jobs had no line.
const BEFORE: usize = 40;

/// So many jobs of each kind: a few pages full.
const MANY: usize = 120;

#[tokio::test]
async fn claims_and_ends_write_no_index() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let quiet = |n| json!({"type": "noop", "events": false, "input": {"n": n}});
    work.submit((0..MANY).map(quiet).collect()).await;
    work.begin().await;
    let claims = work.claim(u32::try_from(MANY).unwrap()).await;
    assert_eq!(claims.len(), MANY);
    work.complete(&claims).await;
    let counts = "SELECT jsonb_build_array(pg_stat_get_xact_tuples_updated(c), pg_stat_get_xact_tuples_hot_updated(c))
                  FROM (VALUES ('work.jobs'::regclass)) AS v (c)";
    let counts = work.ask(counts, &[]).await.unwrap();
    // The pages of one transaction are never cleared in between, so the last
    // rows of a page may find no room.
    let (all, hot) = (counts[0].as_u64().unwrap(), counts[1].as_u64().unwrap());
    assert_eq!(all, 2 * MANY as u64);
    assert!(
        hot * 2 >= all,
        "{hot} of {all}: an index names what they change"
    );
    work.commit().await;
    work.assert_sound().await;
    let line = "SELECT count(*) FROM work_engine.line";
    assert_eq!(work.number(line).await, 0);
}

#[tokio::test]
async fn what_is_held_is_looked_at_until_it_is_over() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let specs = (0..3).map(|_| json!({"type": "a"}));
    work.submit(specs.collect()).await;
    let claims = work.claim(3).await;
    let holds = "SELECT coalesce(sum(cardinality(jobs)), 0) FROM work_engine.holds";
    assert_eq!(work.number(holds).await, 3);
    work.complete(&claims[..1]).await;
    let early = "UPDATE work_engine.holds SET look_at = clock_timestamp() - interval '1 second'";
    work.run(early, &[]).await;
    let rescue = "SELECT work_engine.rescue(100)";
    assert_eq!(work.number(rescue).await, 0, "no lease is over");
    assert_eq!(work.number(holds).await, 2, "and one needs no more looks");
    work.assert_sound().await;
    // A heartbeat may also shorten a lease.
    let beat =
        "SELECT count(*) FROM work_engine.heartbeat('w', $1, $2, '{NULL}', '{NULL}', '-1 second')";
    let (id, epoch) = (
        format!("{{{}}}", claims[1].id),
        format!("{{{}}}", claims[1].epoch),
    );
    work.run(beat, &[&id, &epoch]).await;
    work.assert_sound().await;
    assert_eq!(work.number(rescue).await, 1);
    assert_eq!(work.state(&claims[1].id).await, "queued");
    work.assert_sound().await;
    // More than one turn takes: the rest is found by the next.
    work.claim(1).await;
    work.expire_leases().await;
    assert_eq!(work.number("SELECT work_engine.rescue(1)").await, 1);
    work.assert_sound().await;
    assert_eq!(work.number(rescue).await, 1);
    // What the claims wrote is still there, and of no more use.
    work.run(early, &[]).await;
    assert_eq!(work.number(rescue).await, 0);
    assert_eq!(work.number(holds).await, 0);
    work.assert_sound().await;
}

#[tokio::test]
async fn whoever_changes_a_job_changes_its_place() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([{"type": "a", "owner": "ann"}, {"type": "a"}, {"type": "a"}]))
        .await;
    for change in [
        "UPDATE work.jobs SET priority = 9 WHERE id = $1",
        "UPDATE work.jobs SET owner = 'bob' WHERE id = $1",
        "UPDATE work.jobs SET owner = NULL WHERE id = $1",
        "UPDATE work.jobs SET queue = 'other', type = 'b' WHERE id = $1",
        "UPDATE work.jobs SET state = 'paused', paused_from = 'ready' WHERE id = $1",
        "UPDATE work.jobs SET state = 'queued', paused_from = NULL WHERE id = $1",
        "DELETE FROM work.jobs WHERE id = $1",
    ] {
        work.run(change, &[&ids[0]]).await;
        work.assert_sound().await;
    }
    work.pause(&ids[1]).await;
    assert_eq!(work.claim(9).await.len(), 1);
    work.resume(&ids[1]).await;
    assert_eq!(work.next().await.id, ids[1]);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_user_who_deletes_a_session_takes_its_jobs_out_of_the_line() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let session = "00000000-0000-7000-8000-00000000000a";
    let make = "INSERT INTO work.sessions (id, owner) VALUES ($1, 'ann')";
    work.run(make, &[session]).await;
    work.submit(json!([{"type": "a", "session_id": session}, {"type": "b"}]))
        .await;
    let mut user = db.session().await;
    user.script("SET ROLE authenticated; SET request.jwt.claims = '{\"sub\": \"ann\"}'")
        .await
        .unwrap();
    user.script("DELETE FROM work.sessions").await.unwrap();
    assert_eq!(work.number("SELECT count(*) FROM work.jobs").await, 1);
    work.assert_sound().await;
}

#[tokio::test]
async fn what_must_stay_is_passed_by_retention() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work.job_types (name, keep_for) VALUES ('kept', '1 year')",
        &[],
    )
    .await;
    // Two steps' worth of jobs that stay, then one that need not, and one whose
    // id no clock of ours gave.
    let old = "INSERT INTO work.jobs (id, root_id, type, state, finished_at, progress)
        SELECT u.id, u.id, CASE WHEN u.n <= 15000 THEN 'kept' ELSE 'a' END, 'completed', now() - interval '1 hour', 1
        FROM (SELECT n, CASE WHEN n = 15002 THEN 'ffffffff-0000-4000-8000-000000000000'
                             ELSE ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0')) END::uuid AS id
              FROM generate_series(1, 15002) AS n) AS u";
    work.run(old, &[]).await;
    let prune = "SELECT work_engine.prune(100, '1 minute')";
    assert_eq!(work.number(prune).await, 2);
    assert_eq!(work.number(prune).await, 0);
    let left = "SELECT count(*) FROM work.jobs";
    assert_eq!(work.number(left).await, 15_000);
    let few = "UPDATE work.job_types SET keep_for = '1 minute'";
    work.run(few, &[]).await;
    let some = "SELECT work_engine.prune(7, '1 minute')";
    assert_eq!(work.number(some).await, 7);
    assert_eq!(work.number(some).await, 7);
    assert_eq!(work.number(left).await, 14_986);
}

#[tokio::test]
async fn jobs_of_a_running_database_come_along() {
    let db = TestDb::empty().await;
    let mut boss = db.session().await;
    let before = MigrateOptions {
        migrations: &MIGRATIONS[..BEFORE],
        ..MigrateOptions::default()
    };
    migrate(&mut boss, &before).await.unwrap();
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work.limits (key, max_running) VALUES ('k', 1)",
        &[],
    )
    .await;
    let ids = work
        .submit(json!([
            {"ref": "runs", "type": "runs", "priority": 9},
            {"type": "done", "priority": 8},
            {"type": "fails", "priority": 7, "backoff_ms": 1},
            {"type": "crashes", "priority": 6},
            {"type": "first", "priority": 1, "owner": "ann"},
            {"type": "second", "owner": "ann"},
            {"type": "later", "delay_ms": 60_000},
            {"type": "late", "deadline_ms": 60_000},
            {"type": "one", "limit_keys": ["k"], "priority": -1},
            {"type": "two", "limit_keys": ["k"], "priority": -2},
            {"type": "waits", "depends_on": [{"ref": "runs"}]},
        ]))
        .await;
    let claims = work.claim(4).await;
    work.complete(&claims[1..2]).await;
    work.end(&claims[2..3], "failed", true).await;
    drop(work);
    let report = migrate(&mut boss, &MigrateOptions::default())
        .await
        .unwrap();
    assert_eq!(report.applied.len(), MIGRATIONS.len() - BEFORE);
    assert_eq!(report.degradations, []);
    let mut work = Work::on(&db).await;
    work.assert_sound().await;
    let holds = "SELECT coalesce(sum(cardinality(jobs)), 0) FROM work_engine.holds";
    assert_eq!(work.number(holds).await, 2);
    // What ran goes on, what waited is found, and the line has its order.
    work.complete(&claims[..1]).await;
    let kinds = |claims: &[crate::Claim]| -> Vec<String> {
        claims.iter().map(|claim| claim.kind.clone()).collect()
    };
    let next = work.claim(9).await;
    let mut expected = vec!["first", "second", "late", "waits", "one"];
    let mut found = kinds(&next);
    assert_eq!(found[0], "first");
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
    work.expire_leases().await;
    assert_eq!(work.number("SELECT work_engine.rescue(100)").await, 6);
    work.make_due().await;
    assert_eq!(work.state(&ids[2]).await, "queued");
    let again = work.claim(20).await;
    let again = kinds(&again);
    assert!(
        again.iter().any(|kind| kind == "fails") && again.iter().any(|kind| kind == "later"),
        "{again:?}"
    );
    let deadline = "UPDATE work.jobs SET deadline_at = now() WHERE type = 'late'";
    work.run(deadline, &[]).await;
    work.run("SELECT work_engine.promote(100)", &[]).await;
    let late = work.job(&ids[7]).await;
    assert_eq!(text(&late["state"]), "failed");
    work.settle().await;
    work.assert_sound().await;
}

//! The log: numbers without gaps, whoever holds a stream.

use pg::testing::TestDb;
use serde_json::json;

use crate::Work;

const KINDS: &str = "SELECT coalesce(jsonb_agg(kind ORDER BY seq), '[]') FROM work.events";

#[tokio::test]
async fn a_job_tells_its_life_in_order() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let id = work.one(json!({"type": "a", "max_attempts": 2})).await;
    work.submit(json!([{"type": "silent", "events": false, "queue": "other"}]))
        .await;
    let claim = work.next().await;
    work.end(&[claim], "failed", true).await;
    work.pause(&id).await;
    work.resume(&id).await;
    work.make_due().await;
    let claim = work.next().await;
    work.complete(&[claim]).await;
    assert_eq!(
        work.ask(KINDS, &[]).await.unwrap(),
        json!([
            "job.queued",
            "job.started",
            "job.retrying",
            "job.paused",
            "job.resumed",
            "job.started",
            "job.completed"
        ])
    );
    let sql = "SELECT jsonb_agg(seq ORDER BY seq) FROM work.events";
    assert_eq!(
        work.ask(sql, &[]).await.unwrap(),
        json!([1, 2, 3, 4, 5, 6, 7])
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn what_could_not_be_numbered_is_numbered_later_in_its_order() {
    let db = TestDb::new().await;
    let (mut one, mut two) = (Work::on(&db).await, Work::on(&db).await);
    let id = one.one(json!({"type": "a"})).await;
    one.begin().await;
    one.run(
        "SELECT work_engine.append(ARRAY[$1::uuid], ARRAY[$1::uuid], '{first}', ARRAY['{}'::jsonb])",
        &[&id],
    )
    .await;
    // The stream is somebody else's now: nobody waits for it.
    let claim = two.next().await;
    two.complete(&[claim]).await;
    assert_eq!(
        two.number("SELECT count(*) FROM work_engine.unnumbered")
            .await,
        2
    );
    assert_eq!(two.number("SELECT work_engine.number_some(10)").await, 0);
    one.commit().await;
    two.assert_sound().await;
    // Whoever comes next takes what was left along, before their own.
    two.run(
        "SELECT work_engine.append(ARRAY[$1::uuid, NULL], ARRAY[$1::uuid, NULL], '{last,nowhere}', NULL)",
        &[&id],
    )
    .await;
    assert_eq!(
        two.ask(KINDS, &[]).await.unwrap(),
        json!([
            "job.queued",
            "first",
            "job.started",
            "job.completed",
            "last"
        ])
    );
    assert_eq!(two.number("SELECT work_engine.number_some(10)").await, 0);
    two.assert_sound().await;
}

#[tokio::test]
async fn many_events_of_many_streams_at_once() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let jobs: Vec<_> = (0..50).map(|_| json!({"type": "a"})).collect();
    work.submit(json!(jobs)).await;
    work.run(
        "SELECT work_engine.append(array_agg(s.id), array_agg(s.id), array_agg(n::text), array_agg('{}'::jsonb))
         FROM (SELECT s.id, n FROM generate_series(1, 40) AS n CROSS JOIN work.streams AS s ORDER BY n) AS s",
        &[],
    )
    .await;
    let sql = "SELECT count(*) FROM work.events WHERE kind = (seq - 1)::text";
    assert_eq!(work.number(sql).await, 2000);
    work.assert_sound().await;
}

#[tokio::test]
async fn events_of_a_stream_that_is_gone_go_as_well() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.run(
        "INSERT INTO work_engine.unnumbered (stream_id, kind, data) VALUES (gen_random_uuid(), 'x', '{}')",
        &[],
    )
    .await;
    work.run("SELECT work_engine.number_some(10)", &[]).await;
    assert_eq!(
        work.number("SELECT count(*) FROM work_engine.unnumbered")
            .await,
        0
    );
}

#[tokio::test]
async fn large_errors_are_not_told() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.one(json!({"type": "a"})).await;
    let claim = work.next().await;
    work.run(
        "SELECT work_engine.finish(ARRAY[$1::uuid], '{1}', '{failed}', NULL,
            ARRAY[jsonb_build_object('code', 'big', 'message', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n))],
            '{false}', NULL)",
        &[&claim.id],
    )
    .await;
    let sql = "SELECT data FROM work.events WHERE kind = 'job.failed'";
    assert_eq!(
        work.ask(sql, &[]).await.unwrap(),
        json!({"error": {"code": "big", "truncated": true}})
    );
}

#[tokio::test]
async fn the_events_of_a_batch_read_each_stream_a_few_times() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let jobs: Vec<_> = (0..200).map(|_| json!({"type": "a"})).collect();
    work.submit(json!(jobs)).await;
    // What this transaction reads, counted by the database as it reads it.
    work.begin().await;
    let claims = work.claim(200).await;
    assert_eq!(claims.len(), 200);
    work.complete(&claims).await;
    let read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
        WHERE schemaname = 'work' AND relname = 'streams'";
    let read = work.number(read).await;
    work.commit().await;
    assert!(
        (400..1000).contains(&read),
        "{read} rows for two events of each of 200 streams"
    );
    work.assert_sound().await;
}

#[tokio::test]
async fn events_go_with_their_stream() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    work.submit(json!([{"type": "a"}, {"type": "b"}])).await;
    let claims = work.claim(2).await;
    work.complete(&claims).await;
    work.run(
        "DELETE FROM work.streams AS s USING work.jobs AS j WHERE s.id = j.id AND j.type = 'a'",
        &[],
    )
    .await;
    let sql = "SELECT jsonb_agg(DISTINCT j.type) FROM work.events AS e LEFT JOIN work.jobs AS j ON j.id = e.stream_id";
    assert_eq!(work.ask(sql, &[]).await.unwrap(), json!(["b"]));
}

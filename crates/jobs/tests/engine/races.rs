//! Two sessions at the same rows, in both orders.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Claim, Work, pair, refused};

/// Two that race, and one that sees when somebody waits.
struct Race {
    one: Work,
    two: Work,
    watch: Work,
    _db: TestDb,
}

impl Race {
    async fn new() -> Self {
        let db = TestDb::new().await;
        Self {
            one: Work::on(&db).await,
            two: Work::on(&db).await,
            watch: Work::on(&db).await,
            _db: db,
        }
    }
}

/// Commits `one` as soon as somebody waits for it.
async fn commit_when_awaited(one: &mut Work, watch: &mut Work) {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while watch.number(sql).await == 0 {
        tokio::task::yield_now().await;
    }
    one.commit().await;
}

async fn running(work: &mut Work) -> (String, Claim) {
    let id = work.one(json!({"type": "a"})).await;
    (id, work.next().await)
}

#[tokio::test]
async fn claims_at_once_share_nothing() {
    let mut race = Race::new().await;
    let jobs: Vec<Value> = (0..10).map(|_| json!({"type": "a"})).collect();
    race.one.submit(json!(jobs)).await;
    race.one.begin().await;
    let first = race.one.claim(4).await;
    let second = race.two.claim(10).await;
    assert_eq!((first.len(), second.len()), (4, 6));
    race.one.commit().await;
    assert!(race.two.claim(10).await.is_empty());
    race.two.complete(&first).await;
    race.two.complete(&second).await;
    race.two.assert_sound().await;
}

#[tokio::test]
async fn siblings_that_end_at_once_do_not_wait_and_are_both_counted() {
    let mut race = Race::new().await;
    let ids = race
        .one
        .submit(json!([
            {"ref": "g", "group": true}, {"ref": "a", "type": "a", "parent_ref": "g"}, {"ref": "b", "type": "b", "parent_ref": "g"},
            {"type": "join", "depends_on": [{"ref": "a"}, {"ref": "b"}], "queue": "join"},
        ]))
        .await;
    let claims = race.one.claim(10).await;
    race.one.begin().await;
    race.one.complete(&claims[..1]).await;
    race.two.complete(&claims[1..]).await;
    race.two.assert_sound().await;
    assert_eq!(
        race.two
            .number("SELECT count(*) FROM work_engine.arrivals")
            .await,
        2
    );
    assert_eq!(
        race.two.number("SELECT work_engine.arrive_some(10)").await,
        0
    );
    race.one.commit().await;
    race.two.assert_sound().await;
    race.two.settle().await;
    assert_eq!(race.two.state(&ids[0]).await, "completed");
    assert_eq!(race.two.state(&ids[3]).await, "queued");
    race.two.assert_sound().await;
}

#[tokio::test]
async fn finish_against_cancel() {
    let mut race = Race::new().await;
    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    race.one.complete(std::slice::from_ref(&claim)).await;
    let (cancelled, ()) = tokio::join!(
        race.two.cancel(&id),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(cancelled, 0);
    assert_eq!(race.one.state(&id).await, "completed");

    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    race.one.cancel(&id).await;
    let claims = [claim];
    let (ended, ()) = tokio::join!(
        race.two.end(&claims, "completed", true),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(ended, [Value::Null]);
    assert_eq!(race.one.state(&id).await, "cancelled (enough)");
    race.one.assert_sound().await;
}

#[tokio::test]
async fn finish_against_pause() {
    let mut race = Race::new().await;
    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    race.one.pause(&id).await;
    let claims = [claim];
    let (ended, ()) = tokio::join!(
        race.two.end(&claims, "failed", true),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(ended, [Value::Null]);
    race.one.resume(&id).await;
    let claim = race.one.next().await;
    assert_eq!(claim.epoch, 2);
    race.one.begin().await;
    race.one.complete(&[claim]).await;
    let (paused, ()) = tokio::join!(
        race.two.pause(&id),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(paused, 0);
    race.one.assert_sound().await;
}

#[tokio::test]
async fn finish_against_rescue() {
    let mut race = Race::new().await;
    let (id, claim) = running(&mut race.one).await;
    race.one.expire_leases().await;
    race.one.begin().await;
    race.one.complete(&[claim]).await;
    let rescue = "SELECT work_engine.rescue(10)";
    assert_eq!(race.two.number(rescue).await, 0, "nobody waits for it");
    race.one.commit().await;
    assert_eq!(race.two.number(rescue).await, 0);
    assert_eq!(race.one.state(&id).await, "completed");

    let (id, claim) = running(&mut race.one).await;
    race.one.expire_leases().await;
    race.one.begin().await;
    assert_eq!(race.one.number(rescue).await, 1);
    let claims = [claim];
    let (ended, ()) = tokio::join!(
        race.two.end(&claims, "completed", true),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(ended, [Value::Null]);
    assert_eq!(race.one.state(&id).await, "queued");
    race.one.assert_sound().await;
}

#[tokio::test]
async fn a_dependency_on_a_job_that_is_just_ending() {
    let mut race = Race::new().await;
    // The dependant comes first: who ends the job sees it.
    let (id, claim) = running(&mut race.one).await;
    let dependant = json!({"type": "after", "depends_on": [{"id": id}], "queue": "after"});
    race.one.begin().await;
    let waiting = race.one.one(dependant).await;
    let claims = [claim];
    let ((), ()) = tokio::join!(
        race.two.complete(&claims),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(race.one.state(&waiting).await, "queued");
    // The end comes first: the dependant sees it.
    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    race.one.fail(&[claim]).await;
    let dependant =
        json!({"type": "after", "depends_on": [{"id": id, "when": "failure"}], "queue": "after"});
    let (waiting, ()) = tokio::join!(
        race.two.one(dependant),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(race.one.state(&waiting).await, "queued");
    race.one.assert_sound().await;
}

#[tokio::test]
async fn spawn_against_cancel() {
    let mut race = Race::new().await;
    let children = json!([{"type": "child"}, {"type": "child"}]);
    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    let born = race.one.spawn(&claim, &children).await.unwrap();
    let (cancelled, ()) = tokio::join!(
        race.two.cancel(&id),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(cancelled, 3);
    assert_eq!(race.one.state(&born[0]).await, "cancelled (enough)");

    let (id, claim) = running(&mut race.one).await;
    race.one.begin().await;
    race.one.cancel(&id).await;
    let (born, ()) = tokio::join!(
        race.two.spawn(&claim, &children),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(refused(born), pair("PT409", "stale"));
    race.one.assert_sound().await;
}

#[tokio::test]
async fn a_tree_that_grows_while_it_is_cancelled_is_cancelled_whole() {
    let mut race = Race::new().await;
    let ids = race
        .one
        .submit(json!([
            {"ref": "top", "group": true}, {"ref": "g", "group": true, "parent_ref": "top"},
            {"type": "a", "parent_ref": "g"},
        ]))
        .await;
    race.one.begin().await;
    let late = json!([
        {"ref": "h", "group": true, "parent_id": ids[1]}, {"type": "late", "parent_ref": "h"},
    ]);
    let late = race.one.submit(late).await;
    let (cancelled, ()) = tokio::join!(
        race.two.cancel(&ids[0]),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(cancelled, 5);
    assert_eq!(race.one.state(&late[1]).await, "cancelled (enough)");
    race.one.assert_sound().await;
}

#[tokio::test]
async fn a_sibling_that_is_busy_is_cancelled_later() {
    let mut race = Race::new().await;
    let ids = race
        .one
        .submit(json!([
            {"ref": "g", "group": true}, {"type": "a", "parent_ref": "g", "priority": 9}, {"type": "b", "parent_ref": "g"},
        ]))
        .await;
    let claims = race.one.claim(10).await;
    race.one.begin().await;
    let born = race
        .one
        .spawn(&claims[1], &json!([{"type": "child"}]))
        .await;
    race.two.fail(&claims[..1]).await;
    assert_eq!(race.two.state(&ids[0]).await, "running/children");
    race.two.assert_sound().await;
    race.one.commit().await;
    race.one.assert_sound().await;
    race.two.settle().await;
    assert_eq!(
        race.two.states(&ids).await,
        ["failed", "failed", "cancelled (sibling failed)"]
    );
    assert_eq!(
        race.two.state(&born.unwrap()[0]).await,
        "cancelled (parent cancelled)"
    );
    race.two.assert_sound().await;
}

#[tokio::test]
async fn one_key_at_once_from_two_sides() {
    let mut race = Race::new().await;
    let job = json!([{"type": "a", "idempotency_key": "k"}]);
    race.one.begin().await;
    let first = race.one.try_submit(&job).await.unwrap();
    let (second, ()) = tokio::join!(
        race.two.try_submit(&job),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    let second = second.unwrap();
    assert_eq!(first[0]["id"], second[0]["id"]);
    assert_eq!(second[0]["is_new"], false);
    // A tree may not come half: its submitter is told to try again.
    let tree = json!([{"ref": "g", "group": true, "idempotency_key": "t"}, {"type": "a", "parent_ref": "g"}]);
    race.one.begin().await;
    race.one.try_submit(&tree).await.unwrap();
    let (second, ()) = tokio::join!(
        race.two.try_submit(&tree),
        commit_when_awaited(&mut race.one, &mut race.watch)
    );
    assert_eq!(second.unwrap_err().sqlstate(), Some("40001"));
    assert_eq!(
        race.two.try_submit(&tree).await.unwrap()[0]["is_new"],
        false
    );
    race.one.assert_sound().await;
}

#[tokio::test]
async fn a_retry_against_the_end_of_another_dependency() {
    let mut race = Race::new().await;
    let ids = race
        .one
        .submit(json!([
            {"ref": "a", "type": "a", "priority": 9}, {"ref": "b", "type": "b"},
            {"ref": "both", "type": "both", "depends_on": [{"ref": "a"}, {"ref": "b", "when": "terminal"}]},
        ]))
        .await;
    let claims = race.one.claim(10).await;
    race.one.fail(&claims[..1]).await;
    race.one.begin().await;
    assert_eq!(race.one.retry(&ids[0]).await.unwrap(), 2);
    // The dependant is locked, so this end is left as news.
    race.two.complete(&claims[1..]).await;
    race.one.commit().await;
    race.two.settle().await;
    race.two.assert_sound().await;
    assert_eq!(race.two.state(&ids[2]).await, "queued/dependencies");
    let claim = race.two.next().await;
    race.two.complete(&[claim]).await;
    assert_eq!(race.two.state(&ids[2]).await, "queued");
    race.two.assert_sound().await;
}

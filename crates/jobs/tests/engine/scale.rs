//! Ten thousand of everything, and one owner who wants all of it.

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::Work;

const CHILDREN: usize = 9_998;

fn broad(policy: &str) -> Value {
    let mut jobs = vec![
        json!({"ref": "g", "group": true, "on_child_failure": policy, "owner": "ada"}),
        json!({"type": "after", "owner": "ada", "depends_on": [{"ref": "g"}], "queue": "after"}),
    ];
    jobs.extend((0..CHILDREN).map(|_| json!({"type": "child", "parent_ref": "g"})));
    json!(jobs)
}

#[tokio::test]
async fn ten_thousand_children_end_and_their_parent_with_them() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work.submit(broad("fail")).await;
    assert_eq!(ids.len(), 10_000);
    loop {
        let claims = work.claim(1000).await;
        if claims.is_empty() {
            break;
        }
        work.complete(&claims).await;
    }
    assert_eq!(work.states(&ids[..2]).await, ["completed", "queued"]);
    assert_eq!(work.job(&ids[0]).await["progress"], 1.0);
    work.assert_sound().await;
}

#[tokio::test]
async fn ten_thousand_children_are_cancelled_at_once() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work.submit(broad("fail")).await;
    let claims = work.claim(100).await;
    work.complete(&claims[..50]).await;
    assert_eq!(work.cancel(&ids[0]).await, 9_999 - 50);
    assert_eq!(work.claim(10).await.len(), 0);
    assert_eq!(
        work.states(&ids[..2]).await,
        ["cancelled (enough)", "cancelled (dependency failed)"]
    );
    assert_eq!(
        work.end(&claims[99..], "completed", true).await,
        [Value::Null]
    );
    work.assert_sound().await;
    assert_eq!(work.retry(&ids[0]).await.unwrap(), 10_000 - 50);
    work.assert_sound().await;
}

#[tokio::test]
async fn the_first_of_ten_thousand_that_fails_ends_all_others() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work.submit(broad("fail")).await;
    let claims = work.claim(1).await;
    work.fail(&claims).await;
    work.settle().await;
    assert_eq!(
        work.states(&ids[..2]).await,
        ["failed", "cancelled (dependency failed)"]
    );
    let open = "SELECT count(*) FROM work.jobs WHERE state <> 'cancelled'";
    assert_eq!(work.number(open).await, 2);
    work.assert_sound().await;
}

#[tokio::test]
async fn a_chain_of_a_thousand_is_given_up_to_its_end() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let jobs: Vec<Value> = (0..1000)
        .map(|n| match n {
            0 => json!({"ref": "0", "type": "a"}),
            _ => json!({"ref": n.to_string(), "type": "a", "depends_on": [{"ref": (n - 1).to_string()}]}),
        })
        .collect();
    work.submit(json!(jobs)).await;
    let claim = work.next().await;
    work.fail(&[claim]).await;
    work.assert_sound().await;
    // One call goes a bounded way; the duty goes on.
    work.settle().await;
    let open = "SELECT count(*) FROM work.jobs WHERE state = 'cancelled'";
    assert_eq!(work.number(open).await, 999);
    work.assert_sound().await;
}

#[tokio::test]
async fn small_owners_need_not_wait_for_a_large_one() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let flood: Vec<Value> = (0..5_000)
        .map(|_| json!({"type": "flood", "owner": "whale", "events": false}))
        .collect();
    work.submit(json!(flood)).await;
    let first = work.claim(100).await;
    assert!(first.iter().all(|claim| claim.kind == "flood"));
    for owner in 0..20 {
        let owner = format!("owner {owner}");
        let few: Vec<Value> = (0..10)
            .map(|_| json!({"type": "few", "owner": owner, "events": false}))
            .collect();
        work.submit(json!(few)).await;
    }
    let next = work.claim(250).await;
    let few = next.iter().filter(|claim| claim.kind == "few").count();
    assert_eq!(few, 200, "all of theirs");
    // An owner with a larger share gets more of it.
    work.run(
        "INSERT INTO work.shares VALUES ('large', 4), ('small', 1)",
        &[],
    )
    .await;
    let mut jobs = Vec::new();
    for owner in ["large", "small"] {
        jobs.extend(
            (0..100).map(
                |_| json!({"type": owner, "owner": owner, "events": false, "queue": "shared"}),
            ),
        );
    }
    work.submit(json!(jobs)).await;
    let claims = work.claim_from("{shared}", 50).await;
    let large = claims.iter().filter(|claim| claim.kind == "large").count();
    assert!((38..=42).contains(&large), "{large} of 50");
    work.assert_sound().await;
}

#[tokio::test]
async fn what_is_released_together_takes_turns_as_well() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let mut jobs = vec![json!({"ref": "gate", "type": "gate", "owner": "whale", "priority": 1})];
    jobs.extend((0..100).map(|_| {
        json!({"type": "flood", "owner": "whale", "depends_on": [{"ref": "gate"}], "events": false})
    }));
    work.submit(json!(jobs)).await;
    let gate = work.next().await;
    work.complete(&[gate]).await;
    let few: Vec<Value> = (0..10)
        .map(|_| json!({"type": "few", "owner": "minnow", "events": false}))
        .collect();
    work.submit(json!(few)).await;
    let next = work.claim(25).await;
    let few = next.iter().filter(|claim| claim.kind == "few").count();
    assert_eq!(few, 10);
    work.assert_sound().await;
}

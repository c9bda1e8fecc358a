//! Circles of waits: whatever is submitted, below whatever is there, and
//! depending on whatever is there, is held against a search that knows all of
//! it. What was let in ends.

use std::collections::HashMap;

use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Work, pair, refused};

const SUSPEND: &str = "SELECT to_jsonb(s.state) FROM work_engine.suspend($1, $2, $3, $4) AS s";

/// What the search knows of a job.
#[derive(Clone, Debug, Default)]
struct Known {
    id: Option<String>,
    is_group: bool,
    parent: Option<usize>,
    on: Vec<usize>,
    depth: usize,
}

/// Small numbers that follow from the first.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Whether anybody waits for itself, over however many others.
fn has_circle(jobs: &[Known]) -> bool {
    let waits = |at: usize| {
        let children =
            (0..jobs.len()).filter(move |c| jobs[at].is_group && jobs[*c].parent == Some(at));
        jobs[at].on.iter().copied().chain(children)
    };
    (0..jobs.len()).any(|from| {
        let mut seen = vec![false; jobs.len()];
        let mut next: Vec<usize> = waits(from).collect();
        while let Some(at) = next.pop() {
            if at == from {
                return true;
            }
            if !std::mem::replace(&mut seen[at], true) {
                next.extend(waits(at));
            }
        }
        false
    })
}

/// A few jobs more, as they are known and as they are sent.
fn more(old: &[Known], dice: &mut Dice) -> (Vec<Known>, Value) {
    let (start, size) = (old.len(), 1 + dice.below(4));
    let mut jobs = old.to_vec();
    for at in start..start + size {
        let parent = (at > 0 && dice.below(3) > 0).then(|| dice.below(at));
        let parent = parent.filter(|parent| jobs[*parent].depth < 8);
        jobs.push(Known {
            is_group: dice.below(2) == 0,
            parent,
            depth: parent.map_or(0, |parent| jobs[parent].depth + 1),
            ..Known::default()
        });
    }
    // A group without children would be over before anybody could be below it.
    for group in start..start + size {
        if jobs[group].is_group && !jobs[start..].iter().any(|job| job.parent == Some(group)) {
            let depth = jobs[group].depth + 1;
            jobs.push(Known {
                parent: Some(group),
                depth,
                ..Known::default()
            });
        }
    }
    let end = jobs.len();
    for job in &mut jobs[start..] {
        for _ in 0..dice.below(3) {
            let on = dice.below(end);
            if !job.is_group && !job.on.contains(&on) {
                job.on.push(on);
            }
        }
    }
    let link = |at: usize, outside: &str, inside: &str| match &jobs[at].id {
        Some(id) => (outside.to_owned(), json!(id)),
        None => (inside.to_owned(), json!(format!("r{at}"))),
    };
    let specs = (start..end).map(|at| {
        let job = &jobs[at];
        let mut spec = serde_json::Map::from_iter([
            ("ref".to_owned(), json!(format!("r{at}"))),
            ("type".to_owned(), json!("t")),
        ]);
        if job.is_group {
            spec.insert("group".to_owned(), json!(true));
        }
        spec.extend(
            job.parent
                .map(|parent| link(parent, "parent_id", "parent_ref")),
        );
        let on = job.on.iter();
        let on: Vec<Value> = on
            .map(|on| Value::Object(serde_json::Map::from_iter([link(*on, "id", "ref")])))
            .collect();
        if !on.is_empty() {
            spec.insert("depends_on".to_owned(), Value::Array(on));
        }
        Value::Object(spec)
    });
    let specs = Value::Array(specs.collect());
    (jobs, specs)
}

#[tokio::test]
async fn what_would_wait_for_itself_is_refused_and_nothing_else() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let mut seen: HashMap<bool, u32> = HashMap::new();
    for seed in 1..=12 {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut jobs: Vec<Known> = Vec::new();
        for _ in 0..30 {
            let (mut after, specs) = more(&jobs, &mut dice);
            let circle = has_circle(&after);
            *seen.entry(circle).or_default() += 1;
            match work.try_submit(&specs).await {
                Ok(made) => {
                    assert!(!circle, "{specs} was let in, after {jobs:?}");
                    for (job, made) in after[jobs.len()..].iter_mut().zip(&made) {
                        job.id = made["id"].as_str().map(str::to_owned);
                    }
                    jobs = after;
                }
                Err(error) => {
                    assert!(circle, "{specs} was refused ({error}), after {jobs:?}");
                    assert_eq!(refused::<()>(Err(error)), pair("PT400", "cycle"));
                }
            }
        }
        // Nothing that was let in is stuck.
        loop {
            let claims = work.claim(100).await;
            if claims.is_empty() {
                break;
            }
            work.complete(&claims).await;
        }
        let open = "SELECT count(*) FROM work.jobs WHERE state <> 'completed'";
        assert_eq!(work.number(open).await, 0, "{jobs:?}");
    }
    assert!(seen[&true] > 50 && seen[&false] > 50, "{seen:?}");
    work.assert_sound().await;
}

#[tokio::test]
async fn a_circle_that_only_a_retry_would_close_is_one() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work
        .submit(json!([
            {"ref": "g", "group": true},
            {"type": "keeps it open", "parent_ref": "g"},
            {"type": "after", "depends_on": [{"ref": "g"}]},
        ]))
        .await;
    work.run("SELECT FROM work_engine.cancel($1, 'test')", &[&ids[2]])
        .await;
    let late = json!([{"type": "late", "parent_id": ids[0], "depends_on": [{"id": ids[2], "when": "terminal"}]}]);
    assert_eq!(
        refused(work.try_submit(&late).await),
        pair("PT400", "cycle")
    );
}

#[tokio::test]
async fn a_handler_does_not_wait_for_children_that_wait_for_it() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let all = json!([{"key": "all", "kind": "children"}]).to_string();
    let either =
        json!([{"key": "all", "kind": "children"}, {"key": "go", "kind": "signal"}]).to_string();
    let id = work.one(json!({"type": "handler"})).await;
    let claim = work.next().await;
    let epoch = claim.epoch.to_string();
    let plain = work
        .spawn(&claim, &json!([{"type": "child"}]))
        .await
        .unwrap();
    // Below a handler that runs nobody is stuck.
    let below = json!([{"ref": "g", "group": true}, {"type": "late", "parent_ref": "g", "depends_on": [{"id": id}]}]);
    let late = work.spawn(&claim, &below).await.unwrap();
    let asked = work.ask(SUSPEND, &[&id, &epoch, &all, "any"]).await;
    assert_eq!(refused(asked), pair("PT400", "cycle"));
    let asked = work.ask(SUSPEND, &[&id, &epoch, &either, "all"]).await;
    assert_eq!(refused(asked), pair("PT400", "cycle"));
    work.run("SELECT FROM work_engine.cancel($1, 'test')", &[&late[0]])
        .await;
    let asked = work.ask(SUSPEND, &[&id, &epoch, &all, "any"]).await;
    assert_eq!(asked.unwrap(), json!("suspended"));
    // While it waits, it is as a group.
    let joins = json!([{"type": "late", "parent_id": id, "depends_on": [{"id": id}]}]);
    assert_eq!(
        refused(work.try_submit(&joins).await),
        pair("PT400", "cycle")
    );
    let child = work.next().await;
    assert_eq!(child.id, plain[0]);
    work.complete(&[child]).await;
    assert_eq!(work.next().await.id, id);
    work.assert_sound().await;
}

#[tokio::test]
async fn two_who_close_half_a_circle_each_do_not_both_get_in() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let half = |x: &str| {
        json!([
            {"ref": "g", "group": true},
            {"type": "keeps it open", "parent_ref": "g"},
            {"type": x, "depends_on": [{"ref": "g"}]},
        ])
    };
    let one = work.submit(half("one")).await;
    let two = work.submit(half("two")).await;
    let mut other = Work::on(&db).await;
    work.session.script("BEGIN").await.unwrap();
    let first = json!([{"type": "first", "parent_id": one[0], "depends_on": [{"id": two[2]}]}]);
    work.submit(first).await;
    // The other has no row in common with it and waits all the same.
    let second = json!([{"type": "second", "parent_id": two[0], "depends_on": [{"id": one[2]}]}]);
    let (late, committed) = tokio::join!(other.try_submit(&second), work.session.script("COMMIT"));
    committed.unwrap();
    assert_eq!(refused(late), pair("PT400", "cycle"));
    work.assert_sound().await;
}

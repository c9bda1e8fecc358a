//! Thirty-two workers complete siblings of three joins while others cancel,
//! pause, resume and retry them, rescue, and keep house: nothing waits for
//! ever, nothing is counted twice, and in the end everything is over.

use std::cell::Cell;

use futures_util::future::join_all;
use kernel::Rng;
use pg::Error;
use pg::testing::TestDb;
use serde_json::{Value, json};

use crate::{Work, text};

const WORKERS: usize = 32;
const CHILDREN: usize = 120;

fn below(rng: &Rng, most: u64) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes) % most
}

/// Deadlocks and the like are what this looks for; refusals are answers.
fn no_deadlock<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let state = error.sqlstate().unwrap_or_default().to_owned();
            assert!(
                state.starts_with("PT4") || state == "40001",
                "{error}: {state}"
            );
            None
        }
    }
}

fn forest() -> Value {
    let mut jobs = Vec::new();
    for group in 0..3 {
        let policy = if group == 0 { "fail" } else { "continue" };
        jobs.push(json!({"ref": format!("g{group}"), "group": true, "on_child_failure": policy, "owner": "ada"}));
        for child in 0..CHILDREN {
            let mut job = json!({
                "ref": format!("c{group}.{child}"), "type": "child", "parent_ref": format!("g{group}"), "max_attempts": 3,
                "backoff_ms": 1,
            });
            // Some wait for a sibling, some for a child of another group.
            if child % 7 == 3 {
                job["depends_on"] =
                    json!([{"ref": format!("c{group}.{}", child - 1), "when": "terminal"}]);
            } else if child % 7 == 5 && group > 0 {
                job["depends_on"] = json!([{"ref": format!("c{}.{child}", group - 1)}]);
            }
            jobs.push(job);
        }
        jobs.push(json!({"type": "join", "owner": "ada", "depends_on": [{"ref": format!("g{group}"), "when": "terminal"}]}));
    }
    json!(jobs)
}

async fn worker(mut work: Work, rng: Rng, over: &Cell<bool>) {
    while !over.get() {
        let claims = work.claim(3).await;
        if claims.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        match below(&rng, 10) {
            // It dies: somebody rescues the jobs.
            0 => work.expire_leases_of(&claims).await,
            1 => drop(no_deadlock(
                work.try_end(&claims, "failed", below(&rng, 4) > 0).await,
            )),
            _ => drop(no_deadlock(work.try_end(&claims, "completed", true).await)),
        }
    }
}

async fn meddler(mut work: Work, rng: Rng, ids: &[String], rounds: usize) {
    const VERBS: [&str; 6] = [
        "SELECT jsonb_agg(c.state) FROM work_engine.cancel($1, 'storm') AS c",
        "SELECT jsonb_agg(c.state) FROM work_engine.retry($1) AS c",
        "SELECT jsonb_agg(c.state) FROM work_engine.retry($1) AS c",
        "SELECT jsonb_agg(c.state) FROM work_engine.pause($1) AS c",
        "SELECT jsonb_agg(c.state) FROM work_engine.resume($1) AS c",
        "SELECT jsonb_agg(c.state) FROM work_engine.resume($1) AS c",
    ];
    for round in 0..rounds {
        let most = u64::try_from(ids.len()).unwrap();
        let mut at = usize::try_from(below(&rng, most)).unwrap();
        if round % 5 == 0 {
            // A whole group.
            at -= at % (CHILDREN + 2);
        }
        let verb = VERBS[usize::try_from(below(&rng, 6)).unwrap()];
        no_deadlock(work.ask(verb, &[&ids[at]]).await);
    }
}

async fn keeper(mut work: Work, over: &Cell<bool>) {
    while !over.get() {
        work.run("SELECT work_engine.rescue(100)", &[]).await;
        work.run("SELECT work_engine.promote(100)", &[]).await;
        work.run("SELECT work_engine.arrive_some(100)", &[]).await;
        work.run("SELECT work_engine.number_some(100)", &[]).await;
        assert_eq!(work.problems().await, Vec::<String>::new());
    }
}

impl Work {
    async fn expire_leases_of(&mut self, claims: &[crate::Claim]) {
        let ids: Vec<&str> = claims.iter().map(|claim| claim.id.as_str()).collect();
        // In the order in which everybody locks.
        self.run(
            "UPDATE work.jobs SET lease_until = now() - interval '1 second'
             WHERE id IN (SELECT id FROM work.jobs WHERE id = ANY ($1) AND state = 'running' AND lease_until IS NOT NULL
                          ORDER BY id FOR NO KEY UPDATE)",
            &[&format!("{{{}}}", ids.join(","))],
        )
        .await;
    }
}

#[tokio::test]
async fn a_storm_ends_with_everything_over_and_counted() {
    let db = TestDb::new().await;
    let mut work = Work::on(&db).await;
    let ids = work.submit(forest()).await;
    let over = Cell::new(false);
    let rng = Rng::seeded(5);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(worker(
            Work::on(&db).await,
            Rng::seeded(below(&rng, 1 << 40)),
            &over,
        ));
    }
    let mut meddlers = Vec::new();
    for _ in 0..4 {
        meddlers.push(meddler(
            Work::on(&db).await,
            Rng::seeded(below(&rng, 1 << 40)),
            &ids,
            60,
        ));
    }
    let keepers = [
        keeper(Work::on(&db).await, &over),
        keeper(Work::on(&db).await, &over),
    ];
    let calm = async {
        join_all(meddlers).await;
        // What somebody paused last must go on.
        loop {
            let sql = "SELECT coalesce(jsonb_agg(id), '[]') FROM work.jobs WHERE state IN ('queued', 'running', 'paused')";
            let open = work.ask(sql, &[]).await.unwrap();
            let open = open.as_array().unwrap();
            if open.is_empty() {
                break;
            }
            for id in open {
                let sql = "SELECT jsonb_agg(c.state) FROM work_engine.resume($1) AS c";
                no_deadlock(work.ask(sql, &[&text(id)]).await);
            }
        }
        over.set(true);
    };
    tokio::join!(join_all(workers), join_all(keepers), calm);
    work.settle().await;
    work.assert_sound().await;
    let left = "SELECT (SELECT count(*) FROM work_engine.arrivals) + (SELECT count(*) FROM work_engine.unnumbered)";
    assert_eq!(work.number(left).await, 0);
}

//! Workers die at every point of a step and come back as zombies, and no step
//! is paid twice: counted at the provider.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_util::future::join_all;
use kernel::Rng;
use pg::Session;
use serde_json::{Value, json};

use crate::support::{Claim, World, ask, begin, claim, connect, finish, text};

const JOBS: usize = 40;
const STEPS: usize = 3;
const WORKERS: usize = 8;

/// Charges once for each token it has not seen, and answers the same again.
#[derive(Default)]
struct Provider {
    answers: RefCell<BTreeMap<String, usize>>,
}

impl Provider {
    fn call(&self, token: &str) -> Value {
        let mut answers = self.answers.borrow_mut();
        let next = answers.len();
        json!(answers.entry(token.to_owned()).or_insert(next))
    }
}

fn below(rng: &Rng, n: u8) -> u8 {
    let [byte] = rng.bytes::<1>();
    byte % n
}

/// One run of the handler; it may end at any point without a word.
async fn run(session: &mut Session, held: &Claim, provider: &Provider, rng: &Rng) -> Option<()> {
    let dies = || (below(rng, 12) > 0).then_some(());
    for n in 0..STEPS {
        let key = format!("step {n}");
        dies()?;
        let with = json!({"unit": "usd", "estimate": 1});
        let began = begin(session, held, &key, &with).await;
        dies()?;
        match text(&began, "verdict").as_str() {
            "hit" => continue,
            "run" => {}
            // It is somebody else's by now.
            "stale" => return None,
            other => panic!("{other}"),
        }
        let answer = provider.call(&text(&began, "idempotency_token"));
        dies()?;
        let end = "SELECT to_json(s) FROM work_engine.step_end($1::uuid, $2::integer, $3, $4::jsonb, 1) AS s";
        let params = [held.job.as_str(), &held.epoch, &key, &answer.to_string()];
        // Sent twice now and then, as networks do.
        for _ in 0..=below(rng, 2) {
            let ended = ask(session, end, &params).await.expect("no deadlock");
            assert_eq!(ended["winner"], answer, "one request has one answer");
        }
        dies()?;
    }
    finish(session, held).await;
    Some(())
}

async fn worker(mut session: Session, provider: &Provider, rng: Rng, over: &Cell<bool>) {
    while !over.get() {
        match claim(&mut session).await {
            Some(held) => drop(run(&mut session, &held, provider, &rng).await),
            None => tokio::task::yield_now().await,
        }
    }
}

/// Takes jobs away from whoever has them, dead or not, until all are done.
async fn reaper(mut session: Session, over: &Cell<bool>) {
    let late = "WITH late AS (UPDATE work.jobs SET lease_until = clock_timestamp() - interval '1 second', crashes = 0
                WHERE id IN (SELECT id FROM work.jobs WHERE state = 'running' AND lease_until IS NOT NULL AND random() < 0.3
                             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)) SELECT 1";
    let left = "SELECT count(*) FROM work.jobs WHERE state <> 'completed'";
    while ask(&mut session, left, &[]).await.expect("a count") != json!(0) {
        for sql in [late, "SELECT work_engine.rescue(100)"] {
            ask(&mut session, sql, &[]).await.expect("no deadlock");
        }
        let sound =
            "SELECT coalesce(json_agg(c.problem), '[]') FROM work_engine.check_waits() AS c";
        let problems = ask(&mut session, sound, &[]).await.expect("a check");
        assert_eq!(problems, json!([]));
    }
    over.set(true);
}

#[tokio::test]
async fn whatever_dies_the_provider_is_paid_once_for_every_step() {
    let mut world = World::new().await;
    let budget = json!([{"unit": "usd", "cap": 100_000}]);
    let mut jobs = vec![json!({"ref": "all", "type": "g", "group": true, "budget": budget})];
    jobs.extend((0..JOBS).map(|_| json!({"parent_ref": "all", "type": "t"})));
    world.submit(json!(jobs)).await;
    let provider = Provider::default();
    let over = Cell::new(false);
    let rng = Rng::seeded(11);
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let own = Rng::seeded(u64::from_le_bytes(rng.bytes()));
        workers.push(worker(connect(&world.db).await, &provider, own, &over));
    }
    let reaper = reaper(connect(&world.db).await, &over);
    tokio::join!(join_all(workers), reaper);
    assert_eq!(provider.answers.borrow().len(), JOBS * STEPS);
    let done = "SELECT json_build_array(count(*), count(DISTINCT result)) FROM work.steps WHERE state = 'done'";
    let all = json!([JOBS * STEPS, JOBS * STEPS]);
    assert_eq!(world.ask(done, &[]).await, all);
    // What every claim said it cost is on the bill, once for each.
    let bill = "SELECT json_build_array(b.spent = l.spent, b.spent >= $1::integer, b.reserved = 0)
                FROM work.budgets AS b, (SELECT sum(amount) AS spent FROM work.ledger WHERE kind = 'settle') AS l";
    let least = (JOBS * STEPS).to_string();
    assert_eq!(world.ask(bill, &[&least]).await, json!([true, true, true]));
    world.check().await;
}

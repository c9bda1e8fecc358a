//! Random traces through the model and the database. A seed that fails is
//! printed with what happened; `WORK_SEED=<n>` runs it alone, `WORK_TRACES=<n>`
//! runs more.

use pg::testing::TestDb;

use crate::both::{Both, Checked};
use crate::choose;
use crate::dice::Dice;
use crate::lives::asked;

/// So many of them in every run of the tests.
const TRACES: u64 = 200;
/// Tests that share them.
const PARTS: u64 = 4;
/// Things that happen in one.
const EVENTS: usize = 60;

#[tokio::test]
async fn the_database_does_what_the_model_does_1() {
    all(0).await;
}

#[tokio::test]
async fn the_database_does_what_the_model_does_2() {
    all(1).await;
}

#[tokio::test]
async fn the_database_does_what_the_model_does_3() {
    all(2).await;
}

#[tokio::test]
async fn the_database_does_what_the_model_does_4() {
    all(3).await;
}

/// A quarter of the seeds, on a database of its own, so that they run beside
/// each other.
async fn all(part: u64) {
    let db = TestDb::new().await;
    let mut both = Both::new(&db).await;
    let seeds = match asked("WORK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("WORK_TRACES").unwrap_or(TRACES),
    };
    let seeds = seeds.filter(|seed| seed % PARTS == part);
    let mut failed: Vec<(u64, String, Vec<String>)> = Vec::new();
    for seed in seeds {
        both.begin().await;
        if let Err(wrong) = trace(&mut both, seed).await {
            failed.push((seed, wrong, std::mem::take(&mut both.log)));
        }
    }
    for (seed, wrong, log) in &failed {
        eprintln!(
            "seed {seed} after {}: {}",
            log.len(),
            wrong.lines().next().unwrap_or("")
        );
    }
    // The shortest is the one to read.
    if let Some((seed, wrong, log)) = failed.iter().min_by_key(|(_, _, log)| log.len()) {
        let log = log.join("\n");
        panic!("WORK_SEED={seed} runs it alone\n{log}\n{wrong}\n");
    }
}

async fn trace(both: &mut Both, seed: u64) -> Checked {
    let mut dice = Dice::new(seed);
    let mut again = None;
    for _ in 0..EVENTS {
        choose::next(both, &mut dice, &mut again).await?;
    }
    both.check().await
}

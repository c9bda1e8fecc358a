//! Ten thousand lives. A seed that fails is printed; `WORK_SEED=<n>` lives it
//! alone, `WORK_SEEDS=<n>` lives more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::shapes::Mood;
use crate::simulate::Life;

/// Over both tests, ten thousand.
const SEEDS: u64 = 5_000;

/// What a failing seed needs to be told once.
pub(crate) fn asked(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are asked for seeds by their environment"
    )]
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}

fn seeds() -> std::ops::Range<u64> {
    match asked("WORK_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("WORK_SEEDS").unwrap_or(SEEDS),
    }
}

/// Lives every seed, on both cores, and names the one that failed.
fn all(life: impl Fn(u64) + Sync) {
    let (seeds, life) = (seeds(), &life);
    std::thread::scope(|scope| {
        for part in 0..2 {
            let seeds = seeds.clone();
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % 2 == part) {
                    let lived = catch_unwind(AssertUnwindSafe(|| life(seed)));
                    assert!(
                        lived.is_ok(),
                        "seed {seed}: run it alone with WORK_SEED={seed}"
                    );
                }
            });
        }
    });
}

#[test]
fn a_life_with_users_always_comes_to_rest() {
    all(|seed| {
        Life::new(seed, Mood::Wild, true).live();
    });
}

#[test]
fn a_disturbed_life_ends_as_an_undisturbed_one() {
    let events = std::sync::atomic::AtomicUsize::new(0);
    all(|seed| {
        let disturbed = Life::new(seed, Mood::Quiet, true).live();
        events.fetch_add(disturbed.events(), std::sync::atomic::Ordering::Relaxed);
        // Who dies five times over one job stops it, which is another end.
        if !disturbed.was_poisoned() {
            let undisturbed = Life::new(seed, Mood::Quiet, false).live();
            assert_eq!(disturbed.fate(), undisturbed.fate());
        }
    });
    eprintln!("{} events", events.into_inner());
}

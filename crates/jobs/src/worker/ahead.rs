//! How many jobs a worker takes beyond those that it runs.
//!
//! A few are always taken ahead, so that a slot which becomes free need not wait
//! for a claim. Where handlers are quick a few are over before the next claim
//! is answered, and slots stand idle. Then the number doubles, as long as
//! claims bring all that was asked for. It falls back as soon as one brings
//! less, or brings large inputs, or a job has had to wait for a slot: such a job
//! is given back, because somebody else may have room. Start at
//! [`Ahead::answered`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::types::Claimed;

/// Taken ahead at most: with the slots, about what one claim brings.
const AHEAD_MAX: usize = 1024;
/// Bytes of inputs that one answer may have for the next to bring more: what a
/// worker holds in memory stays near a few of these.
const INPUTS_MAX: usize = 1 << 20;
/// How long a job that was taken beyond the first few waits for a slot before
/// it is given back.
pub(super) const WAIT_MAX: Duration = Duration::from_millis(500);

/// What is taken ahead now.
#[derive(Debug)]
pub(super) struct Ahead {
    first: usize,
    most: usize,
    now: AtomicUsize,
    /// The last claim brought all that it asked for.
    full: AtomicBool,
}

impl Ahead {
    /// So many, and more while handlers are quick.
    pub(super) fn by_pace(first: usize) -> Self {
        Self::new(first, first.max(AHEAD_MAX))
    }

    /// So many and no more.
    pub(super) fn fixed(first: usize) -> Self {
        Self::new(first, first)
    }

    fn new(first: usize, most: usize) -> Self {
        Self {
            first,
            most,
            now: AtomicUsize::new(first),
            full: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// What is always taken ahead, however slow handlers are.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// A job waited too long.
    pub(super) fn fall_back(&self) {
        self.now.store(self.first, Ordering::Relaxed);
        self.full.store(false, Ordering::Relaxed);
    }

    /// A claim of so many was answered; `idle` says whether slots had nothing
    /// to do by then.
    pub(super) fn answered(&self, asked: usize, claimed: &[Claimed], idle: bool) {
        let inputs = claimed.iter().filter_map(|job| job.input.as_ref());
        let bytes: usize = inputs.map(|input| input.get().len()).sum();
        if claimed.len() < asked || bytes > INPUTS_MAX {
            return self.fall_back();
        }
        // With the first claim everybody is idle.
        let before = self.full.swap(true, Ordering::Relaxed);
        if before && idle {
            let next = self.now().saturating_mul(2).clamp(1, self.most.max(1));
            self.now.store(next.min(self.most), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<Claimed> {
        vec![Claimed::default(); count]
    }

    #[test]
    fn quick_handlers_get_more_and_slow_ones_do_not() {
        let ahead = Ahead::by_pace(16);
        ahead.answered(32, &some(32), true);
        assert_eq!(ahead.now(), 16, "at the first claim everybody is idle");
        ahead.answered(32, &some(32), false);
        assert_eq!(ahead.now(), 16);
        for _ in 0..20 {
            ahead.answered(32, &some(32), true);
        }
        assert_eq!(ahead.now(), AHEAD_MAX);
        ahead.answered(32, &some(31), true);
        assert_eq!(ahead.now(), 16, "there is nothing more to take");
        ahead.answered(32, &some(32), true);
        assert_eq!(ahead.now(), 16, "the pace is found anew");
        ahead.answered(32, &some(32), true);
        assert_eq!(ahead.now(), 32);
        ahead.fall_back();
        assert_eq!(ahead.now(), 16);
    }

    #[test]
    fn large_inputs_and_fixed_numbers_stay() {
        let ahead = Ahead::by_pace(4);
        let text = format!("\"{}\"", "x".repeat(INPUTS_MAX));
        let mut large = some(1);
        if let Some(job) = large.first_mut() {
            job.input = serde_json::value::RawValue::from_string(text).ok();
        }
        for _ in 0..4 {
            ahead.answered(1, &large, true);
        }
        assert_eq!(ahead.now(), 4);
        for fixed in [0, 7] {
            let ahead = Ahead::fixed(fixed);
            for _ in 0..4 {
                ahead.answered(8, &some(8), true);
            }
            assert_eq!(ahead.now(), fixed);
        }
    }
}

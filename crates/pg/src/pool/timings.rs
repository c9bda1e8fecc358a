//! Which statements are quick, learned by watching them.

use std::collections::HashMap;
use std::time::Duration;

/// A statement slower than this would be felt by those behind it.
const QUICK: Duration = Duration::from_millis(4);

/// Runs to see before a statement counts as quick.
const SAMPLES_MIN: u32 = 3;

/// Statements remembered at most; past it everything is forgotten, since it
/// takes only a few runs to learn again.
const STATEMENTS_MAX: usize = 8192;

#[derive(Debug, Default)]
pub(super) struct Timings(HashMap<u64, Timing>);

#[derive(Clone, Copy, Debug, Default)]
struct Timing {
    samples: u32,
    /// A moving average that follows a change within a few runs.
    average: Duration,
}

impl Timings {
    pub(super) fn is_quick(&self, key: u64) -> bool {
        self.0
            .get(&key)
            .is_some_and(|t| t.samples >= SAMPLES_MIN && t.average < QUICK)
    }

    pub(super) fn record(&mut self, key: u64, took: Duration) {
        if self.0.len() >= STATEMENTS_MAX && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let timing = self.0.entry(key).or_default();
        timing.average = if timing.samples == 0 {
            took
        } else {
            (timing.average * 3 + took) / 4
        };
        timing.samples = timing.samples.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_quick_after_three_quick_runs_until_it_is_slow() {
        let mut timings = Timings::default();
        for _ in 0..3 {
            assert!(!timings.is_quick(1));
            timings.record(1, Duration::from_micros(200));
        }
        assert!(timings.is_quick(1));
        timings.record(1, Duration::from_millis(100));
        assert!(!timings.is_quick(1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut timings = Timings::default();
        for key in 0..20_000 {
            timings.record(key, Duration::ZERO);
            assert!(timings.0.len() <= STATEMENTS_MAX);
        }
    }
}

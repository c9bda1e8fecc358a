//! How long to wait before the next try.
//!
//! Doubling from a base up to a limit, then spread by half in each direction,
//! so that what failed together does not come back together. The functions of
//! `work_engine` reckon the same for jobs; the model and whoever tries again in
//! this process take it from here.

use std::time::Duration;

/// After this many doublings any base of a millisecond is past any limit.
const DOUBLINGS_MAX: u32 = 40;

/// The time before the try that follows `failures` failures, which are at
/// least one. `luck` is from 0 to 1 and decides where in the spread it falls:
/// from half to one and a half of what is due.
#[must_use]
pub fn delay(base: Duration, max: Duration, failures: u32, luck: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(DOUBLINGS_MAX);
    let due = base.as_secs_f64() * 2_f64.powi(i32::try_from(doublings).unwrap_or(i32::MAX));
    let due = due.min(max.as_secs_f64());
    Duration::try_from_secs_f64(due * (0.5 + luck.clamp(0.0, 1.0))).unwrap_or(max)
}

/// The shortest and the longest that [`delay`] can be.
#[must_use]
pub fn range(base: Duration, max: Duration, failures: u32) -> (Duration, Duration) {
    (
        delay(base, max, failures, 0.0),
        delay(base, max, failures, 1.0),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{delay, range};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_doubles_up_to_the_limit_and_is_spread() {
        let middle = |failures| delay(SECOND, SECOND * 10, failures, 0.5);
        assert_eq!(
            [1, 2, 3, 4, 5, 400].map(middle).map(|d| d.as_secs()),
            [1, 2, 4, 8, 10, 10]
        );
        assert_eq!(range(SECOND, SECOND * 10, 2), (SECOND, SECOND * 3));
    }

    #[test]
    fn it_takes_any_number() {
        assert_eq!(delay(Duration::ZERO, SECOND, u32::MAX, 0.3), Duration::ZERO);
        assert_eq!(delay(Duration::MAX, Duration::MAX, 9, 7.0), Duration::MAX);
        assert_eq!(delay(SECOND, SECOND, 0, f64::NAN), SECOND);
    }
}

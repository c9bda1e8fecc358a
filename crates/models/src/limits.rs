//! What one provider may be asked at once and by the minute, and whether it is
//! asked at all: one that keeps failing is left alone for a while.
//!
//! [`Breaker`] and [`Rate`] are pure; [`Gate`] holds them with the places for
//! calls at the same time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ModelError, ModelErrorKind};

/// Failures one after the other until a provider is left alone. Fewer would
/// stop everybody for one client's bad minute.
const FAILURES: u32 = 5;
/// How long it is left alone before one call finds out.
const REST: Duration = Duration::from_secs(30);
/// Calls at once to one provider, unless the operator says otherwise.
pub(crate) const CONCURRENCY: usize = 256;
/// Calls that may wait for a place; the rest is told at once.
const WAITING_MAX: usize = 1024;
/// How long they wait.
const WAIT: Duration = Duration::from_secs(20);

/// Whether a provider is asked at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Breaker {
    failures: u32,
    until: Option<Timestamp>,
}

impl Breaker {
    /// Whether it may be asked now; when not, for how long not. After its rest
    /// one call goes through, and the others wait for what becomes of it.
    pub(crate) fn ask(&mut self, now: Timestamp) -> Result<(), Duration> {
        let Some(until) = self.until else {
            return Ok(());
        };
        if now < until {
            let left = Duration::try_from(until - now).unwrap_or(REST);
            return Err(left);
        }
        self.until = Some(now + REST);
        Ok(())
    }

    /// It has answered, or failed for reasons of the request.
    pub(crate) fn well(&mut self) {
        *self = Self::default();
    }

    /// It has failed for reasons of its own.
    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.until = Some(now + REST);
        }
    }
}

/// Whether a failure speaks against the provider, and not against the request.
/// Callers choose models: that our key may not use one, or that our account is
/// too small for it, says nothing about the others.
#[must_use]
pub(crate) fn is_its_own(error: &ModelError) -> bool {
    use ModelErrorKind as K;
    if error.kind == K::Auth {
        return error.status == Some(401);
    }
    matches!(
        error.kind,
        K::Overloaded | K::Server | K::Protocol | K::Connect | K::Timeout | K::Truncated
    )
}

/// So many in a minute, evenly, with room for as many at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    per_minute: f64,
    left: f64,
    at: Timestamp,
}

impl Rate {
    /// None used yet.
    #[must_use]
    pub(crate) fn new(per_minute: u32, now: Timestamp) -> Self {
        Self {
            per_minute: f64::from(per_minute),
            left: f64::from(per_minute),
            at: now,
        }
    }

    /// Takes one, or says when there will be one.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        let passed = Duration::try_from(now - self.at).unwrap_or_default();
        self.at = self.at.max(now);
        let refilled = passed.as_secs_f64() * self.per_minute / 60.0;
        self.left = (self.left + refilled).min(self.per_minute);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.left) * 60.0 / self.per_minute.max(f64::MIN_POSITIVE);
        Err(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX))
    }
}

/// The door to one provider.
#[derive(Debug)]
pub(crate) struct Gate {
    name: Arc<str>,
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    // Held for a few instructions, never across a wait.
    state: Mutex<(Breaker, Option<Rate>)>,
}

impl Gate {
    /// A door that lets so many through at once and in a minute.
    #[must_use]
    pub(crate) fn new(name: &str, at_once: usize, per_minute: Option<u32>, now: Timestamp) -> Self {
        let rate = per_minute.map(|most| Rate::new(most, now));
        Self {
            name: name.into(),
            places: Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            state: Mutex::new((Breaker::default(), rate)),
        }
    }

    /// A place, or why there is none. Where another provider could be asked
    /// (`elsewhere`), nobody waits here.
    pub(crate) async fn enter(&self, now: Timestamp, elsewhere: bool) -> Result<Place, ModelError> {
        self.admit(now)?;
        let full = || {
            let message = "too many calls to the provider are in progress";
            ModelError::new(ModelErrorKind::RateLimited, message).of(&self.name)
        };
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Place(place));
        }
        if elsewhere {
            return Err(full());
        }
        let _waits = self.waiting.try_acquire().map_err(|_| full())?;
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(WAIT, place).await {
            Ok(Ok(place)) => Ok(Place(place)),
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }

    fn admit(&self, now: Timestamp) -> Result<(), ModelError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (breaker, rate) = &mut *state;
        let later = |kind, message: &str, wait| {
            let mut error = ModelError::new(kind, message).of(&self.name);
            error.retry_after = Some(wait);
            error
        };
        if let Some(rate) = rate {
            rate.take(now).map_err(|wait| {
                let message = "the limit of calls a minute is reached";
                later(ModelErrorKind::RateLimited, message, wait)
            })?;
        }
        breaker.ask(now).map_err(|wait| {
            let message = "the provider keeps failing and is left alone for a while";
            later(ModelErrorKind::Overloaded, message, wait)
        })
    }

    /// What became of a call.
    pub(crate) fn report(&self, now: Timestamp, failed: Option<&ModelError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match failed {
            Some(error) if is_its_own(error) => state.0.failed(now),
            // Too many calls say nothing about the provider's health.
            Some(error) if error.kind == ModelErrorKind::RateLimited => {}
            _ => state.0.well(),
        }
    }
}

/// A place at a provider, until dropped.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_a_caller_chooses_does_not_count() {
        use ModelErrorKind as K;
        let of = |kind, status| {
            let mut error = ModelError::new(kind, "");
            error.status = status;
            is_its_own(&error)
        };
        assert!(of(K::Auth, Some(401)) && of(K::Server, Some(500)));
        assert!(!of(K::Auth, Some(403)) && !of(K::Payment, Some(402)));
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn one_that_keeps_failing_is_left_alone_then_one_call_finds_out() {
        let mut breaker = Breaker::default();
        for n in 0..FAILURES {
            assert_eq!(breaker.ask(at(0)), Ok(()), "after {n}");
            breaker.failed(at(0));
        }
        assert_eq!(breaker.ask(at(10)), Err(Duration::from_secs(20)));
        assert_eq!(breaker.ask(at(30)), Ok(()), "one goes through");
        assert!(breaker.ask(at(30)).is_err(), "and no other");
        breaker.failed(at(31));
        assert!(breaker.ask(at(60)).is_err(), "it still fails");
        assert_eq!(breaker.ask(at(61)), Ok(()));
        breaker.well();
        assert_eq!(breaker.ask(at(61)), Ok(()));
        assert_eq!(breaker.ask(at(61)), Ok(()), "well again");
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..FAILURES {
                breaker.failed(at(0));
            }
            breaker.well();
        }
        assert_eq!(breaker.ask(at(0)), Ok(()));
    }

    #[test]
    fn a_rate_is_kept_and_says_when() {
        let mut rate = Rate::new(60, at(0));
        for _ in 0..60 {
            assert_eq!(rate.take(at(0)), Ok(()));
        }
        assert_eq!(rate.take(at(0)), Err(Duration::from_secs(1)));
        assert_eq!(rate.take(at(1)), Ok(()));
        assert!(rate.take(at(1)).is_err());
        // A clock that goes back gives nothing.
        assert!(rate.take(at(-100)).is_err());
    }

    #[tokio::test]
    async fn a_full_door_sends_on_or_lets_wait() {
        let gate = Arc::new(Gate::new("a", 1, None, at(0)));
        let first = gate.enter(at(0), true).await.unwrap();
        let full = gate.enter(at(0), true).await.unwrap_err();
        assert_eq!(full.kind, ModelErrorKind::RateLimited);
        let waits = gate.enter(at(0), false);
        let frees = async { drop(first) };
        let (second, ()) = tokio::join!(waits, frees);
        assert!(second.is_ok());
    }

    #[tokio::test]
    async fn failures_of_requests_do_not_close_the_door() {
        let gate = Gate::new("a", 1, None, at(0));
        for _ in 0..100 {
            let wrong = ModelError::new(ModelErrorKind::BadRequest, "no");
            gate.report(at(0), Some(&wrong));
        }
        assert!(gate.enter(at(0), true).await.is_ok());
        for _ in 0..FAILURES {
            let error = ModelError::new(ModelErrorKind::Server, "down");
            gate.report(at(0), Some(&error));
        }
        let shut = gate.enter(at(0), true).await.unwrap_err();
        assert_eq!(shut.kind, ModelErrorKind::Overloaded);
        assert!(shut.retry_after.is_some());
    }
}

//! Who is next: one request at a time for each upload in this process. Whoever
//! comes second makes the first one stop, since a client that asks again has
//! lost its first connection, whether this side has noticed or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turnstile, OwnedMutexGuard, watch};

use super::error::{Result, TusError};

/// For how long a request waits for the one before it. Longer than a dead
/// node's lease, so that its uploads go on without a refusal.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(12);

/// The uploads that are being written to, by id.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Slot>>>);

#[derive(Debug)]
struct Slot {
    turnstile: Arc<Turnstile<()>>,
    /// How many wait.
    waiting: watch::Sender<usize>,
}

/// The right to write to one upload, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    id: String,
    slot: Arc<Slot>,
    _guard: OwnedMutexGuard<()>,
}

impl Turns {
    /// Waits for the upload, telling whoever has it.
    pub(super) async fn take(self: &Arc<Self>, id: &str, wait: Duration) -> Result<Turn> {
        let slot = self.slot(id);
        slot.waiting.send_modify(|waiting| *waiting += 1);
        let turnstile = Arc::clone(&slot.turnstile);
        let guard = tokio::time::timeout(wait, turnstile.lock_owned()).await;
        slot.waiting
            .send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        let Ok(guard) = guard else {
            self.forget(id, 2);
            return Err(TusError::Locked);
        };
        Ok(Turn {
            turns: Arc::clone(self),
            id: id.to_owned(),
            slot,
            _guard: guard,
        })
    }

    fn slot(&self, id: &str) -> Arc<Slot> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(id.to_owned()).or_insert_with(|| {
            Arc::new(Slot {
                turnstile: Arc::default(),
                waiting: watch::Sender::new(0),
            })
        });
        Arc::clone(slot)
    }

    /// Forgets a slot that only so many have.
    fn forget(&self, id: &str, left: usize) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(id)
            .is_some_and(|slot| Arc::strong_count(slot) == left)
        {
            slots.remove(id);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Turn {
    /// Ends when somebody else waits.
    pub(super) async fn wanted(&self) {
        let mut waiting = self.slot.waiting.subscribe();
        // The sender is in the slot that we hold.
        let _ = waiting.wait_for(|waiting| *waiting > 0).await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // The map and this turn; whoever waits has one, too.
        self.turns.forget(&self.id, 2);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn the_second_one_makes_the_first_one_stop() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a", WAIT_MAX).await.unwrap();
        let other = turns.take("b", WAIT_MAX).await.unwrap();
        let second = turns.take("a", WAIT_MAX);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => unreachable!("the first one has it"),
            () = other.wanted() => unreachable!("nobody wants this one"),
            () = first.wanted() => {}
        }
        drop(first);
        drop(second.await.unwrap());
        drop(other);
        assert_eq!(turns.len(), 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a", WAIT_MAX).await.unwrap();
        assert_eq!(
            turns.take("a", Duration::ZERO).await.unwrap_err(),
            TusError::Locked
        );
        drop(first);
        assert_eq!(turns.len(), 0);
        drop(turns.take("a", WAIT_MAX).await.unwrap());
        assert_eq!(turns.len(), 0);
    }
}

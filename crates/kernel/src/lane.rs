//! Which lane the present thread is. A lane is a thread with a runtime of its
//! own that serves whole connections: a request then never waits for another
//! thread to wake up, and what it shares with its neighbours (a database
//! connection) lives on the same thread.
//!
//! Threads that are no lane count as lane 0.

use std::cell::Cell;

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Makes the present thread a lane.
pub fn enter(lane: usize) {
    LANE.set(lane);
}

/// The present thread's lane.
#[must_use]
pub fn current() -> usize {
    LANE.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_a_matter_of_the_thread() {
        enter(3);
        let other = std::thread::spawn(current).join();
        assert_eq!((current(), other.ok()), (3, Some(0)));
    }
}

//! One watcher: a cursor, the leave to move it, and a place.

use std::time::Duration;

use super::access::{End, Pass, Place};
use super::follow::{Follower, Next};
use super::frame::Frame;

/// Reads that fail one after the other before the watcher is sent away; in
/// between lies a pause.
const FAILURES_MAX: u32 = 5;
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Somebody who follows a stream.
pub struct Watching {
    follower: Follower,
    pass: Pass,
    failures: u32,
    _place: Place,
}

/// What comes next for a watcher.
pub enum Step {
    /// Events, in order.
    Frames(Vec<Frame>),
    /// Nothing any more.
    End(Ended),
}

/// The end of watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended(pub(super) End);

impl Ended {
    /// The machine's word for why.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl Watching {
    pub(super) fn new(follower: Follower, pass: Pass, place: Place) -> Self {
        Self {
            follower,
            pass,
            failures: 0,
            _place: place,
        }
    }

    /// The last event that was given.
    #[must_use]
    pub fn after(&self) -> i64 {
        self.follower.after()
    }

    /// Whether there is something to be given already.
    pub(super) fn is_behind(&self) -> bool {
        self.follower.is_behind()
    }

    /// Waits for what comes next. Dropped half way, nothing is lost.
    pub async fn next(&mut self) -> Step {
        let end = |end| Step::End(Ended(end));
        loop {
            let next = tokio::select! {
                biased;
                why = self.pass.end() => return end(why),
                next = self.follower.next() => next,
            };
            match next {
                Ok(Next::Frames(frames)) => {
                    self.failures = 0;
                    return Step::Frames(frames);
                }
                Ok(Next::Gone) => return end(End::NotFound),
                Err(error) => {
                    self.failures += 1;
                    if self.failures >= FAILURES_MAX {
                        tracing::warn!(%error, "A watcher's events could not be read");
                        return end(End::Unavailable);
                    }
                    tokio::time::sleep(FAILED_PAUSE).await;
                }
            }
        }
    }
}

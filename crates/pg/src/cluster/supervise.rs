//! Watches the running server and starts it again when it dies.
//!
//! Start with [`Supervisor::run`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kernel::Tasks;
use tokio::sync::watch;

use super::child::Child;
use super::error::ClusterError;
use super::settings::Launch;
use super::{orphan, start};

/// Restarts within [`WINDOW`]. A server that dies more often than this has a
/// reason that another start does not remove.
const RESTARTS_MAX: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// The pause before the n-th restart in the window: none at first, since a
/// single crash should cost as little as possible.
const PAUSES: [Duration; RESTARTS_MAX] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// What the managed PostgreSQL is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Not answering yet.
    Starting,
    /// Answering.
    Ready,
    /// It died and is being started again.
    Restarting {
        /// The how-manieth restart within a minute.
        attempt: u32,
    },
    /// It died too often and is given up. The text is for the operator.
    Failed(String),
    /// Stopped on request.
    Stopped,
}

/// The one who looks after the server.
pub(super) struct Supervisor {
    pub(super) launch: Launch,
    pub(super) tasks: Tasks,
    pub(super) state: watch::Sender<ClusterState>,
    /// Becomes true, or loses its sender, when the server shall stop.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why looking after the server ended.
enum End {
    StopAsked,
    GivenUp(String),
}

impl Supervisor {
    /// Looks after `child` and its successors until told to stop.
    pub(super) async fn run(mut self, child: Child) {
        let mut child = Some(child);
        match self.watch(&mut child).await {
            End::StopAsked => {
                if let Some(child) = &mut child {
                    let exit = start::stop(child).await;
                    tracing::debug!(exit, "PostgreSQL has been stopped");
                }
                self.state.send_replace(ClusterState::Stopped);
            }
            End::GivenUp(reason) => {
                tracing::error!(reason, "PostgreSQL is given up: {reason}");
                self.state.send_replace(ClusterState::Failed(reason));
                // The folder stays ours until we are told to let it go.
                stop_asked(&mut self.stop, &self.tasks).await;
            }
        }
    }

    async fn watch(&mut self, slot: &mut Option<Child>) -> End {
        let mut restarts = VecDeque::new();
        let mut reason = String::new();
        loop {
            if let Some(child) = slot {
                let exit = tokio::select! {
                    exit = child.exited() => exit,
                    () = stop_asked(&mut self.stop, &self.tasks) => return End::StopAsked,
                };
                *slot = None;
                tracing::warn!(exit, "PostgreSQL ended by itself: {exit}");
                reason = exit;
            }
            let Some(attempt) = next_attempt(&mut restarts, Instant::now()) else {
                return End::GivenUp(reason);
            };
            self.state.send_replace(ClusterState::Restarting {
                attempt: u32::try_from(attempt + 1).unwrap_or(u32::MAX),
            });
            let restarted = tokio::select! {
                restarted = restart(&self.launch, &self.tasks, attempt, slot) => restarted,
                () = stop_asked(&mut self.stop, &self.tasks) => return End::StopAsked,
            };
            match restarted {
                Ok(()) => {
                    tracing::info!("PostgreSQL runs again");
                    self.state.send_replace(ClusterState::Ready);
                }
                Err(error) => {
                    tracing::warn!(%error, "PostgreSQL did not come back: {error}");
                    reason = error.to_string();
                    // It may run without answering; a second one cannot start.
                    if let Some(child) = slot {
                        start::stop(child).await;
                    }
                    *slot = None;
                }
            }
        }
    }
}

/// Starts a successor. It is put into `slot` before it answers, so that a stop
/// that interrupts the waiting finds it there.
async fn restart(
    launch: &Launch,
    tasks: &Tasks,
    attempt: usize,
    slot: &mut Option<Child>,
) -> Result<(), ClusterError> {
    tokio::time::sleep(PAUSES.get(attempt).copied().unwrap_or(WINDOW)).await;
    orphan::settle(launch, &|_| ()).await?;
    let child = slot.insert(start::spawn(launch, tasks).await?);
    start::wait_ready(launch, child).await
}

/// The number of the next restart, counted from zero, or `None` when the
/// window is full.
fn next_attempt(restarts: &mut VecDeque<Instant>, now: Instant) -> Option<usize> {
    while restarts
        .front()
        .is_some_and(|then| now.duration_since(*then) > WINDOW)
    {
        restarts.pop_front();
    }
    let attempt = restarts.len();
    if attempt >= RESTARTS_MAX {
        return None;
    }
    restarts.push_back(now);
    Some(attempt)
}

async fn stop_asked(stop: &mut watch::Receiver<bool>, tasks: &Tasks) {
    tokio::select! {
        // A lost sender means that the cluster was dropped: stop as well.
        _ = stop.wait_for(|stop| *stop) => {}
        () = tasks.stopping() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_restarts_a_minute_and_no_more() {
        let mut restarts = VecDeque::new();
        let now = Instant::now();
        for n in 0..RESTARTS_MAX {
            assert_eq!(next_attempt(&mut restarts, now), Some(n));
        }
        assert_eq!(next_attempt(&mut restarts, now), None);
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(next_attempt(&mut restarts, later), Some(0));
    }
}

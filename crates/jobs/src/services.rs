//! What is done beside requests. Every node runs every duty: each takes rows
//! with SKIP LOCKED and what it does is done once, so nobody has to be the
//! leader and any node may die.
//!
//! `keep` is the loop around a duty; each file here is one duty and says why
//! it is there and how often it runs.

mod arrive;
mod check;
mod fire;
mod grant;
mod number;
mod promote;
mod prune;
mod rescue;
pub mod schedule;
mod types;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::error::Result;
use crate::pace::jittered;

/// What a duty's turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was more than fits into one turn.
    More,
    /// Nothing is left; look again after the usual pause.
    Done,
    /// Nothing is left until then.
    DoneUntil(Duration),
}

impl Turn {
    /// A turn that did `did` of at most `most`.
    pub(crate) fn of(did: u64, most: usize) -> Self {
        if did >= most as u64 {
            Self::More
        } else {
            Self::Done
        }
    }
}

/// The longest pause of a duty that fails: the database may be back sooner.
const FAILED_MAX: Duration = Duration::from_secs(10);
/// The least time between two turns that were asked for, so that a busy node
/// does not look after every commit.
const GAP: Duration = Duration::from_millis(10);

/// Runs a duty until the end: after a pause, or sooner when it is nudged.
pub(crate) async fn keep<F, Fut>(
    core: Arc<Core>,
    rhythm: Rhythm,
    nudge: for<'a> fn(&'a Core) -> Option<&'a Notify>,
    stop: CancellationToken,
    duty: F,
) where
    F: Fn(Arc<Core>) -> Fut + Send,
    Fut: Future<Output = Result<Turn>> + Send,
{
    let mut pause = rhythm.pause;
    let mut failures = 0_u32;
    loop {
        let nudged = async {
            match nudge(&core) {
                Some(notify) => notify.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(jittered(&core.rng, pause)) => {}
            () = nudged => tokio::time::sleep(GAP).await,
            () = stop.cancelled() => break,
        }
        let turn = tokio::select! {
            turn = duty(Arc::clone(&core)) => turn,
            () = stop.cancelled() => break,
        };
        pause = match turn {
            Ok(turn) => {
                failures = 0;
                match turn {
                    Turn::More => Duration::ZERO,
                    Turn::Done => rhythm.pause,
                    Turn::DoneUntil(due) => due.min(rhythm.pause),
                }
            }
            Err(error) => {
                // Once is a restart of the database; again is news.
                if failures > 0 {
                    tracing::warn!(duty = rhythm.name, %error, "A duty fails; it is tried again");
                }
                failures = failures.saturating_add(1);
                (rhythm.pause * failures.min(8)).min(FAILED_MAX.max(rhythm.pause))
            }
        };
    }
}

/// A duty's name and its usual pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) name: &'static str,
    pub(crate) pause: Duration,
}

/// Starts all of them.
pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    rescue::start(core, tasks);
    promote::start(core, tasks);
    arrive::start(core, tasks);
    number::start(core, tasks);
    grant::start(core, tasks);
    fire::start(core, tasks);
    prune::start(core, tasks);
    check::start(core, tasks);
    types::start(core, tasks);
    tasks.spawn("look", Arc::clone(core).look(tasks.token()));
}

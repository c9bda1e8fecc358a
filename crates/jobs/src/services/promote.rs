//! What waits for a time goes on when it has come: delays, pauses before
//! another try, timers, deadlines. It looks when the next one is due by the
//! database's clock, and at least every second, since another node may have
//! made an earlier one.

use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;
use crate::error::Result;
use crate::store::Duty;

/// Each may end a whole tree, and all are locked until the last is done.
const MOST: usize = 500;
/// The least pause, so that a job that is due but locked is not asked for
/// without end.
const PAUSE_MIN: Duration = Duration::from_millis(5);

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "promote",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |core| Some(&core.nudges.promote),
        tasks.token(),
        turn,
    );
    tasks.spawn("promote", turns);
}

async fn turn(core: Arc<Core>) -> Result<Turn> {
    let did = core.store.duty(Duty::Promote, MOST).await?;
    if did > 0 {
        core.settled([]);
    }
    if did >= MOST as u64 {
        return Ok(Turn::More);
    }
    let due = core.store.next_due().await?;
    Ok(due.map_or(Turn::Done, |due| {
        let due = Duration::from_millis(u64::try_from(due).unwrap_or(0));
        Turn::DoneUntil(due.max(PAUSE_MIN))
    }))
}

//! Trees that ended long ago are forgotten, whole trees at a time and in small
//! batches: as long as a type says, or thirty days.

use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;

/// Roots of one turn. Trees, which may have ten thousand jobs each, are further
/// bounded by their rows.
const MOST: usize = 500;
/// Reservations and limits of one turn: a row each.
const MOST_LEFT: usize = 1000;
/// A minute: what is a day too old may be there a minute longer.
const PAUSE: Duration = Duration::from_secs(60);

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "prune",
        pause: PAUSE,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |_| None,
        tasks.token(),
        async |core| {
            let did = core.store.prune(MOST, core.config.keep).await?;
            // What jobs that are over still hold goes with the same broom.
            core.store.give_back(MOST_LEFT).await?;
            // Some may be held by others: only a turn without any is the last.
            Ok(Turn::of(did, 1))
        },
    );
    tasks.spawn("prune", turns);
}

//! News for parents and dependents that were locked when it came: applied
//! after commits that may have left some, and every second.

use std::sync::Arc;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;
use crate::store::Duty;

/// A page of what a busy fan-in leaves behind.
const MOST: usize = 1000;

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "arrive",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |core| Some(&core.nudges.arrive),
        tasks.token(),
        async |core| {
            let did = core.store.duty(Duty::Arrive, MOST).await?;
            if did > 0 {
                core.settled([]);
            }
            Ok(Turn::of(did, MOST))
        },
    );
    tasks.spawn("arrive", turns);
}

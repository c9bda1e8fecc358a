//! Schedules that are due submit their jobs: every second, which is as exact
//! as a pattern of minutes needs.

use std::sync::Arc;

use kernel::Tasks;

use super::{Rhythm, Turn, keep, schedule};
use crate::core::Core;

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "schedule",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |_| None,
        tasks.token(),
        async |core| {
            let store = &core.store;
            if schedule::run_once(store.pool(), store.role()).await? > 0 {
                core.settled([]);
            }
            Ok(Turn::Done)
        },
    );
    tasks.spawn("schedule", turns);
}

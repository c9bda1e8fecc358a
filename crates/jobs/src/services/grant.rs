//! Jobs that wait for a limit start when there is room: after jobs ended, and
//! every second, since rates and pauses of providers only need time.

use std::sync::Arc;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;
use crate::store::Duty;

/// A turn locks what it looks at.
const MOST: usize = 500;

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "grant",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |core| Some(&core.nudges.grant),
        tasks.token(),
        async |core| {
            let did = core.store.duty(Duty::Grant, MOST).await?;
            if did > 0 {
                core.may_be_ready();
            }
            Ok(Turn::of(did, MOST))
        },
    );
    tasks.spawn("grant", turns);
}

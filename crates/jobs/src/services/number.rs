//! Events that happened while their stream was locked get their numbers:
//! after commits that may have left some, and every second.

use std::sync::Arc;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;
use crate::store::Duty;

/// A page of what a busy stream leaves behind.
const MOST: usize = 1000;

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "number",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |core| Some(&core.nudges.number),
        tasks.token(),
        async |core| {
            let did = core.store.duty(Duty::Number, MOST).await?;
            if did > 0 {
                core.numbered();
            }
            Ok(Turn::of(did, MOST))
        },
    );
    tasks.spawn("number", turns);
}

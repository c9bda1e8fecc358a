//! Jobs whose worker has fallen silent go back into the queue, or end when
//! that has happened to them too often. Every second: a lease that has ended is
//! a job that nobody works on.

use std::sync::Arc;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;
use crate::store::Duty;

/// Each may touch a whole tree, and all are locked until the last is done.
const MOST: usize = 200;

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "rescue",
        pause: core.config.poll,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |_| None,
        tasks.token(),
        async |core| {
            let did = core.store.duty(Duty::Rescue, MOST).await?;
            if did > 0 {
                core.settled([]);
            }
            Ok(Turn::of(did, MOST))
        },
    );
    tasks.spawn("rescue", turns);
}

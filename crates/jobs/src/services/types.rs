//! Which types have a queue of their own, for waking the right workers. What
//! is out of date costs a job the second until somebody looks.

use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;

/// Operators change types now and then.
const PAUSE: Duration = Duration::from_secs(15);

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "types",
        pause: PAUSE,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |_| None,
        tasks.token(),
        async |core| {
            core.set_queues(core.store.queues_of_types().await?);
            Ok(Turn::Done)
        },
    );
    tasks.spawn("types", turns);
}

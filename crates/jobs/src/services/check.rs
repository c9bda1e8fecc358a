//! Every ten minutes: whether what must hold holds. A job that nothing will
//! ever move is the worst that can happen to it, so it is said out loud.

use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;

use super::{Rhythm, Turn, keep};
use crate::core::Core;

/// The checks read every job that is not over.
const PAUSE: Duration = Duration::from_secs(600);

pub(crate) fn start(core: &Arc<Core>, tasks: &Tasks) {
    let rhythm = Rhythm {
        name: "check",
        pause: PAUSE,
    };
    let turns = keep(
        Arc::clone(core),
        rhythm,
        |_| None,
        tasks.token(),
        async |core| {
            for (problem, id) in core.store.problems().await? {
                let id = id.map(|id| id.to_string());
                tracing::error!(
                    job = id.as_deref(),
                    "Jobs are not as they must be: {problem}"
                );
            }
            Ok(Turn::Done)
        },
    );
    tasks.spawn("check", turns);
}

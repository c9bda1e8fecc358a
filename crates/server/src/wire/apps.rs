//! The apps that are asked for: what each is built from, and where it is.

use std::sync::Arc;

use open_lovable::{OpenLovable, Parts};
use pg::Pool;

use crate::config::Config;
use crate::gateway::{Access, Bodies, Dialect, Room, routed};

/// Open Lovable's v2 API. It needs sessions and jobs, so there is none where
/// the database does not let us keep them.
pub(super) fn open_lovable(
    config: &Config,
    requests: &Pool,
    has_work: bool,
) -> Option<Arc<OpenLovable>> {
    let settings = config.apps.open_lovable?;
    if !has_work {
        tracing::warn!("Open Lovable is switched off, since jobs and sessions are");
        return None;
    }
    Some(OpenLovable::new(Parts {
        requests: requests.clone(),
        open: settings.open,
    }))
}

/// Where it is. It refuses callers itself, in its own shape; its clients know
/// no API keys.
pub(super) fn open_lovable_rooms(app: &Arc<OpenLovable>) -> [Room; 2] {
    let room = |name, prefix, router| Room {
        name,
        prefix,
        dialect: Dialect::Success,
        access: Access::Open,
        bodies: Bodies::Counted,
        service: routed(router),
    };
    [
        room("open_lovable", "/api/v2", Arc::clone(app).v2_router()),
        room(
            "open_lovable_state",
            "/api/conversation-state-v2",
            Arc::clone(app).conversation_router(),
        ),
    ]
}

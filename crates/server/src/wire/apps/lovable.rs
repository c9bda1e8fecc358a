//! The lovable clone on the models room and the sandboxes of sessions: what it
//! is built from, and where it is.

mod boxes;
mod coder;

use std::sync::Arc;

use ::lovable::ports::Boxes;
use ::lovable::{About, Lovable, Parts};
use ::models::Models;
use kernel::{Clock, Rng, Tasks};
use pg::Pool;

use crate::config::Config;
use crate::gateway::{Access, Bodies, Dialect, Room, routed};
use crate::wire::work::Work;

/// Where clients find the app's tables.
pub(crate) const SCHEMA: &str = "lovable";

/// What it is built from.
pub(crate) struct Given<'a> {
    /// The connections of requests.
    pub(crate) requests: &'a Pool,
    /// Jobs and sessions; none where the database does not let us keep them.
    pub(crate) work: Option<&'a Work>,
    /// Models; none where the database does not let us keep their books.
    pub(crate) models: Option<&'a Arc<Models>>,
    /// What stops when the server takes no more requests.
    pub(crate) tasks: &'a Tasks,
    /// Time.
    pub(crate) clock: Clock,
    /// Randomness.
    pub(crate) rng: Rng,
    /// The key that browsers show.
    pub(crate) publishable_key: String,
    /// Where previews are seen, as a content security policy says it.
    pub(crate) preview_origins: String,
}

/// The app. It needs sessions, jobs and models.
pub(crate) fn app(config: &Config, given: Given<'_>) -> Option<Arc<Lovable>> {
    let settings = config.apps.lovable?;
    let (Some(work), Some(models)) = (given.work, given.models) else {
        tracing::warn!("Lovable is switched off, since jobs and sessions or models are");
        return None;
    };
    let boxes = work.sessions.sandboxes().map(boxes::InSandboxes::over);
    Some(Lovable::start(Parts {
        requests: given.requests.clone(),
        jobs: Arc::clone(&work.jobs),
        sessions: Arc::clone(&work.sessions),
        coder: Arc::new(coder::ByModels(Arc::clone(models))),
        boxes: boxes.map(|boxes| boxes as Arc<dyn Boxes>),
        tasks: given.tasks.clone(),
        leaving: given.tasks.token(),
        open: settings.open,
        clock: given.clock,
        rng: given.rng,
        about: About {
            publishable_key: given.publishable_key,
            preview_origins: given.preview_origins,
        },
        at_once: settings.at_once,
    }))
}

/// Where it is. It refuses callers itself, in its own shape; browsers that open
/// the page know no key. What it streams is as long as a turn.
pub(crate) fn rooms(app: &Arc<Lovable>) -> [Room; 3] {
    let room = |name, prefix, router| Room {
        name,
        prefix,
        dialect: Dialect::Rest,
        access: Access::Open,
        bodies: Bodies::Counted,
        service: routed(router),
    };
    [
        room("lovable", "/lovable", Arc::clone(app).router()),
        room(
            "lovable_preview",
            "/preview",
            Arc::clone(app).preview_router(),
        ),
        room("lovable_socket", "/ws", Arc::clone(app).socket_router()),
    ]
}

//! The room: what it is made of, and its routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kernel::{Clock, Rng, Tasks};
use pg::Pool;
use tokio_util::sync::CancellationToken;

use crate::e2b;
use crate::ports::TellOthers;
use crate::routes;
use crate::sandboxes::{Given as SandboxesGiven, Own, Sandboxes};
use crate::store::Store;
use crate::streams::{ASK_EVERY, Given, Streams};
use crate::sweep;

/// What the room is made of.
pub struct Parts {
    /// Connections of its own, which may become [`Parts::role`].
    pub pool: Pool,
    /// The engine's role in the database.
    pub role: Arc<str>,
    /// The connections of callers' requests.
    pub requests: Pool,
    /// What its services run in.
    pub tasks: Tasks,
    /// Cancelled when the server takes no more requests.
    pub leaving: CancellationToken,
    /// Time, for what the database's clock is not asked about.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Tells other nodes of events.
    pub tell_others: TellOthers,
    /// How long sessions that were deleted are kept, for whoever wants them back.
    pub keep_deleted: Duration,
    /// What runs sandboxes; none where nothing may.
    pub sandboxes: Option<SandboxesGiven>,
}

/// The sessions of a project.
pub struct Sessions {
    /// Statements of callers.
    pub(crate) store: Store,
    /// The event log.
    streams: Arc<Streams>,
    /// Where code runs.
    sandboxes: Option<Arc<Sandboxes>>,
}

impl Sessions {
    /// Builds the room and starts what works beside requests.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let store = Store::new(parts.requests.clone());
        let (pool, role) = (parts.pool.clone(), Arc::clone(&parts.role));
        let sweeping = sweep::keep_swept(pool, role, parts.keep_deleted, parts.tasks.token());
        parts.tasks.spawn("sweep_files", sweeping);
        let streams = Streams::start(Given {
            pool: parts.pool.clone(),
            role: Arc::clone(&parts.role),
            requests: parts.requests.clone(),
            tasks: parts.tasks.clone(),
            leaving: parts.leaving,
            clock: parts.clock.clone(),
            rng: parts.rng.clone(),
            tell_others: parts.tell_others,
            ask_every: ASK_EVERY,
            chunks_kept: None,
        });
        let own = Own {
            pool: parts.pool,
            role: parts.role,
            requests: parts.requests,
            appender: streams.appender().clone(),
            tasks: parts.tasks,
            clock: parts.clock,
            rng: parts.rng,
        };
        let sandboxes = parts.sandboxes.map(|given| Sandboxes::start(own, given));
        Arc::new(Self {
            store,
            streams,
            sandboxes,
        })
    }

    /// The event log, for whoever writes to it in process or has another
    /// address for it.
    #[must_use]
    pub fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// Where the code of sessions runs; none where nothing may.
    #[must_use]
    pub fn sandboxes(&self) -> Option<&Arc<Sandboxes>> {
        self.sandboxes.as_ref()
    }

    /// E2B's API, for their clients.
    pub fn e2b_router(self: Arc<Self>) -> Router {
        e2b::router(self)
    }

    /// Its routes, under `/sessions/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        let streams = Arc::clone(&self.streams).router();
        routes::router().with_state(self).merge(streams)
    }
}

//! The room: what it is made of, and its routes.

use std::sync::Arc;

use axum::Router;
use kernel::{Clock, Rng, Tasks};
use pg::Pool;

use crate::routes;
use crate::store::Store;
use crate::sweep;

/// What the room is made of.
pub struct Parts {
    /// Connections of its own, which may become [`Parts::role`].
    pub pool: Pool,
    /// The connections that requests share, which may become any caller.
    pub requests: Pool,
    /// The engine's role in the database.
    pub role: Arc<str>,
    /// What its services run in.
    pub tasks: Tasks,
    /// Time, for what the database's clock is not asked about.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// The sessions of a project.
pub struct Sessions {
    /// What it is made of.
    parts: Parts,
    /// Statements of callers.
    pub(crate) store: Store,
}

impl Sessions {
    /// Builds the room.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let store = Store::new(parts.requests.clone());
        let (pool, role) = (parts.pool.clone(), Arc::clone(&parts.role));
        let sweeping = sweep::keep_swept(pool, role, parts.tasks.token());
        parts.tasks.spawn("sweep_files", sweeping);
        Arc::new(Self { parts, store })
    }

    /// Its routes, under `/sessions/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        tracing::debug!(role = &*self.parts.role, "Sessions are served");
        routes::router().with_state(self)
    }
}

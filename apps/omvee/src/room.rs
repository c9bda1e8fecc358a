//! The app: what it is made of, and its routes.

use std::sync::Arc;

use axum::Router;
use pg::Pool;

use crate::files::Files;
use crate::routes;
use crate::store::Store;

/// What the app is given.
pub struct Parts {
    /// The connections of requests.
    pub requests: Pool,
    /// Storage.
    pub files: Arc<dyn Files>,
}

/// The app.
pub struct Omvee {
    pub(crate) store: Store,
    pub(crate) files: Arc<dyn Files>,
}

impl Omvee {
    /// Builds the app.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            store: Store::new(parts.requests),
            files: parts.files,
        })
    }

    /// What is below `/api/projects`.
    pub fn projects_router(self: Arc<Self>) -> Router {
        routes::projects().with_state(self)
    }

    /// What is below `/api/uploads`.
    pub fn uploads_router(self: Arc<Self>) -> Router {
        routes::uploads().with_state(self)
    }
}

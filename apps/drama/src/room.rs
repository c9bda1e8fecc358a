//! The app: what it is made of, and its routes.

use std::sync::Arc;

use axum::Router;
use kernel::Rng;
use pg::Pool;

use crate::files::Files;
use crate::library::Library;
use crate::routes;

/// What the app is given.
pub struct Parts {
    /// The connections of requests.
    pub requests: Pool,
    /// Storage.
    pub files: Arc<dyn Files>,
    /// What ids are made of.
    pub rng: Rng,
}

/// The app.
pub struct Drama {
    /// Users' assets.
    pub library: Library,
}

impl Drama {
    /// Builds the app.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            library: Library::new(parts.requests, parts.files, parts.rng),
        })
    }

    /// What is below `/asset-library`.
    pub fn library_router(self: Arc<Self>) -> Router {
        routes::library().with_state(self)
    }
}

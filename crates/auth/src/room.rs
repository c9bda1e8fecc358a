//! The room: its parts, put together.

use std::sync::Arc;

use kernel::{Clock, Rng};
use pg::Pool;

use crate::config::Config;
use crate::error::AuthError;
use crate::ports::{Humans, Limiter, Messenger, Outbox, Signer};
use crate::store::Store;

/// The auth room.
pub struct Auth {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) parts: Parts,
}

/// What the room is given.
pub struct Parts {
    /// The project's keys.
    pub signer: Arc<dyn Signer>,
    /// Where mails go.
    pub outbox: Arc<dyn Outbox>,
    /// Counts.
    pub limiter: Arc<dyn Limiter>,
    /// Messages to phones; none when nobody sends any.
    pub messenger: Option<Arc<dyn Messenger>>,
    /// Proof of being human; none when it is not asked for.
    pub humans: Option<Arc<dyn Humans>>,
}

impl Auth {
    /// A room on a pool whose login is, or may become, the role that the
    /// settings name.
    #[must_use]
    pub fn new(config: Config, pool: Pool, parts: Parts, clock: Clock, rng: Rng) -> Arc<Self> {
        let store = Store::new(pool, &config.database_role, clock.clone(), rng.clone());
        Arc::new(Self {
            config,
            store,
            clock,
            rng,
            parts,
        })
    }

    /// One line for what went wrong inside; the client hears less.
    pub(crate) fn note(&self, error: &AuthError) {
        match error {
            AuthError::Database { context, source } => {
                tracing::error!(error = %source, "{context}");
            }
            AuthError::Internal(what) => tracing::error!("{what}"),
            _ => {}
        }
    }
}

//! The app: what it is made of, and its routes.

use std::sync::Arc;

use axum::Router;
use kernel::Caller;
use pg::Pool;

use crate::routes;
use crate::store::Store;

/// Whose the sessions of callers without a token are, where the app is open.
const DEMO_OWNER: &str = "open-lovable-demo";

/// What the app is given.
pub struct Parts {
    /// The connections of requests.
    pub requests: Pool,
    /// Whether callers without a token are let in, all of them as one owner:
    /// the original knows no users.
    pub open: bool,
}

/// The app.
pub struct OpenLovable {
    pub(crate) store: Store,
    /// Who somebody without a token is; none when they are refused.
    pub(crate) demo: Option<Caller>,
}

impl OpenLovable {
    /// Builds the app.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let demo = parts.open.then(|| {
            tracing::warn!(
                owner = DEMO_OWNER,
                "Open Lovable is open: whoever shows no token shares the sessions of one demo owner"
            );
            let claims = serde_json::json!({"sub": DEMO_OWNER, "role": "authenticated"});
            Caller {
                role: "authenticated".into(),
                claims: claims.to_string().into(),
                authenticated: true,
                read_only: false,
            }
        });
        Arc::new(Self {
            store: Store::new(parts.requests),
            demo,
        })
    }

    /// What is below `/api/v2`.
    pub fn v2_router(self: Arc<Self>) -> Router {
        routes::v2().with_state(self)
    }

    /// What is at `/api/conversation-state-v2`.
    pub fn conversation_router(self: Arc<Self>) -> Router {
        routes::conversation().with_state(self)
    }
}

//! Which address is answered where: every endpoint is one line here and one
//! handler in `routes/`. The gateway has taken `/auth/v1` away before.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::request::finish;
use crate::room::Auth;
use crate::routes::well_known;

impl Auth {
    /// The room's whole public face.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/health", get(well_known::health))
            .route("/settings", get(well_known::settings))
            .route("/.well-known/jwks.json", get(well_known::jwks))
            .route(
                "/.well-known/openid-configuration",
                get(well_known::discovery),
            )
            .route(
                "/.well-known/oauth-authorization-server",
                get(well_known::server_metadata),
            )
            .fallback(well_known::nothing)
            .method_not_allowed_fallback(well_known::no_such_method)
            .layer(from_fn_with_state(Arc::clone(&self), finish))
            .with_state(self)
    }
}

//! The built-in inbox: what would have been mailed, shown to a developer.
//!
//! Start with [`Inbox::router`]. It answers at the paths and in the shapes of
//! Mailpit, which the Supabase CLI runs at the same port (54324), so that tests
//! that read their mails there go on working: `api` is its JSON, `pages` what a
//! browser shows, `store` the only caller of the database.
//!
//! Invariants: a mail's HTML is shown in a sandbox without scripts; whoever is
//! not on this machine, or comes by a name that is not this machine's, gets
//! nothing unless [`InboxConfig::open`] says so. The mails hold links that sign
//! people in.

mod api;
mod pages;
mod search;
mod store;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, HOST, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use pg::Pool;

use store::Store;

/// A list of ids is the largest thing to be sent here.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How the inbox is shown.
#[derive(Clone, Debug)]
pub struct InboxConfig {
    /// The database role that may see it, usually `supabase_auth_admin`.
    pub role: String,
    /// Answers whatever name it is called by. Without it, only `localhost` and
    /// bare addresses: a web page must not read mails by giving its own name
    /// this machine's address.
    pub open: bool,
}

/// Shows mails.
#[derive(Clone, Debug)]
pub struct Inbox {
    store: Store,
    open: bool,
}

impl Inbox {
    /// An inbox in this database.
    #[must_use]
    pub fn new(pool: Pool, config: &InboxConfig) -> Self {
        Self {
            store: Store::new(pool, &config.role),
            open: config.open,
        }
    }

    /// To be served at a port of its own, on loopback unless asked otherwise.
    pub fn router(self) -> Router {
        let inbox = Arc::new(self);
        Router::new()
            .route("/", get(pages::list))
            .route("/view/{id}", get(pages::view))
            .route("/livez", get(|| async { "ok" }))
            .route("/readyz", get(|| async { "ok" }))
            .nest("/api/v1", api::routes())
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(axum::middleware::from_fn_with_state(
                Arc::clone(&inbox),
                guard,
            ))
            .with_state(inbox)
    }
}

/// Nobody comes in by a foreign name, and nothing is kept by a browser.
async fn guard(State(inbox): State<Arc<Inbox>>, request: Request, next: Next) -> Response {
    if !inbox.open && !is_local_name(&host(&request)) {
        let told = "The inbox answers to localhost only.";
        return (StatusCode::FORBIDDEN, told).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    default_policy(headers);
    response
}

const POLICY: HeaderName = http::header::CONTENT_SECURITY_POLICY;

/// What is no page shows nothing.
fn default_policy(headers: &mut HeaderMap) {
    let strict = "default-src 'none'; sandbox; frame-ancestors 'none'";
    headers
        .entry(POLICY)
        .or_insert(HeaderValue::from_static(strict));
}

/// HTTP/2 has the name in the address.
fn host(request: &Request) -> String {
    let named = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    let named = named.or(request.uri().authority().map(http::uri::Authority::as_str));
    named.unwrap_or_default().to_owned()
}

fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A bare address cannot be somebody's name for us.
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// The database is not there, or the like.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Failure(#[from] pg::Error);

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::warn!(error = %self, "the inbox cannot be read");
        let told = "The inbox cannot be read.";
        (StatusCode::INTERNAL_SERVER_ERROR, told).into_response()
    }
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found").into_response()
}

#[cfg(test)]
mod tests;

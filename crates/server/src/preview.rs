//! Pages of sandboxes, each at an origin of its own: what comes to
//! `{port}-{sandbox}.{domain}` goes to that port inside that sandbox.
//!
//! * `host`: which requests are for a page; [`Links`] makes their addresses.
//! * `pass`: the right to see a private sandbox's pages, as a link and then as
//!   a cookie of that page's origin.
//! * `headers`: what is not passed on, either way.
//! * `forward`: one request, or a socket that becomes one of another protocol.
//!
//! Invariants: a name that could be a page's is never answered by the API, and
//! nothing under the API's own name by a sandbox; no cookie of ours goes in,
//! none for a name above its page comes out.

mod forward;
mod headers;
mod host;
mod pass;

use std::sync::Arc;

use axum::body::Body;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE};
use http::{Request, Response, StatusCode};
use kernel::{Clock, Secret, Tasks};
use sessions::sandboxes::{Live, Sandboxes};
use tokio::sync::Semaphore;

use crate::config::PreviewDomain;
use host::Page;
use pass::Passes;

pub use host::Links;

/// Requests and sockets under way at once on this server. A page of a bundler
/// in development has hundreds of modules; browsers ask for six at a time.
const UNDER_WAY_MAX: usize = 1024;

/// The way to sandboxes' pages.
pub struct Preview {
    links: Arc<Links>,
    passes: Arc<Passes>,
    sandboxes: Arc<Sandboxes>,
    places: Arc<Semaphore>,
    body_bytes: u64,
    tasks: Tasks,
}

/// What links and passes have in common: made before there are sandboxes.
pub(crate) fn links(
    domain: &PreviewDomain,
    api_port: u16,
    secret: &Secret,
    clock: Clock,
) -> Arc<Links> {
    let passes = Arc::new(Passes::new(secret, clock));
    Arc::new(Links::new(domain.clone(), api_port, passes))
}

impl Preview {
    pub(crate) fn new(
        links: Arc<Links>,
        sandboxes: Arc<Sandboxes>,
        body_bytes: u64,
        tasks: Tasks,
    ) -> Self {
        Self {
            passes: Arc::clone(links.passes()),
            links,
            sandboxes,
            places: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
            body_bytes,
            tasks,
        }
    }

    /// The answer of a page, if the request is for one.
    pub(crate) async fn serve(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Request<Body>> {
        let Some(page) = self.links.page_of(&request) else {
            return Err(request);
        };
        Ok(match page {
            Page::Of { id, port } => self.page(request, &id, port).await,
            Page::Nobodys => say(StatusCode::NOT_FOUND, "There is no such page."),
        })
    }

    async fn page(&self, request: Request<Body>, id: &str, port: u16) -> Response<Body> {
        let Some(live) = self.sandboxes.find(id) else {
            return say(
                StatusCode::NOT_FOUND,
                "There is no such sandbox, or it is over.",
            );
        };
        if let Some(answer) = self.ask(&request, &live) {
            return answer;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return say(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many pages are being shown.",
            );
        };
        live.touch();
        let given = forward::Given {
            live,
            port,
            place,
            body_bytes: self.body_bytes,
            tasks: self.tasks.clone(),
        };
        forward::forward(request, given).await
    }

    /// What a private sandbox asks of who wants to see it; none when satisfied.
    fn ask(&self, request: &Request<Body>, live: &Live) -> Option<Response<Body>> {
        if !live.private || self.passes.has_cookie(request.headers(), &live.id) {
            return None;
        }
        let query = request.uri().query().unwrap_or_default();
        let Some((pass, rest)) = pass::in_query(query) else {
            return Some(say(
                StatusCode::UNAUTHORIZED,
                "Ask its owner for a link to this page.",
            ));
        };
        let Some(cookie) = self.passes.cookie(&pass, &live.id) else {
            return Some(say(
                StatusCode::UNAUTHORIZED,
                "This link is over, or for another page.",
            ));
        };
        // The link goes out of the address, where it would be copied along.
        let mut to = request.uri().path().to_owned();
        if !rest.is_empty() {
            to.push('?');
            to.push_str(&rest);
        }
        // Two slashes would lead to another host.
        let to = format!("/{}", to.trim_start_matches('/'));
        let mut response = say(StatusCode::FOUND, "");
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::from_str(&to).ok()?);
        headers.insert(SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
        Some(response)
    }
}

/// A few words of ours where a page would be.
fn say(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! The front door: every request passes [`Gateway::handle`], once, in this
//! order: pages of sandboxes, request id, preflight, route, rate by address, size, identity, rate
//! by key, the room within its time, then CORS marks, metrics and one log line.
//!
//! It is one function over plain parts rather than a tower of layers: a request
//! should cost less here than one system call does. Rooms are functions from
//! request to response under a prefix; they read the verified caller with
//! [`kernel::Caller::of`] and never see keys in queries.
//!
//! Start at `handle`; `identity.rs` says who is calling, `reply.rs` what the
//! gateway itself answers.

mod body;
mod cors;
mod credential;
mod grants;
mod identity;
mod issuers;
mod jwt;
mod page;
mod rates;
mod reply;
mod request_id;
mod role_path;
mod verifier;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{HeaderName, HeaderValue, ORIGIN};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use kernel::{Caller, ClientAddress, Clock, Rng};
use tower::ServiceExt as _;

pub use identity::Access;
pub use issuers::{IssuerError, Issuers};
pub(crate) use jwt::check_claims;
pub use jwt::{JwtError, VerifyKeys};
pub use reply::Dialect;
pub use role_path::RolePath;

use crate::api_keys::ApiKeys;
use crate::config::{Config, LogRequests};
use crate::health::Health;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::preview::Preview;
use body::Overrun;
use cors::Cors;
use identity::{Identity, Known, OpaqueKey};
use page::Page;
use rates::Rates;
use reply::Trouble;
use request_id::{REQUEST_ID, RequestIds};
use verifier::{TokenError, Verifier, fingerprint};

/// One room behind the gateway.
pub struct Room {
    /// Its name in metrics and logs.
    pub name: &'static str,
    /// Where it is mounted, as `/rest/v1`; removed before the room sees a path.
    /// Empty for a room that takes what no other room and no page of ours has.
    pub prefix: &'static str,
    /// How its clients expect errors.
    pub dialect: Dialect,
    /// Whether the gateway may refuse for it.
    pub access: Access,
    /// Who bounds its bodies and its time.
    pub bodies: Bodies,
    /// The room.
    pub service: Service,
}

/// Who bounds what a room reads, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// The gateway: `api.body_bytes_max` and `api.request_timeout`.
    Counted,
    /// The room itself: files come and go for as long as bytes flow.
    Streamed,
}

/// Answers requests whose prefix has been removed.
pub type Service = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A room that is an axum router.
#[must_use]
pub fn routed(router: Router) -> Service {
    Box::new(move |request| {
        let answer = router.clone().oneshot(request);
        Box::pin(answer.map(|answer| answer.unwrap_or_else(|never| match never {})))
    })
}

/// The front door with everything it needs.
pub struct Gateway {
    rooms: Vec<Room>,
    identity: Identity,
    cors: Cors,
    rates: Rates,
    ids: RequestIds,
    trace: Option<HeaderName>,
    jwks: String,
    health: Health,
    metrics: Arc<Metrics>,
    preview: Option<Arc<Preview>>,
    limits: Limits,
}

struct Limits {
    header_bytes: usize,
    body_bytes: u64,
    request_time: Duration,
    trust_proxy: bool,
    serve_metrics: bool,
    log: LogRequests,
}

/// Rooms count from here in metrics; before them comes the gateway itself.
const OWN: usize = 0;
impl Gateway {
    /// Puts the front door together. `health` and `metrics` come ready, since
    /// they ask and watch things the gateway does not know.
    #[must_use]
    pub fn new(config: &Config, keys: Keys, rooms: Vec<Room>, world: World) -> Arc<Self> {
        let anon_role: Option<Arc<str>> = config.db.anon_role.as_deref().map(Arc::from);
        let jwks = keys.jwks();
        let opaque = [
            (
                &keys.publishable_key,
                anon_role.as_deref().unwrap_or("anon"),
                false,
            ),
            (&keys.secret_key, "service_role", true),
        ];
        let opaque = opaque.map(|(key, role, authenticated)| OpaqueKey {
            print: fingerprint(key.expose()),
            caller: Caller {
                authenticated,
                ..Caller::anonymous(role)
            },
        });
        Arc::new(Self {
            identity: Identity {
                opaque: opaque.into(),
                api_keys: world.api_keys,
                require_apikey: config.api.require_apikey,
                anonymous: anon_role.as_deref().map(Caller::anonymous),
                verifier: Verifier::new(
                    keys.into_verify_keys(),
                    &config.auth,
                    anon_role,
                    world.clock,
                    world.issuers,
                ),
            },
            rooms,
            cors: Cors {
                origins: config.api.cors_origins.clone(),
            },
            rates: Rates::new(config.rate_limit),
            ids: RequestIds::new(&world.rng),
            trace: config.api.trace_header.clone(),
            jwks,
            health: world.health,
            metrics: world.metrics,
            preview: world.preview,
            limits: Limits {
                header_bytes: config.api.header_bytes_max,
                body_bytes: config.api.body_bytes_max,
                request_time: config.api.request_timeout,
                trust_proxy: config.api.trust_proxy,
                serve_metrics: config.api.metrics,
                log: config.log.requests,
            },
        })
    }

    /// One request from a client at `peer`, answered in every case.
    pub async fn handle(&self, request: Request<Body>, peer: IpAddr) -> Response<Body> {
        let started = Instant::now();
        let _in_flight = self.metrics.enter();
        // Before everything else: nothing of ours is known under those names.
        let mut request = match &self.preview {
            Some(preview) => match preview.serve(request).await {
                Ok(response) => {
                    self.metrics
                        .observe(OWN, response.status(), started.elapsed());
                    return response;
                }
                Err(request) => request,
            },
            None => request,
        };
        let id = self.ids.of(request.headers());
        let origin = request.headers().get(ORIGIN).cloned();
        let trace = self.trace.as_ref().and_then(|name| {
            let value = request.headers().get(name)?;
            Some((name.clone(), value.clone()))
        });
        let method = request.method().clone();
        let uri = request.uri().clone();
        let (mut response, place, known) = if let Some(response) = self.cors.preflight(&request) {
            (response, OWN, None)
        } else {
            request.headers_mut().insert(REQUEST_ID, id.clone());
            let (mut response, place, known) = self.route(request, peer).await;
            self.cors.mark(origin.as_ref(), response.headers_mut());
            (response, place, known)
        };
        response.headers_mut().insert(REQUEST_ID, id.clone());
        // Last: whoever traces by our own header gets theirs back unchanged.
        if let Some((name, value)) = trace {
            response.headers_mut().insert(name, value);
        }
        let elapsed = started.elapsed();
        self.metrics.observe(place, response.status(), elapsed);
        self.log(&Line {
            method,
            uri,
            status: response.status(),
            elapsed,
            known,
            id,
        });
        response
    }

    /// Whom statements of a token's bearer run as; why not, otherwise. For rooms
    /// whose clients show tokens elsewhere than in `Authorization`.
    pub(crate) async fn bearer(&self, token: &str) -> Result<Caller, String> {
        let verifier = &self.identity.verifier;
        verifier.prepare(token).await;
        match verifier.caller(token) {
            Ok((caller, _)) => Ok(caller),
            Err(TokenError::Jwt(error)) => Err(error.to_string()),
            Err(TokenError::NoRole) => Err("the token names no role".to_owned()),
        }
    }

    /// To the gateway's own pages or to a room; says which, and for whom.
    async fn route(
        &self,
        mut request: Request<Body>,
        peer: IpAddr,
    ) -> (Response<Body>, usize, Option<Known>) {
        let path = request.uri().path();
        let page = Page::of(path, request.method());
        // A room at the root has the root itself, too.
        let has_root = path == "/" && self.room(path).is_some();
        if let Some(page) = page.filter(|_| !has_root) {
            return (self.page(page).await, OWN, None);
        }
        let Some((place, room)) = self.room(path) else {
            return (Trouble::NoRoute.response(Dialect::Gateway), OWN, None);
        };
        if room.access == Access::OneCredential {
            credential::spread(&mut request);
        }
        self.identity.prepare(request.headers()).await;
        let (response, known) = match self.admit(request, room, peer) {
            Ok(admitted) => {
                let response = self
                    .visit(room, admitted.request, admitted.overrun.as_ref())
                    .await;
                (response, Some(admitted.known))
            }
            Err(response) => (*response, None),
        };
        (response, place + 1, known)
    }

    fn room(&self, path: &str) -> Option<(usize, &Room)> {
        self.rooms.iter().enumerate().find(|(_, room)| {
            path.strip_prefix(room.prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Everything that can refuse a request before its room sees it. The error
    /// is boxed to keep the good path small.
    fn admit(
        &self,
        mut request: Request<Body>,
        room: &Room,
        peer: IpAddr,
    ) -> Result<Admitted, Box<Response<Body>>> {
        let refuse = |trouble: Trouble| Box::new(trouble.response(room.dialect));
        let limit = self.limits.header_bytes;
        if head_bytes(&request) > limit {
            return Err(refuse(Trouble::HeadTooLarge { limit }));
        }
        let ip = if self.limits.trust_proxy {
            forwarded_for(request.headers()).unwrap_or(peer)
        } else {
            peer
        };
        if let Some(wait_seconds) = self.rates.check_ip(ip) {
            return Err(refuse(Trouble::TooManyRequests { wait_seconds }));
        }
        let limit = self.limits.body_bytes;
        let overrun = match room.bodies {
            Bodies::Counted => body::limit(&mut request, limit)
                .map_err(|()| refuse(Trouble::BodyTooLarge { limit }))?,
            Bodies::Streamed => None,
        };
        let mut known = self.identify(&request, room)?;
        grants::apply(&mut known, &mut request, room).map_err(refuse)?;
        if let Some(wait_seconds) = known.print.and_then(|print| self.rates.check_key(&print)) {
            return Err(refuse(Trouble::TooManyRequests { wait_seconds }));
        }
        let uri = inner_uri(request.uri(), room.prefix).ok_or_else(|| {
            refuse(Trouble::BadRequest(
                "The address of the request cannot be read",
            ))
        })?;
        *request.uri_mut() = uri;
        let extensions = request.extensions_mut();
        extensions.insert(ClientAddress(ip));
        extensions.insert(known.caller.clone());
        if let Some(bad) = known.bad_token.take() {
            extensions.insert(bad);
        }
        Ok(Admitted {
            request,
            known,
            overrun,
        })
    }

    fn identify(&self, request: &Request<Body>, room: &Room) -> Result<Known, Box<Response<Body>>> {
        // Browsers send no credentials with OPTIONS, so it is never refused.
        let access = if *request.method() == Method::OPTIONS {
            Access::Open
        } else {
            let path = request.uri().path().strip_prefix(room.prefix);
            room.access.at(path.unwrap_or_default())
        };
        let own_users = matches!(room.access, Access::Keyed { .. });
        self.identity
            .in_room(request.headers(), request.uri().query(), access, own_users)
            .map_err(|refusal| Box::new(reply::refuse(&refusal)))
    }

    /// The room's answer, or ours when it is late, panics, or could not read
    /// a body that was too large.
    async fn visit(
        &self,
        room: &Room,
        request: Request<Body>,
        overrun: Option<&Overrun>,
    ) -> Response<Body> {
        let answer = AssertUnwindSafe((room.service)(request)).catch_unwind();
        let answer = async {
            match room.bodies {
                Bodies::Counted => tokio::time::timeout(self.limits.request_time, answer).await,
                Bodies::Streamed => Ok(answer.await),
            }
        };
        let response = match answer.await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => {
                tracing::error!(
                    room = room.name,
                    "A room panicked while answering a request"
                );
                Trouble::Internal.response(room.dialect)
            }
            Err(_late) => Trouble::Timeout.response(room.dialect),
        };
        if overrun.is_some_and(Overrun::happened) {
            return Trouble::BodyTooLarge {
                limit: self.limits.body_bytes,
            }
            .response(room.dialect);
        }
        response
    }

    /// One line, without query, headers or body: those may hold secrets.
    fn log(&self, line: &Line) {
        let wanted = match self.limits.log {
            LogRequests::All => true,
            LogRequests::Errors => line.status.is_server_error(),
            LogRequests::None => false,
        };
        if wanted {
            let known = line.known.as_ref();
            let key = known.and_then(|known| known.api_key.as_ref());
            tracing::info!(
                http.method = %line.method,
                http.path = line.uri.path(),
                http.status = line.status.as_u16(),
                duration_us = u64::try_from(line.elapsed.as_micros()).unwrap_or(u64::MAX),
                role = known.map_or("-", |known| &known.caller.role),
                key = key.map(|key| &*key.prefix),
                request.id = line.id.to_str().unwrap_or("-"),
                "{} {} {}", line.method, line.uri.path(), line.status.as_u16(),
            );
        }
    }
}

/// A request that may go to its room.
struct Admitted {
    request: Request<Body>,
    known: Known,
    overrun: Option<Overrun>,
}

/// What the gateway needs beside configuration, keys and rooms.
pub struct World {
    /// Time.
    pub clock: Clock,
    /// Randomness, for request ids.
    pub rng: Rng,
    /// Who to ask whether we are ready.
    pub health: Health,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// Whose tokens are believed beside our own.
    pub issuers: Issuers,
    /// The platform keys that are valid now.
    pub(crate) api_keys: Arc<ApiKeys>,
    /// Pages of sandboxes, which have names of their own.
    pub(crate) preview: Option<Arc<Preview>>,
}

struct Line {
    method: Method,
    uri: Uri,
    status: StatusCode,
    elapsed: Duration,
    known: Option<Known>,
    id: HeaderValue,
}

/// What the head took on the wire, nearly.
fn head_bytes(request: &Request<Body>) -> usize {
    let uri = request.uri();
    let address = uri.path().len() + uri.query().map_or(0, str::len);
    let separators = 4;
    request
        .headers()
        .iter()
        .fold(address, |sum, (name, value)| {
            sum + name.as_str().len() + value.len() + separators
        })
}

/// The last hop's word on where the request came from.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    headers
        .get("x-forwarded-for")?
        .to_str()
        .ok()?
        .rsplit(',')
        .next()?
        .trim()
        .parse()
        .ok()
}

/// The address as the room sees it: no prefix, no key in the query.
fn inner_uri(uri: &Uri, prefix: &str) -> Option<Uri> {
    let path_and_query = uri.path_and_query()?.as_str();
    let rest = path_and_query.strip_prefix(prefix)?;
    let mut inner = if rest.starts_with('/') {
        rest.to_owned()
    } else {
        format!("/{rest}")
    };
    if let Some((path, query)) = inner
        .split_once('?')
        .filter(|(_, query)| identity::key_in_query(query).is_some())
    {
        let query = identity::without_key(query);
        inner = if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        };
    }
    let inner = PathAndQuery::from_maybe_shared(bytes::Bytes::from(inner)).ok()?;
    Some(Uri::from(inner))
}

#[cfg(test)]
mod tests;

//! `GET /authorize` and `GET /user/identities/authorize`: a browser sets out to
//! a provider. It comes back in `callback`.
//!
//! The state that travels with it is the id of a row and nothing else. It
//! counts once and for some minutes. It must come back to the browser that
//! left: in a flow with a challenge the code at its end is worth nothing to
//! others; without one the state is the hash of a cookie, which only that
//! browser has, and nobody is signed in to somebody else's account by a link.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, COOKIE, HeaderName, HeaderValue, LOCATION, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use kernel::Secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded::parse;
use uuid::Uuid;

use super::identities::require_linking;
use crate::codes::check_challenge;
use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::model::User;
use crate::oidc::provider::{Trip, Unusable};
use crate::request::{Call, SignedIn};
use crate::room::Auth;
use crate::store::{NewOAuthFlow, OneTime};

/// Parameters for the provider that an application may add.
const MORE_MAX: usize = 20;
const MORE_BYTES_MAX: usize = 2048;

/// Parameters of an address that the provider must not see or that are ours
/// to set (RFC 6749, RFC 7636, RFC 9101).
const OURS: [&str; 22] = [
    "provider",
    "scopes",
    "scope",
    "redirect_to",
    "invite_token",
    "skip_http_redirect",
    "apikey",
    "client_id",
    "client_secret",
    "redirect_uri",
    "response_type",
    "response_mode",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "code_verifier",
    "request",
    "request_uri",
    "registration",
    "code",
    "claims",
];

/// A browser that sets out.
struct Departure {
    address: String,
    /// The cookie by which it is known again.
    cookie: Option<String>,
}

pub(crate) async fn authorize(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::SignInSignUps, &call)?;
    let departure = auth.depart(&call, None).await?;
    let mut response = found(&departure.address)?;
    if let Some(cookie) = departure.cookie {
        let cookie = HeaderValue::try_from(cookie);
        let cookie = cookie.map_err(|_| AuthError::Internal("The cookie cannot be a header"))?;
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Adds an account elsewhere to the user who asks.
pub(crate) async fn link(
    State(auth): State<Arc<Auth>>,
    who: SignedIn,
    call: Call,
) -> Result<Response> {
    require_linking(&auth)?;
    let departure = auth.depart(&call, Some(&who.user)).await?;
    if call.asked("skip_http_redirect").as_deref() == Some("true") {
        let body = json!({"url": departure.address});
        return Ok(json_response(StatusCode::OK, &body));
    }
    found(&departure.address)
}

pub(crate) fn unsupported(why: &Unusable) -> AuthError {
    AuthError::invalid(format!("Unsupported provider: {why}"))
}

pub(super) fn failed(what: impl Into<String>) -> AuthError {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    AuthError::new(status, code::UNEXPECTED_FAILURE, what.into())
}

/// A state that only the holder of the secret can have asked for.
fn state_of(secret: &str) -> Uuid {
    let hash: [u8; 32] = Sha256::digest(secret).into();
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash) {
        *to = from;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// One for each trip: people open several tabs.
fn cookie_name(state: Uuid) -> String {
    format!("ferrobase-trip-{}", state.simple())
}

pub(super) fn has_cookie(headers: &HeaderMap, state: Uuid) -> bool {
    let name = cookie_name(state);
    let lines = headers.get_all(COOKIE).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(key, secret)| key == name && state_of(secret) == state)
}

impl Auth {
    pub(super) fn cookie(&self, state: Uuid, secret: &str, seconds: u64) -> String {
        let url = &self.config.external_url;
        let path = format!("{}/callback", url.path().trim_end_matches('/'));
        // Lax: it must come along when the provider sends the browser back.
        let secure = if url.scheme() == "https" {
            "; Secure"
        } else {
            ""
        };
        let name = cookie_name(state);
        format!("{name}={secret}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    async fn depart(&self, call: &Call, target: Option<&User>) -> Result<Departure> {
        let asked = |name: &str| call.asked(name).unwrap_or_default();
        let provider = self
            .providers
            .named(&self.config, &asked("provider"))
            .and_then(|provider| provider.check().map(|()| provider))
            .map_err(|why| unsupported(&why))?;
        let invite = call.asked("invite_token");
        if let Some(token) = &invite {
            let tx = self.store.begin().await?;
            let invited = tx.user_by_token(token, &[OneTime::Confirmation]).await?;
            invited.ok_or_else(|| {
                AuthError::not_found(code::USER_NOT_FOUND, "User identified by token not found")
            })?;
        }
        let referrer = call.referrer(self);
        let challenge = asked("code_challenge");
        let challenge_method = asked("code_challenge_method");
        check_challenge(&challenge, &challenge_method)?;
        let secret = Secret::new(crate::codes::unknown_password(&self.rng).expose());
        let state = state_of(secret.expose());
        let trip = Trip::new(&self.rng);
        let scopes = asked("scopes");
        let scopes: Vec<String> = scopes
            .split([',', ' '])
            .filter(|scope| !scope.is_empty())
            .map(str::to_owned)
            .collect();
        let more = more_params(call)?;
        let state_text = state.to_string();
        let address = provider.address(&state_text, &trip, &scopes, &more);
        let address = address.await.map_err(|failure| {
            tracing::warn!(%failure, provider.name = provider.name, "A provider cannot be asked");
            failed("Error creating the address of the external provider")
        })?;
        let tx = self.store.begin().await?;
        tx.insert_oauth_flow(&NewOAuthFlow {
            id: state,
            provider: &provider.name,
            verifier: trip.verifier.expose(),
            challenge: &challenge,
            challenge_method: &challenge_method,
            invite_token: invite.as_deref(),
            referrer: &referrer,
            linking_target: target.map(|user| user.id),
            email_optional: provider.settings.email_optional,
        })
        .await?;
        tx.commit().await?;
        let lifetime = self.config.flow_state_lifetime.as_secs();
        let bound = challenge.is_empty() && target.is_none();
        Ok(Departure {
            address,
            cookie: bound.then(|| self.cookie(state, secret.expose(), lifetime)),
        })
    }
}

/// What an application wants to tell the provider (`prompt`, `login_hint`, …).
fn more_params(call: &Call) -> Result<Vec<(String, String)>> {
    let query = call.parts.uri.query().unwrap_or_default();
    let mut more = Vec::new();
    let mut bytes = 0;
    for (name, value) in parse(query.as_bytes()) {
        if name.is_empty() || OURS.contains(&name.to_lowercase().as_str()) {
            continue;
        }
        bytes += name.len() + value.len();
        if more.len() == MORE_MAX || bytes > MORE_BYTES_MAX {
            return Err(AuthError::invalid("Too many query parameters"));
        }
        more.push((name.into_owned(), value.into_owned()));
    }
    Ok(more)
}

pub(super) fn found(address: &str) -> Result<Response> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    let location = HeaderValue::try_from(address);
    let location =
        location.map_err(|_| AuthError::Internal("The redirect address cannot be a header"))?;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    // Codes and states are nobody else's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("referrer-policy"),
        HeaderValue::from_static("no-referrer"),
    );
    Ok(response)
}

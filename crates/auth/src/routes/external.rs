//! `GET /authorize`, `GET` and `POST /callback`, and
//! `GET /user/identities/authorize`: a browser goes to a provider and comes
//! back.
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
use http::{HeaderMap, Method as HttpMethod, StatusCode};
use kernel::Secret;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::form_urlencoded::{Serializer, parse};
use uuid::Uuid;

use super::identities::require_linking;
use crate::codes::{check_challenge, is_fresh};
use crate::error::{AuthError, Result, code, json_response};
use crate::limits::Kind;
use crate::linking::Guest;
use crate::model::{Method, User};
use crate::oidc::provider::{Provider, Trip, Unusable};
use crate::redirect::with_query;
use crate::request::{Call, SignedIn};
use crate::room::Auth;
use crate::store::{NewOAuthFlow, NewSession, OAuthFlow, OneTime};
use crate::tokens::Issued;

/// A provider's words about an error are passed on up to this length.
const WORDS_CHARS_MAX: usize = 500;
/// Codes are not longer, and go into a request of ours.
const CODE_BYTES_MAX: usize = 4096;
/// Parameters for the provider that an application may add.
const MORE_MAX: usize = 20;
const MORE_BYTES_MAX: usize = 2048;
/// What a callback may say. `user` is Apple's.
const CALLBACK: [&str; 6] = ["state", "code", "error", "error_description", "iss", "user"];

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

fn failed(what: impl Into<String>) -> AuthError {
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

fn has_cookie(headers: &HeaderMap, state: Uuid) -> bool {
    let name = cookie_name(state);
    let lines = headers.get_all(COOKIE).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .any(|(key, secret)| key == name && state_of(secret) == state)
}

impl Auth {
    fn cookie(&self, state: Uuid, secret: &str, seconds: u64) -> String {
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

/// What a provider says by way of a browser.
#[derive(Debug, Default)]
struct Said {
    state: String,
    code: String,
    error: String,
    error_description: String,
    iss: String,
}

impl Said {
    fn of(call: &Call) -> Self {
        let asked = |name| call.asked(name).unwrap_or_default();
        Self {
            state: asked("state"),
            code: asked("code"),
            error: asked("error"),
            error_description: asked("error_description"),
            iss: asked("iss"),
        }
    }
}

/// Why somebody comes back without being signed in.
enum Refusal {
    Ours(AuthError),
    /// The provider's own words.
    Theirs(String, String),
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Ours(error)
    }
}

/// How a trip ends.
enum Arrival {
    Code(String),
    Tokens(Box<Issued>, Vec<(&'static str, Secret)>),
}

pub(crate) async fn callback(State(auth): State<Arc<Auth>>, call: Call) -> Result<Response> {
    auth.limit(Kind::TokenVerifications, &call)?;
    if call.parts.method == HttpMethod::POST {
        return posted(&auth, &call);
    }
    let said = Said::of(&call);
    let flow = match auth.arrive(&call, &said).await {
        Ok(flow) => flow,
        Err(error) => {
            Auth::note(&error);
            let pairs = words(&Refusal::Ours(error));
            let address = with_query(&auth.config.site_url, &borrowed(&pairs));
            let mut response = found(&address)?;
            *response.status_mut() = StatusCode::SEE_OTHER;
            return Ok(response);
        }
    };
    // Once more: the list may have changed since.
    let wish = Some(flow.referrer.as_str());
    let to = auth.config.redirects.choose([wish]).to_owned();
    let address = match auth.receive(&call, &said, &flow).await {
        Ok(Arrival::Code(code)) => with_query(&to, &[("code", &code)]),
        Ok(Arrival::Tokens(issued, theirs)) => with_tokens(&to, &issued, &theirs),
        Err(refusal) => {
            if let Refusal::Ours(error) = &refusal {
                Auth::note(error);
            }
            let pairs = words(&refusal);
            crate::redirect::told(&to, true, &borrowed(&pairs))
        }
    };
    let mut response = found(&address)?;
    if let Ok(cookie) = HeaderValue::try_from(auth.cookie(flow.id, "", 0)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A form that the provider's page sends (`response_mode=form_post`) comes
/// without our cookie; a redirect to ourselves brings it along.
fn posted(auth: &Auth, call: &Call) -> Result<Response> {
    let form = parse(&call.body)
        .filter(|(name, value)| CALLBACK.contains(&name.as_ref()) && value.len() <= CODE_BYTES_MAX);
    let query = Serializer::new(String::new()).extend_pairs(form).finish();
    let base = auth.config.external_url.as_str().trim_end_matches('/');
    let mut response = found(&format!("{base}/callback?{query}"))?;
    *response.status_mut() = StatusCode::SEE_OTHER;
    Ok(response)
}

impl Auth {
    /// The trip that ends here, if it began here, in this browser, not long
    /// ago, and has not ended before.
    async fn arrive(&self, call: &Call, said: &Said) -> Result<OAuthFlow> {
        let bad = |message| AuthError::bad_request(code::BAD_OAUTH_STATE, message);
        if said.state.is_empty() {
            return Err(AuthError::bad_request(
                code::BAD_OAUTH_CALLBACK,
                "OAuth state parameter missing",
            ));
        }
        let state = Uuid::parse_str(&said.state);
        let state = state.map_err(|_| bad("OAuth state parameter is invalid"))?;
        let tx = self.store.begin().await?;
        let flow = tx.oauth_flow_for_update(state).await?;
        let flow = flow.ok_or_else(|| bad("OAuth state not found or expired"))?;
        if !is_fresh(flow.created_at, self.config.flow_state_lifetime, tx.now) {
            return Err(bad("OAuth state has expired"));
        }
        if flow.user_id.is_some() {
            return Err(AuthError::bad_request(
                code::FLOW_STATE_ALREADY_USED,
                "State has already been used",
            ));
        }
        // Who links has been asked for a token when the trip began.
        let bound = !flow.is_pkce() && flow.linking_target_id.is_none();
        if bound && !has_cookie(&call.parts.headers, state) {
            return Err(bad("OAuth state belongs to another browser"));
        }
        Ok(flow)
    }

    async fn receive(
        &self,
        call: &Call,
        said: &Said,
        flow: &OAuthFlow,
    ) -> Result<Arrival, Refusal> {
        let trip = self.take_trip(flow).await?;
        if !said.error.is_empty() {
            let cut = |text: &str| text.chars().take(WORDS_CHARS_MAX).collect();
            return Err(Refusal::Theirs(
                cut(&said.error),
                cut(&said.error_description),
            ));
        }
        if said.code.is_empty() || said.code.len() > CODE_BYTES_MAX {
            return Err(Refusal::Ours(AuthError::bad_request(
                code::BAD_OAUTH_CALLBACK,
                "OAuth callback with missing authorization code missing",
            )));
        }
        let provider = self.providers.named(&self.config, &flow.provider_type);
        let provider = provider.map_err(|why| {
            let message = format!("Unsupported provider: {why}");
            AuthError::bad_request(code::OAUTH_PROVIDER_NOT_SUPPORTED, message)
        })?;
        check_issuer(provider, &said.iss)?;
        let tokens = provider.exchange(&said.code, &trip).await;
        let tokens = tokens.map_err(|failure| {
            tracing::warn!(%failure, provider.name = provider.name, "A code was not exchanged");
            let beginning: String = said.code.chars().take(4).collect();
            failed(format!("Unable to exchange external code: {beginning}"))
        })?;
        let profile = provider.profile(&tokens, &trip).await.map_err(|failure| {
            tracing::warn!(%failure, provider.name = provider.name, "Nobody came of a code");
            failed("Error getting user profile from external provider")
        })?;
        let guest = Guest {
            provider: &provider.name,
            profile: &profile,
            email_optional: flow.email_optional,
        };
        if profile.emails.is_empty() && !guest.email_optional {
            return Err(Refusal::Ours(failed(
                "Error getting user email from external provider",
            )));
        }
        let refresh = tokens.refresh.as_ref().map_or("", Secret::expose);
        self.settle(call, flow, &guest, (tokens.access.expose(), refresh))
            .await
    }

    /// Our side of a trip, which is there once.
    async fn take_trip(&self, flow: &OAuthFlow) -> Result<Trip> {
        let gone = || {
            AuthError::unprocessable(code::OAUTH_CLIENT_STATE_NOT_FOUND, "OAuth state not found")
        };
        let ours = flow.oauth_client_state_id.ok_or_else(gone)?;
        let tx = self.store.begin().await?;
        let taken = tx.take_client_state(ours).await?.ok_or_else(gone)?;
        let now = tx.now;
        tx.commit().await?;
        if taken.provider_type != flow.provider_type || taken.code_verifier.is_empty() {
            return Err(AuthError::bad_request(
                code::OAUTH_INVALID_STATE,
                "OAuth provider mismatch",
            ));
        }
        if !is_fresh(taken.created_at, self.config.flow_state_lifetime, now) {
            return Err(AuthError::unprocessable(
                code::OAUTH_CLIENT_STATE_EXPIRED,
                "OAuth state expired",
            ));
        }
        Ok(Trip {
            verifier: Secret::new(taken.code_verifier),
        })
    }

    /// The guest becomes a user, and the trip a code or a session.
    async fn settle(
        &self,
        call: &Call,
        flow: &OAuthFlow,
        guest: &Guest<'_>,
        tokens: (&str, &str),
    ) -> Result<Arrival, Refusal> {
        let tx = self.store.begin().await?;
        let linked = match flow.linking_target_id {
            Some(target) => self.link_guest(&tx, call, target, guest).await?,
            None if !flow.invite_token.is_empty() => {
                self.invited_guest(&tx, &flow.invite_token, guest).await?
            }
            None => self.welcome_guest(&tx, call, guest).await?,
        };
        if let Some(refusal) = linked.refusal {
            tx.commit().await?;
            self.parts.outbox.wake();
            return Err(Refusal::Ours(refusal));
        }
        let user = linked.user;
        if let (true, Some(code)) = (flow.is_pkce(), &flow.auth_code) {
            if !tx.finish_oauth_flow(flow.id, user.id, tokens).await? {
                return Err(Refusal::Ours(AuthError::bad_request(
                    code::FLOW_STATE_ALREADY_USED,
                    "State has already been used",
                )));
            }
            tx.commit().await?;
            self.parts.outbox.wake();
            return Ok(Arrival::Code(code.clone()));
        }
        let session = NewSession::of(call);
        let issued = self.issue(&tx, user, Method::OAuth, &session).await?;
        tx.delete_flow(flow.id).await?;
        tx.commit().await?;
        self.parts.outbox.wake();
        let (access, refresh) = tokens;
        let mut theirs = vec![("provider_token", Secret::new(access))];
        if !refresh.is_empty() {
            theirs.push(("provider_refresh_token", Secret::new(refresh)));
        }
        Ok(Arrival::Tokens(Box::new(issued), theirs))
    }
}

/// An answer that names its issuer must name this one (RFC 9207): else one
/// provider's code would be shown to another.
fn check_issuer(provider: &Provider, said: &str) -> Result<()> {
    let Some(issuer) = provider.issuer() else {
        return Ok(());
    };
    if said.is_empty() || crate::oidc::remote::same_issuer(issuer, said) {
        return Ok(());
    }
    Err(AuthError::bad_request(
        code::BAD_OAUTH_CALLBACK,
        "OAuth callback of another issuer",
    ))
}

fn words(refusal: &Refusal) -> Vec<(&'static str, String)> {
    let error = match refusal {
        Refusal::Theirs(error, description) => {
            return vec![
                ("error", error.clone()),
                ("error_description", description.clone()),
            ];
        }
        Refusal::Ours(error) => error,
    };
    let denied = [
        code::SIGNUP_DISABLED,
        code::USER_BANNED,
        code::PROVIDER_EMAIL_NEEDS_VERIFICATION,
    ];
    let kind = match error.status().as_u16() {
        _ if denied.contains(&error.code()) => "access_denied",
        400 => "invalid_request",
        401 => "unauthorized_client",
        403 => "access_denied",
        503 => "temporarily_unavailable",
        _ => "server_error",
    };
    vec![
        ("error", kind.to_owned()),
        ("error_code", error.code().as_str().to_owned()),
        ("error_description", error.message().into_owned()),
    ]
}

fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    let each = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    each.collect()
}

/// Tokens go behind the `#`, which servers do not see.
fn with_tokens(to: &str, issued: &Issued, theirs: &[(&'static str, Secret)]) -> String {
    let mut fragment = Serializer::new(String::new());
    fragment
        .append_pair("access_token", issued.access_token.expose())
        .append_pair("expires_at", &issued.expires_at.to_string())
        .append_pair("expires_in", &issued.expires_in.to_string());
    for (name, token) in theirs.iter().rev() {
        fragment.append_pair(name, token.expose());
    }
    fragment
        .append_pair("refresh_token", issued.refresh_token.expose())
        .append_pair("sb", "")
        .append_pair("token_type", "bearer");
    let (base, _) = to.split_once('#').unwrap_or((to, ""));
    format!("{base}#{}", fragment.finish())
}

fn found(address: &str) -> Result<Response> {
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

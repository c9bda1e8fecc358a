//! `GET` and `POST /callback`: a browser comes back from a provider. The state
//! is checked and used up before anybody else is asked; what goes wrong after
//! that is told to the application, at the address that was allowed when the
//! browser set out.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::{HeaderValue, SET_COOKIE};
use http::{Method as HttpMethod, StatusCode};
use kernel::Secret;
use url::form_urlencoded::{Serializer, parse};
use uuid::Uuid;

use super::external::{failed, found, has_cookie};
use crate::codes::is_fresh;
use crate::error::{AuthError, Result, code};
use crate::limits::Kind;
use crate::linking::Guest;
use crate::model::Method;
use crate::oidc::provider::{Provider, Trip};
use crate::redirect::with_query;
use crate::request::Call;
use crate::room::Auth;
use crate::store::{NewSession, OAuthFlow};
use crate::tokens::Issued;

/// A provider's words about an error are passed on up to this length.
const WORDS_CHARS_MAX: usize = 500;
/// Codes are not longer, and go into a request of ours.
const CODE_BYTES_MAX: usize = 4096;
/// What a callback may say. `user` is Apple's.
const CALLBACK: [&str; 6] = ["state", "code", "error", "error_description", "iss", "user"];

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
        let signs_in = flow.linking_target_id.is_none() && flow.invite_token.is_empty();
        let may_become = signs_in && self.ask_about_guest(call, guest).await?;
        let tx = self.store.begin().await?;
        let linked = match flow.linking_target_id {
            Some(target) => self.link_guest(&tx, call, target, guest).await?,
            None if !flow.invite_token.is_empty() => {
                self.invited_guest(&tx, &flow.invite_token, guest).await?
            }
            None => self.welcome_guest(&tx, call, guest, may_become).await?,
        };
        let news = linked.created.then(|| linked.user.document());
        if let Some(refusal) = linked.refusal {
            tx.commit().await?;
            self.parts.outbox.wake();
            self.tell_of_guest(news, call).await?;
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
            self.tell_of_guest(news, call).await?;
            return Ok(Arrival::Code(code.clone()));
        }
        let session = NewSession::of(call);
        let issued = self.issue(&tx, user, Method::OAuth, &session).await?;
        tx.delete_flow(flow.id).await?;
        tx.commit().await?;
        self.parts.outbox.wake();
        self.tell_of_guest(news, call).await?;
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

//! A request as handlers see it: [`Call`] holds head and body, [`SignedIn`] and
//! [`Admin`] say who is there, [`finish`] words errors.
//!
//! Handlers ask for what they need as arguments; what is missing is refused
//! before they run.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kernel::{BadToken, Caller};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{API_VERSION, ApiVersion, AuthError, Result, code};
use crate::model::{Session, User};
use crate::room::Auth;

/// GoTrue takes no larger body either.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A longer agent is cut: it is shown to people.
const AGENT_CHARS_MAX: usize = 512;

/// Head and body of a request.
pub(crate) struct Call {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the address, decoded; none when empty.
    pub(crate) fn asked(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.into_owned())
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            AuthError::bad_request(
                code::BAD_JSON,
                format!("Could not parse request body as JSON: {error}"),
            )
        })
    }

    /// Where the client is, as far as the gateway knows.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.parts
            .extensions
            .get::<kernel::ClientAddress>()
            .map(|address| address.0)
    }

    /// The same as text, to count by.
    pub(crate) fn address_text(&self) -> String {
        self.address().map_or_else(String::new, |ip| ip.to_string())
    }

    pub(crate) fn user_agent(&self) -> Option<String> {
        let agent = self.header("user-agent")?;
        Some(agent.chars().take(AGENT_CHARS_MAX).collect())
    }

    /// Where the request wants to be sent in the end, if that is allowed.
    pub(crate) fn referrer<'a>(&'a self, auth: &'a Auth) -> String {
        let asked = self.asked("redirect_to");
        let wishes = [
            self.header("redirect_to"),
            asked.as_deref(),
            self.header("referer"),
        ];
        auth.config.redirects.choose(wishes).to_owned()
    }

    /// Whether a secret key or an operator's token was shown.
    pub(crate) fn is_admin(&self, auth: &Auth) -> bool {
        Claims::of(&self.parts).is_some_and(|claims| auth.config.admin_roles.contains(&claims.role))
    }

    /// The audience that the request is about.
    pub(crate) fn audience(&self, auth: &Auth) -> String {
        if let Some(audience) = self.header("x-jwt-aud").filter(|text| !text.is_empty()) {
            return audience.to_owned();
        }
        let claims = Claims::of(&self.parts);
        claims
            .filter(|claims| !auth.config.admin_roles.contains(&claims.role))
            .and_then(|claims| claims.audience().map(str::to_owned))
            .unwrap_or_else(|| auth.config.audience.clone())
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = AuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let read = Limited::new(body, BODY_BYTES_MAX).collect().await;
        match read {
            Ok(collected) => Ok(Self {
                parts,
                body: collected.to_bytes(),
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(AuthError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                code::REQUEST_ENTITY_TOO_LARGE,
                format!("Request body too large (max {BODY_BYTES_MAX} bytes)"),
            )),
            Err(_) => Err(AuthError::invalid("The request body ended early")),
        }
    }
}

/// The claims of a verified token that concern us. Missing ones are empty, as
/// in GoTrue.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    #[serde(deserialize_with = "nullable")]
    pub(crate) sub: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) role: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) session_id: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) aal: String,
    #[serde(deserialize_with = "nullable")]
    pub(crate) is_anonymous: bool,
    /// The OAuth client that the token was made for.
    #[serde(deserialize_with = "nullable")]
    pub(crate) client_id: String,
    aud: Value,
}

impl Claims {
    /// The claims behind a request's bearer token.
    fn of(parts: &Parts) -> Option<Self> {
        bearer(&parts.headers)?;
        let caller = Caller::of(parts)?;
        serde_json::from_str(&caller.claims).ok()
    }

    pub(crate) fn audience(&self) -> Option<&str> {
        let first = match &self.aud {
            Value::Array(many) => many.first()?,
            one => one,
        };
        first.as_str().filter(|text| !text.is_empty())
    }

    /// The session, unless it is the one that stands for none.
    pub(crate) fn session(&self) -> Result<Option<Uuid>> {
        if self.session_id.is_empty() {
            return Ok(None);
        }
        let id = Uuid::parse_str(&self.session_id).map_err(|_| {
            AuthError::forbidden(
                code::BAD_JWT,
                "invalid claim: session_id claim must be a UUID",
            )
        })?;
        Ok(Some(id).filter(|id| !id.is_nil()))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' '))
        .then_some(token)
}

/// The claims of a request that must have some.
fn required_claims(parts: &Parts) -> Result<Claims> {
    if bearer(&parts.headers).is_none() {
        return Err(AuthError::new(
            StatusCode::UNAUTHORIZED,
            code::NO_AUTHORIZATION,
            "This endpoint requires a valid Bearer token",
        ));
    }
    if let Some(bad) = parts.extensions.get::<BadToken>() {
        return Err(AuthError::forbidden(
            code::BAD_JWT,
            format!(
                "invalid JWT: unable to parse or verify signature, {}",
                bad.reason
            ),
        ));
    }
    Claims::of(parts)
        .ok_or_else(|| AuthError::forbidden(code::BAD_JWT, "invalid token: missing claims"))
}

/// A user with a token that counts, and the session behind it. An OAuth
/// client's token is none: what a client may ask takes an [`AnySession`].
pub(crate) struct SignedIn {
    pub(crate) user: User,
    /// None for a token that names none, such as one made by hand.
    pub(crate) session: Option<Session>,
    pub(crate) claims: Claims,
}

impl SignedIn {
    /// Refuses users who are nobody in particular.
    pub(crate) fn not_anonymous(&self) -> Result<()> {
        if self.claims.is_anonymous {
            return Err(AuthError::forbidden(
                code::NO_AUTHORIZATION,
                "Anonymous user not allowed to perform these actions",
            ));
        }
        Ok(())
    }

    /// Whether a second factor was shown: in this session, and before this
    /// very token was made. A token of before must not gain by it.
    pub(crate) fn is_aal2(&self) -> bool {
        let session = self.session.as_ref();
        self.claims.aal == "aal2" && session.is_some_and(|session| session.aal() == "aal2")
    }
}

/// The user and the session that claims name, if both still exist.
async fn load(auth: &Auth, claims: &Claims) -> Result<(User, Option<Session>)> {
    if claims.sub.is_empty() {
        return Err(AuthError::forbidden(
            code::BAD_JWT,
            "invalid claim: missing sub claim",
        ));
    }
    let id = Uuid::parse_str(&claims.sub).map_err(|_| {
        AuthError::bad_request(code::BAD_JWT, "invalid claim: sub claim must be a UUID")
    })?;
    let user = auth.store.user_by_id(id).await?.ok_or_else(|| {
        AuthError::forbidden(
            code::USER_NOT_FOUND,
            "User from sub claim in JWT does not exist",
        )
    })?;
    let session = match claims.session()? {
        None => None,
        Some(session) => {
            let found = auth.store.session(session).await?;
            // Somebody else's session is none of this user's.
            let found = found.filter(|session| session.user_id == id);
            Some(found.ok_or_else(|| {
                AuthError::forbidden(
                    code::SESSION_NOT_FOUND,
                    "Session from session_id claim in JWT does not exist",
                )
            })?)
        }
    };
    Ok((user, session))
}

/// The same, also when it is an OAuth client that acts for the user.
pub(crate) struct AnySession(pub(crate) SignedIn);

impl FromRequestParts<Arc<Auth>> for AnySession {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self> {
        let claims = required_claims(parts)?;
        let (user, session) = load(auth, &claims).await?;
        if user.is_banned(auth.clock.now()) {
            return Err(AuthError::forbidden(code::USER_BANNED, "User is banned"));
        }
        // An ID token says to a client who the user is. It opens nothing.
        if session.is_none() && !claims.client_id.is_empty() {
            return Err(AuthError::forbidden(
                code::BAD_JWT,
                "invalid token: this is no access token",
            ));
        }
        Ok(Self(SignedIn {
            user,
            session,
            claims,
        }))
    }
}

impl FromRequestParts<Arc<Auth>> for SignedIn {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self> {
        let AnySession(who) = AnySession::from_request_parts(parts, auth).await?;
        let client = who
            .session
            .as_ref()
            .and_then(|session| session.oauth_client_id);
        if client.is_some() {
            return Err(AuthError::forbidden(
                code::NO_AUTHORIZATION,
                "OAuth clients are not allowed to perform these actions",
            ));
        }
        Ok(who)
    }
}

/// Somebody who may use the admin API: by the role of a token or key.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    pub(crate) role: String,
}

impl FromRequestParts<Arc<Auth>> for Admin {
    type Rejection = AuthError;

    async fn from_request_parts(parts: &mut Parts, auth: &Arc<Auth>) -> Result<Self> {
        let claims = required_claims(parts)?;
        if claims.session()?.is_some() {
            let (user, session) = load(auth, &claims).await?;
            let valid = session.is_none_or(|session| {
                let now = auth.clock.now();
                let refreshed = session.refreshed(None);
                session
                    .validity(&auth.config.sessions, now, refreshed, user.highest_aal())
                    .is_valid()
            });
            if !valid {
                return Err(AuthError::forbidden(
                    code::SESSION_EXPIRED,
                    "Session is no longer valid",
                ));
            }
        }
        if !auth.config.admin_roles.contains(&claims.role) {
            return Err(AuthError::forbidden(code::NOT_ADMIN, "User not allowed"));
        }
        Ok(Self { role: claims.role })
    }
}

/// Gives errors their words, once the version that was asked for is known.
pub(crate) async fn finish(request: Request, next: Next) -> Response {
    let asked = request.headers().get(&API_VERSION);
    let version = ApiVersion::asked(asked.and_then(|value| value.to_str().ok()));
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<AuthError>() else {
        return response;
    };
    Auth::note(&error);
    let mut worded = error.render(version);
    // What a handler wanted to say beside the error stays.
    for (name, value) in response.headers() {
        worded
            .headers_mut()
            .entry(name)
            .or_insert_with(|| value.clone());
    }
    worded
}

/// `null` is the same as nothing, as in Go.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An object of a request's own making; `null` is none.
pub(crate) type Data = Option<Map<String, Value>>;

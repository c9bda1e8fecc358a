//! Who is calling: API key and bearer token become one [`Caller`], or a
//! refusal.
//!
//! The rules, in order:
//! 1. A key comes in `apikey`, as header or query parameter. Opaque keys
//!    (`sb_…`) count only there; in `Authorization` only as the same bytes.
//! 2. A token in `Authorization` outranks the key.
//! 3. A secret key from a browser is refused: it has leaked.
//! 4. Nothing shown is the anonymous role, unless keys are required.
//! 5. Platform keys (`fbk_…`) come in `X-API-Key`, `apikey` or as bearer, and
//!    carry scopes, which `grants.rs` holds against the room.
//!
//! One more case than Supabase's gateway has: any token that verifies counts
//! as a key, since it proves more than a key does.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, USER_AGENT};
use kernel::{BadToken, Caller};

use super::jwt::JwtError;
use super::verifier::{Fingerprint, TokenError, Verifier, fingerprint};
use crate::api_keys::{self, ApiKey, ApiKeys};

/// Whether a room lets the gateway refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Bad or missing credentials are answered with 401 here.
    Checked,
    /// The room decides: public objects, signed links, webhooks. Without good
    /// credentials the caller is anonymous.
    Open,
    /// As `Open`, and the room finds out in [`BadToken`] why what was shown was
    /// not believed.
    Worded,
    /// As `Worded`, and its clients know one credential only, which counts as
    /// key and token wherever they show it.
    OneCredential,
    /// The key is checked here, the token by the room, which words refusals
    /// itself and finds out why in [`BadToken`]; except below these paths,
    /// where browsers arrive from elsewhere and show nothing.
    Keyed {
        /// Paths without the prefix.
        open: &'static [&'static str],
    },
}

impl Access {
    /// What holds at a path below the room's prefix.
    pub(crate) fn at(self, path: &str) -> Self {
        match self {
            Self::Keyed { open } if open.iter().any(|open| is_below(path, open)) => {
                // The token is still the room's to judge, but nothing is asked.
                Self::Open
            }
            access => access,
        }
    }
}

fn is_below(path: &str, open: &str) -> bool {
    path.strip_prefix(open)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Why a request is refused before it reaches a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Jwt(JwtError),
    AnonymousDisabled,
    NoApiKey,
    InvalidApiKey,
    SecretKeyInBrowser,
}

impl Refusal {
    /// For people.
    fn reason(&self) -> Arc<str> {
        match self {
            Self::Jwt(error) => error.to_string().into(),
            Self::AnonymousDisabled => "Anonymous access is disabled".into(),
            Self::NoApiKey => "No API key found in request".into(),
            Self::InvalidApiKey => "Invalid API key".into(),
            Self::SecretKeyInBrowser => "Forbidden use of secret API key in browser".into(),
        }
    }
}

/// A caller and what to count its requests by.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) caller: Caller,
    pub(crate) print: Option<Fingerprint>,
    /// A bearer token that the room is to refuse.
    pub(crate) bad_token: Option<BadToken>,
    /// The platform key behind the caller, whose scopes are still to be seen.
    pub(crate) api_key: Option<Arc<ApiKey>>,
}

/// An opaque key and whom it stands for.
pub(crate) struct OpaqueKey {
    pub(crate) print: Fingerprint,
    pub(crate) caller: Caller,
}

/// Decides who is calling.
pub(crate) struct Identity {
    pub(crate) verifier: Verifier,
    pub(crate) opaque: Vec<OpaqueKey>,
    pub(crate) api_keys: Arc<ApiKeys>,
    pub(crate) require_apikey: bool,
    /// `None` when anonymous access is disabled.
    pub(crate) anonymous: Option<Caller>,
}

const OPAQUE_PREFIX: &str = "sb_";
const SECRET_PREFIX: &str = "sb_secret_";

impl Identity {
    pub(crate) fn of(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        access: Access,
    ) -> Result<Known, Refusal> {
        if let Access::Keyed { .. } = access {
            return self.keyed(headers, query);
        }
        match (self.checked(headers, query), access) {
            (Err(Refusal::Jwt(error)), Access::Open) => self.nobody_with(&error),
            (Err(_), Access::Open) => self.nobody(),
            (Err(refusal), Access::Worded | Access::OneCredential) => {
                self.nobody_because(refusal.reason())
            }
            (result, _) => result,
        }
    }

    /// Fetches an issuer's keys before they are needed, which may take a while.
    pub(crate) async fn prepare(&self, headers: &HeaderMap) {
        if let Some(token) = bearer(headers) {
            self.verifier.prepare(token).await;
        }
    }

    /// The same, for a room that may know only users of ours: somebody else's
    /// is nobody there, since an id of theirs is no id of ours.
    pub(crate) fn in_room(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        access: Access,
        own_users: bool,
    ) -> Result<Known, Refusal> {
        let known = self.of(headers, query, access)?;
        let foreign = || bearer(headers).is_some_and(|token| self.verifier.is_foreign(token));
        if own_users && foreign() {
            return self.nobody_with(&JwtError::Key("The token is of another issuer"));
        }
        Ok(known)
    }

    fn checked(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Known, Refusal> {
        let key = shown_key(headers, query);
        if key.is_some_and(|key| key.starts_with(SECRET_PREFIX)) && is_browser(headers) {
            return Err(Refusal::SecretKeyInBrowser);
        }
        let token = bearer(headers);
        if let Some(key) = platform_key(headers, key, token) {
            return self.by_api_key(key, headers);
        }
        match (key, token) {
            (None, None) if self.require_apikey => Err(Refusal::NoApiKey),
            (None, None) => self.nobody(),
            (Some(key), None) => self.by_key(key),
            (Some(key), Some(token)) if key == token => self.by_key(key),
            (key, Some(token)) => {
                match key {
                    // Where keys are required, a token does not excuse a bad one.
                    Some(key) if self.require_apikey => drop(self.by_key(key)?),
                    None if self.require_apikey => return Err(Refusal::NoApiKey),
                    _ => {}
                }
                self.by_token(token)
            }
        }
    }

    /// The key, then the token if it is another; only the key is refused here.
    fn keyed(&self, headers: &HeaderMap, query: Option<&str>) -> Result<Known, Refusal> {
        let token = bearer(headers).unwrap_or_default();
        let key = shown_key(headers, query);
        if key.is_some_and(|key| key.starts_with(SECRET_PREFIX)) && is_browser(headers) {
            return Err(Refusal::SecretKeyInBrowser);
        }
        if let Some(key) = platform_key(headers, key, Some(token).filter(|token| !token.is_empty()))
        {
            return self.by_api_key(key, headers);
        }
        let by_key = match key {
            Some(key) => self.by_key(key)?,
            None if self.require_apikey => return Err(Refusal::NoApiKey),
            None => self.nobody()?,
        };
        if token.is_empty() || key == Some(token) {
            return Ok(by_key);
        }
        match self.by_token(token) {
            Err(Refusal::Jwt(error)) => self.nobody_with(&error),
            other => other,
        }
    }

    fn nobody_with(&self, error: &JwtError) -> Result<Known, Refusal> {
        self.nobody_because(error.to_string().into())
    }

    fn nobody_because(&self, reason: Arc<str>) -> Result<Known, Refusal> {
        Ok(Known {
            bad_token: Some(BadToken { reason }),
            ..self.nobody()?
        })
    }

    fn nobody(&self) -> Result<Known, Refusal> {
        let caller = self.anonymous.clone().ok_or(Refusal::AnonymousDisabled)?;
        Ok(Known {
            caller,
            print: None,
            bad_token: None,
            api_key: None,
        })
    }

    fn by_key(&self, key: &str) -> Result<Known, Refusal> {
        if key.starts_with(api_keys::PREFIX) {
            // Beside a user's token, which then says who calls.
            let (print, key) = self.api_keys.find(key).ok_or(Refusal::InvalidApiKey)?;
            return Ok(Known {
                caller: key.caller.clone(),
                print: Some(print),
                bad_token: None,
                api_key: Some(key),
            });
        }
        if key.starts_with(OPAQUE_PREFIX) {
            let print = fingerprint(key);
            return self
                .opaque
                .iter()
                // All are compared, each in full, whatever matches.
                .fold(None, |found, known| {
                    if equal(&known.print, &print) {
                        Some(known)
                    } else {
                        found
                    }
                })
                .map(|known| Known {
                    caller: known.caller.clone(),
                    print: Some(print),
                    bad_token: None,
                    api_key: None,
                })
                .ok_or(Refusal::InvalidApiKey);
        }
        match self.by_token(key) {
            Ok(known) => Ok(known),
            // A server without a secret, or a token past its time, says so.
            Err(refusal @ Refusal::Jwt(JwtError::NoSecret | JwtError::Expired))
                if !self.require_apikey =>
            {
                Err(refusal)
            }
            Err(_) => Err(Refusal::InvalidApiKey),
        }
    }

    fn by_api_key(&self, key: &str, headers: &HeaderMap) -> Result<Known, Refusal> {
        let (print, key) = self.api_keys.find(key).ok_or(Refusal::InvalidApiKey)?;
        if key.passes_policies() && is_browser(headers) {
            return Err(Refusal::SecretKeyInBrowser);
        }
        Ok(Known {
            caller: key.caller.clone(),
            print: Some(print),
            bad_token: None,
            api_key: Some(key),
        })
    }

    fn by_token(&self, token: &str) -> Result<Known, Refusal> {
        match self.verifier.caller(token) {
            Ok((caller, print)) => Ok(Known {
                caller,
                print: Some(print),
                bad_token: None,
                api_key: None,
            }),
            Err(TokenError::Jwt(error)) => Err(Refusal::Jwt(error)),
            Err(TokenError::NoRole) => Err(Refusal::AnonymousDisabled),
        }
    }
}

/// The platform key that says who calls: as bearer, or where the bearer is
/// nobody in particular, in `X-API-Key` or `apikey`. Clients that know nothing
/// of platform keys repeat `apikey` as bearer.
fn platform_key<'a>(
    headers: &'a HeaderMap,
    key: Option<&'a str>,
    token: Option<&'a str>,
) -> Option<&'a str> {
    let ours = |key: &&str| key.starts_with(api_keys::PREFIX);
    token.filter(ours).or_else(|| {
        let nobody = token.is_none() || token == key || token == header(headers, "apikey");
        key.filter(ours).filter(|_| nobody)
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    Some(value).filter(|value| !value.is_empty())
}

/// The key that a request shows. `X-API-Key` is taken for one only where it is
/// ours: applications have keys of their own under that name.
fn shown_key<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let platform = header(headers, "x-api-key").filter(|key| key.starts_with(api_keys::PREFIX));
    let key = platform.or_else(|| {
        headers
            .get("apikey")
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    });
    key.or_else(|| query.and_then(key_in_query))
        .filter(|key| !key.is_empty())
}

/// Compares without stopping at the first difference.
fn equal(a: &Fingerprint, b: &Fingerprint) -> bool {
    a.iter()
        .zip(b)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

/// Stands for a token that is no text: refused like any that is none, since
/// taking its bearer for nobody would hide the mistake.
const UNREADABLE: &str = "?";

/// The bearer token; empty when the scheme stands alone. Other schemes (AWS
/// signatures, Basic) belong to the rooms.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?;
    let Ok(value) = value.to_str() else {
        let scheme = value.as_bytes().split(|byte| *byte == b' ').next()?;
        return scheme.eq_ignore_ascii_case(b"bearer").then_some(UNREADABLE);
    };
    let value = value.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The key in `?apikey=`, or in `?auth_token=` for web sockets of clients that
/// call it so. A filter on a column of that name is left alone: keys begin with `sb_` or `fbk_` or, being tokens, with `ey`.
pub(crate) fn key_in_query(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| {
            let named = |name| pair.strip_prefix(name);
            named("apikey=").or_else(|| named("auth_token="))
        })
        .filter(|key| {
            [OPAQUE_PREFIX, api_keys::PREFIX, "ey"]
                .iter()
                .any(|prefix| key.starts_with(prefix))
        })
}

/// The query without its key, which is not for rooms, filters or logs.
pub(crate) fn without_key(query: &str) -> String {
    query
        .split('&')
        .filter(|pair| key_in_query(pair).is_none())
        .collect::<Vec<_>>()
        .join("&")
}

fn is_browser(headers: &HeaderMap) -> bool {
    headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .is_some_and(|agent| agent.starts_with("Mozilla/"))
}

//! Somebody whose accounts count here: where a browser is sent, how the code
//! it brings back is exchanged, who that is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use kernel::{Clock, Rng, Secret};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded::Serializer;

use super::id_token::{self, Expected, Unfit};
use super::profile::{GOOGLE, Profile};
use super::remote::{Found, Remote, RemoteError, Source, same_issuer};
use crate::config::{Config, Provider as Settings};
use outbound::{Answer, Budget, CallError, Client};

/// A browser waits for it.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(10),
    body: 256 * 1024,
};
/// A longer token does not fit into an address, where it is to go.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Whom a name stands for when the settings do not say it.
const ISSUERS: [(&str, &str); 7] = [
    ("apple", "https://appleid.apple.com"),
    ("gitlab", "https://gitlab.com"),
    ("google", GOOGLE),
    ("kakao", "https://kauth.kakao.com"),
    ("linkedin_oidc", "https://www.linkedin.com/oauth"),
    ("slack_oidc", "https://slack.com"),
    ("twitch", "https://id.twitch.tv/oauth2"),
];
/// Those that speak a dialect of their own, which is not spoken here: an
/// address alone does not make issuers of them.
const UNSPOKEN: [&str; 13] = [
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "linkedin",
    "notion",
    "slack",
    "snapchat",
    "spotify",
    "twitter",
    "workos",
    "zoom",
];

/// One provider that is enabled.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    kind: Kind,
    callback: String,
    client: Client,
    clock: Clock,
}

#[derive(Debug)]
enum Kind {
    Oidc { issuer: String, remote: Box<Remote> },
    GitHub { site: String, api: String },
}

/// Why a name cannot be used, in GoTrue's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("Provider {0} could not be found")]
    Unknown(String),
    #[error("provider is not enabled")]
    Disabled,
    #[error("missing OAuth client ID")]
    NoClientId,
    #[error("missing OAuth secret")]
    NoSecret,
}

/// Why nobody came of a code. Logged; the client hears less.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the provider cannot be asked: {0}")]
    Call(#[from] CallError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("the provider answered {0}")]
    Status(http::StatusCode),
    #[error("the provider's answer makes no sense")]
    Answer,
    #[error("the provider gave no ID token")]
    NoIdToken,
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// What belongs to one trip of a browser: the provider sees the verifier's
/// hash first and the verifier with the code, and puts the nonce into the
/// token.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    pub(crate) verifier: Secret,
}

/// What a code was exchanged for.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    id: Option<String>,
}

/// The token endpoint's answer (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "access_token")]
    access: String,
    #[serde(rename = "refresh_token")]
    refresh: Option<String>,
    #[serde(rename = "id_token")]
    id: Option<String>,
}

/// All providers that are enabled, by name.
#[derive(Debug, Default)]
pub(crate) struct Providers(BTreeMap<String, Provider>);

impl Trip {
    pub(crate) fn new(rng: &Rng) -> Self {
        let verifier = URL_SAFE_NO_PAD.encode(rng.bytes::<32>());
        Self {
            verifier: Secret::new(verifier),
        }
    }

    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.expose()))
    }

    /// Known to nobody who has not the verifier, so it need not be kept.
    fn nonce(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"nonce:");
        hash.update(self.verifier.expose());
        URL_SAFE_NO_PAD.encode(hash.finalize())
    }
}

impl Providers {
    pub(crate) fn new(config: &Config, client: &Client, clock: &Clock) -> Self {
        let usual = format!(
            "{}/callback",
            config.external_url.as_str().trim_end_matches('/')
        );
        let enabled = config.external.iter().filter(|(_, known)| known.enabled);
        let made = enabled.filter_map(|(name, settings)| {
            let kind = Kind::of(name, settings, client, clock)?;
            let provider = Provider {
                name: name.clone(),
                settings: settings.clone(),
                kind,
                callback: settings.redirect_uri.clone().unwrap_or(usual.clone()),
                client: client.clone(),
                clock: clock.clone(),
            };
            Some((name.clone(), provider))
        });
        Self(made.collect())
    }

    /// One that can be asked, by its name.
    pub(crate) fn named(&self, config: &Config, name: &str) -> Result<&Provider, Unusable> {
        let name = name.to_lowercase();
        let provider = match (self.0.get(&name), config.external.get(&name)) {
            (Some(provider), _) => provider,
            (None, Some(known)) if !known.enabled && Kind::is_known(&name, known) => {
                return Err(Unusable::Disabled);
            }
            (None, _) => return Err(Unusable::Unknown(name)),
        };
        Ok(provider)
    }

    /// The one with this issuer.
    pub(crate) fn by_issuer(&self, issuer: &str) -> Option<&Provider> {
        self.0.values().find(|provider| match &provider.kind {
            Kind::Oidc { issuer: own, .. } => same_issuer(own, issuer),
            Kind::GitHub { .. } => false,
        })
    }
}

impl Kind {
    fn is_known(name: &str, settings: &Settings) -> bool {
        name == "github" || Self::issuer(name, settings).is_some() || UNSPOKEN.contains(&name)
    }

    fn issuer(name: &str, settings: &Settings) -> Option<String> {
        if let Some(issuer) = &settings.issuer {
            return Some(issuer.clone());
        }
        let known = ISSUERS.iter().find(|(known, _)| *known == name);
        match (name, &settings.url, known) {
            // GoTrue ignores an address here as well.
            ("google" | "apple", _, Some((_, issuer))) => Some((*issuer).to_owned()),
            ("azure", Some(url), _) => Some(format!("{}/v2.0", url.trim_end_matches('/'))),
            (name, _, _) if UNSPOKEN.contains(&name) => None,
            (_, Some(url), _) => Some(url.clone()),
            (_, None, known) => known.map(|(_, issuer)| (*issuer).to_owned()),
        }
    }

    fn of(name: &str, settings: &Settings, client: &Client, clock: &Clock) -> Option<Self> {
        if name == "github" && settings.issuer.is_none() {
            let url = settings.url.as_deref().map(|url| url.trim_end_matches('/'));
            return Some(Self::GitHub {
                site: url.unwrap_or("https://github.com").to_owned(),
                api: url.map_or("https://api.github.com".to_owned(), |url| {
                    format!("{url}/api/v3")
                }),
            });
        }
        let issuer = Self::issuer(name, settings)?;
        let source = Source::Discovery(issuer.clone());
        let remote = Remote::new(source, client.clone(), clock.clone());
        let remote = Box::new(remote);
        Some(Self::Oidc { issuer, remote })
    }
}

impl Provider {
    fn client_id(&self) -> &str {
        self.settings.client_ids.first().map_or("", String::as_str)
    }

    fn secret(&self) -> &str {
        self.settings.secret.as_ref().map_or("", Secret::expose)
    }

    /// Whether a browser can be sent there at all.
    pub(crate) fn check(&self) -> Result<(), Unusable> {
        if self.client_id().is_empty() {
            return Err(Unusable::NoClientId);
        }
        if self.secret().is_empty() {
            return Err(Unusable::NoSecret);
        }
        Ok(())
    }

    /// The issuer that an answer must name, if it names one.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.kind {
            Kind::Oidc { issuer, .. } => Some(issuer),
            Kind::GitHub { .. } => None,
        }
    }

    /// Where a browser is sent. `more` are parameters that the application
    /// added; ours outrank them.
    pub(crate) async fn address(
        &self,
        state: &str,
        trip: &Trip,
        scopes: &[String],
        more: &[(String, String)],
    ) -> Result<String, Failure> {
        let (endpoint, usual): (String, &[&str]) = match &self.kind {
            Kind::Oidc { remote, .. } => {
                let found = remote.get().await?;
                let endpoint = found.document.authorization_endpoint.clone();
                let usual: &[&str] = if self.name == "apple" {
                    &["openid", "email", "name"]
                } else {
                    &["openid", "email", "profile"]
                };
                (endpoint, usual)
            }
            Kind::GitHub { site, .. } => (format!("{site}/login/oauth/authorize"), &["user:email"]),
        };
        let mut all: Vec<&str> = usual.to_vec();
        for scope in self.settings.scopes.iter().chain(scopes) {
            if !all.contains(&scope.as_str()) {
                all.push(scope);
            }
        }
        let mut url = Url::parse(&endpoint).map_err(|_| Failure::Answer)?;
        let mut query = url.query_pairs_mut();
        query.extend_pairs(more);
        query
            .append_pair("client_id", self.client_id())
            .append_pair("redirect_uri", &self.callback)
            .append_pair("response_type", "code")
            .append_pair("scope", &all.join(" "))
            .append_pair("state", state)
            .append_pair("code_challenge", &trip.challenge())
            .append_pair("code_challenge_method", "S256");
        if matches!(self.kind, Kind::Oidc { .. }) {
            query.append_pair("nonce", &trip.nonce());
        }
        if self.name == "apple" {
            query.append_pair("response_mode", "form_post");
        }
        drop(query);
        Ok(url.into())
    }

    /// Exchanges a code. Only the trip that fetched it has its verifier.
    pub(crate) async fn exchange(&self, code: &str, trip: &Trip) -> Result<Tokens, Failure> {
        let (endpoint, basic) = match &self.kind {
            Kind::Oidc { remote, .. } => {
                let found = remote.get().await?;
                (found.document.token_endpoint.clone(), prefers_basic(&found))
            }
            Kind::GitHub { site, .. } => (format!("{site}/login/oauth/access_token"), false),
        };
        let request = self.exchange_request(&endpoint, basic, code, trip);
        let answer = self.call(request).await?;
        let body: Body = serde_json::from_slice(&answer.body).map_err(|_| Failure::Answer)?;
        let long = |token: &str| token.len() > TOKEN_BYTES_MAX;
        if body.access.is_empty() || long(&body.access) || body.refresh.as_deref().is_some_and(long)
        {
            return Err(Failure::Answer);
        }
        let refresh = body.refresh.filter(|token| !token.is_empty());
        Ok(Tokens {
            access: Secret::new(body.access),
            refresh: refresh.map(Secret::new),
            id: body.id,
        })
    }

    fn exchange_request(
        &self,
        endpoint: &str,
        basic: bool,
        code: &str,
        trip: &Trip,
    ) -> http::Result<Request<Bytes>> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.callback)
            .append_pair("code_verifier", trip.verifier.expose());
        let mut request = Request::post(endpoint)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if basic {
            let encoded = |text: &str| {
                url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
            };
            let pair = format!("{}:{}", encoded(self.client_id()), encoded(self.secret()));
            request = request.header(AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)));
        } else {
            form.append_pair("client_id", self.client_id())
                .append_pair("client_secret", self.secret());
        }
        request.body(Bytes::from(form.finish()))
    }

    /// Who the tokens are about.
    pub(crate) async fn profile(&self, tokens: &Tokens, trip: &Trip) -> Result<Profile, Failure> {
        match &self.kind {
            Kind::GitHub { api, .. } => {
                let user = self.ask(&format!("{api}/user"), &tokens.access).await?;
                let address = format!("{api}/user/emails");
                let emails = self.ask(&address, &tokens.access).await?;
                Profile::of_github(api, &user, &emails).ok_or(Failure::Answer)
            }
            Kind::Oidc { remote, .. } => {
                let id = tokens.id.as_deref().ok_or(Failure::NoIdToken)?;
                let own = self.settings.client_ids.get(..1).unwrap_or_default();
                let mut claims = self.open(id, own).await?;
                // A token for several is for the one it was handed to.
                let party = id_token::text(&claims, "azp");
                if !party.is_empty() && party != self.client_id() {
                    return Err(Unfit::Audience.into());
                }
                if !self.settings.skip_nonce_check {
                    id_token::check_nonce(&claims, &trip.nonce())?;
                }
                id_token::check_access_token(id, &claims, tokens.access.expose())?;
                let endpoint = remote.get().await?.document.userinfo_endpoint.clone();
                if id_token::text(&claims, "email").is_empty() && !endpoint.is_empty() {
                    let more = self.ask(&endpoint, &tokens.access).await?;
                    add_userinfo(&mut claims, &more)?;
                }
                Ok(Profile::of_claims(&claims))
            }
        }
    }

    /// The claims of an ID token for one of these.
    pub(crate) async fn open(
        &self,
        id_token: &str,
        audiences: &[String],
    ) -> Result<Map<String, Value>, Failure> {
        let Kind::Oidc { issuer, remote } = &self.kind else {
            return Err(Failure::NoIdToken);
        };
        let claims = remote.open(id_token).await?;
        let expected = Expected {
            issuer,
            audiences,
            now: self.clock.now(),
        };
        id_token::check(&claims, &expected)?;
        Ok(claims)
    }

    async fn ask(&self, address: &str, token: &Secret) -> Result<Value, Failure> {
        let request = Request::get(address)
            .header(AUTHORIZATION, format!("Bearer {}", token.expose()))
            .header(ACCEPT, "application/json")
            .body(Bytes::new());
        let answer = self.call(request).await?;
        serde_json::from_slice(&answer.body).map_err(|_| Failure::Answer)
    }

    async fn call(&self, request: http::Result<Request<Bytes>>) -> Result<Answer, Failure> {
        let mut request = request.map_err(|_| Failure::Answer)?;
        // GitHub answers nobody who does not say who asks.
        let agent = http::HeaderValue::from_static("ferrobase");
        request.headers_mut().insert(USER_AGENT, agent);
        let answer = self.client.call(request, BUDGET).await?;
        if !answer.status.is_success() {
            return Err(Failure::Status(answer.status));
        }
        Ok(answer)
    }
}

/// Whether the secret goes into a header; the default when nothing is said
/// (`OpenID` Connect Discovery 1.0, 3).
fn prefers_basic(found: &Arc<Found>) -> bool {
    let methods = &found.document.token_endpoint_auth_methods_supported;
    !methods.iter().any(|method| method == "client_secret_post")
}

/// What the userinfo endpoint adds; it must speak of the same person
/// (`OpenID` Connect Core 1.0, 5.3.2).
fn add_userinfo(claims: &mut Map<String, Value>, more: &Value) -> Result<(), Failure> {
    let more = more.as_object().ok_or(Failure::Answer)?;
    if id_token::text(more, "sub") != id_token::text(claims, "sub") {
        return Err(Unfit::Subject.into());
    }
    for (name, value) in more {
        if !claims.contains_key(name) {
            claims.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}

//! An issuer and its keys, found by discovery (`OpenID` Connect Discovery 1.0)
//! or at an address, kept in memory.
//!
//! Keys are fetched when they are first needed, again when they are old, and
//! again when a token names one that is not there, the last not more often
//! than [`AGAIN_AFTER`]: whoever sends made-up names makes nobody busy. One
//! asks at a time, the others wait for its answer.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::Request;
use http::header::ACCEPT;
use jiff::Timestamp;
use kernel::Clock;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::keys::{KeyFault, KeySet};
use outbound::{Budget, Client};

/// An issuer that is down must not hold requests longer.
const BUDGET: Budget = Budget {
    time: Duration::from_secs(5),
    body: 256 * 1024,
};
/// Keys older than this are asked for again; issuers announce new ones for at
/// least as long.
const FRESH_FOR: Duration = Duration::from_secs(3600);
/// Between two questions, whatever tokens say.
pub const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// While an issuer is down its last keys count, but not for ever: they may
/// have been withdrawn.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum Source {
    /// The issuer's discovery document says it.
    Discovery(String),
    /// At this address.
    Keys(String),
}

/// Somebody whose tokens are believed.
#[derive(Debug)]
pub struct Remote {
    source: Source,
    client: Client,
    clock: Clock,
    found: ArcSwapOption<Found>,
    /// When somebody asked last; held while asking.
    asked: Mutex<Option<Timestamp>>,
}

/// What was found out.
#[derive(Debug)]
pub struct Found {
    /// The keys.
    pub keys: KeySet,
    /// The discovery document, if that is where they were found.
    pub(crate) document: Document,
    at: Timestamp,
}

/// The members of a discovery document that concern us.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) userinfo_endpoint: String,
    jwks_uri: String,
    pub(crate) token_endpoint_auth_methods_supported: Vec<String>,
    pub(crate) authorization_response_iss_parameter_supported: bool,
}

/// Why an issuer is of no help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It does not answer, or not what it should.
    #[error("the issuer cannot be asked: {0}")]
    Unreachable(String),
    /// Its keys did not make the token.
    #[error(transparent)]
    Fault(#[from] KeyFault),
}

fn unreachable(why: impl std::fmt::Display) -> RemoteError {
    RemoteError::Unreachable(why.to_string())
}

impl Remote {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(source: Source, client: Client, clock: Clock) -> Self {
        Self {
            source,
            client,
            clock,
            found: ArcSwapOption::empty(),
            asked: Mutex::new(None),
        }
    }

    /// What is known now, fresh or not.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Found>> {
        let found = self.found.load_full()?;
        (self.age(&found) <= KEPT_FOR).then_some(found)
    }

    /// Whether it is time to ask again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        let known = self.known();
        known.is_none_or(|found| self.age(&found) > FRESH_FOR)
    }

    fn age(&self, found: &Found) -> Duration {
        since(found.at, self.clock.now())
    }

    /// What is known, asked for first if it is not, or no longer, fresh.
    pub async fn get(&self) -> Result<Arc<Found>, RemoteError> {
        if !self.is_stale()
            && let Some(found) = self.known()
        {
            return Ok(found);
        }
        match (self.ask().await, self.known()) {
            (_, Some(found)) => Ok(found),
            (Err(error), None) => Err(error),
            (Ok(()), None) => Err(unreachable("asked a moment ago")),
        }
    }

    /// The claims of a token that its keys signed. A key that is not there may
    /// have come since.
    pub async fn open(&self, token: &str) -> Result<Map<String, Value>, RemoteError> {
        let found = self.get().await?;
        match found.keys.open(token) {
            Err(KeyFault::UnknownKey) => {
                self.ask().await?;
                let found = self.known().ok_or_else(|| unreachable("no keys"))?;
                Ok(found.keys.open(token)?)
            }
            result => Ok(result?),
        }
    }

    /// Asks, unless somebody has within [`AGAIN_AFTER`].
    pub async fn ask(&self) -> Result<(), RemoteError> {
        let mut asked = self.asked.lock().await;
        let now = self.clock.now();
        if asked.is_some_and(|at| since(at, now) < AGAIN_AFTER) {
            return Ok(());
        }
        *asked = Some(now);
        let result = self.fetch(now).await;
        match &result {
            Ok(found) => self.found.store(Some(Arc::clone(found))),
            Err(error) => tracing::warn!(%error, "An issuer's keys could not be fetched"),
        }
        result.map(drop)
    }

    async fn fetch(&self, now: Timestamp) -> Result<Arc<Found>, RemoteError> {
        let (document, keys_at) = match &self.source {
            Source::Keys(address) => (Document::default(), address.clone()),
            Source::Discovery(issuer) => {
                let base = issuer.trim_end_matches('/');
                let address = format!("{base}/.well-known/openid-configuration");
                let body = self.read(&address).await?;
                let document: Document =
                    serde_json::from_slice(&body).map_err(|_| unreachable("no document"))?;
                document.check(issuer)?;
                let keys_at = document.jwks_uri.clone();
                (document, keys_at)
            }
        };
        let keys = KeySet::parse(&self.read(&keys_at).await?);
        Ok(Arc::new(Found {
            keys: keys.ok_or_else(|| unreachable("no set of keys"))?,
            document,
            at: now,
        }))
    }

    async fn read(&self, address: &str) -> Result<Bytes, RemoteError> {
        let request = Request::get(address).header(ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(unreachable)?;
        let answer = self.client.call(request, BUDGET).await;
        let answer = answer.map_err(unreachable)?;
        if !answer.status.is_success() {
            return Err(unreachable(answer.status));
        }
        Ok(answer.body)
    }
}

impl Document {
    /// The document must be the issuer's own, and must not lead from an
    /// encrypted address to one that is not.
    fn check(&self, issuer: &str) -> Result<(), RemoteError> {
        if !same_issuer(&self.issuer, issuer) {
            return Err(unreachable("the document names another issuer"));
        }
        let encrypted = issuer.starts_with("https://");
        for address in [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.userinfo_endpoint,
            &self.jwks_uri,
        ] {
            let scheme = Url::parse(address).map(|url| url.scheme().to_owned());
            let good = match scheme.as_deref() {
                Ok("https") => true,
                Ok("http") => !encrypted,
                _ => address.is_empty(),
            };
            if !good {
                return Err(unreachable("an endpoint has no good address"));
            }
        }
        if self.jwks_uri.is_empty() {
            return Err(unreachable("the document names no keys"));
        }
        Ok(())
    }
}

/// People write the slash at the end or do not.
#[must_use]
pub fn same_issuer(one: &str, other: &str) -> bool {
    !one.is_empty() && one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

//! The project's keys: made on the first start, kept in `keys.json`, readable
//! by its owner alone.
//!
//! Three families, as Supabase's clients know them: a JWT secret with the
//! legacy `anon` and `service_role` tokens signed by it; opaque `sb_…` keys;
//! and an ES256 pair whose public half is served as JWKS.
//!
//! In `dev`, on loopback only, the well-known local keys of the official CLI
//! are used instead, so that an existing `.env.local` works. Anybody knows
//! them; [`resolve`] refuses to start when they would be accepted by a server
//! that others can reach.

mod file;
mod mint;
mod signer;

use std::path::Path;

use kernel::{Clock, Rng, Secret};

use crate::config::{Config, JwtSecret, Mode};
use crate::gateway::VerifyKeys;
pub use mint::SigningKey;
pub use signer::Signer;

/// The official CLI's local secret, on every developer's machine.
const WELL_KNOWN_SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";
const WELL_KNOWN_PUBLISHABLE: &str = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH";
const WELL_KNOWN_SECRET_KEY: &str = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";
const WELL_KNOWN_S3_ID: &str = "625729a08b95bf1b7ff351a663f3a23c";
const WELL_KNOWN_S3_SECRET: &str =
    "850181e4652dd023b7a98c58ae0d2d34bd487ee0cc3254aed6eda37307425907";
const WELL_KNOWN_ISSUER: &str = "supabase-demo";
/// As long as those of AWS are.
const S3_ID_CHARS: usize = 20;
const WELL_KNOWN_EXPIRY: i64 = 1_983_812_996;

/// The keys in force.
pub struct Keys {
    /// Secret for HS256 tokens; `None` when the operator gave only public keys
    /// or none.
    pub jwt_secret: Option<Secret>,
    /// Legacy anon token; `None` when nothing can sign it.
    pub anon_key: Option<Secret>,
    /// Legacy `service_role` token.
    pub service_role_key: Option<Secret>,
    /// Opaque key for browsers.
    pub publishable_key: Secret,
    /// Opaque key for servers.
    pub secret_key: Secret,
    /// What S3 clients sign with.
    pub s3: S3Keys,
    /// The project's own pair.
    pub signing: SigningKey,
    /// The operator's own, which come first.
    given: Vec<serde_json::Value>,
    /// Bytes of the secret that the operator set, if they set one.
    set_secret: Option<Vec<u8>>,
    verify: VerifyKeys,
}

/// What S3 clients sign with.
#[derive(Clone, Debug, Default)]
pub struct S3Keys {
    /// Access keys and their secrets, at least one.
    pub pairs: Vec<(String, Secret)>,
    /// The region that they sign for.
    pub region: String,
}

/// The keys that `status` and `keys` print.
#[derive(Clone, Debug)]
pub struct PrintedKeys {
    /// Secret for HS256 tokens.
    pub jwt_secret: Option<Secret>,
    /// Legacy anon token.
    pub anon_key: Option<Secret>,
    /// Legacy `service_role` token.
    pub service_role_key: Option<Secret>,
    /// Opaque key for browsers.
    pub publishable_key: Secret,
    /// Opaque key for servers.
    pub secret_key: Secret,
    /// What S3 clients sign with.
    pub s3: S3Keys,
}

impl PrintedKeys {
    /// The names that `supabase status -o env` prints, for the surfaces that
    /// exist here.
    #[must_use]
    pub fn environment(&self, api_url: &str, db_url: Option<&str>) -> Vec<(&'static str, String)> {
        let shown = |key: &Option<Secret>| key.as_ref().map(|key| key.expose().to_owned());
        let s3 = self.s3.pairs.first();
        let names = [
            ("API_URL", Some(api_url.to_owned())),
            ("REST_URL", Some(format!("{api_url}/rest/v1"))),
            ("DB_URL", db_url.map(str::to_owned)),
            (
                "PUBLISHABLE_KEY",
                Some(self.publishable_key.expose().to_owned()),
            ),
            ("SECRET_KEY", Some(self.secret_key.expose().to_owned())),
            ("JWT_SECRET", shown(&self.jwt_secret)),
            ("ANON_KEY", shown(&self.anon_key)),
            ("SERVICE_ROLE_KEY", shown(&self.service_role_key)),
            ("STORAGE_S3_URL", Some(format!("{api_url}/storage/v1/s3"))),
            ("S3_PROTOCOL_ACCESS_KEY_ID", s3.map(|(id, _)| id.clone())),
            (
                "S3_PROTOCOL_ACCESS_KEY_SECRET",
                s3.map(|(_, secret)| secret.expose().to_owned()),
            ),
            ("S3_PROTOCOL_REGION", s3.map(|_| self.s3.region.clone())),
        ];
        names
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// `keys.json` could not be read or written.
    #[error("could not {what} {path}")]
    File {
        /// `read`, `write`.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `keys.json` is not what we wrote.
    #[error(
        "{path} is damaged: {reason}; restore it, or delete it to make new keys (old tokens then stop working)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong, without values.
        reason: String,
    },
    /// Well-known keys and a public address.
    #[error(
        "{what} is the well-known development one and this server listens beyond loopback; \
         set your own, or listen on 127.0.0.1"
    )]
    WellKnown {
        /// Which setting.
        what: &'static str,
    },
    /// A given key does not fit the given secret.
    #[error("{what} is not a valid token under auth.jwt_secret: {reason}")]
    Mismatch {
        /// Which setting.
        what: &'static str,
        /// Why the token is refused.
        reason: String,
    },
    /// The operator's keys cannot be used.
    #[error("the keys of auth.signing_keys_path cannot be used: {0}")]
    SigningKeys(&'static str),
    /// The random generator or signer failed.
    #[error("could not make a signing key")]
    Signing,
}

/// The keys of this project: what the operator set, else what `keys.json` in
/// `folder` says, else new ones, which are written there.
pub fn resolve(config: &Config, folder: &Path, clock: &Clock, rng: &Rng) -> Result<Keys, KeyError> {
    let stored = file::load_or_make(&folder.join("keys.json"), clock, rng)?;
    let local = config.mode == Mode::Dev && config.api.loopback_only();
    let mut verify = VerifyKeys::none();
    let jwt_secret = match &config.auth.jwt {
        JwtSecret::Project if local => Some(Secret::new(WELL_KNOWN_SECRET)),
        JwtSecret::Project => Some(stored.jwt_secret.clone()),
        JwtSecret::Nothing => None,
        JwtSecret::Text(text) if verify.add_jwks(text.expose()) => None,
        JwtSecret::Text(text) => Some(text.clone()),
        // Tokens are signed with the decoded bytes, which need not be text.
        JwtSecret::Bytes(bytes) => {
            verify.add_secret(bytes);
            String::from_utf8(bytes.clone()).ok().map(Secret::new)
        }
    };
    let secret = jwt_secret.as_ref().map(|secret| secret.expose().as_bytes());
    if let Some(secret) = secret.filter(|secret| !verify.holds_secret(secret)) {
        verify.add_secret(secret);
    }
    if !matches!(config.auth.jwt, JwtSecret::Nothing) {
        verify.add_jwks(&stored.signing.public_jwk().to_string());
    }
    let given = given(config)?;
    verify.add_jwks(&serde_json::json!({"keys": given}).to_string());
    let own = matches!(config.auth.jwt, JwtSecret::Project);
    let legacy = |role: &str, stored: &Secret| match (&jwt_secret, own && !local) {
        (_, true) => Some(stored.clone()),
        (Some(secret), _) => Some(mint::legacy(
            secret,
            role,
            &local_claims(own && local, clock),
        )),
        (None, _) => None,
    };
    let opaque = |set: &Option<Secret>, known: &str, stored: &Secret| match set {
        Some(set) => set.clone(),
        None if local => Secret::new(known),
        None => stored.clone(),
    };
    let mut keys = Keys {
        s3: S3Keys::default(),
        anon_key: config
            .auth
            .anon_key
            .clone()
            .or_else(|| legacy("anon", &stored.anon_key)),
        service_role_key: config
            .auth
            .service_role_key
            .clone()
            .or_else(|| legacy("service_role", &stored.service_role_key)),
        publishable_key: opaque(
            &config.auth.publishable_key,
            WELL_KNOWN_PUBLISHABLE,
            &stored.publishable_key,
        ),
        secret_key: opaque(
            &config.auth.secret_key,
            WELL_KNOWN_SECRET_KEY,
            &stored.secret_key,
        ),
        signing: stored.signing,
        given,
        set_secret: set_secret(config, jwt_secret.as_ref()),
        jwt_secret,
        verify,
    };
    keys.s3 = keys.s3_keys(config, local);
    keys.refuse_well_known(config)?;
    keys.refuse_foreign(config, clock)?;
    Ok(keys)
}

fn well_known_s3() -> (String, Secret) {
    (
        WELL_KNOWN_S3_ID.to_owned(),
        Secret::new(WELL_KNOWN_S3_SECRET),
    )
}

/// The operator's own keys, private halves included.
fn given(config: &Config) -> Result<Vec<serde_json::Value>, KeyError> {
    let text = config.auth.source.signing_keys.as_ref();
    text.map_or(Ok(Vec::new()), |text| signer::read(text.expose()))
}

/// The bytes of a secret that the operator set; their services may verify with
/// nothing else.
fn set_secret(config: &Config, secret: Option<&Secret>) -> Option<Vec<u8>> {
    match &config.auth.jwt {
        JwtSecret::Bytes(bytes) => Some(bytes.clone()),
        JwtSecret::Text(_) => secret.map(|secret| secret.expose().into()),
        JwtSecret::Project | JwtSecret::Nothing => None,
    }
}

/// Issuer, issue time and expiry of minted legacy tokens.
fn local_claims(well_known: bool, clock: &Clock) -> mint::Times {
    if well_known {
        return mint::Times {
            issuer: WELL_KNOWN_ISSUER,
            issued: None,
            expires: WELL_KNOWN_EXPIRY,
        };
    }
    mint::Times::ten_years(clock)
}

impl Keys {
    /// What every node of the project has alike, and nobody else: tokens would
    /// not verify everywhere otherwise, or keys not open every door.
    #[must_use]
    pub fn shared_secret(&self) -> &Secret {
        self.jwt_secret.as_ref().unwrap_or(&self.secret_key)
    }

    /// The secret that belongs to an access key of the S3 protocol.
    #[must_use]
    pub fn s3_secret(&self, access_key: &str) -> Secret {
        storage::s3_secret_of(self.shared_secret(), access_key)
    }

    /// Those of the settings, or the project's own.
    fn s3_keys(&self, config: &Config, local: bool) -> S3Keys {
        let mut pairs = config.storage.s3_access_keys.clone();
        if pairs.is_empty() {
            let own = if local {
                well_known_s3()
            } else {
                self.own_s3()
            };
            pairs.push(own);
        }
        S3Keys {
            pairs,
            region: config.storage.s3_region.clone(),
        }
    }

    /// The project's own access key of the S3 protocol: made of the secret that
    /// all nodes have, so all of them know it.
    fn own_s3(&self) -> (String, Secret) {
        let secret = self.shared_secret();
        let mut id = storage::s3_secret_of(secret, "id").expose().to_owned();
        id.retain(|c| c.is_ascii_alphanumeric());
        id.truncate(S3_ID_CHARS);
        let secret = storage::s3_secret_of(secret, &id);
        (id, secret)
    }

    /// The public keys, as served to those who verify our tokens.
    #[must_use]
    pub fn jwks(&self) -> String {
        // An operator with keys of their own says all that is to be said.
        let keys: Vec<_> = if self.given.is_empty() {
            vec![self.signing.public_jwk()]
        } else {
            self.given.iter().filter_map(signer::public).collect()
        };
        serde_json::json!({"keys": keys}).to_string()
    }

    /// What signs user tokens.
    pub fn signer(&self) -> Result<Signer, KeyError> {
        let jwks = self.jwks();
        match &self.set_secret {
            _ if !self.given.is_empty() => Signer::given(&self.given, jwks),
            Some(secret) => Ok(Signer::secret(secret, jwks)),
            None => Signer::own(&self.signing, jwks),
        }
    }

    /// What people paste into apps.
    #[must_use]
    pub fn printed(&self) -> PrintedKeys {
        PrintedKeys {
            jwt_secret: self.jwt_secret.clone(),
            anon_key: self.anon_key.clone(),
            service_role_key: self.service_role_key.clone(),
            publishable_key: self.publishable_key.clone(),
            secret_key: self.secret_key.clone(),
            s3: self.s3.clone(),
        }
    }

    pub(crate) fn into_verify_keys(self) -> VerifyKeys {
        self.verify
    }

    fn refuse_well_known(&self, config: &Config) -> Result<(), KeyError> {
        if config.api.loopback_only() {
            return Ok(());
        }
        let checks = [
            (
                self.verify.holds_secret(WELL_KNOWN_SECRET.as_bytes()),
                "auth.jwt_secret",
            ),
            (
                self.publishable_key.expose() == WELL_KNOWN_PUBLISHABLE,
                "auth.publishable_key",
            ),
            (
                self.secret_key.expose() == WELL_KNOWN_SECRET_KEY,
                "auth.secret_key",
            ),
            (
                self.s3.pairs.iter().any(|(id, _)| id == WELL_KNOWN_S3_ID),
                "storage.s3_protocol.access_keys",
            ),
        ];
        match checks.into_iter().find(|(known, _)| *known) {
            Some((_, what)) => Err(KeyError::WellKnown { what }),
            None => Ok(()),
        }
    }

    /// A legacy key that the secret did not sign would be refused at every
    /// request; better to say so once, now.
    fn refuse_foreign(&self, config: &Config, clock: &Clock) -> Result<(), KeyError> {
        let given = [
            (&config.auth.anon_key, "auth.anon_key"),
            (&config.auth.service_role_key, "auth.service_role_key"),
        ];
        for (key, what) in given {
            let Some(key) = key else { continue };
            let claims = self.verify.open(key.expose());
            let now = clock.now().as_second();
            let checked =
                claims.and_then(|claims| crate::gateway::check_claims(&claims, None, now));
            if let Err(error) = checked {
                return Err(KeyError::Mismatch {
                    what,
                    reason: error.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Signed tokens: which keys may have signed them, whether they did, and
//! whether the claims hold now. Pure; the cache is in `verifier.rs`.
//!
//! A key's kind fixes the algorithms it can answer for, so a token cannot talk
//! an RSA key into being used as an HMAC secret. Everything is done by `ring`.
//! Codes and texts are PostgREST's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Clocks differ; PostgREST forgives as much.
const LEEWAY_SECONDS: i64 = 30;
/// A larger key set is a mistake, and each token may be tried against all.
const KEYS_MAX: usize = 100;

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// There is nothing to verify with.
    #[error("Server lacks JWT secret")]
    NoSecret,
    /// `Authorization: Bearer` and nothing after it.
    #[error("Empty JWT is sent in Authorization header")]
    Empty,
    /// A token has three parts.
    #[error("Expected 3 parts in JWT; got {0}")]
    Parts(usize),
    /// Header or body cannot be read.
    #[error("JWT couldn't be decoded")]
    Malformed,
    /// No key fits, or none of those that fit made this signature.
    #[error("No suitable key or wrong key type")]
    Key(&'static str),
    /// The claims are no JSON object.
    #[error("Parsing claims failed")]
    Claims,
    /// `exp`, `nbf` or `iat` is no number.
    #[error("The JWT '{0}' claim must be a number")]
    NotANumber(&'static str),
    /// `aud` is neither a string nor a list of them.
    #[error("The JWT 'aud' claim must be a string or an array of strings")]
    Audience,
    /// `exp` is past.
    #[error("JWT expired")]
    Expired,
    /// `nbf` is to come.
    #[error("JWT not yet valid")]
    NotYet,
    /// `iat` is to come.
    #[error("JWT issued at future")]
    Future,
    /// `aud` names somebody else.
    #[error("JWT not in audience")]
    NotInAudience,
    /// `iss` is nobody whose tokens are accepted.
    #[error("JWT of an issuer that is not accepted")]
    Issuer,
}

impl JwtError {
    /// PostgREST's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSecret => "PGRST300",
            Self::Empty | Self::Parts(_) | Self::Malformed | Self::Key(_) => "PGRST301",
            Self::Claims
            | Self::NotANumber(_)
            | Self::Audience
            | Self::Expired
            | Self::NotYet
            | Self::Future
            | Self::NotInAudience
            | Self::Issuer => "PGRST303",
        }
    }

    /// More words, where there are some.
    #[must_use]
    pub fn details(&self) -> Option<&'static str> {
        match self {
            Self::Key(details) => Some(details),
            _ => None,
        }
    }
}

/// The keys that tokens may be signed with.
#[derive(Debug, Default)]
pub struct VerifyKeys(Vec<VerifyKey>);

#[derive(Debug)]
struct VerifyKey {
    kid: Option<String>,
    /// The only algorithm it may be used for, when it says so.
    alg: Option<String>,
    material: Material,
}

enum Material {
    Hmac(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// Key bytes do not print.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac",
            Self::Rsa { .. } => "Rsa",
            Self::P256(_) => "P256",
            Self::P384(_) => "P384",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    k: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JwkOrSet {
    Set { keys: Vec<Value> },
    One(Box<Jwk>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl VerifyKeys {
    /// No keys at all: every token meets [`JwtError::NoSecret`].
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a shared secret.
    pub fn add_secret(&mut self, secret: &[u8]) {
        self.add(VerifyKey {
            kid: None,
            alg: None,
            material: Material::Hmac(secret.to_vec()),
        });
    }

    /// Adds what an operator wrote as secret: a JWK, a JWKS, or else the
    /// text's own bytes. Keys of a set that cannot be used here are skipped,
    /// as a set may serve others too.
    pub fn add_text(&mut self, text: &str) {
        if !self.add_jwks(text) {
            self.add_secret(text.as_bytes());
        }
    }

    /// Adds a JWK or JWKS; false when the text is neither.
    pub fn add_jwks(&mut self, text: &str) -> bool {
        match serde_json::from_str(text) {
            Ok(JwkOrSet::One(jwk)) => {
                self.0.len() < KEYS_MAX && jwk.into_key().map(|key| self.add(key)).is_some()
            }
            Ok(JwkOrSet::Set { keys }) => {
                for key in keys {
                    let jwk = serde_json::from_value::<Jwk>(key).ok();
                    if let Some(key) = jwk.and_then(Jwk::into_key) {
                        self.add(key);
                    }
                }
                true
            }
            Err(_) => false,
        }
    }

    fn add(&mut self, key: VerifyKey) {
        if self.0.len() < KEYS_MAX {
            self.0.push(key);
        }
    }

    /// Whether one of the keys is this shared secret.
    #[must_use]
    pub fn holds_secret(&self, secret: &[u8]) -> bool {
        self.0
            .iter()
            .any(|key| matches!(&key.material, Material::Hmac(bytes) if bytes == secret))
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The claims of a token that one of the keys signed, not yet checked
    /// against the time.
    pub fn open(&self, token: &str) -> Result<Map<String, Value>, JwtError> {
        if self.is_empty() {
            return Err(JwtError::NoSecret);
        }
        if token.is_empty() {
            return Err(JwtError::Empty);
        }
        let (signed, header, body, mark) = parts(token)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::Malformed)?;
        let mark = decode(mark)?;
        let mut fitting = self.candidates(&header).peekable();
        if fitting.peek().is_none() {
            return Err(JwtError::Key("No suitable key was found to decode the JWT"));
        }
        if !fitting.any(|key| key.material.made(&header.alg, signed.as_bytes(), &mark)) {
            return Err(JwtError::Key("None of the keys was able to decode the JWT"));
        }
        serde_json::from_slice(&decode(body)?).map_err(|_| JwtError::Claims)
    }

    /// Keys that may have signed: those that the token names, or, when it
    /// names none that we know, those without a name.
    fn candidates<'k>(&'k self, header: &'k Header) -> impl Iterator<Item = &'k VerifyKey> {
        let named = header
            .kid
            .as_ref()
            .is_some_and(|kid| self.0.iter().any(|key| key.kid.as_ref() == Some(kid)));
        self.0.iter().filter(move |key| {
            let by_name = match &header.kid {
                None => true,
                Some(_) if named => key.kid == header.kid,
                Some(_) => key.kid.is_none(),
            };
            by_name
                && key.alg.as_ref().is_none_or(|alg| *alg == header.alg)
                && key.material.algorithms().contains(&header.alg.as_str())
        })
    }
}

impl Material {
    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Hmac(_) => &["HS256", "HS384", "HS512"],
            Self::Rsa { .. } => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Self::P256(_) => &["ES256"],
            Self::P384(_) => &["ES384"],
            Self::Ed25519(_) => &["EdDSA"],
        }
    }

    /// Whether this key made this signature.
    fn made(&self, alg: &str, message: &[u8], mark: &[u8]) -> bool {
        match self {
            Self::Hmac(secret) => {
                let algorithm = match alg {
                    "HS256" => hmac::HMAC_SHA256,
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => return false,
                };
                hmac::verify(&hmac::Key::new(algorithm, secret), message, mark).is_ok()
            }
            Self::Rsa { n, e } => {
                let parameters = match alg {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                signature::RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, mark)
                    .is_ok()
            }
            Self::P256(point) => {
                verified(&signature::ECDSA_P256_SHA256_FIXED, point, message, mark)
            }
            Self::P384(point) => {
                verified(&signature::ECDSA_P384_SHA384_FIXED, point, message, mark)
            }
            Self::Ed25519(point) => verified(&signature::ED25519, point, message, mark),
        }
    }
}

fn verified(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    mark: &[u8],
) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key)
        .verify(message, mark)
        .is_ok()
}

impl Jwk {
    /// A usable key, or nothing for kinds that are unknown or only encrypt.
    fn into_key(self) -> Option<VerifyKey> {
        if self.usage.as_deref() == Some("enc") {
            return None;
        }
        let bytes = |text: &Option<String>| decode(text.as_deref()?.trim_end_matches('=')).ok();
        let point = |size: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            (x.len() == size && y.len() == size).then(|| [&[4_u8][..], &x, &y].concat())
        };
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => Material::Hmac(bytes(&self.k)?),
            ("RSA", _) => Material::Rsa {
                n: bytes(&self.n)?,
                e: bytes(&self.e)?,
            },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&self.x)?),
            _ => return None,
        };
        Some(VerifyKey {
            kid: self.kid,
            alg: self.alg,
            material,
        })
    }
}

/// What was signed, and the three parts.
fn parts(token: &str) -> Result<(&str, &str, &str, &str), JwtError> {
    let wrong = || JwtError::Parts(token.split('.').count());
    let (signed, mark) = token.rsplit_once('.').ok_or_else(wrong)?;
    let (header, body) = signed.split_once('.').ok_or_else(wrong)?;
    if body.contains('.') {
        return Err(wrong());
    }
    Ok((signed, header, body, mark))
}

fn decode(text: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwtError::Malformed)
}

/// Checks times and audience; the last second at which they still hold.
pub(crate) fn check_claims(
    claims: &Map<String, Value>,
    audience: Option<&str>,
    now: i64,
) -> Result<i64, JwtError> {
    let mut until = i64::MAX;
    if let Some(exp) = seconds(claims, "exp")? {
        until = exp.saturating_add(LEEWAY_SECONDS);
        if now > until {
            return Err(JwtError::Expired);
        }
    }
    let soonest = now.saturating_add(LEEWAY_SECONDS);
    if seconds(claims, "nbf")?.is_some_and(|nbf| nbf > soonest) {
        return Err(JwtError::NotYet);
    }
    if seconds(claims, "iat")?.is_some_and(|iat| iat > soonest) {
        return Err(JwtError::Future);
    }
    check_audience(claims, audience)?;
    Ok(until)
}

/// Whether the token comes from one of these, if any are named. A key set of
/// somebody else's signs for others, too.
pub(crate) fn check_issuer(
    claims: &Map<String, Value>,
    issuers: &[String],
) -> Result<(), JwtError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    let known = |issuer: &str| issuers.iter().any(|known| known == issuer);
    if issuers.is_empty() || issuer.is_some_and(known) {
        Ok(())
    } else {
        Err(JwtError::Issuer)
    }
}

/// Our ID tokens tell a client who somebody is. They open nothing, though the
/// same key signs them.
pub(crate) fn check_kind(claims: &Map<String, Value>) -> Result<(), JwtError> {
    let has = |name| claims.contains_key(name);
    if has("client_id") && has("auth_time") && !has("role") && !has("session_id") {
        Err(JwtError::NotInAudience)
    } else {
        Ok(())
    }
}

fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, JwtError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(whole(number))),
        Some(_) => Err(JwtError::NotANumber(name)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "casts of floats saturate, which is what is wanted"
)]
fn whole(number: &serde_json::Number) -> i64 {
    number
        .as_i64()
        .or_else(|| number.as_f64().map(|seconds| seconds.floor() as i64))
        .unwrap_or(i64::MAX)
}

/// An empty list names nobody and is accepted, as PostgREST does.
fn check_audience(claims: &Map<String, Value>, audience: Option<&str>) -> Result<(), JwtError> {
    let named: Vec<&str> = match claims.get("aud") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            let many: Option<Vec<&str>> = many.iter().map(Value::as_str).collect();
            many.ok_or(JwtError::Audience)?
        }
        Some(_) => return Err(JwtError::Audience),
    };
    let is_array = matches!(claims.get("aud"), Some(Value::Array(_)));
    match audience {
        None => Ok(()),
        Some(_) if is_array && named.is_empty() => Ok(()),
        Some(wanted) if named.contains(&wanted) => Ok(()),
        Some(_) => Err(JwtError::NotInAudience),
    }
}

#[cfg(test)]
mod tests;

//! Public keys of somebody else (RFC 7517), and what they signed (RFC 7515).
//!
//! Only keys with a public half are taken. A key's kind fixes the algorithms
//! it answers for, whatever the token's header says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A longer set is a mistake, and a token without a key's name may be tried
/// against all.
const KEYS_MAX: usize = 100;
/// A longer token is none of an issuer that we know.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It is not a signed token.
    #[error("the token cannot be read")]
    Malformed,
    /// It names an algorithm that none of the issuer's keys is for.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// It names a key that is not in the set.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// None of the keys made the signature.
    #[error("the token's signature is wrong")]
    Signature,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    kid: Option<String>,
    alg: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; we understand none.
    crit: Option<Value>,
}

impl KeySet {
    /// The usable keys of a JWKS document; none when it is no such document.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            jwk.into_key()
        });
        Some(Self(keys.take(KEYS_MAX).collect()))
    }

    /// The claims of a token that one of the keys signed. Nothing of them has
    /// been checked yet.
    pub fn open(&self, token: &str) -> Result<Map<String, Value>, KeyFault> {
        let parts = Parts::of(token)?;
        if !ALGORITHMS.contains(&parts.header.alg.as_str()) {
            return Err(KeyFault::Algorithm);
        }
        let named = |key: &&Key| match (&parts.header.kid, &key.kid) {
            (Some(wanted), Some(kid)) => wanted == kid,
            // A set of one nameless key is common, and a token need not name one.
            _ => true,
        };
        let mut known = self.0.iter().filter(named).peekable();
        if known.peek().is_none() {
            return Err(KeyFault::UnknownKey);
        }
        let mut fitting = known
            .filter(|key| {
                let alg = parts.header.alg.as_str();
                key.alg.as_deref().is_none_or(|own| own == alg)
                    && key.material.algorithms().contains(&alg)
            })
            .peekable();
        if fitting.peek().is_none() {
            return Err(KeyFault::Algorithm);
        }
        let message = parts.signed.as_bytes();
        if !fitting.any(|key| key.material.made(&parts.header.alg, message, &parts.mark)) {
            return Err(KeyFault::Signature);
        }
        serde_json::from_slice(&decode(parts.body)?).map_err(|_| KeyFault::Malformed)
    }
}

/// A token taken apart, unverified.
struct Parts<'t> {
    signed: &'t str,
    body: &'t str,
    header: Header,
    mark: Vec<u8>,
}

impl<'t> Parts<'t> {
    fn of(token: &'t str) -> Result<Self, KeyFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(KeyFault::Malformed);
        }
        let (signed, mark) = token.rsplit_once('.').ok_or(KeyFault::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(KeyFault::Malformed)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| KeyFault::Malformed)?;
        if header.crit.is_some() {
            return Err(KeyFault::Malformed);
        }
        Ok(Self {
            signed,
            body,
            header,
            mark: decode(mark)?,
        })
    }
}

/// The issuer that a token names, unverified: only to find whose keys to try.
#[must_use]
pub fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claimed {
        iss: String,
    }
    let parts = Parts::of(token).ok()?;
    let claimed: Claimed = serde_json::from_slice(&decode(parts.body).ok()?).ok()?;
    Some(claimed.iss)
}

fn decode(text: &str) -> Result<Vec<u8>, KeyFault> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyFault::Malformed)
}

const RSA: [&str; 6] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

impl Material {
    fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Rsa { .. } => &RSA,
            Self::P256(_) => &["ES256"],
            Self::P384(_) => &["ES384"],
            Self::Ed25519(_) => &["EdDSA"],
        }
    }

    fn made(&self, alg: &str, message: &[u8], mark: &[u8]) -> bool {
        let by = |algorithm: &'static dyn signature::VerificationAlgorithm, point: &[u8]| {
            let key = signature::UnparsedPublicKey::new(algorithm, point);
            key.verify(message, mark).is_ok()
        };
        match self {
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
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(parameters, message, mark).is_ok()
            }
            Self::P256(point) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            Self::P384(point) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            Self::Ed25519(point) => by(&signature::ED25519, point),
        }
    }
}

impl Jwk {
    /// A usable key; nothing for shared secrets, kinds that are unknown, and
    /// keys that only encrypt.
    fn into_key(self) -> Option<Key> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| decode(text.as_deref()?.trim_end_matches('=')).ok();
        let point = |size: usize| {
            let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
            (x.len() == size && y.len() == size).then(|| [&[4_u8][..], &x, &y].concat())
        };
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Material::Rsa {
                n: bytes(&self.n)?,
                e: bytes(&self.e)?,
            },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&self.x)?),
            _ => return None,
        };
        Some(Key {
            kid: self.kid,
            alg: self.alg,
            material,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_public_is_no_key() {
        let set = json!({"keys": [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc"},
            {"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "one"},
            "nonsense",
        ]});
        let set = KeySet::parse(set.to_string().as_bytes()).expect("a set");
        assert_eq!(set.0.len(), 1);
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = |header: Value| format!("{}.{}.AQAB", part(header), part(json!({"iss": "x"})));
        for (header, fault) in [
            (json!({"alg": "HS256", "kid": "one"}), KeyFault::Algorithm),
            (json!({"alg": "none"}), KeyFault::Algorithm),
            (json!({"alg": "ES256", "kid": "one"}), KeyFault::Algorithm),
            (json!({"alg": "RS256", "kid": "two"}), KeyFault::UnknownKey),
            (json!({"alg": "RS256", "kid": "one"}), KeyFault::Signature),
            (
                json!({"alg": "RS256", "crit": ["b64"]}),
                KeyFault::Malformed,
            ),
        ] {
            assert_eq!(set.open(&token(header.clone())), Err(fault), "{header}");
        }
        assert_eq!(set.open("a.b"), Err(KeyFault::Malformed));
        let long = token(json!({"alg": "RS256", "x": "y".repeat(TOKEN_BYTES_MAX)}));
        assert_eq!(set.open(&long), Err(KeyFault::Malformed));
        let claimed = claimed_issuer(&token(json!({"alg": "RS256"})));
        assert_eq!(claimed.as_deref(), Some("x"));
    }
}

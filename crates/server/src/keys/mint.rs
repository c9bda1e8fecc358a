//! Making keys and signing tokens. Everything random comes from the caller's
//! generator, except the ES256 pair, which `ring` makes from the system's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Clock, Rng, Secret};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde_json::{Value, json};

use super::KeyError;

/// Length of the random part of an opaque key.
const OPAQUE_RANDOM: usize = 22;
/// Length of its checksum, which catches slips of the mouse, not attacks.
const OPAQUE_CHECKSUM: usize = 8;
/// Legacy keys are pasted into apps and not renewed; Supabase's last as long.
const TEN_YEARS_SECONDS: i64 = 10 * 365 * 24 * 60 * 60;

/// Who issued a token and for how long.
pub(super) struct Times {
    pub(super) issuer: &'static str,
    pub(super) issued: Option<i64>,
    pub(super) expires: i64,
}

impl Times {
    pub(super) fn ten_years(clock: &Clock) -> Self {
        let now = clock.now().as_second();
        Self {
            issuer: "supabase",
            issued: Some(now),
            expires: now.saturating_add(TEN_YEARS_SECONDS),
        }
    }
}

/// A legacy key: an HS256 token that names a role.
pub(super) fn legacy(secret: &Secret, role: &str, times: &Times) -> Secret {
    let claims = match times.issued {
        None => json!({"iss": times.issuer, "role": role, "exp": times.expires}),
        Some(issued) => {
            json!({"iss": times.issuer, "role": role, "iat": issued, "exp": times.expires})
        }
    };
    Secret::new(hs256(secret.expose().as_bytes(), &claims))
}

/// An HS256 token.
pub(super) fn hs256(secret: &[u8], claims: &Value) -> String {
    let signed = body(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mark = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{mark}")
}

fn body(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// An opaque key: prefix, random part, `_`, checksum over what precedes it.
pub(super) fn opaque(prefix: &str, rng: &Rng) -> Secret {
    let mut random = URL_SAFE_NO_PAD.encode(rng.bytes::<OPAQUE_RANDOM>());
    random.truncate(OPAQUE_RANDOM);
    let key = format!("{prefix}{random}");
    let mut checksum = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, key.as_bytes()));
    checksum.truncate(OPAQUE_CHECKSUM);
    Secret::new(format!("{key}_{checksum}"))
}

/// The ES256 pair that signs user tokens.
pub struct SigningKey {
    kid: String,
    pkcs8: Vec<u8>,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new pair.
    pub(super) fn make(rng: &Rng) -> Result<Self, KeyError> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| KeyError::Signing)?;
        Self::open(rng.uuid().to_string(), pkcs8.as_ref().to_vec())
    }

    /// A stored pair.
    pub(super) fn open(kid: String, pkcs8: Vec<u8>) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &pkcs8,
            &SystemRandom::new(),
        )
        .map_err(|_| KeyError::Signing)?;
        Ok(Self { kid, pkcs8, pair })
    }

    /// The key's name in tokens and JWKS.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public half as JWK.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        // An uncompressed point: a mark byte, then x and y of equal length.
        let point = self.pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at(point.len() / 2);
        json!({
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "key_ops": ["verify"],
            "ext": true,
            "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// An ES256 token with these claims.
    pub fn sign(&self, claims: &Value) -> Result<Secret, KeyError> {
        let signed = body(
            &json!({"alg": "ES256", "typ": "JWT", "kid": self.kid}),
            claims,
        );
        let mark = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| KeyError::Signing)?;
        Ok(Secret::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(mark)
        )))
    }
}

//! Signs user tokens with the project's current key: the first of the
//! operator's own (`auth.signing_keys_path`), else the secret that the operator
//! set, else the project's own ES256 pair. All of them verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Secret;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa};
use serde_json::{Value, json};

use super::KeyError;
use super::mint::SigningKey;

/// Larger sets are a mistake.
const KEYS_MAX: usize = 20;

/// The current key with the public halves of all.
pub struct Signer {
    key: Key,
    kid: Option<String>,
    jwks: String,
}

enum Key {
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
    Hs256(hmac::Key),
}

impl Signer {
    pub(super) fn secret(secret: &[u8], jwks: String) -> Self {
        Self {
            key: Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret)),
            kid: None,
            jwks,
        }
    }

    pub(super) fn own(pair: &SigningKey, jwks: String) -> Result<Self, KeyError> {
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            pair.pkcs8(),
            &SystemRandom::new(),
        );
        Ok(Self {
            key: Key::Es256(key.map_err(|_| KeyError::Signing)?),
            kid: Some(pair.kid().to_owned()),
            jwks,
        })
    }

    /// The first key of a set that can sign.
    pub(super) fn given(keys: &[Value], jwks: String) -> Result<Self, KeyError> {
        let signs = |key: &&Value| match key.get("key_ops").and_then(Value::as_array) {
            Some(ops) => ops.iter().any(|op| op == "sign"),
            None => key.get("d").is_some() || key.get("k").is_some(),
        };
        let jwk = keys.iter().find(signs);
        let jwk = jwk.ok_or(KeyError::SigningKeys("none of them can sign"))?;
        Ok(Self {
            key: private(jwk)?,
            kid: jwk.get("kid").and_then(Value::as_str).map(str::to_owned),
            jwks,
        })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> Result<Secret, KeyError> {
        let alg = match self.key {
            Key::Es256(_) => "ES256",
            Key::Rs256(_) => "RS256",
            Key::Hs256(_) => "HS256",
        };
        let mut header = json!({"alg": alg, "typ": "JWT"});
        if let (Some(kid), Some(header)) = (&self.kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), kid.as_str().into());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let random = SystemRandom::new();
        let mark = match &self.key {
            Key::Es256(pair) => {
                let mark = pair.sign(&random, signed.as_bytes());
                mark.map_err(|_| KeyError::Signing)?.as_ref().to_vec()
            }
            Key::Rs256(pair) => {
                let mut mark = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut mark)
                    .map_err(|_| KeyError::Signing)?;
                mark
            }
            Key::Hs256(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
        };
        Ok(Secret::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(mark)
        )))
    }

    /// Whether tokens can be verified by public keys alone.
    #[must_use]
    pub fn is_asymmetric(&self) -> bool {
        !matches!(self.key, Key::Hs256(_))
    }

    /// The public keys, current ones first.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }
}

/// The keys of a file: an array, or a set.
pub(super) fn read(text: &str) -> Result<Vec<Value>, KeyError> {
    // serde's message would quote the value it stumbled on.
    let parsed: Value =
        serde_json::from_str(text).map_err(|_| KeyError::SigningKeys("they are no JSON"))?;
    let keys = match parsed {
        Value::Array(keys) => keys,
        Value::Object(mut set) => match set.remove("keys") {
            Some(Value::Array(keys)) => keys,
            _ => vec![Value::Object(set)],
        },
        _ => return Err(KeyError::SigningKeys("they are no list of JWKs")),
    };
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Err(KeyError::SigningKeys("expected 1 to 20 keys"));
    }
    Ok(keys)
}

/// The public half of a JWK; none for a shared secret.
pub(super) fn public(jwk: &Value) -> Option<Value> {
    const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];
    let mut jwk = jwk.as_object()?.clone();
    if jwk.get("kty").and_then(Value::as_str) == Some("oct") {
        return None;
    }
    for name in PRIVATE {
        jwk.shift_remove(name);
    }
    jwk.insert("key_ops".to_owned(), json!(["verify"]));
    Some(Value::Object(jwk))
}

fn private(jwk: &Value) -> Result<Key, KeyError> {
    let bytes = |name: &str| {
        let text = jwk.get(name).and_then(Value::as_str);
        let decoded = text.and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
        decoded.ok_or(KeyError::SigningKeys("a part of the key is missing"))
    };
    let damaged = |_| KeyError::SigningKeys("the key is damaged, or of another kind");
    match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => {
            let components = rsa::KeyPairComponents {
                public_key: rsa::PublicKeyComponents {
                    n: bytes("n")?,
                    e: bytes("e")?,
                },
                d: bytes("d")?,
                p: bytes("p")?,
                q: bytes("q")?,
                dP: bytes("dp")?,
                dQ: bytes("dq")?,
                qInv: bytes("qi")?,
            };
            let pair = RsaKeyPair::from_components(&components).map_err(damaged)?;
            Ok(Key::Rs256(Box::new(pair)))
        }
        Some("EC") => {
            let point = [&[4_u8][..], &bytes("x")?, &bytes("y")?].concat();
            let pair = EcdsaKeyPair::from_private_key_and_public_key(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                &bytes("d")?,
                &point,
                &SystemRandom::new(),
            );
            Ok(Key::Es256(pair.map_err(damaged)?))
        }
        Some("oct") => Ok(Key::Hs256(hmac::Key::new(hmac::HMAC_SHA256, &bytes("k")?))),
        _ => Err(KeyError::SigningKeys("expected RSA, EC (P-256) or oct")),
    }
}

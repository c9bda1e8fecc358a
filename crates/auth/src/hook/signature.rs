//! Signatures of Standard Webhooks: HMAC-SHA-256 over id, time and body, so
//! that a hook can tell our requests from others and old ones from new.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// GoTrue wants 32 to 88 characters of base64.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 32..=88;

/// A shared secret, `v1,whsec_<base64>`.
#[derive(Clone)]
pub struct HookSecret(hmac::Key);

impl std::fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The headers of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `webhook-id`
    pub id: String,
    /// `webhook-timestamp`
    pub timestamp: String,
    /// `webhook-signature`; one for each secret, parted by blanks.
    pub signatures: String,
}

impl HookSecret {
    /// Reads one secret.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix("v1,whsec_")?;
        if !SECRET_CHARS.contains(&encoded.len()) {
            return None;
        }
        let key = STANDARD.decode(encoded).ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            context.update(part);
        }
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

impl Signature {
    /// Signs a body, with each secret.
    #[must_use]
    pub fn new(secrets: &[HookSecret], id: &str, second: i64, body: &[u8]) -> Self {
        let timestamp = second.to_string();
        let signatures: Vec<String> = secrets
            .iter()
            .map(|secret| secret.sign(id, &timestamp, body))
            .collect();
        Self {
            id: id.to_owned(),
            timestamp,
            signatures: signatures.join(" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification and of its libraries' tests.
    #[test]
    fn the_vector_of_the_specification() {
        let secret = HookSecret::parse("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = Signature::new(
            &[secret.expect("a secret")],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.signatures,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}

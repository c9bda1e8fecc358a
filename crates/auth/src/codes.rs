//! One-time codes: made, hashed as GoTrue stores them, compared without
//! telling where they differ.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kernel::{Rng, Secret};
use sha2::{Digest as _, Sha224, Sha256};

use crate::error::{AuthError, Result, code};

/// Marks tokens of a flow with a challenge.
pub(crate) const PKCE_PREFIX: &str = "pkce_";

/// A code of decimal digits, each as likely as any.
pub(crate) fn otp(rng: &Rng, digits: u32) -> String {
    let bound = 10_u64.pow(digits.min(18));
    // Values beyond the last whole multiple would make small codes likelier.
    let fair = u64::MAX - u64::MAX % bound;
    let number = loop {
        let number = u64::from_le_bytes(rng.bytes());
        if number < fair {
            break number % bound;
        }
    };
    format!("{number:0width$}", width = digits as usize)
}

/// What is stored of a code: bound to the address it was sent to.
pub(crate) fn token_hash(address: &str, otp: &str) -> String {
    let mut hash = Sha224::new();
    hash.update(address.as_bytes());
    hash.update(otp.as_bytes());
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A password that nobody knows, for users who have not chosen one.
pub(crate) fn unknown_password(rng: &Rng) -> Secret {
    // 48 bytes are 64 characters, which bcrypt reads whole.
    Secret::new(URL_SAFE_NO_PAD.encode(rng.bytes::<48>()))
}

/// Equal texts, in a time that does not tell where they differ.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a), Sha256::digest(b));
    a.iter()
        .zip(&b)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

/// Whether what was sent then still counts.
pub(crate) fn is_fresh(sent: Option<Timestamp>, lifetime: Duration, now: Timestamp) -> bool {
    sent.and_then(|sent| sent.checked_add(lifetime).ok())
        .is_some_and(|end| now <= end)
}

/// Whether a code's hash is the one that is stored and still counts.
pub(crate) fn is_valid(
    hash: &str,
    stored: &str,
    sent: Option<Timestamp>,
    lifetime: Duration,
    now: Timestamp,
) -> bool {
    if stored.is_empty() {
        return false;
    }
    let stored = stored.strip_prefix(PKCE_PREFIX).unwrap_or(stored);
    let same = equal(hash, stored);
    same && is_fresh(sent, lifetime, now)
}

/// What a challenge must be (RFC 7636, 4.2): both parts or none.
pub(crate) fn check_challenge(challenge: &str, method: &str) -> Result<()> {
    if challenge.is_empty() != method.is_empty() {
        return Err(AuthError::invalid(
            "PKCE flow requires code_challenge_method and code_challenge",
        ));
    }
    if challenge.is_empty() {
        return Ok(());
    }
    if !(43..=128).contains(&challenge.len()) {
        return Err(AuthError::invalid(
            "code challenge has to be between 43 and 128 characters",
        ));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if !challenge.chars().all(allowed) {
        return Err(AuthError::invalid(
            "code challenge can only contain alphanumeric characters, hyphens, periods, underscores and tildes",
        ));
    }
    if !matches!(method.to_lowercase().as_str(), "s256" | "plain") {
        return Err(AuthError::invalid(format!(
            "unsupported code_challenge method {method:?}"
        )));
    }
    Ok(())
}

/// Whether the verifier belongs to the challenge.
pub(crate) fn check_verifier(challenge: &str, method: &str, verifier: &str) -> Result<()> {
    let expected = match method.to_lowercase().as_str() {
        "s256" => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
        "plain" => verifier.to_owned(),
        _ => {
            return Err(AuthError::bad_request(
                code::BAD_CODE_VERIFIER,
                "code challenge method not supported",
            ));
        }
    };
    if challenge.is_empty() || !equal(challenge, &expected) {
        return Err(AuthError::bad_request(
            code::BAD_CODE_VERIFIER,
            "code challenge does not match previously saved code verifier",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_digits_and_hashes_are_gotrues() {
        let rng = Rng::seeded(1);
        for digits in [6, 8, 10] {
            let code = otp(&rng, digits);
            assert_eq!(code.len(), digits as usize);
            assert!(code.bytes().all(|byte| byte.is_ascii_digit()));
        }
        // sha224("a@b.c123456")
        assert_eq!(token_hash("a@b.c", "123456").len(), 56);
        assert_eq!(
            token_hash("", ""),
            "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"
        );
    }

    #[test]
    fn challenges_are_checked() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        // RFC 7636, appendix B.
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(check_challenge(challenge, "s256").is_ok());
        assert!(check_verifier(challenge, "S256", verifier).is_ok());
        assert!(check_verifier(challenge, "S256", "other").is_err());
        assert!(check_verifier("", "plain", "").is_err());
        for (challenge, method) in [
            ("short", "s256"),
            (challenge, ""),
            ("", "s256"),
            (challenge, "md5"),
        ] {
            assert!(
                check_challenge(challenge, method).is_err(),
                "{challenge} {method}"
            );
        }
    }

    #[test]
    fn a_code_counts_for_its_time() {
        let sent = Timestamp::UNIX_EPOCH;
        let hash = token_hash("a", "1");
        let hour = Duration::from_secs(3600);
        let at = |seconds| Timestamp::from_second(seconds).expect("a moment");
        assert!(is_valid(&hash, &hash, Some(sent), hour, at(3600)));
        assert!(is_valid(
            &hash,
            &format!("pkce_{hash}"),
            Some(sent),
            hour,
            at(1)
        ));
        assert!(!is_valid(&hash, &hash, Some(sent), hour, at(3601)));
        assert!(!is_valid(&hash, &hash, None, hour, at(1)));
        assert!(!is_valid(&hash, "", Some(sent), hour, at(1)));
        assert!(!is_valid("", "", Some(sent), hour, at(1)));
    }
}

//! What an ID token must say (`OpenID` Connect Core 1.0, 3.1.3.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::remote::same_issuer;
use crate::codes::equal;

/// Clocks differ.
const SKEW_SECONDS: i64 = 300;

/// What is expected of a token whose signature is good.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    /// One of these must be among those it is for.
    pub(crate) audiences: &'a [String],
    pub(crate) now: Timestamp,
}

/// Why it is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the ID token is of another issuer")]
    Issuer,
    #[error("the ID token is for somebody else")]
    Audience,
    #[error("the ID token has expired or is not valid yet")]
    Time,
    #[error("the ID token names nobody")]
    Subject,
    #[error("the ID token's nonce is not the one that was sent")]
    Nonce,
    #[error("the access token is not the ID token's")]
    AccessToken,
}

pub(crate) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "casts of floats saturate, which is what is wanted"
    )]
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|seconds| seconds as i64))
}

/// Everybody a token is for.
pub(crate) fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Issuer, time, subject.
pub(crate) fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Unfit> {
    let issuer = text(claims, "iss");
    // Google's tokens say it without the scheme as well.
    let google = issuer == "accounts.google.com" && expected.issuer == super::profile::GOOGLE;
    if !same_issuer(issuer, expected.issuer) && !google {
        return Err(Unfit::Issuer);
    }
    let now = expected.now.as_second();
    if seconds(claims, "exp").is_none_or(|exp| now >= exp) {
        return Err(Unfit::Time);
    }
    let latest = now.saturating_add(SKEW_SECONDS);
    if ["nbf", "iat"]
        .iter()
        .any(|name| seconds(claims, name).is_some_and(|at| at > latest))
    {
        return Err(Unfit::Time);
    }
    if text(claims, "sub").is_empty() {
        return Err(Unfit::Subject);
    }
    let named = audiences(claims);
    let meant = |id: &&String| !id.is_empty() && named.contains(&id.as_str());
    if !expected.audiences.iter().any(|id| meant(&id)) {
        return Err(Unfit::Audience);
    }
    Ok(())
}

/// The nonce that was sent with the browser.
pub(crate) fn check_nonce(claims: &Map<String, Value>, sent: &str) -> Result<(), Unfit> {
    if equal(text(claims, "nonce"), sent) {
        return Ok(());
    }
    Err(Unfit::Nonce)
}

/// `at_hash`, where the token has it: the left half of the access token's hash,
/// by the hash that the token is signed with.
pub(crate) fn check_access_token(
    id_token: &str,
    claims: &Map<String, Value>,
    access_token: &str,
) -> Result<(), Unfit> {
    let said = text(claims, "at_hash");
    if said.is_empty() {
        return Ok(());
    }
    let header = id_token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: Value = serde_json::from_slice(&header).unwrap_or_default();
    let alg = header.get("alg").and_then(Value::as_str);
    let hash = match alg.unwrap_or_default() {
        alg if alg.ends_with("384") => Sha384::digest(access_token).to_vec(),
        alg if alg.ends_with("512") || alg == "EdDSA" => Sha512::digest(access_token).to_vec(),
        _ => Sha256::digest(access_token).to_vec(),
    };
    let half = hash.get(..hash.len() / 2).unwrap_or_default();
    if equal(&URL_SAFE_NO_PAD.encode(half), said) {
        return Ok(());
    }
    Err(Unfit::AccessToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(change: Value) -> Map<String, Value> {
        let mut all = json!({"iss": "https://id.example/", "aud": ["other", "app"], "sub": "1", "exp": 1000, "iat": 900});
        if let (Some(all), Value::Object(change)) = (all.as_object_mut(), change) {
            all.extend(change);
        }
        all.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn each_claim_is_looked_at() {
        let expected = Expected {
            issuer: "https://id.example",
            audiences: &["app".to_owned(), String::new()],
            now: Timestamp::from_second(950).expect("a moment"),
        };
        assert_eq!(check(&claims(json!({})), &expected), Ok(()));
        for (change, unfit) in [
            (json!({"iss": "https://evil.example"}), Unfit::Issuer),
            (json!({"iss": null}), Unfit::Issuer),
            (json!({"aud": "other"}), Unfit::Audience),
            (json!({"aud": ""}), Unfit::Audience),
            (json!({"aud": null}), Unfit::Audience),
            (json!({"exp": 950}), Unfit::Time),
            (json!({"exp": "1000"}), Unfit::Time),
            (json!({"exp": null}), Unfit::Time),
            (json!({"nbf": 1251}), Unfit::Time),
            (json!({"iat": 1251}), Unfit::Time),
            (json!({"sub": ""}), Unfit::Subject),
        ] {
            assert_eq!(
                check(&claims(change.clone()), &expected),
                Err(unfit),
                "{change}"
            );
        }
    }

    #[test]
    fn an_access_token_must_be_the_id_tokens_own() {
        // OpenID Connect Core 1.0, A.3.
        let claims = claims(json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}));
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(check_access_token(&header, &claims, token), Ok(()));
        assert_eq!(
            check_access_token(&header, &claims, "another"),
            Err(Unfit::AccessToken)
        );
    }
}

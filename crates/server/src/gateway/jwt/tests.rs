//! Tokens of every supported kind, and the ways in which they can be wrong.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"reallyreallyreallyreallyverysafe";

fn signed_part(alg: &str, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({"alg": alg});
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(&header), part(claims))
}

fn hs(alg: &str, algorithm: hmac::Algorithm, secret: &[u8], kid: Option<&str>) -> String {
    let signed = signed_part(alg, kid, &json!({"role": "r"}));
    let mark = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
}

fn secret() -> VerifyKeys {
    let mut keys = VerifyKeys::none();
    keys.add_secret(SECRET);
    keys
}

fn error(keys: &VerifyKeys, token: &str) -> (&'static str, String) {
    let error = keys.open(token).unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn every_hmac_is_verified() {
    for (alg, algorithm) in [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ] {
        assert_eq!(
            secret().open(&hs(alg, algorithm, SECRET, None)).unwrap()["role"],
            "r"
        );
        assert!(
            secret()
                .open(&hs(
                    alg,
                    algorithm,
                    b"another secret of thirty-two bytes",
                    None
                ))
                .is_err()
        );
    }
}

fn ec(alg: &str, crv: &str, algorithm: &'static EcdsaSigningAlgorithm) -> (String, Value) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let signed = signed_part(alg, Some("k1"), &json!({"role": "r"}));
    let mark = URL_SAFE_NO_PAD.encode(pair.sign(&random, signed.as_bytes()).unwrap());
    let (x, y) =
        pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
    let jwk = json!({"kty": "EC", "crv": crv, "kid": "k1", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
    (format!("{signed}.{mark}"), jwk)
}

#[test]
fn elliptic_curves_are_verified_and_never_taken_for_secrets() {
    for (alg, crv, algorithm) in [
        ("ES256", "P-256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", "P-384", &ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let (token, jwk) = ec(alg, crv, algorithm);
        let mut keys = VerifyKeys::none();
        assert!(keys.add_jwks(&json!({"keys": [{"kty": "new"}, jwk]}).to_string()));
        assert_eq!(keys.open(&token).unwrap()["role"], "r");
        let x = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
        assert_eq!(
            error(&keys, &hs("HS256", hmac::HMAC_SHA256, &x, None)).0,
            "PGRST301"
        );
    }
}

#[test]
fn edwards_curves_are_verified() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let signed = signed_part("EdDSA", None, &json!({"role": "r"}));
    let token = format!(
        "{signed}.{}",
        URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()))
    );
    let mut keys = VerifyKeys::none();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    keys.add_text(&json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x}).to_string());
    assert_eq!(keys.open(&token).unwrap()["role"], "r");
}

#[test]
fn a_named_key_is_used_and_an_unknown_name_falls_back_to_nameless_keys() {
    let mut keys = secret();
    keys.add_jwks(&json!({"kty": "oct", "kid": "a", "k": URL_SAFE_NO_PAD.encode("second secret, long enough to use")}).to_string());
    let second = |kid| {
        hs(
            "HS256",
            hmac::HMAC_SHA256,
            b"second secret, long enough to use",
            kid,
        )
    };
    assert!(keys.open(&second(Some("a"))).is_ok());
    assert!(keys.open(&second(None)).is_ok());
    assert!(
        keys.open(&second(Some("b"))).is_err(),
        "a named key answers to its name only"
    );
    assert!(
        keys.open(&hs("HS256", hmac::HMAC_SHA256, SECRET, Some("b")))
            .is_ok()
    );
    assert!(
        keys.open(&hs("HS256", hmac::HMAC_SHA256, SECRET, Some("a")))
            .is_err()
    );
}

#[test]
fn malformed_tokens_are_told_apart() {
    let keys = secret();
    assert_eq!(
        error(&VerifyKeys::none(), "a.b.c"),
        ("PGRST300", "Server lacks JWT secret".into())
    );
    assert_eq!(
        error(&keys, ""),
        (
            "PGRST301",
            "Empty JWT is sent in Authorization header".into()
        )
    );
    assert_eq!(
        error(&keys, "x"),
        ("PGRST301", "Expected 3 parts in JWT; got 1".into())
    );
    assert_eq!(
        error(&keys, "a.b.c.d"),
        ("PGRST301", "Expected 3 parts in JWT; got 4".into())
    );
    assert_eq!(error(&keys, "a.b.c").0, "PGRST301");
    let none = format!(
        "{}.",
        signed_part("none", None, &json!({"role": "service_role"}))
    );
    assert_eq!(
        error(&keys, &none),
        ("PGRST301", "No suitable key or wrong key type".into())
    );
    let good = hs("HS256", hmac::HMAC_SHA256, SECRET, None);
    for at in 0..good.len() {
        let mut broken = good.clone().into_bytes();
        broken[at] ^= 1;
        if let Ok(broken) = String::from_utf8(broken) {
            assert!(keys.open(&broken).is_err(), "byte {at} is not covered");
        }
    }
}

#[test]
fn claims_hold_with_thirty_seconds_of_leeway() {
    let check = |claims: Value, audience: Option<&str>| {
        check_claims(claims.as_object().unwrap(), audience, 1000).map_err(|error| error.to_string())
    };
    assert_eq!(check(json!({"exp": 970}), None), Ok(1000));
    assert_eq!(check(json!({"exp": 969}), None), Err("JWT expired".into()));
    assert_eq!(check(json!({"nbf": 1030, "iat": 1030}), None), Ok(i64::MAX));
    assert_eq!(
        check(json!({"nbf": 1031}), None),
        Err("JWT not yet valid".into())
    );
    assert_eq!(
        check(json!({"iat": 1031}), None),
        Err("JWT issued at future".into())
    );
    assert_eq!(
        check(json!({"exp": 1e300, "nbf": null}), None),
        Ok(i64::MAX)
    );
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(
            check(json!({name: "soon"}), None),
            Err(format!("The JWT '{name}' claim must be a number"))
        );
    }
}

#[test]
fn audiences_are_postgrests() {
    let check = |aud: Value, wanted| {
        check_claims(json!({"aud": aud}).as_object().unwrap(), wanted, 0)
            .map_err(|error| error.to_string())
    };
    let not_in = || Err("JWT not in audience".to_owned());
    for fine in [json!("us"), json!(["you", "us"]), json!([]), Value::Null] {
        assert!(check(fine, Some("us")).is_ok());
    }
    for other in [json!("you"), json!(""), json!(["you", "them"])] {
        assert_eq!(check(other.clone(), Some("us")), not_in());
        assert!(check(other, None).is_ok());
    }
    for wrong in [json!({"a": 1}), json!([{"a": 1}, "us"]), json!(7)] {
        assert_eq!(
            check(wrong, None),
            Err("The JWT 'aud' claim must be a string or an array of strings".into())
        );
    }
}

#[test]
fn issuers_that_are_named_are_the_only_ones() {
    let check = |claims: Value, issuers: &[&str]| {
        let issuers: Vec<_> = issuers.iter().map(|&issuer| issuer.to_owned()).collect();
        check_issuer(claims.as_object().unwrap(), &issuers)
    };
    let ours = ["https://a.example", "https://b.example"];
    assert_eq!(check(json!({}), &[]), Ok(()));
    assert_eq!(check(json!({"iss": "https://b.example"}), &ours), Ok(()));
    for iss in [
        json!("https://c.example"),
        json!("https://a.example/"),
        json!(ours),
        json!(null),
    ] {
        assert_eq!(check(json!({"iss": iss}), &ours), Err(JwtError::Issuer));
    }
    assert_eq!(check(json!({}), &ours), Err(JwtError::Issuer));
}

#[test]
fn id_tokens_open_nothing() {
    let check = |claims: Value| check_kind(claims.as_object().unwrap());
    let id = json!({"sub": "u", "aud": ["c"], "client_id": "c", "auth_time": 1});
    assert_eq!(check(id), Err(JwtError::NotInAudience));
    let access = json!({"sub": "u", "client_id": "c", "auth_time": 1, "role": "authenticated"});
    assert_eq!(check(access), Ok(()));
    assert_eq!(check(json!({"sub": "u"})), Ok(()));
}

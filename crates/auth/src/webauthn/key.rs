//! Public keys in COSE's form (RFC 9053): those that authenticators have.

use ciborium::Value as Cbor;
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

use super::message::cbor;
use super::{Refused, Result};

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const ES384: i64 = -35;
const RS256: i64 = -257;

/// What new credentials may use, the best first.
pub(super) const ALGORITHMS: [i64; 4] = [ES256, EDDSA, ES384, RS256];

/// Labels of a COSE key; the meaning of the negative ones depends on its type.
const TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const MODULUS: i64 = -1;
const EXPONENT: i64 = -2;

/// A key and what it signs with.
#[derive(Debug)]
pub(super) struct PublicKey {
    algorithm: i64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// A point, or Edwards' 32 bytes.
    Bytes(&'static dyn VerificationAlgorithm, Vec<u8>),
    Rsa(&'static RsaParameters, Vec<u8>, Vec<u8>),
}

impl PublicKey {
    pub(super) fn read(cose: &[u8]) -> Result<Self> {
        let mut rest = cose;
        let map = cbor(&mut rest)?.into_map();
        let map = map.map_err(|_| Refused("the key is no map"))?;
        if !rest.is_empty() {
            return Err(Refused("something follows the key"));
        }
        let found = |label: i64| {
            let is_it = |key: &Cbor| key.as_integer() == Some(label.into());
            map.iter().find(|(key, _)| is_it(key)).map(|(_, v)| v)
        };
        let number = |label| {
            let number = found(label).and_then(Cbor::as_integer);
            number.and_then(|number| i64::try_from(number).ok())
        };
        let bytes = |label, length: usize| {
            let bytes = found(label).and_then(Cbor::as_bytes);
            let bytes = bytes.filter(|bytes| length == 0 || bytes.len() == length);
            bytes.ok_or(Refused("the key lacks a part"))
        };
        let point = |length| -> Result<Vec<u8>> {
            // The mark of an uncompressed point (SEC 1, 2.3.3).
            let mut point = vec![4];
            point.extend_from_slice(bytes(X, length)?);
            point.extend_from_slice(bytes(Y, length)?);
            Ok(point)
        };
        let algorithm = number(ALGORITHM).ok_or(Refused("the key has no algorithm"))?;
        let form = match (number(TYPE), algorithm, number(CURVE)) {
            (Some(2), ES256, Some(1)) => {
                Form::Bytes(&signature::ECDSA_P256_SHA256_ASN1, point(32)?)
            }
            (Some(2), ES384, Some(2)) => {
                Form::Bytes(&signature::ECDSA_P384_SHA384_ASN1, point(48)?)
            }
            (Some(1), EDDSA, Some(6)) => Form::Bytes(&signature::ED25519, bytes(X, 32)?.clone()),
            (Some(3), algorithm, _) => Form::Rsa(
                rsa(algorithm)?,
                bytes(MODULUS, 0)?.clone(),
                bytes(EXPONENT, 0)?.clone(),
            ),
            _ => return Err(Refused("the key is of no kind that we know")),
        };
        Ok(Self { algorithm, form })
    }

    pub(super) fn algorithm(&self) -> i64 {
        self.algorithm
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let verdict = match &self.form {
            Form::Bytes(algorithm, key) => {
                UnparsedPublicKey::new(*algorithm, key).verify(message, signature)
            }
            Form::Rsa(parameters, n, e) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
        };
        verdict.map_err(|_| Refused("the signature is wrong"))
    }
}

/// RSA in the forms that credentials of other systems have, too. From 2048
/// bits on.
fn rsa(algorithm: i64) -> Result<&'static RsaParameters> {
    Ok(match algorithm {
        RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        -258 => &signature::RSA_PKCS1_2048_8192_SHA384,
        -259 => &signature::RSA_PKCS1_2048_8192_SHA512,
        -37 => &signature::RSA_PSS_2048_8192_SHA256,
        -38 => &signature::RSA_PSS_2048_8192_SHA384,
        -39 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return Err(Refused("the key is of no kind that we know")),
    })
}

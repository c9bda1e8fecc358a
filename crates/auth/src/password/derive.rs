//! The algorithms: from a password and the parameters of an [`Encoded`] to a
//! digest. Slow on purpose; only the pool's threads and tests call it.

use std::num::NonZeroU32;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use ring::{digest, pbkdf2};

use super::encoded::{Encoded, Pbkdf2Hash, ScryptCost};

/// What bcrypt reads of a password.
const BCRYPT_BYTES: usize = 72;

/// A new hash, in the form that Go's bcrypt writes (`$2a$`).
pub(super) fn bcrypt_hash(password: &[u8], cost: u32, salt: [u8; 16]) -> String {
    let parts = bcrypt::hash_with_salt(password, cost, salt);
    // It only fails for costs outside 4 to 31, which `Passwords` rules out.
    parts.map_or_else(
        |_| String::new(),
        |parts| parts.format_for_version(bcrypt::Version::TwoA),
    )
}

/// Whether the digest of `password` is the stored one.
pub(super) fn matches(encoded: &Encoded, password: &[u8]) -> bool {
    match encoded {
        Encoded::Pbkdf2 {
            hash,
            rounds,
            salt,
            digest,
        } => {
            let Some(rounds) = NonZeroU32::new(*rounds).filter(|_| !digest.is_empty()) else {
                return false;
            };
            pbkdf2::verify(algorithm(*hash), rounds, salt, password, digest).is_ok()
        }
        other => derive(other, password)
            .zip(digest_of(other))
            .is_some_and(|(made, stored)| same(&made, stored)),
    }
}

fn digest_of(encoded: &Encoded) -> Option<&[u8]> {
    match encoded {
        Encoded::Bcrypt { digest, .. }
        | Encoded::Argon2 { digest, .. }
        | Encoded::Scrypt { digest, .. }
        | Encoded::Firebase { digest, .. }
        | Encoded::Pbkdf2 { digest, .. } => Some(digest).filter(|d| !d.is_empty()).map(|d| &**d),
    }
}

fn derive(encoded: &Encoded, password: &[u8]) -> Option<Vec<u8>> {
    match encoded {
        Encoded::Bcrypt {
            cost,
            salt,
            sha256_first,
            digest,
        } => {
            let made = if *sha256_first {
                bcrypt_digest(&hex_of_sha256(password), *cost, *salt)
            } else {
                bcrypt_digest(password, *cost, *salt)
            };
            made.get(..digest.len()).map(<[u8]>::to_vec)
        }
        Encoded::Argon2 {
            id,
            memory_kib,
            passes,
            lanes,
            salt,
            digest,
        } => {
            let algorithm = if *id {
                argon2::Algorithm::Argon2id
            } else {
                argon2::Algorithm::Argon2i
            };
            let size = digest.len();
            let params = argon2::Params::new(*memory_kib, *passes, *lanes, Some(size)).ok()?;
            let mut out = vec![0; size];
            argon2::Argon2::new(algorithm, argon2::Version::V0x13, params)
                .hash_password_into(password, salt, &mut out)
                .ok()?;
            Some(out)
        }
        Encoded::Scrypt { cost, salt, digest } => scrypt(password, salt, *cost, digest.len()),
        Encoded::Firebase {
            cost, salt, signer, ..
        } => firebase(password, salt, signer, *cost),
        Encoded::Pbkdf2 { .. } => None,
    }
}

fn bcrypt_digest(password: &[u8], cost: u32, salt: [u8; 16]) -> [u8; 24] {
    // A null byte ends the key; what does not fit is cut off. Both are bcrypt's
    // own rules, and a password that was cut when it was hashed must match.
    let cut = password.get(..BCRYPT_BYTES).unwrap_or(password);
    let mut key = Vec::with_capacity(BCRYPT_BYTES);
    key.extend_from_slice(cut);
    if key.len() < BCRYPT_BYTES {
        key.push(0);
    }
    bcrypt::bcrypt(cost, salt, &key)
}

fn hex_of_sha256(password: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let sum = digest::digest(&digest::SHA256, password);
    let nibbles = sum.as_ref().iter().flat_map(|b| [b >> 4, b & 15]);
    nibbles
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)).copied())
        .collect()
}

fn scrypt(password: &[u8], salt: &[u8], cost: ScryptCost, size: usize) -> Option<Vec<u8>> {
    let params = scrypt::Params::new(cost.log_n, cost.r, cost.p).ok()?;
    let mut out = vec![0; size];
    scrypt::scrypt(password, salt, &params, &mut out).ok()?;
    Some(out)
}

/// AES-256 in counter mode from zero, keyed by scrypt, over the signer key.
fn firebase(password: &[u8], salt: &[u8], signer: &[u8], cost: ScryptCost) -> Option<Vec<u8>> {
    let key = scrypt(password, salt, cost, 32)?;
    let mut out = signer.to_vec();
    let mut cipher = Ctr128BE::<Aes256>::new_from_slices(&key, &[0; 16]).ok()?;
    cipher.apply_keystream(&mut out);
    Some(out)
}

fn algorithm(hash: Pbkdf2Hash) -> pbkdf2::Algorithm {
    match hash {
        Pbkdf2Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Pbkdf2Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Pbkdf2Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    }
}

/// Compares without telling by its time where two digests differ. Lengths are
/// no secret: they stand in the stored hash.
fn same(made: &[u8], stored: &[u8]) -> bool {
    let mut difference = u8::from(made.len() != stored.len());
    for (a, b) in made.iter().zip(stored) {
        difference |= a ^ b;
    }
    std::hint::black_box(difference) == 0
}

//! Answers are encrypted and authenticated before they go to the database.
//!
//! There is no random nonce to repeat by mistake: every answer has a key of
//! its own, made from the secret and a digest of the answer (the salt).

use ring::{aead, hmac};

use super::Hash;
use kernel::Secret;

/// Seals what is kept, and opens nothing that it has not sealed.
#[derive(Debug)]
pub(crate) struct Seal(hmac::Key);

impl Seal {
    /// A seal from a secret of the server, for nothing else than this.
    pub(crate) fn new(secret: &Secret) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let own = hmac::sign(&master, b"ferrobase idempotency answers 1");
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// The salt and the sealed text.
    pub(super) fn close(&self, id: &Hash, mut text: Vec<u8>) -> Option<(Hash, Vec<u8>)> {
        let salt = self.digest(b"salt", id, &text);
        let key = self.key(id, &salt)?;
        key.seal_in_place_append_tag(nonce(), aead::Aad::from(id), &mut text)
            .ok()?;
        Some((salt, text))
    }

    /// The text, if it was sealed by this secret for this id.
    pub(super) fn open(&self, id: &Hash, salt: &[u8], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.key(id, salt)?;
        let length = key
            .open_in_place(nonce(), aead::Aad::from(id), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn key(&self, id: &Hash, salt: &[u8]) -> Option<aead::LessSafeKey> {
        let key = self.digest(b"key", id, salt);
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &key).ok()?;
        Some(aead::LessSafeKey::new(key))
    }

    /// The id has a fixed length, so the parts cannot be mistaken.
    fn digest(&self, purpose: &[u8], id: &Hash, text: &[u8]) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [purpose, b"\0", id, text] {
            context.update(part);
        }
        let mut out = Hash::default();
        out.copy_from_slice(context.sign().as_ref());
        out
    }
}

/// Always the same: no key is used for two texts.
fn nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn only_what_was_sealed_here_for_this_key_opens() {
        let seal = Seal::new(&Secret::new("one secret"));
        let (id, other) = ([1; 32], [2; 32]);
        let (salt, sealed) = seal.close(&id, b"the answer".to_vec()).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"answer"));
        assert_eq!(
            seal.open(&id, &salt, sealed.clone()).unwrap(),
            b"the answer"
        );
        assert_eq!(seal.open(&other, &salt, sealed.clone()), None);
        assert_eq!(seal.open(&id, &other, sealed.clone()), None);
        assert_eq!(seal.open(&id, &salt, b"made up".to_vec()), None);
        let mut changed = sealed.clone();
        changed[0] ^= 1;
        assert_eq!(seal.open(&id, &salt, changed), None);
        let stranger = Seal::new(&Secret::new("another secret"));
        assert_eq!(stranger.open(&id, &salt, sealed), None);
    }
}

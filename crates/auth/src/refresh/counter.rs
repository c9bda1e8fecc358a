//! Refresh tokens of GoTrue's second kind: no row holds them. They carry their
//! session's id and a counter and are signed with the session's own key, so a
//! project that moves here keeps its people signed in.
//!
//! `0 | id (16) | counter (varint) | HMAC-SHA-256, first 16 | SHA-256, first 4`,
//! in base64 for URLs. The last four bytes only tell typing errors from forgery.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Secret;
use ring::{digest, hmac};
use uuid::Uuid;

const VERSION: u8 = 0;
const ID_LENGTH: usize = 16;
const SIGNATURE_LENGTH: usize = 16;
const CHECKSUM_LENGTH: usize = 4;
/// Seven bits a byte; a counter is a positive bigint.
const VARINT_LENGTH_MAX: usize = 9;

/// A token that has been read but not believed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct CounterToken {
    pub(super) session: Uuid,
    pub(super) counter: i64,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_LENGTH],
}

/// A session's key. Unreadable when GoTrue had it encrypted with a key of the
/// operator's: that one does not move with the database.
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn read(column: Option<&str>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(column?).ok()?;
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    fn mark(&self, bytes: &[u8]) -> [u8; SIGNATURE_LENGTH] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let mut first = [0; SIGNATURE_LENGTH];
        for (to, from) in first.iter_mut().zip(hmac::sign(&key, bytes).as_ref()) {
            *to = *from;
        }
        first
    }
}

impl CounterToken {
    /// None for anything else, such as a token that is a row.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed_twice, sum) =
            bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_LENGTH)?)?;
        if digest::digest(&digest::SHA256, signed_twice)
            .as_ref()
            .get(..CHECKSUM_LENGTH)
            != Some(sum)
        {
            return None;
        }
        let end = signed_twice.len().checked_sub(SIGNATURE_LENGTH)?;
        let (signed, signature) = signed_twice.split_at_checked(end)?;
        let (version, rest) = signed.split_first()?;
        let (id, counter) = rest.split_at_checked(ID_LENGTH)?;
        if *version != VERSION {
            return None;
        }
        Some(Self {
            session: Uuid::from_slice(id).ok()?,
            counter: varint(counter)?,
            signed: signed.to_vec(),
            signature: signature.try_into().ok()?,
        })
    }

    /// Whether the session's key signed it.
    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        let wanted = key.mark(&self.signed);
        // Every byte is looked at, however early they differ.
        let differ = wanted
            .iter()
            .zip(&self.signature)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        differ == 0
    }
}

/// The token of a session at a count.
pub(super) fn encode(session: Uuid, counter: i64, key: &Key) -> Secret {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(session.as_bytes());
    let mut left = counter.max(0).unsigned_abs();
    loop {
        let [low, ..] = left.to_le_bytes();
        left >>= 7;
        if left == 0 {
            bytes.push(low & 0x7F);
            break;
        }
        bytes.push(low | 0x80);
    }
    let mark = key.mark(&bytes);
    bytes.extend_from_slice(&mark);
    let sum = digest::digest(&digest::SHA256, &bytes);
    bytes.extend(sum.as_ref().iter().take(CHECKSUM_LENGTH));
    Secret::new(URL_SAFE_NO_PAD.encode(bytes))
}

/// Go's unsigned varint, all of the bytes.
fn varint(bytes: &[u8]) -> Option<i64> {
    let (last, more) = bytes.split_last()?;
    let ends_there = last & 0x80 == 0 && more.iter().all(|byte| byte & 0x80 != 0);
    if !ends_there || bytes.len() > VARINT_LENGTH_MAX {
        return None;
    }
    let value = bytes
        .iter()
        .rev()
        .fold(0_u64, |sum, byte| sum << 7 | u64::from(byte & 0x7F));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1122_3344_5566_7788);

    fn key(byte: u8) -> Key {
        Key(vec![byte; 32])
    }

    #[test]
    fn what_is_encoded_is_read_again() {
        for counter in [0, 1, 127, 128, 300, 1 << 40, i64::MAX] {
            let text = encode(ID, counter, &key(b'k'));
            let token = CounterToken::parse(text.expose()).expect("a token");
            assert_eq!((token.session, token.counter), (ID, counter));
            assert!(token.is_signed_by(&key(b'k')));
            assert!(!token.is_signed_by(&key(b'l')));
        }
    }

    /// Worked out apart from this code, by GoTrue's description of the form.
    #[test]
    fn the_form_is_gotrues() {
        let text = "ABI0VniavN7wESIzRFVmd4isAik0nZY8FqoQeZSkUAlcaVs532Mb";
        assert_eq!(encode(ID, 300, &key(b'k')).expose(), text);
        let token = CounterToken::parse(text).expect("a token");
        assert_eq!((token.session, token.counter), (ID, 300));
    }

    #[test]
    fn what_is_none_is_refused() {
        let good = encode(ID, 300, &key(b'k'));
        let good = good.expose();
        for bad in ["", "abcdefghijkl", "!", &good[1..], &good[..good.len() - 1]] {
            assert!(CounterToken::parse(bad).is_none(), "{bad}");
        }
        // Another count under the old signature, with a proper checksum.
        let mut bytes = URL_SAFE_NO_PAD.decode(good).expect("base64");
        *bytes.get_mut(17).expect("a counter") ^= 1;
        bytes.truncate(bytes.len() - CHECKSUM_LENGTH);
        let sum = digest::digest(&digest::SHA256, &bytes);
        bytes.extend(sum.as_ref().iter().take(CHECKSUM_LENGTH));
        let forged = CounterToken::parse(&URL_SAFE_NO_PAD.encode(bytes)).expect("read");
        assert!(!forged.is_signed_by(&key(b'k')));
    }
}

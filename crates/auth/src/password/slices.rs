//! bcrypt in slices, with a short sleep between them.
//!
//! A hash is 50 ms of one processor, and a scheduler lets a thread that
//! computes finish its turn, some three milliseconds, before a database
//! process that has just been woken may run there; a low priority does not
//! help where each session is weighed as a whole (autogroups), since
//! PostgreSQL's processes are sessions of their own. Who sleeps gives the
//! processor away on any system. The algorithm itself is the cipher's, as in
//! the crate `bcrypt`, which tests compare it with.

use std::thread;
use std::time::Duration;

use blowfish::Blowfish;

/// Rounds between two sleeps: well under a millisecond, and as long as several
/// quick statements of the database.
const SLICE_ROUNDS: u32 = 12;

/// The least that takes the thread off its processor. With what a timer adds
/// to it, a hash takes about a sixth longer on an idle machine.
const PAUSE: Duration = Duration::from_micros(50);

/// `OrpheanBeholderScryDoubt`, which bcrypt encrypts.
const TEXT: [[u32; 2]; 3] = [
    [0x4f72_7068, 0x6561_6e42],
    [0x6568_6f6c, 0x6465_7253],
    [0x6372_7944, 0x6f75_6274],
];

/// The digest of a key of 1 to 72 bytes.
pub(super) fn bcrypt(cost: u32, salt: [u8; 16], key: &[u8]) -> [u8; 24] {
    let mut state = Blowfish::bc_init_state();
    state.salted_expand_key(&salt, key);
    for round in 0..1_u64 << cost.min(31) {
        if round % u64::from(SLICE_ROUNDS) == 0 {
            thread::sleep(PAUSE);
        }
        state.bc_expand_key(key);
        state.bc_expand_key(&salt);
    }
    let mut digest = [0; 24];
    let words = TEXT
        .into_iter()
        .flat_map(|pair| (0..64).fold(pair, |pair, _| state.bc_encrypt(pair)));
    let bytes = words.flat_map(u32::to_be_bytes);
    for (to, from) in digest.iter_mut().zip(bytes) {
        *to = from;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bcrypt() {
        let keys: [&[u8]; 4] = [b"\0", b"correct horse\0", &[0xff; 72], "päß\0".as_bytes()];
        for (key, cost) in keys.into_iter().zip([4, 5, 6, 7]) {
            let salt = [u8::try_from(cost).expect("a small cost") * 17; 16];
            assert_eq!(bcrypt(cost, salt, key), bcrypt::bcrypt(cost, salt, key));
        }
    }
}

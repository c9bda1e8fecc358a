//! Randomness as a parameter: the operating system's in the server, a counter
//! in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

/// Where random bytes come from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rng(Source);

#[derive(Clone, Debug)]
enum Source {
    System(SystemRandom),
    Seeded(Arc<AtomicU64>),
}

impl Rng {
    /// The operating system's generator, fit for keys.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(SystemRandom::new()))
    }

    /// A repeatable sequence for tests. Never for keys.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(AtomicU64::new(seed))))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: nothing safe can
    /// be done without it.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            Source::System(random) => random
                .fill(out)
                .expect("the operating system's random generator answers"),
            Source::Seeded(state) => {
                for byte in out {
                    *byte = split_mix(state).to_le_bytes()[0];
                }
            }
        }
    }

    /// A random array, for keys and salts.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random (version 4) UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

/// `SplitMix64`: enough for test data, useless for secrets.
fn split_mix(state: &AtomicU64) -> u64 {
    let mut z = state
        .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_the_system_does_not() {
        assert_eq!(Rng::seeded(7).uuid(), Rng::seeded(7).uuid());
        assert_ne!(Rng::system().uuid(), Rng::system().uuid());
        assert_eq!(Rng::system().uuid().get_version_num(), 4);
    }
}

//! Pauses that differ a little from node to node, so that not all of them look
//! at the same moment.

use std::time::Duration;

use kernel::Rng;

/// The length, give or take a fifth.
pub(crate) fn jittered(rng: &Rng, length: Duration) -> Duration {
    let [byte] = rng.bytes::<1>();
    length.mul_f64(0.8 + f64::from(byte) / 255.0 * 0.4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_stays_near_its_length() {
        let rng = Rng::seeded(1);
        for _ in 0..100 {
            let pause = jittered(&rng, Duration::from_secs(1));
            assert!((800..=1200).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}

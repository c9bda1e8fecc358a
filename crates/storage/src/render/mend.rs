//! Sums that do not add up. Pictures whose pixels are whole but for a wrong
//! checksum are common, every browser shows them, and so does imgproxy.

use std::borrow::Cow;

use crc_fast::{CrcAlgorithm, checksum};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Length and name before a chunk's content, the sum behind it.
const BEFORE: usize = 8;
const SUM: usize = 4;

/// A PNG whose chunks' sums are right; anything else as it is.
pub(super) fn sums(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(bytes);
    if !bytes.starts_with(SIGNATURE) {
        return mended;
    }
    let mut at = SIGNATURE.len();
    while let Some(chunk) = bytes.get(at..).filter(|rest| rest.len() >= BEFORE + SUM) {
        let Some((length, _)) = chunk.split_first_chunk::<4>() else {
            break;
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        // What ends in the middle is the decoder's to judge.
        let Some(end) = length.checked_add(BEFORE) else {
            break;
        };
        let (Some(summed), Some(said)) = (chunk.get(4..end), chunk.get(end..end + SUM)) else {
            break;
        };
        let sum = checksum(CrcAlgorithm::Crc32IsoHdlc, summed);
        let sum = u32::try_from(sum).unwrap_or_default().to_be_bytes();
        let place = at + end;
        if said != sum
            && let Some(place) = mended.to_mut().get_mut(place..place + SUM)
        {
            place.copy_from_slice(&sum);
        }
        at = place + SUM;
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn only_sums_are_mended(bytes in prop::collection::vec(any::<u8>(), 0..200), lengths in any::<bool>()) {
            let mut png = SIGNATURE.to_vec();
            if lengths {
                for content in bytes.chunks(20) {
                    let length = u32::try_from(content.len()).expect("short");
                    png.extend(length.to_be_bytes());
                    png.extend(b"IDAT");
                    png.extend(content);
                    png.extend([1, 2, 3, 4]);
                }
            } else {
                png.extend(&bytes);
            }
            let mended = sums(&png);
            prop_assert_eq!(mended.len(), png.len());
            // Once is enough.
            prop_assert_eq!(sums(&mended), mended.as_ref());
            prop_assert!(matches!(sums(&bytes), Cow::Borrowed(_)));
        }
    }
}

//! One-time codes of an authenticator app (RFC 6238): SHA-1, six digits, a new
//! one every thirty seconds, as GoTrue and every app have them.
//!
//! Start with [`TotpSecret`]. A code is good for its own step and one to each
//! side, and only once: the caller keeps the [`Step`] that a code was good for
//! and hands it in the next time, otherwise whoever looks over a shoulder has
//! ninety seconds.

use std::fmt::Write as _;

use jiff::Timestamp;
use kernel::Rng;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::{EcLevel, QrCode};
use ring::hmac;

/// Seconds that a code is shown.
const PERIOD: i64 = 30;

/// Steps to each side: clocks of phones differ.
const SKEW: i64 = 1;

/// The length of HMAC-SHA-1's output, which RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// Pixels of one square in the picture, and the margin that the standard asks
/// for, in squares.
const SQUARE: usize = 3;
const MARGIN: usize = 4;

/// The number of a thirty-second step since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub i64);

/// A secret shared with an authenticator app.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Vec<u8>);

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl TotpSecret {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &Rng) -> Self {
        Self(rng.bytes::<SECRET_BYTES>().to_vec())
    }

    /// Reads the base32 form in which `auth.mfa_factors.secret` has it.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let (mut bits, mut buffer) = (0_u32, 0_u32);
        for c in text.trim_end_matches('=').bytes() {
            let value = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a',
                b'2'..=b'7' => c - b'2' + 26,
                _ => return None,
            };
            buffer = (buffer << 5 | u32::from(value)) & 0xFFFF;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                // The eight bits above those that wait.
                bytes.push((buffer >> bits & 0xFF) as u8);
            }
        }
        (!bytes.is_empty()).then_some(Self(bytes))
    }

    /// The base32 form, without padding.
    #[must_use]
    pub fn to_base32(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut out = String::new();
        for chunk in self.0.chunks(5) {
            let mut padded = [0_u8; 8];
            for (to, from) in padded.iter_mut().skip(3).zip(chunk) {
                *to = *from;
            }
            let bits = u64::from_be_bytes(padded);
            for index in 0..(chunk.len() * 8).div_ceil(5) {
                let at = (bits >> (35 - 5 * index) & 31) as usize;
                out.extend(ALPHABET.get(at).copied().map(char::from));
            }
        }
        out
    }

    /// Checks a code. `last` is the step of the last code that was accepted
    /// for this factor; a code of that step or an earlier one is refused. The
    /// step that comes back must be kept in the same transaction that honours
    /// the code.
    #[must_use]
    pub fn verify(&self, code: &str, now: Timestamp, last: Option<Step>) -> Option<Step> {
        let code: [u8; 6] = code.trim().as_bytes().try_into().ok()?;
        let now = now.as_second().div_euclid(PERIOD);
        let mut found = None;
        // All are computed, so that the time does not tell which one fits.
        for step in (now - SKEW)..=(now + SKEW) {
            let mut difference = 0;
            for (a, b) in self.code(step).iter().zip(&code) {
                difference |= a ^ b;
            }
            if std::hint::black_box(difference) == 0 {
                found = Some(Step(step));
            }
        }
        found.filter(|step| last.is_none_or(|last| *step > last))
    }

    /// The digits of a step (RFC 4226, 5.3).
    fn code(&self, step: i64) -> [u8; 6] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let offset = tag.as_ref().last().map_or(0, |byte| usize::from(byte & 15));
        let word = tag
            .as_ref()
            .get(offset..)
            .and_then(|t| t.first_chunk::<4>());
        let mut number = word.map_or(0, |word| u32::from_be_bytes(*word) & 0x7FFF_FFFF);
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        digits
    }

    /// What an app reads: who issued the secret, and whose it is.
    #[must_use]
    pub fn uri(&self, issuer: &str, account: &str) -> String {
        /// A colon parts issuer and account, so it may not be in either.
        const LABEL: &AsciiSet = &NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'.')
            .remove(b'_')
            .remove(b'~')
            .remove(b'@');
        let issuer = utf8_percent_encode(issuer, LABEL);
        let account = utf8_percent_encode(account, LABEL);
        let secret = self.to_base32();
        format!(
            "otpauth://totp/{issuer}:{account}?algorithm=SHA1&digits=6&issuer={issuer}\
             &period={PERIOD}&secret={secret}"
        )
    }
}

/// A picture of a text that phones read, as an SVG document. GoTrue answers
/// with the bare document and the clients put `data:image/svg+xml;utf-8,`
/// before it, which is why there is no `#` in it. `None` for a text that is
/// too long for any picture.
#[must_use]
pub fn qr_svg(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let side = (width + 2 * MARGIN) * SQUARE;
    let mut path = String::new();
    for (index, color) in code.to_colors().into_iter().enumerate() {
        if color == qrcode::Color::Dark {
            let x = (index % width + MARGIN) * SQUARE;
            let y = (index / width + MARGIN) * SQUARE;
            // Writing to a String cannot fail.
            let _ = write!(path, "M{x} {y}h{SQUARE}v{SQUARE}h-{SQUARE}z");
        }
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{side}\" height=\"{side}\" \
         viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\
         <rect width=\"{side}\" height=\"{side}\" fill=\"white\"/>\
         <path fill=\"black\" d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn rfc() -> TotpSecret {
        TotpSecret(b"12345678901234567890".to_vec())
    }

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = Step(second / PERIOD);
            assert_eq!(rfc().verify(code, at(second), None), Some(step), "{second}");
        }
    }

    #[test]
    fn a_code_is_good_for_one_step_to_each_side_and_only_once() {
        let (secret, code, step) = (rfc(), "287082", Step(1));
        assert_eq!(secret.verify(code, at(0), None), Some(step));
        assert_eq!(secret.verify(code, at(89), None), Some(step));
        assert_eq!(secret.verify(code, at(90), None), None);
        assert_eq!(secret.verify(code, at(59), Some(Step(0))), Some(step));
        assert_eq!(secret.verify(code, at(59), Some(step)), None);
        assert_eq!(secret.verify(code, at(59), Some(Step(2))), None);
        for wrong in ["", "28708", "2870822", "287083", "28708a", "２８７０８２"] {
            assert_eq!(secret.verify(wrong, at(59), None), None, "{wrong}");
        }
    }

    #[test]
    fn base32_goes_both_ways() {
        // RFC 4648, section 10.
        for (plain, text) in [
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            let secret = TotpSecret(plain.as_bytes().to_vec());
            assert_eq!(secret.to_base32(), text);
            assert_eq!(TotpSecret::from_base32(text), Some(secret));
        }
        let secret = TotpSecret::generate(&Rng::seeded(3));
        assert_eq!(secret.to_base32().len(), 32);
        assert_eq!(TotpSecret::from_base32(&secret.to_base32()), Some(secret));
        assert_eq!(TotpSecret::from_base32("M1"), None);
        assert_eq!(TotpSecret::from_base32(""), None);
    }

    #[test]
    fn an_app_reads_the_uri() {
        let uri = rfc().uri("my app: x", "a+b@example.com");
        assert_eq!(
            uri,
            "otpauth://totp/my%20app%3A%20x:a%2Bb@example.com?algorithm=SHA1&digits=6\
             &issuer=my%20app%3A%20x&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
    }

    #[test]
    fn the_picture_fits_into_a_data_url() {
        let svg = qr_svg(&rfc().uri("app", "a@example.com")).expect("fits");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>") && !svg.contains('#'));
        // A finder pattern's first row: seven dark squares behind the margin.
        assert!(svg.contains("M12 12h3v3h-3zM15 12h3v3h-3z"));
        assert!(qr_svg(&"x".repeat(10_000)).is_none());
    }
}

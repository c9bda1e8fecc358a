//! `Upload-Checksum`: a digest of one request's bytes, compared before any of
//! them counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::error::{Result, TusError};

/// What OPTIONS says we know. SHA-1 first: the protocol demands it.
pub(crate) const ALGORITHMS: &str = "sha1,md5,sha256,crc32";

/// A running digest and what it must become.
pub(crate) struct Checksum {
    running: Running,
    expected: Vec<u8>,
}

enum Running {
    Ring(Context),
    Md5(Md5),
    Crc32(crc_fast::Digest),
}

impl Checksum {
    /// Reads the header: the algorithm's name and the digest in base64.
    pub(crate) fn parse(header: &str) -> Result<Self> {
        let (name, digest) = header
            .split_once(' ')
            .ok_or(TusError::Header("Invalid Upload-Checksum header"))?;
        let expected = STANDARD
            .decode(digest.trim())
            .map_err(|_| TusError::Header("Invalid Upload-Checksum header"))?;
        let running = match name {
            "sha1" => Running::Ring(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            "sha256" => Running::Ring(Context::new(&SHA256)),
            "md5" => Running::Md5(Md5::new()),
            "crc32" => Running::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            _ => return Err(TusError::Header("Unsupported checksum algorithm")),
        };
        Ok(Self { running, expected })
    }

    /// The next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Ring(context) => context.update(bytes),
            Running::Md5(md5) => md5.update(bytes),
            Running::Crc32(crc) => crc.update(bytes),
        }
    }

    /// Whether the bytes are the ones that were meant.
    pub(crate) fn holds(self) -> Result<()> {
        let same = match self.running {
            Running::Ring(context) => context.finish().as_ref() == self.expected,
            Running::Md5(md5) => md5.finalize()[..] == self.expected,
            Running::Crc32(crc) => {
                // Four bytes, the most significant one first.
                let [_, _, _, _, crc @ ..] = crc.finalize().to_be_bytes();
                crc[..] == self.expected
            }
        };
        if same {
            Ok(())
        } else {
            Err(TusError::Checksum)
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn check(header: &str, bytes: &[u8]) -> Result<()> {
        let mut checksum = Checksum::parse(header)?;
        for piece in bytes.chunks(3) {
            checksum.update(piece);
        }
        checksum.holds()
    }

    #[test]
    fn every_algorithm_is_known_by_its_value() {
        // Made with `printf 'hello world' | openssl dgst -binary | base64`, and
        // with zlib's crc32.
        for header in [
            "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "md5 XrY7u+Ae7tCTyyK7j1rNww==",
            "sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
            "crc32 DUoRhQ==",
        ] {
            assert_eq!(check(header, b"hello world"), Ok(()), "{header}");
            let damaged = check(header, b"hello worle");
            assert_eq!(damaged, Err(TusError::Checksum), "{header}");
        }
    }

    #[test]
    fn an_empty_or_short_digest_fits_nothing() {
        for header in [
            "sha1 ",
            "md5 ",
            "crc32 ",
            "crc32 hQ==",
            "crc32 AAAAAA1KEYU=",
        ] {
            assert_eq!(check(header, b"hello world"), Err(TusError::Checksum));
        }
    }

    #[test]
    fn unknown_ones_are_refused() {
        for header in ["sha1", "sha1 !", "sha512 AA==", "SHA1 AA==", " AA=="] {
            let read = Checksum::parse(header).map(|_| ());
            assert_eq!(read.unwrap_err().status(), 400, "{header}");
        }
        for name in ALGORITHMS.split(',') {
            assert!(Checksum::parse(&format!("{name} AA==")).is_ok());
        }
    }
}

//! Checksums that clients send beside an object's bytes, in a header or after
//! the last piece.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as Crc};
use http::HeaderMap;
use ring::digest::{self, Context};

use super::error::{Result, S3Error};

const PREFIX: &str = "x-amz-checksum-";

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    /// By the header that carries it.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().strip_prefix(PREFIX)? {
            "crc32" => Some(Self::Crc32),
            "crc32c" => Some(Self::Crc32c),
            "crc64nvme" => Some(Self::Crc64Nvme),
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    /// The header that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }
}

enum State {
    Crc(Crc, usize),
    Hash(Context),
}

/// A checksum being made.
pub(crate) struct Checksum {
    algorithm: Algorithm,
    state: State,
}

impl Checksum {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Crc32 => State::Crc(Crc::new(CrcAlgorithm::Crc32IsoHdlc), 4),
            Algorithm::Crc32c => State::Crc(Crc::new(CrcAlgorithm::Crc32Iscsi), 4),
            Algorithm::Crc64Nvme => State::Crc(Crc::new(CrcAlgorithm::Crc64Nvme), 8),
            Algorithm::Sha1 => State::Hash(Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Sha256 => State::Hash(Context::new(&digest::SHA256)),
        };
        Self { algorithm, state }
    }

    /// The one that a request says it will send after its body, or has sent in
    /// a header, and what it is if it is known.
    pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<(Self, Option<String>)>> {
        if let Some(names) = headers.get("x-amz-trailer") {
            let name = names.to_str().unwrap_or_default().trim();
            let algorithm = Algorithm::of_header(name).ok_or_else(|| {
                S3Error::invalid("The value specified in the x-amz-trailer header is not supported")
            })?;
            return Ok(Some((Self::new(algorithm), None)));
        }
        let sent = headers.iter().filter_map(|(name, value)| {
            let algorithm = Algorithm::of_header(name.as_str())?;
            Some((algorithm, value.to_str().unwrap_or_default().to_owned()))
        });
        let sent: Vec<_> = sent.collect();
        match <[_; 1]>::try_from(sent) {
            Ok([(algorithm, value)]) => Ok(Some((Self::new(algorithm), Some(value)))),
            Err(none) if none.is_empty() => Ok(None),
            Err(_) => Err(S3Error::invalid(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            )),
        }
    }

    /// The header or trailer that carries it.
    pub(crate) fn header(&self) -> &'static str {
        self.algorithm.header()
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(crc, _) => crc.update(bytes),
            State::Hash(hash) => hash.update(bytes),
        }
    }

    /// Its header and its value in base64, if it is what was said.
    pub(crate) fn check(self, said: &str) -> Result<(Algorithm, String)> {
        let algorithm = self.algorithm;
        let made = match self.state {
            State::Crc(crc, width) => {
                let bytes = crc.finalize().to_be_bytes();
                let at = bytes.len().saturating_sub(width);
                STANDARD.encode(bytes.get(at..).unwrap_or_default())
            }
            State::Hash(hash) => STANDARD.encode(hash.finish()),
        };
        if made == said.trim() {
            return Ok((algorithm, made));
        }
        Err(S3Error::bad(
            "BadDigest",
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.header()
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_what_others_make_it() {
        // The check values of the algorithms' own catalogues, for "123456789".
        for (algorithm, expected) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (
                Algorithm::Sha256,
                "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
            ),
        ] {
            let mut checksum = Checksum::new(algorithm);
            checksum.update(b"1234");
            checksum.update(b"56789");
            let made = checksum.check(expected).map(|(_, made)| made);
            assert_eq!(made.ok().as_deref(), Some(expected), "{algorithm:?}");
            let mut other = Checksum::new(algorithm);
            other.update(b"12345678");
            assert!(other.check(expected).is_err(), "{algorithm:?}");
        }
    }
}

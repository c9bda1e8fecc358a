//! What is known of bytes that were written: size, digest for clients, sums for
//! ourselves.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use ring::digest::{Context, SHA256};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes.
    pub size: u64,
    /// MD5 of the bytes; of what was put together of parts, the MD5 of its
    /// parts' MD5s.
    pub md5: [u8; 16],
    /// How many parts it was put together of, if it was.
    pub parts: Option<u32>,
    /// What the bytes are held against later.
    pub sums: Sums,
}

/// SHA-256 of the bytes, piece by piece: what came in one go is one piece. So
/// what is put together of parts need not be read again to be known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sums(Arc<[Piece]>);

/// Bytes that follow one another, and their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
}

/// A piece as bytes: its size (big endian) and its sum.
const PIECE_BYTES: usize = 40;

impl Written {
    /// The entity tag without its quotes, as S3 makes them.
    #[must_use]
    pub fn etag(&self) -> String {
        let mut etag = hex(&self.md5);
        if let Some(parts) = self.parts {
            let _ = write!(etag, "-{parts}");
        }
        etag
    }

    /// SHA-256 of all bytes, if they came in one piece.
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        match &*self.sums.0 {
            [piece] => Some(piece.sha256),
            _ => None,
        }
    }

    /// What [`Written::etag`] and [`Sums::to_bytes`] made of it.
    #[must_use]
    pub fn restore(size: u64, etag: &str, sums: &[u8]) -> Option<Self> {
        let (digest, parts) = match etag.split_once('-') {
            Some((digest, parts)) => (digest, Some(parts.parse().ok()?)),
            None => (etag, None),
        };
        let sums = Sums::of_bytes(sums)?;
        (sums.size() == Some(size)).then_some(())?;
        Some(Self {
            size,
            md5: unhex(digest)?,
            parts,
            sums,
        })
    }

    /// What comes of these, one after the other.
    pub(super) fn composed<'w>(of: impl Iterator<Item = &'w Self>) -> Self {
        let (mut size, mut parts, mut pieces, mut md5) = (0, 0, Vec::new(), Md5::new());
        for part in of {
            size += part.size;
            parts += 1;
            md5.update(part.md5);
            pieces.extend_from_slice(&part.sums.0);
        }
        Self {
            size,
            md5: md5.finalize().into(),
            parts: Some(parts),
            sums: Sums(pieces.into()),
        }
    }

    /// Bytes of one piece.
    pub(super) fn of_piece(size: u64, md5: [u8; 16], sha256: [u8; 32]) -> Self {
        Self {
            size,
            md5,
            parts: None,
            sums: Sums(Arc::new([Piece { size, sha256 }])),
        }
    }
}

impl Sums {
    /// For a column.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let pieces = self.0.iter();
        pieces
            .flat_map(|piece| piece.size.to_be_bytes().into_iter().chain(piece.sha256))
            .collect()
    }

    /// What [`Sums::to_bytes`] wrote.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let pieces = bytes.chunks(PIECE_BYTES).map(|chunk| {
            let (size, sha256) = chunk.split_first_chunk::<8>()?;
            Some(Piece {
                size: u64::from_be_bytes(*size),
                sha256: sha256.try_into().ok()?,
            })
        });
        pieces
            .collect::<Option<Vec<_>>>()
            .map(|list| Self(list.into()))
    }

    /// The bytes that these are sums of; none where that is no number.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        let sizes = self.0.iter().map(|piece| piece.size);
        sizes.into_iter().try_fold(0_u64, u64::checked_add)
    }

    /// One by one.
    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.0
    }
}

/// Both digests of bytes as they come.
#[derive(Clone)]
pub(super) struct Hashes {
    size: u64,
    md5: Md5,
    sha256: Context,
}

impl Hashes {
    pub(super) fn new() -> Self {
        Self {
            size: 0,
            md5: Md5::new(),
            sha256: Context::new(&SHA256),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    pub(super) fn update_all(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            self.update(piece);
        }
    }

    pub(super) fn finish(self) -> Written {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.finish().as_ref());
        Written::of_piece(self.size, self.md5.finalize().into(), sha256)
    }
}

impl std::fmt::Debug for Hashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hashes")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut out = [0; N];
    (digits.len() == N * 2).then_some(())?;
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Written {
        let mut hashes = Hashes::new();
        hashes.update(bytes);
        hashes.finish()
    }

    #[test]
    fn a_tag_and_sums_bring_it_back() {
        let one = of(b"hello");
        assert_eq!(one.etag(), "5d41402abc4b2a76b9719d911017c592");
        let two = Written::composed([one.clone(), of(b"")].iter());
        // md5 of the two digests after one another, as S3 has it.
        assert_eq!(two.etag(), "a169f9255cc30bf56198c64ae2a09832-2");
        assert_eq!((one.sha256().is_some(), two.sha256()), (true, None));
        for written in [one, two] {
            let sums = written.sums.to_bytes();
            let back = Written::restore(written.size, &written.etag(), &sums);
            assert_eq!(back.as_ref(), Some(&written));
            assert_eq!(
                Written::restore(written.size + 1, &written.etag(), &sums),
                None
            );
        }
        assert_eq!(Written::restore(0, "x", &[]), None);
        assert_eq!(Sums::of_bytes(&[0; 41]), None);
    }
}

//! A zip of small files, stored as they are: sources are read once, and what
//! compresses them again would be a dependency more. Pure; the archive is made
//! piece by piece, so that it is never in memory as a whole.

use crc_fast::{CrcAlgorithm, checksum};

/// 1980-01-01, the first day that the format knows: a file's time is not kept,
/// so equal files make equal archives.
const DATE: u16 = 0x21;
/// Names are UTF-8.
const FLAGS: u16 = 0x0800;
/// The version that understands folders and stored files.
const VERSION: u16 = 20;

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Zip {
    directory: Vec<u8>,
    files: u16,
    written: u32,
}

/// It would be larger than the plain format can say: 4 GiB, 65535 files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Zip {
    /// The bytes of one more file.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> Result<Vec<u8>, TooLarge> {
        let crc =
            u32::try_from(checksum(CrcAlgorithm::Crc32IsoHdlc, content)).map_err(|_| TooLarge)?;
        let size = u32::try_from(content.len()).map_err(|_| TooLarge)?;
        let name = u16::try_from(path.len()).map_err(|_| TooLarge)?;
        let at = self.written;
        let mut about = Vec::with_capacity(26);
        for half in [VERSION, FLAGS, 0, 0, DATE] {
            about.extend(half.to_le_bytes());
        }
        for word in [crc, size, size] {
            about.extend(word.to_le_bytes());
        }
        about.extend(name.to_le_bytes());
        about.extend(0_u16.to_le_bytes());

        let mut bytes = Vec::with_capacity(30 + path.len() + content.len());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&about);
        bytes.extend(path.as_bytes());
        bytes.extend(content);

        self.directory.extend(b"PK\x01\x02");
        // Made on Unix, where modes mean something: a plain file, 644.
        self.directory.extend((0x0300 | VERSION).to_le_bytes());
        self.directory.extend(&about);
        // No comment, first disk, no attributes of the inside.
        self.directory.extend([0; 6]);
        self.directory.extend((0o100_644_u32 << 16).to_le_bytes());
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(path.as_bytes());

        self.files = self.files.checked_add(1).ok_or(TooLarge)?;
        let length = u32::try_from(bytes.len()).map_err(|_| TooLarge)?;
        self.written = self.written.checked_add(length).ok_or(TooLarge)?;
        Ok(bytes)
    }

    /// What stands behind the files.
    pub(crate) fn end(self) -> Result<Vec<u8>, TooLarge> {
        let size = u32::try_from(self.directory.len()).map_err(|_| TooLarge)?;
        let mut bytes = self.directory;
        bytes.extend(b"PK\x05\x06");
        bytes.extend([0; 4]);
        bytes.extend(self.files.to_le_bytes());
        bytes.extend(self.files.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(self.written.to_le_bytes());
        bytes.extend([0; 2]);
        Ok(bytes)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    /// Read back by the format's own rules: from the end to the directory, from
    /// there to each file.
    #[test]
    fn it_can_be_read_from_its_end() {
        let mut zip = Zip::default();
        let mut bytes = zip.file("src/ü.ts", b"let a = 1").expect("it fits");
        bytes.extend(zip.file("empty", b"").expect("it fits"));
        let directory_at = bytes.len();
        bytes.extend(zip.end().expect("it fits"));
        let word =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"));
        let end = bytes.len() - 22;
        assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
        assert_eq!(half(end + 10), 2);
        assert_eq!(usize::try_from(word(end + 16)), Ok(directory_at));
        assert_eq!(word(end + 12) as usize, end - directory_at);
        let first = directory_at;
        assert_eq!(&bytes[first..first + 4], b"PK\x01\x02");
        let name = half(first + 28) as usize;
        assert_eq!(&bytes[first + 46..first + 46 + name], "src/ü.ts".as_bytes());
        let local = word(first + 42) as usize;
        assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
        assert_eq!(word(local + 14), word(first + 16));
        assert_eq!(
            &bytes[local + 30 + name..local + 30 + name + 9],
            b"let a = 1"
        );
        // The check sum that everybody knows.
        let mut known = Zip::default();
        let nine = known.file("n", b"123456789").expect("it fits");
        assert_eq!(
            u32::from_le_bytes(nine[14..18].try_into().expect("four bytes")),
            0xCBF4_3926
        );
    }
}

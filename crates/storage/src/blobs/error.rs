//! What can go wrong with bytes.

use std::io;

/// What can go wrong with bytes.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There are no bytes under this name.
    #[error("there are no such bytes")]
    NotFound,
    /// The disk has no room.
    #[error("no space is left for files")]
    Full,
    /// A part that was named is not there, or is not what was said of it.
    #[error("part {0} is not there as it was uploaded")]
    Part(u16),
    /// An upload has fewer bytes than its caller thinks.
    #[error("the upload has {has} bytes, not {wants}")]
    Offset {
        /// Bytes that are there.
        has: u64,
        /// Where the caller wanted to go on, or to end.
        wants: u64,
    },
    /// The bytes are not what they were when they were written.
    #[error("the bytes are not those that were written")]
    Corrupt,
    /// The disk, or the service where the bytes are, failed.
    #[error("bytes could not be read or written: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

//! Bytes against the sums that were taken when they were written.

use futures_util::TryStreamExt as _;
use ring::digest::{Context, SHA256};

use super::{BlobError, BlobId, Blobs, Sums};

impl Blobs {
    /// Reads all bytes of a name. [`BlobError::Corrupt`] if they are others
    /// than those that were written, or more, or fewer.
    pub async fn verify(&self, id: BlobId, sums: &Sums) -> Result<(), BlobError> {
        if Some(self.size(id).await?) != sums.size() {
            return Err(BlobError::Corrupt);
        }
        let mut at = 0;
        for piece in sums.pieces() {
            let end = at + piece.size;
            let mut digest = Context::new(&SHA256);
            let mut stream = self.read(id, Some(at..end)).await?;
            while let Some(chunk) = stream.try_next().await? {
                digest.update(&chunk);
            }
            if digest.finish().as_ref() != piece.sha256 {
                return Err(BlobError::Corrupt);
            }
            at = end;
        }
        Ok(())
    }
}

//! Writing: what fits into one part is one request; longer uploads are sent part
//! by part, one on its way while the next is gathered.

use std::io;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::super::pool::{Answer, Kind};
use super::super::written::Hashes;
use super::super::{BlobError, BlobId, Written};
use super::pieces::Piece;
use super::{S3, blob, failed, pieces};

/// Of one upload at most two are in memory. An S3 takes ten thousand parts, so
/// this is also what bounds an object: 80 GB.
const PART: usize = 8 << 20;

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
    Blob(BlobId),
    /// A piece of an upload: a part's number, or the offset where it begins.
    Piece {
        of: BlobId,
        slot: u64,
        name: Uuid,
    },
}

/// Bytes on their way into a bucket.
#[derive(Debug)]
pub(in super::super) struct Writer {
    s3: S3,
    goal: Goal,
    upload: Option<Box<dyn MultipartUpload>>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    sending: Option<JoinHandle<object_store::Result<()>>>,
    hashing: Option<Answer<Box<Hashes>>>,
}

impl Writer {
    pub(super) fn of_blob(s3: S3, id: BlobId) -> Self {
        Self::new(s3, Goal::Blob(id))
    }

    pub(super) fn of_piece(s3: S3, of: BlobId, slot: u64) -> Self {
        let name = s3.given.rng.uuid();
        Self::new(s3, Goal::Piece { of, slot, name })
    }

    fn new(s3: S3, goal: Goal) -> Self {
        Self {
            s3,
            goal,
            upload: None,
            gathered: Vec::new(),
            gathered_bytes: 0,
            sending: None,
            hashing: None,
        }
    }

    fn key(&self) -> Path {
        match self.goal {
            Goal::Blob(id) => blob(id),
            Goal::Piece { of, name, .. } => pieces::data(of, name),
        }
    }

    pub(in super::super) async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        while self.gathered_bytes >= PART {
            self.send_part().await?;
        }
        Ok(())
    }

    /// All parts but the last are of one size: some stores insist.
    async fn send_part(&mut self) -> Result<(), BlobError> {
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => self
                .s3
                .store
                .put_multipart(&self.key())
                .await
                .map_err(failed)?,
        };
        let rest = self.cut();
        let payload = self.take().await;
        if let Some(rest) = rest {
            self.gathered_bytes = rest.len();
            self.gathered.push(rest);
        }
        let sent = self.sent().await;
        let part = payload.map(|payload| upload.put_part(payload));
        self.upload = Some(upload);
        sent?;
        self.sending = Some(self.s3.given.tasks.spawn("upload part", part?));
        Ok(())
    }

    /// What was gathered beyond a part.
    fn cut(&mut self) -> Option<Bytes> {
        let over = self
            .gathered_bytes
            .checked_sub(PART)
            .filter(|over| *over > 0)?;
        let last = self.gathered.last_mut()?;
        let rest = last.split_off(last.len().checked_sub(over)?);
        self.gathered_bytes -= over;
        Some(rest)
    }

    /// What was gathered, on its way to be hashed as well.
    async fn take(&mut self) -> Result<PutPayload, BlobError> {
        let pieces = mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let mut hashes = match self.hashing.take() {
            Some(answer) => answer.get().await?,
            None => Box::new(Hashes::new()),
        };
        let payload: PutPayload = pieces.iter().cloned().collect();
        let pieces: Arc<[Bytes]> = pieces.into();
        let hash = move || {
            hashes.update_all(&pieces);
            hashes
        };
        self.hashing = Some(self.s3.pool.begin(Kind::Quick, hash).await);
        Ok(payload)
    }

    async fn sent(&mut self) -> Result<(), BlobError> {
        let Some(sending) = self.sending.take() else {
            return Ok(());
        };
        let lost = |_| BlobError::Io(io::Error::other("an upload's part was lost"));
        sending.await.map_err(lost)?.map_err(failed)
    }

    pub(in super::super) async fn finish(mut self) -> Result<(BlobId, Written), BlobError> {
        let payload = self.take().await?;
        self.sent().await?;
        if let Some(upload) = &mut self.upload {
            if payload.content_length() > 0 {
                upload.put_part(payload).await.map_err(failed)?;
            }
            upload.complete().await.map_err(failed)?;
            self.upload = None;
        } else {
            self.s3
                .store
                .put(&self.key(), payload)
                .await
                .map_err(failed)?;
        }
        let hashes = match self.hashing.take() {
            Some(answer) => answer.get().await?,
            None => Box::new(Hashes::new()),
        };
        let written = hashes.finish();
        match self.goal {
            Goal::Blob(id) => Ok((id, written)),
            Goal::Piece { of, slot, name } => {
                let piece = Piece::new(name, &written);
                self.s3
                    .put(&pieces::noted(of, slot, &piece), Bytes::new())
                    .await?;
                Ok((of, written))
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            let sending = self.sending.take();
            let abort = async move {
                if let Some(sending) = sending {
                    // Whatever came of it goes with the rest.
                    drop(sending.await);
                }
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "An upload's parts stay until the bucket's rule ends it");
                }
            };
            self.s3.given.tasks.spawn("abort upload", abort);
        }
    }
}

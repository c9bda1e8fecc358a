//! Where the bytes of objects are: on a local disk or in an S3.
//!
//! Bytes have a name, [`BlobId`], and never change once they are written; rows
//! in the database say which object's bytes have which name. So bytes are made
//! first and durable, then a row names them, then what the row named before is
//! removed: a crash in between leaves bytes that no row names, and nothing else
//! ([ADR 19](../../../docs/adr/0019-bytes-of-objects.md)).
//!
//! Start with [`Blobs`]. What is written goes through a [`Writer`]; what is
//! dropped before [`Writer::finish`] never was.
//!
//! Invariants: no call blocks the runtime; an upload or a download has at most
//! a few buffers of `CHUNK` in memory, whatever its size.

mod error;
mod id;
mod local;
mod pool;
mod s3;
mod verify;
mod written;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use kernel::{Clock, Rng, Tasks};
use uuid::Uuid;

use local::Local;
use s3::S3;

pub use error::BlobError;
pub use id::BlobId;
pub use s3::{Listed, Objects, S3Config};
pub use written::{Sums, Written};

/// What is written, hashed and read at once. Smaller costs more handing over
/// between threads than it saves; larger costs every slow client's memory.
const CHUNK: usize = 256 << 10;

/// What a store of bytes needs beside its place.
#[derive(Clone, Debug)]
pub struct Given {
    /// Time: names sort by it.
    pub clock: Clock,
    /// Randomness, for names.
    pub rng: Rng,
    /// What its connections run in.
    pub tasks: Tasks,
}

/// A store of bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Blobs {
    /// A folder of this machine.
    Local(LocalBlobs),
    /// A bucket of an S3.
    S3(S3Blobs),
}

/// Bytes in a folder of this machine; see [`Blobs::local`].
#[derive(Clone, Debug)]
pub struct LocalBlobs(Local);

/// Bytes in a bucket; see [`Blobs::s3`].
#[derive(Clone, Debug)]
pub struct S3Blobs(S3);

/// Bytes that are still on their way. Dropped before [`Writer::finish`], they
/// are gone, except those that were appended.
#[derive(Debug)]
pub struct Writer(WriterOf);

#[derive(Debug)]
enum WriterOf {
    Local(Box<local::Writer>),
    S3(Box<s3::Writer>),
}

impl Writer {
    /// Takes some more bytes. Waits while the disk is behind.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        match &mut self.0 {
            WriterOf::Local(writer) => writer.write(bytes).await,
            WriterOf::S3(writer) => writer.write(bytes).await,
        }
    }

    /// Makes what was written durable. What was appended or is a part has its
    /// upload's name, and `Written` is about what this writer wrote.
    pub async fn finish(self) -> Result<(BlobId, Written), BlobError> {
        match self.0 {
            WriterOf::Local(writer) => writer.finish().await,
            WriterOf::S3(writer) => writer.finish().await,
        }
    }
}

impl Blobs {
    /// The store in the folder `path`, which is made where it is missing.
    pub fn local(path: &Path, given: Given) -> io::Result<Self> {
        Ok(Self::Local(LocalBlobs(Local::open(path, given)?)))
    }

    /// The store in a bucket, which has to exist.
    pub fn s3(config: &S3Config, given: Given) -> Result<Self, BlobError> {
        Ok(Self::S3(S3Blobs(S3::open(config, given)?)))
    }

    /// Bytes under a new name.
    #[expect(
        clippy::unused_async,
        reason = "callers wait for any store, also for one that asks first"
    )]
    pub async fn create(&self) -> Result<Writer, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => Ok(local.create(None).into()),
            Self::S3(S3Blobs(s3)) => Ok(s3.create(None).into()),
        }
    }

    /// Bytes under a name that they had elsewhere: what is restored.
    #[expect(
        clippy::unused_async,
        reason = "callers wait for any store, also for one that asks first"
    )]
    pub async fn create_as(&self, id: BlobId) -> Result<Writer, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => Ok(local.create(Some(id)).into()),
            Self::S3(S3Blobs(s3)) => Ok(s3.create(Some(id)).into()),
        }
    }

    /// All bytes, or those of a range; a range that ends past the end ends
    /// there.
    pub async fn read(
        &self,
        id: BlobId,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.read(id, range).await,
            Self::S3(S3Blobs(s3)) => s3.read(id, range).await,
        }
    }

    /// How many bytes there are under a name.
    pub async fn size(&self, id: BlobId) -> Result<u64, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.size(id).await,
            Self::S3(S3Blobs(s3)) => s3.size(id).await,
        }
    }

    /// Removes bytes; those that are not there are fine.
    pub async fn remove(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.remove(ids).await,
            Self::S3(S3Blobs(s3)) => s3.remove(ids).await,
        }
    }

    /// The same bytes under a new name.
    pub async fn copy(&self, id: BlobId) -> Result<BlobId, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.copy(id).await,
            Self::S3(S3Blobs(s3)) => s3.copy(id).await,
        }
    }

    /// Every finished name with its size, in order, from after `after` on.
    #[must_use]
    pub fn list(
        &self,
        after: Option<BlobId>,
    ) -> BoxStream<'static, Result<(BlobId, u64), BlobError>> {
        match self {
            Self::Local(LocalBlobs(local)) => local.list(after),
            Self::S3(S3Blobs(s3)) => s3.list(after),
        }
    }

    /// Uploads in several requests that were begun and neither finished nor
    /// discarded, oldest first, at most [`UNFINISHED_MAX`] of them.
    pub async fn unfinished(&self) -> Result<Vec<BlobId>, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.unfinished().await,
            Self::S3(S3Blobs(s3)) => s3.unfinished().await,
        }
    }

    /// Whether the bytes are those of these books. Bytes that are nobody's yet
    /// are from now on.
    pub async fn belong_to(&self, books: Uuid) -> Result<bool, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.belong_to(books).await,
            Self::S3(S3Blobs(s3)) => s3.belong_to(books).await,
        }
    }

    /// Names before this one were given when nobody served the bytes: nobody is
    /// about to name them any more.
    #[must_use]
    pub fn alone_since(&self) -> Option<BlobId> {
        match self {
            Self::Local(LocalBlobs(local)) => local.alone_since(),
            Self::S3(_) => None,
        }
    }

    /// How long after a name was given its bytes may be finished.
    #[must_use]
    pub fn named_late(&self) -> Duration {
        match self {
            Self::Local(_) => Duration::ZERO,
            Self::S3(_) => s3::LONGEST_UPLOAD,
        }
    }

    /// Where the bytes are as a file, if they are one. It is never written
    /// again, so a link to it is a copy.
    #[must_use]
    pub fn local_path(&self, id: BlobId) -> Option<PathBuf> {
        match self {
            Self::Local(LocalBlobs(local)) => Some(local.path(id)),
            Self::S3(_) => None,
        }
    }

    /// Begins an upload in parts, in any order and side by side.
    pub async fn begin_multipart(&self) -> Result<BlobId, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.begin_multipart().await,
            Self::S3(S3Blobs(s3)) => s3.begin().await,
        }
    }

    /// One part. A number that comes again replaces what it was, once its
    /// caller names the new one in [`Blobs::complete_multipart`].
    #[expect(
        clippy::unused_async,
        reason = "callers wait for any store, also for one that asks first"
    )]
    pub async fn write_part(&self, id: BlobId, number: u16) -> Result<Writer, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => Ok(local.write_part(id, number).into()),
            Self::S3(S3Blobs(s3)) => Ok(s3.write_part(id, number).into()),
        }
    }

    /// Makes one of the parts, in their order here. May be said again.
    pub async fn complete_multipart(
        &self,
        id: BlobId,
        parts: &[(u16, Written)],
    ) -> Result<Written, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.complete_multipart(id, parts).await,
            Self::S3(S3Blobs(s3)) => s3.complete_multipart(id, parts).await,
        }
    }

    /// Ends an upload in parts without a result.
    pub async fn abort_multipart(&self, id: BlobId) -> Result<(), BlobError> {
        self.discard(id).await
    }

    /// Begins an upload whose bytes come one after the other in several
    /// requests.
    pub async fn begin_append(&self) -> Result<BlobId, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.begin_append().await,
            Self::S3(S3Blobs(s3)) => s3.begin().await,
        }
    }

    /// Writes on at `offset`; what is there beyond it is cut off. Bytes are
    /// durable once [`Writer::finish`] says so.
    pub async fn append(&self, id: BlobId, offset: u64) -> Result<Writer, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => Ok(local.append(id, offset).await?.into()),
            Self::S3(S3Blobs(s3)) => Ok(s3.append(id, offset).await?.into()),
        }
    }

    /// Ends an upload by appending. May be said again.
    pub async fn seal(&self, id: BlobId, size: u64) -> Result<Written, BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.seal(id, size).await,
            Self::S3(S3Blobs(s3)) => s3.seal(id, size).await,
        }
    }

    /// Ends an unfinished upload of either kind without a result.
    pub async fn discard(&self, id: BlobId) -> Result<(), BlobError> {
        match self {
            Self::Local(LocalBlobs(local)) => local.discard(id).await,
            Self::S3(S3Blobs(s3)) => s3.discard(id).await,
        }
    }
}

impl From<local::Writer> for Writer {
    fn from(writer: local::Writer) -> Self {
        Self(WriterOf::Local(Box::new(writer)))
    }
}

impl From<s3::Writer> for Writer {
    fn from(writer: s3::Writer) -> Self {
        Self(WriterOf::S3(Box::new(writer)))
    }
}

/// One answer's bound: who sweeps asks again after these.
pub const UNFINISHED_MAX: usize = 10_000;

#[cfg(test)]
mod tests;

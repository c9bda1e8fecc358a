//! Downloads: one object, or piece after piece.

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _};

use super::{BlobError, BlobId, S3, blob, failed, pieces};

/// Between two chunks of an answer.
const IDLE: Duration = Duration::from_secs(30);

type Chunks = BoxStream<'static, Result<Bytes, BlobError>>;

impl S3 {
    pub(in super::super) async fn read(
        &self,
        id: BlobId,
        range: Option<Range<u64>>,
    ) -> Result<Chunks, BlobError> {
        match self.read_object(&blob(id), range.clone()).await {
            Err(BlobError::NotFound) => {}
            other => return other,
        }
        let manifest = self.manifest(id).await?;
        let range = range.unwrap_or(0..u64::MAX);
        let (mut at, mut wanted) = (0, Vec::new());
        for piece in manifest.pieces() {
            let from = range.start.max(at);
            let to = range.end.min(at + piece.size);
            if from < to {
                wanted.push((pieces::data(id, piece.name), from - at..to - at));
            }
            at += piece.size;
        }
        let this = self.clone();
        let chunks = stream::iter(wanted).then(move |(key, range)| {
            let this = this.clone();
            async move { this.read_object(&key, Some(range)).await }
        });
        Ok(chunks.try_flatten().boxed())
    }

    pub(super) async fn read_object(
        &self,
        key: &Path,
        range: Option<Range<u64>>,
    ) -> Result<Chunks, BlobError> {
        let range = match range {
            Some(range) if range.start >= range.end => {
                self.store.head(key).await.map_err(failed)?;
                return Ok(stream::empty().boxed());
            }
            Some(range) => Some(range),
            None => None,
        };
        let start = range.as_ref().map(|range| range.start);
        let options = GetOptions {
            range: range.map(|range| match range.end {
                u64::MAX => GetRange::Offset(range.start),
                _ => GetRange::Bounded(range),
            }),
            ..GetOptions::default()
        };
        match self.store.get_opts(key, options).await {
            Ok(found) => Ok(watched(found.into_stream())),
            Err(error @ object_store::Error::NotFound { .. }) => Err(failed(error)),
            Err(error) => {
                // A range past the end is an error there and nothing here.
                let size = self.store.head(key).await.map_err(failed)?.size;
                match start {
                    Some(start) if start >= size => Ok(stream::empty().boxed()),
                    _ => Err(failed(error)),
                }
            }
        }
    }
}

/// A stream that ends when nothing comes for too long.
fn watched(stream: BoxStream<'static, object_store::Result<Bytes>>) -> Chunks {
    let go_on = |mut stream: BoxStream<'static, object_store::Result<Bytes>>| async move {
        match tokio::time::timeout(IDLE, stream.next()).await {
            Ok(next) => Some((next?.map_err(failed), stream)),
            Err(_) => {
                let late = BlobError::Io(io::ErrorKind::TimedOut.into());
                Some((Err(late), stream::empty().boxed()))
            }
        }
    };
    stream::unfold(stream, go_on).boxed()
}

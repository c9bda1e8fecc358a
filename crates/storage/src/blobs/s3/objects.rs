//! A bucket as it is: objects by names that their caller chooses, for what is
//! not the bytes of rows (copies of backups).

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kernel::Tasks;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore as _, ObjectStoreExt as _, PutPayload};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::{BlobError, S3Config, failed};

/// What is sent at once. Longer files are a multipart upload.
const PART: usize = 8 << 20;
/// An S3 takes ten thousand parts; longer files have longer ones.
const PARTS_MAX: u64 = 9_000;

/// A folder of a bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<AmazonS3>,
    folder: Path,
}

/// An object, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name within the folder.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, in seconds since the epoch, by the service's clock.
    pub written_at: i64,
}

impl Objects {
    /// Those below a folder; of the whole bucket if it is empty.
    pub fn open(config: &S3Config, folder: &str, tasks: &Tasks) -> Result<Self, BlobError> {
        Ok(Self {
            store: Arc::new(super::store(config, tasks)?),
            folder: Path::parse(folder).map_err(|error| BlobError::Io(io::Error::other(error)))?,
        })
    }

    fn key(&self, name: &str) -> Path {
        let steps = name.split('/').map(Into::into);
        self.folder.parts().chain(steps).collect()
    }

    /// Sends a file, which must not change meanwhile. There is no object before
    /// all of it has arrived.
    pub async fn send(&self, name: &str, from: &FilePath) -> Result<(), BlobError> {
        let mut file = File::open(from).await?;
        let size = file.metadata().await?.len();
        let part = usize::try_from(size / PARTS_MAX).unwrap_or(usize::MAX);
        let part = part.max(PART);
        let first = chunk(&mut file, part).await?;
        if first.len() < part {
            let payload = PutPayload::from(first);
            let put = self.store.put(&self.key(name), payload).await;
            return put.map(drop).map_err(failed);
        }
        let begun = self.store.put_multipart(&self.key(name)).await;
        let mut upload = begun.map_err(failed)?;
        let sent = send_parts(upload.as_mut(), &mut file, first, part).await;
        if sent.is_err() {
            // What this leaves goes by the bucket's own rule.
            drop(upload.abort().await);
        }
        sent
    }

    /// The bytes of an object.
    pub async fn read(
        &self,
        name: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let found = self.store.get(&self.key(name)).await.map_err(failed)?;
        Ok(found.into_stream().map_err(failed).boxed())
    }

    /// Objects whose names begin with these steps.
    #[must_use]
    pub fn list(&self, below: &str) -> BoxStream<'static, Result<Listed, BlobError>> {
        let folder = self.folder.clone();
        let listed = self.store.list(Some(&self.key(below)));
        let named = listed.map_err(failed).try_filter_map(move |meta| {
            let name = meta.location.prefix_match(&folder).map(|steps| {
                let steps: Vec<_> = steps.map(|step| step.as_ref().to_owned()).collect();
                steps.join("/")
            });
            let written_at = meta.last_modified.timestamp();
            let listed = name.map(|name| Listed {
                name,
                size: meta.size,
                written_at,
            });
            async move { Ok(listed) }
        });
        named.boxed()
    }

    /// Names of folders right below this one.
    pub async fn folders(&self) -> Result<Vec<String>, BlobError> {
        let prefix = Some(&self.folder).filter(|folder| !folder.as_ref().is_empty());
        let listed = self.store.list_with_delimiter(prefix).await;
        let folders = listed.map_err(failed)?.common_prefixes;
        let names = folders.iter().filter_map(Path::filename);
        Ok(names.map(str::to_owned).collect())
    }

    /// Removes objects; those that are not there are fine.
    pub async fn remove(&self, names: Vec<String>) -> Result<(), BlobError> {
        let keys: Vec<_> = names.iter().map(|name| Ok(self.key(name))).collect();
        let mut deleted = self.store.delete_stream(stream::iter(keys).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }
}

impl Listed {
    /// How long ago it was written, in seconds.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> i64 {
        now.as_second().saturating_sub(self.written_at)
    }
}

/// So many bytes; fewer at the end.
async fn chunk(file: &mut File, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(len).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// One part on its way while the next is read.
async fn send_parts(
    upload: &mut dyn MultipartUpload,
    file: &mut File,
    first: Vec<u8>,
    len: usize,
) -> Result<(), BlobError> {
    let mut bytes = first;
    while !bytes.is_empty() {
        let sending = upload.put_part(PutPayload::from(bytes));
        let (sent, next) = tokio::join!(sending, chunk(file, len));
        sent.map_err(failed)?;
        bytes = next?;
    }
    upload.complete().await.map(drop).map_err(failed)
}

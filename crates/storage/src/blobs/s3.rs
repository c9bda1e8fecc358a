//! Bytes in an S3.
//!
//! ```text
//! blobs/<id>              finished in one go
//! manifests/<id>          finished in pieces: which, in order, with sizes and sums
//! pieces/<id>/<uuid>      the pieces
//! open/<id>/begun         an upload in several requests that is not finished
//! open/<id>/<piece>       a piece of it; all there is to know is in its name
//! ```
//!
//! What is put together of pieces stays in pieces: to finish it is one small
//! object that names them, whatever its size, and no S3 must be able to more
//! than to keep objects. A plain upload longer than a part is a multipart upload
//! of the S3's own; what a crash leaves of one is for the bucket's lifecycle
//! rule (see docs/storage-operations.md).

mod connect;
mod listing;
mod objects;
mod pieces;
mod reading;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use kernel::{Secret, Tasks};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutPayload, RetryConfig};
use uuid::Uuid;

use self::pieces::Manifest;
use super::pool::Pool;
use super::{BlobError, BlobId, Given, UNFINISHED_MAX};

pub use objects::{Listed, Objects};
pub(super) use writer::Writer;

/// A request is tried this often, within so much time: longer, and the client
/// has gone.
const RETRIES: usize = 3;
const RETRY_TIME: Duration = Duration::from_secs(30);

/// The name of a long upload is given when it begins.
pub(super) const LONGEST_UPLOAD: Duration = Duration::from_secs(24 * 3600);

/// An S3 copies no more than this in one go.
const COPY_MAX: u64 = 5 << 30;

/// Where the bucket is, and who we are there.
#[derive(Clone)]
pub struct S3Config {
    /// `https://…`; AWS's own for the region if there is none.
    pub endpoint: Option<String>,
    /// The region, `auto` for some.
    pub region: String,
    /// The bucket. It has to exist.
    pub bucket: String,
    /// Who we are.
    pub access_key_id: String,
    /// And how we show it.
    pub secret_access_key: Secret,
    /// The bucket is in the path, not in the host's name.
    pub path_style: bool,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// A bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct S3 {
    store: Arc<AmazonS3>,
    pool: Pool,
    given: Given,
}

impl S3 {
    pub(super) fn open(config: &S3Config, given: Given) -> Result<Self, BlobError> {
        Ok(Self {
            store: Arc::new(store(config, &given.tasks)?),
            pool: Pool::start()?,
            given,
        })
    }

    pub(super) fn create(&self, id: Option<BlobId>) -> Writer {
        Writer::of_blob(self.clone(), id.unwrap_or_else(|| self.new_id()))
    }

    pub(super) async fn size(&self, id: BlobId) -> Result<u64, BlobError> {
        match self.store.head(&blob(id)).await {
            Ok(meta) => Ok(meta.size),
            Err(object_store::Error::NotFound { .. }) => Ok(self.manifest(id).await?.size()),
            Err(error) => Err(failed(error)),
        }
    }

    /// What the rows no longer name goes piece by piece, and its manifest last:
    /// cut short, it can be done again.
    pub(super) async fn remove(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        self.delete(ids.iter().map(|id| blob(*id)).collect())
            .await?;
        for id in ids {
            self.delete_all(&Path::from(format!("pieces/{id}"))).await?;
        }
        self.delete(ids.iter().map(|id| manifest(*id)).collect())
            .await
    }

    pub(super) async fn copy(&self, id: BlobId) -> Result<BlobId, BlobError> {
        let copy = self.new_id();
        match self.store.copy(&blob(id), &blob(copy)).await {
            Ok(()) => return Ok(copy),
            Err(object_store::Error::NotFound { .. }) => {}
            // Some say that it is not there in other words.
            Err(error) => match self.store.head(&blob(id)).await {
                Ok(meta) if meta.size > COPY_MAX => return self.copy_through(id, copy).await,
                Ok(_) => return Err(failed(error)),
                Err(_) => {}
            },
        }
        let of = self.manifest(id).await?;
        let mut pieces = Vec::new();
        for piece in of.pieces() {
            let name = self.given.rng.uuid();
            let (from, to) = (pieces::data(id, piece.name), pieces::data(copy, name));
            self.store.copy(&from, &to).await.map_err(failed)?;
            pieces.push(piece.renamed(name));
        }
        self.put(&manifest(copy), Manifest::of(pieces).to_bytes())
            .await?;
        Ok(copy)
    }

    async fn copy_through(&self, id: BlobId, copy: BlobId) -> Result<BlobId, BlobError> {
        let mut writer = self.create(Some(copy));
        let mut bytes = self.read(id, None).await?;
        while let Some(chunk) = bytes.try_next().await? {
            writer.write(chunk).await?;
        }
        writer.finish().await?;
        Ok(copy)
    }

    pub(super) async fn unfinished(&self) -> Result<Vec<BlobId>, BlobError> {
        let open = Path::from("open");
        let listed = self.store.list_with_delimiter(Some(&open)).await;
        let folders = listed.map_err(failed)?.common_prefixes;
        let names = folders
            .iter()
            .filter_map(|path| path.filename()?.parse().ok());
        let mut ids: Vec<BlobId> = names.collect();
        ids.sort_unstable();
        ids.truncate(UNFINISHED_MAX);
        Ok(ids)
    }

    pub(super) async fn discard(&self, id: BlobId) -> Result<(), BlobError> {
        match self.manifest(id).await {
            // It is finished; only what was left of its making goes.
            Ok(_) => {}
            Err(BlobError::NotFound) => {
                self.delete_all(&Path::from(format!("pieces/{id}"))).await?;
            }
            Err(error) => return Err(error),
        }
        self.delete_all(&Path::from(format!("open/{id}"))).await
    }

    pub(super) async fn belong_to(&self, books: Uuid) -> Result<bool, BlobError> {
        let key = Path::from("owner");
        match self.store.get(&key).await {
            Ok(found) => {
                let owner = found.bytes().await.map_err(failed)?;
                Ok(*owner == *books.to_string().as_bytes())
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.put(&key, books.to_string().into()).await?;
                Ok(true)
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn manifest(&self, id: BlobId) -> Result<Manifest, BlobError> {
        let found = self.store.get(&manifest(id)).await.map_err(failed)?;
        let bytes = found.bytes().await.map_err(failed)?;
        Manifest::of_bytes(&bytes).ok_or(BlobError::Corrupt)
    }

    async fn put(&self, key: &Path, bytes: Bytes) -> Result<(), BlobError> {
        let put = self.store.put(key, PutPayload::from_bytes(bytes));
        put.await.map(drop).map_err(failed)
    }

    async fn delete_all(&self, prefix: &Path) -> Result<(), BlobError> {
        let keys = self.store.list(Some(prefix)).map_ok(|meta| meta.location);
        self.delete_listed(keys.boxed()).await
    }

    async fn delete(&self, keys: Vec<Path>) -> Result<(), BlobError> {
        self.delete_listed(stream::iter(keys.into_iter().map(Ok)).boxed())
            .await
    }

    async fn delete_listed(
        &self,
        keys: BoxStream<'static, object_store::Result<Path>>,
    ) -> Result<(), BlobError> {
        let mut deleted = self.store.delete_stream(keys);
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    fn new_id(&self) -> BlobId {
        BlobId::new(&self.given.clock, &self.given.rng)
    }
}

/// The library's client of a bucket.
fn store(config: &S3Config, tasks: &Tasks) -> Result<AmazonS3, BlobError> {
    let connector = connect::Connector::new(tasks)?;
    let retry = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIME,
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_http_connector(connector)
        .with_retry(retry)
        .with_region(&config.region)
        .with_bucket_name(&config.bucket)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(config.secret_access_key.expose())
        .with_virtual_hosted_style_request(!config.path_style);
    if let Some(endpoint) = &config.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http:"));
    }
    builder.build().map_err(failed)
}

fn blob(id: BlobId) -> Path {
    Path::from(format!("blobs/{id}"))
}

fn manifest(id: BlobId) -> Path {
    Path::from(format!("manifests/{id}"))
}

fn failed(error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::NotFound,
        other => BlobError::Io(std::io::Error::other(other)),
    }
}

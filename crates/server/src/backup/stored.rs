//! Files as the storage room keeps them, for backups.

use std::path::{Path, PathBuf};

use bytes::Bytes as Chunk;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use kernel::Tasks;
use storage::blobs::{BlobError, BlobId, Blobs, Given};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::BackupError;
use super::files::Bytes;
use crate::app::Context;

/// What is read at once of a file that goes elsewhere.
const CHUNK_BYTES: usize = 256 * 1024;

/// The storage room's bytes.
#[derive(Clone, Debug)]
pub(crate) struct Stored(Blobs);

impl Stored {
    pub(crate) fn of(blobs: Blobs) -> Self {
        Self(blobs)
    }

    /// A folder of this machine.
    pub(crate) fn local(folder: &Path, context: &Context) -> Result<Self, BackupError> {
        let given = Given {
            clock: context.clock.clone(),
            rng: context.rng.clone(),
            tasks: Tasks::new(),
        };
        let blobs = Blobs::local(folder, given);
        Ok(Self(blobs.map_err(BackupError::file("open", folder))?))
    }

    async fn read(&self, version: &str, to: &Path) -> Result<(), String> {
        let said = |error: BlobError| error.to_string();
        let broke = |error: std::io::Error| error.to_string();
        let id: BlobId = version
            .parse()
            .map_err(|_| "no file can have this name".to_owned())?;
        let mut bytes = self.0.read(id, None).await.map_err(said)?;
        let mut file = File::create_new(to).await.map_err(broke)?;
        while let Some(chunk) = bytes.next().await {
            file.write_all(&chunk.map_err(said)?).await.map_err(broke)?;
        }
        file.flush().await.map_err(broke)
    }

    async fn write(&self, version: &str, from: &Path) -> Result<(), String> {
        let said = |error: BlobError| error.to_string();
        let broke = |error: std::io::Error| error.to_string();
        let id: BlobId = version
            .parse()
            .map_err(|_| "no file can have this name".to_owned())?;
        let mut file = File::open(from).await.map_err(broke)?;
        let mut writer = self.0.create_as(id).await.map_err(said)?;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            if file.read_buf(&mut chunk).await.map_err(broke)? == 0 {
                break;
            }
            writer.write(Chunk::from(chunk)).await.map_err(said)?;
        }
        writer.finish().await.map(drop).map_err(said)
    }
}

impl Bytes for Stored {
    fn path(&self, version: &str) -> Option<PathBuf> {
        self.0.local_path(version.parse().ok()?)
    }

    fn fetch<'a>(&'a self, version: &'a str, to: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.read(version, to))
    }

    fn send<'a>(&'a self, version: &'a str, from: &'a Path) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.write(version, from))
    }
}

//! The room: what it is made of.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kernel::{Clock, Rng, Tasks};
use pg::Pool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::blobs::Blobs;
use crate::keeping::{Books, Sweeper};
use crate::ports::Signer;
use crate::render::{Studio, StudioConfig};
use crate::s3::S3;
use crate::store::{Store, StoreParts};

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most bytes that any object may have, whatever its bucket says.
    pub file_size_limit: u64,
    /// For how long an unfinished resumable upload waits for its next bytes.
    pub resumable_expire_after: Duration,
    /// What one owner's unfinished resumable uploads may come to.
    pub resumable_bounds: Bounds,
    /// Where clients reach it, with its path: for addresses in answers.
    pub url: String,
}

/// What one owner's unfinished resumable uploads may come to. Those without a
/// length count as the largest that they may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many.
    pub uploads: u64,
    /// Their bytes, together.
    pub bytes: u64,
}

/// What the room is made of.
pub struct Parts {
    /// How it behaves.
    pub config: Config,
    /// The connections of callers' requests.
    pub requests: Pool,
    /// Connections of its own, which may become [`Parts::role`].
    pub pool: Pool,
    /// Who it is in the database.
    pub role: Arc<str>,
    /// Where bytes are.
    pub blobs: Blobs,
    /// Who signs addresses.
    pub signer: Arc<dyn Signer>,
    /// Who signs as S3's clients do.
    pub s3: S3,
    /// What its services run in.
    pub tasks: Tasks,
    /// Cancelled when the server takes no more requests.
    pub leaving: CancellationToken,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// The files of a project.
pub struct Storage {
    /// How it behaves.
    pub(crate) config: Config,
    /// Rows.
    pub(crate) store: Store,
    /// Bytes.
    pub(crate) blobs: Blobs,
    /// Where pictures are made.
    pub(crate) studio: Studio,
    /// Tokens of signed addresses.
    pub(crate) signer: Arc<dyn Signer>,
    /// Keys of S3's clients.
    pub(crate) s3: S3,
    /// What its services run in.
    pub(crate) tasks: Tasks,
    /// Time.
    pub(crate) clock: Clock,
    /// Randomness.
    pub(crate) rng: Rng,
}

impl Storage {
    /// Builds the room.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let removed = Arc::new(Notify::new());
        let books = Books::new(parts.pool.clone(), &parts.role);
        let sweeper = Sweeper::new(books, parts.blobs.clone(), parts.clock.clone());
        let sweeping = sweeper.keep_swept(Arc::clone(&removed), parts.tasks.token());
        parts.tasks.spawn("sweep files", sweeping);
        let store = Store::new(StoreParts {
            requests: parts.requests,
            pool: parts.pool,
            role: parts.role,
            file_size_limit: parts.config.file_size_limit,
            removed,
            clock: parts.clock.clone(),
            rng: parts.rng.clone(),
        });
        Arc::new(Self {
            config: parts.config,
            store,
            blobs: parts.blobs,
            studio: Studio::new(StudioConfig::default()),
            signer: parts.signer,
            s3: parts.s3,
            tasks: parts.tasks,
            clock: parts.clock,
            rng: parts.rng,
        })
    }

    /// Its routes, under `/storage/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        let resumable = self.resumable_router();
        crate::routes::router(self).merge(resumable)
    }
}

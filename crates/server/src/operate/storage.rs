//! `storage fsck` on a project's database and files.

use pg::{Pool, PoolConfig};
pub use storage::keeping::{Fsck, KeepingError, Problem, Report};

use super::Database;
use crate::app::{Context, StartError};
use crate::config::Config;
use crate::wire::storage as room;

/// Why files and rows could not be held against each other.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// The files cannot be opened.
    #[error(transparent)]
    Open(#[from] StartError),
    /// Something failed on the way.
    #[error(transparent)]
    Keeping(#[from] KeepingError),
}

impl Database {
    /// Holds files and rows against each other, and tells of each problem.
    pub async fn fsck(
        &self,
        config: &Config,
        context: &Context,
        fsck: Fsck,
        tell: impl FnMut(Problem) + Send,
    ) -> Result<Report, FsckError> {
        let blobs = room::bytes(config, context, &self.tasks)?;
        let pool = Pool::new(&self.targets.storage, &PoolConfig::default(), &self.tasks);
        let books = storage::keeping::Books::new(pool, room::ROLE);
        Ok(fsck.run(&books, &blobs, &context.clock, tell).await?)
    }
}

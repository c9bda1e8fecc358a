//! What `ferrobase backup` does, and how `serve` begins its duty: a project's
//! settings become orders for [`crate::backup`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::Tasks;
use pg::Target;

use super::{Database, Search};
use crate::app::Context;
use crate::backup::copies::{Copies, Moved};
use crate::backup::create::{self, Made};
use crate::backup::files::Bytes;
use crate::backup::restore::{self, Restored};
use crate::backup::schedule::{self, Ages, Duty, FilesHere};
use crate::backup::stored::Stored;
use crate::backup::verify::{self, Verified};
use crate::backup::{BackupError, Id, Key, Repository, Summary, retention};
use crate::config::{Config, Loaded};
use crate::dev::Plan;
use crate::metrics::Metrics;
use crate::wire;

/// The backups of a project.
pub struct Backups {
    loaded: Loaded,
    root: PathBuf,
    search: Search,
    context: Context,
    repository: Repository,
}

impl Backups {
    /// Where the settings say.
    #[must_use]
    pub fn new(loaded: Loaded, root: PathBuf, search: Search, context: Context) -> Self {
        Self {
            repository: Repository::at(&loaded.config.backup.folder),
            loaded,
            root,
            search,
            context,
        }
    }

    pub(crate) fn of_plan(plan: &Plan<'_>, context: &Context) -> Self {
        let (loaded, root) = (plan.loaded.clone(), plan.root.clone());
        Self::new(loaded, root, plan.search.clone(), context.clone())
    }

    /// The folder.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Makes one.
    pub async fn create(&self, database: &Database) -> Result<Made, BackupError> {
        let key = self.key()?;
        let files = files(&self.loaded.config, &self.context)?;
        let order = create::Order {
            repository: &self.repository,
            database: &database.targets.platform,
            files: files.as_deref(),
            loaded: &self.loaded,
            root: &self.root,
            key: key.as_ref(),
            search: &self.search,
            context: &self.context,
        };
        Box::pin(create::create(&order)).await
    }

    /// Those there are, oldest first.
    pub fn list(&self) -> Result<Vec<Summary>, BackupError> {
        self.repository.list()
    }

    /// Restores one on trial; `latest` is the newest.
    pub async fn verify(&self, name: &str) -> Result<(Id, Verified), BackupError> {
        let id = self.repository.find(name)?;
        let key = self.key()?;
        let room = &self.loaded.config.db.data_dir;
        crate::instance::make_folder(room).map_err(|error| BackupError::File {
            what: "make",
            path: room.clone(),
            source: std::io::Error::other(error),
        })?;
        let order = verify::Order {
            repository: &self.repository,
            id: &id,
            room,
            files: &files_in(&self.context),
            key: key.as_ref(),
            search: &self.search,
            context: &self.context,
        };
        let verified = Box::pin(verify::verify(&order)).await?;
        Ok((id, verified))
    }

    /// Restores one; `latest` is the newest.
    pub async fn restore(
        &self,
        name: &str,
        into: &Path,
        database_url: Option<&str>,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Restored, BackupError> {
        let id = self.repository.find(name)?;
        let key = self.key()?;
        let order = restore::Order {
            repository: &self.repository,
            id: &id,
            into,
            database: database_url.map(Target::parse).transpose()?,
            files: &files_in(&self.context),
            key: key.as_ref(),
            search: &self.search,
            context: &self.context,
        };
        Box::pin(restore::restore(&order, progress)).await
    }

    /// Removes those that the settings do not keep.
    pub fn prune(&self) -> Result<Vec<Id>, BackupError> {
        let keep = self.loaded.config.backup.keep;
        let gone = retention::superfluous(&self.repository.list()?, keep);
        if !gone.is_empty() {
            self.repository.remove(&gone)?;
        }
        Ok(gone)
    }

    /// Sends a backup into the bucket of copies; `latest` is the newest.
    pub async fn send(&self, name: &str) -> Result<(Id, Moved), BackupError> {
        let id = self.repository.find(name)?;
        let tasks = Tasks::new();
        let copies = self.copies(&tasks)?;
        let moved = copies.send(&self.repository, &id).await?;
        tasks.stop().await;
        Ok((id, moved))
    }

    /// Brings a copy into the folder; `latest` is the newest in the bucket.
    pub async fn fetch(&self, name: &str) -> Result<(Id, Moved), BackupError> {
        let tasks = Tasks::new();
        let copies = self.copies(&tasks)?;
        let id = copies.find(name).await?;
        let moved = copies.fetch(&self.repository, &id).await?;
        tasks.stop().await;
        Ok((id, moved))
    }

    /// Removes the copies that the settings do not keep.
    pub async fn prune_copies(&self) -> Result<Vec<Id>, BackupError> {
        let tasks = Tasks::new();
        let copies = self.copies(&tasks)?;
        let keep = self.loaded.config.backup.keep;
        let gone = copies.prune(&self.repository, keep, &self.context).await?;
        tasks.stop().await;
        Ok(gone)
    }

    /// Whether there is a bucket for copies.
    #[must_use]
    pub fn is_copied(&self) -> bool {
        self.loaded.config.backup.bucket.is_some()
    }

    fn copies(&self, tasks: &Tasks) -> Result<Copies, BackupError> {
        let bucket = self.loaded.config.backup.bucket.as_ref();
        Copies::open(bucket.ok_or(BackupError::NoBucket)?, tasks)
    }

    fn key(&self) -> Result<Option<Key>, BackupError> {
        let path = self.loaded.config.backup.key_file.as_deref();
        path.map(Key::read).transpose()
    }

    /// The duty of a server; its gauges are there also where it makes none.
    pub(crate) fn keep(self, database: Target, metrics: &Metrics) -> Tasks {
        let tasks = Tasks::new();
        let ages = Arc::new(Ages::default());
        ages.gauges(metrics, &self.context.clock);
        let duty = Duty {
            config: self.loaded.config.backup.clone(),
            files: files_here(&self.loaded.config, &self.context),
            files_in: Arc::new(files_in(&self.context)),
            loaded: self.loaded,
            root: self.root,
            database,
            search: self.search,
            context: self.context,
        };
        tasks.spawn("backups", schedule::keep(duty, ages, tasks.token()));
        tasks
    }
}

/// None where nothing was ever stored.
fn files(config: &Config, context: &Context) -> Result<Option<Arc<dyn Bytes>>, BackupError> {
    let folder = wire::storage::folder(config);
    if let Some(s3) = &config.storage.s3 {
        let blobs = wire::storage::bytes(config, context, &Tasks::new());
        let blobs = blobs.map_err(|error| BackupError::File {
            what: "use the bucket",
            path: PathBuf::from(&s3.bucket),
            source: io::Error::other(error),
        })?;
        return Ok(Some(Arc::new(Stored::of(blobs))));
    }
    if !folder.is_dir() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Stored::local(&folder, context)?)))
}

/// Asked at each backup: a server that starts has stored nothing yet.
fn files_here(config: &Config, context: &Context) -> Arc<FilesHere> {
    let (config, context) = (config.clone(), context.clone());
    Arc::new(move || files(&config, &context))
}

/// Where they go when a backup is restored.
fn files_in(context: &Context) -> impl Fn(&Path) -> Result<Box<dyn Bytes>, BackupError> + use<> {
    let context = context.clone();
    move |data_dir| {
        Ok(Box::new(Stored::local(
            &data_dir.join(wire::storage::FOLDER),
            &context,
        )?))
    }
}

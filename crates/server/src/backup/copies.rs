//! Copies of backups in a bucket: the same files under the same names as in the
//! folder. Start with [`Copies`].
//!
//! A backup's manifest is sent last and removed first, so a copy whose manifest
//! is there is whole. Files are shared by their hash there as well: what the
//! bucket has is not sent again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kernel::Tasks;
use storage::blobs::{BlobError, Listed, Objects};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;

use super::disk::{self, blocking};
use super::files::Batches;
use super::manifest::{Line, Part, Reader, StoredFile};
use super::repository::{DATABASE, Draft, MANIFEST, SECRETS, VERIFIED};
use super::retention::{self, Keep};
use super::store::{self, Store};
use super::{BackupError, Id, Repository};
use crate::app::Context;
use crate::config::CopiesConfig;

/// Small files are mostly waiting; each may have a part in memory.
const AT_ONCE: usize = 8;
/// A file that no copy names may be of one that is on its way.
const YOUNG_SECONDS: i64 = 2 * 24 * 3600;
/// What is removed with one call.
const REMOVED_AT_ONCE: usize = 1000;

/// A bucket with copies.
#[derive(Clone, Debug)]
pub struct Copies(Objects);

/// What was sent or fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files that were not there yet.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
}

impl Copies {
    /// The bucket of the settings.
    pub fn open(config: &CopiesConfig, tasks: &Tasks) -> Result<Self, BackupError> {
        let opened = Objects::open(&config.s3, &config.folder, tasks);
        opened
            .map(Self)
            .map_err(BackupError::bucket("use", &config.s3.bucket))
    }

    /// The copies that are whole, oldest first.
    pub async fn list(&self) -> Result<Vec<Id>, BackupError> {
        let folders = self.0.folders().await;
        let folders = folders.map_err(BackupError::bucket("list", "backups"))?;
        let mut ids = Vec::new();
        for id in folders.iter().filter_map(|name| Id::parse(name)) {
            if self.has(&format!("{id}/{MANIFEST}")).await? {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    async fn has(&self, name: &str) -> Result<bool, BackupError> {
        // Listing asks for what begins with a whole step; an object is one.
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let mut listed = self.0.list(folder);
        while let Some(one) = listed.next().await {
            let one = one.map_err(BackupError::bucket("list", folder))?;
            if one.name.rsplit('/').next() == Some(file) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sends a backup, without what the bucket has.
    pub async fn send(&self, repository: &Repository, id: &Id) -> Result<Moved, BackupError> {
        let _lock = repository.read_lock()?;
        let mut there = self.hashes().await?;
        let mut files = Batches::open(repository, id).await?;
        let mut moved = Moved::default();
        while let Some(batch) = files.next().await? {
            let new: Vec<_> = batch
                .into_iter()
                .filter(|file| there.insert(file.sha256.clone(), file.size) != Some(file.size))
                .collect();
            for file in &new {
                moved.files += 1;
                moved.bytes += file.size;
            }
            let store = repository.store();
            let sending = new.into_iter().map(|file| {
                let from = store.path(&file.sha256);
                async move { self.put(&store::name(&file.sha256), &from).await }
            });
            let sent = stream::iter(sending).buffer_unordered(AT_ONCE);
            sent.try_collect::<()>().await?;
        }
        let folder = repository.path(id);
        for name in [DATABASE, SECRETS, MANIFEST] {
            self.put(&format!("{id}/{name}"), &folder.join(name))
                .await?;
        }
        self.send_mark(repository, id).await?;
        Ok(moved)
    }

    /// Sends word that a backup was verified, if it was.
    pub async fn send_mark(&self, repository: &Repository, id: &Id) -> Result<(), BackupError> {
        let mark = repository.path(id).join(VERIFIED);
        if !mark.exists() {
            return Ok(());
        }
        self.put(&format!("{id}/{VERIFIED}"), &mark).await
    }

    async fn put(&self, name: &str, from: &Path) -> Result<(), BackupError> {
        let sent = self.0.send(name, from).await;
        sent.map_err(BackupError::bucket("write", name))
    }

    /// The files that are there: hash and size.
    async fn hashes(&self) -> Result<HashMap<String, u64>, BackupError> {
        let listed = self.0.list(store::FOLDER);
        let hashes = listed.map_ok(|one| {
            let hash = one.name.rsplit('/').next().unwrap_or_default();
            (hash.to_owned(), one.size)
        });
        let all = hashes.try_collect().await;
        all.map_err(BackupError::bucket("list", store::FOLDER))
    }

    /// The copy of this name, or the newest for `latest`.
    pub async fn find(&self, name: &str) -> Result<Id, BackupError> {
        let ids = self.list().await?;
        let found = match name {
            "latest" => ids.into_iter().next_back(),
            _ => ids.into_iter().find(|id| id.as_str() == name),
        };
        found.ok_or_else(|| BackupError::Unknown {
            id: name.to_owned(),
            folder: PathBuf::from("the bucket of copies"),
        })
    }

    /// Brings a copy into the folder, where it is a backup like others. What is
    /// there already is not fetched again; whatever comes is held against its
    /// hash.
    pub async fn fetch(&self, repository: &Repository, id: &Id) -> Result<Moved, BackupError> {
        if repository.find(id.as_str()).is_ok() {
            return Ok(Moved::default());
        }
        let draft = repository.begin(id.clone())?;
        self.get(&format!("{id}/{MANIFEST}"), &draft.part(MANIFEST))
            .await?;
        let moved = self.fetch_parts(repository, &draft).await?;
        let mark = format!("{id}/{VERIFIED}");
        if self.has(&mark).await? {
            self.get(&mark, &draft.part(VERIFIED)).await?;
        }
        blocking(move || draft.publish()).await?;
        Ok(moved)
    }

    async fn fetch_parts(
        &self,
        repository: &Repository,
        draft: &Draft,
    ) -> Result<Moved, BackupError> {
        let (parts, mut files) = blocking({
            let path = draft.part(MANIFEST);
            move || {
                let mut reader = Reader::open(&path)?;
                let mut parts = Vec::new();
                while let Some(line) = reader.next()? {
                    if let Line::Part(part) = line {
                        parts.push(part);
                    }
                }
                Ok((parts, Batches::of(Reader::open(&path)?)))
            }
        })
        .await?;
        for Part { name, size, sha256 } in parts {
            // What a name may be is not for a manifest to say.
            let name = [DATABASE, SECRETS].into_iter().find(|known| *known == name);
            let name = name.ok_or_else(|| {
                BackupError::damaged(&draft.part(MANIFEST), "it names a part that there is not")
            })?;
            let to = draft.part(name);
            self.get(&format!("{}/{name}", draft.id), &to).await?;
            check(&to, (size, &sha256)).await?;
        }
        let mut moved = Moved::default();
        let store = repository.store();
        while let Some(batch) = files.next().await? {
            let mut seen = HashSet::new();
            let new: Vec<_> = batch
                .into_iter()
                .filter(|file| !store.has(&file.sum()) && seen.insert(file.sha256.clone()))
                .collect();
            for file in &new {
                moved.files += 1;
                moved.bytes += file.size;
            }
            disk::needs_room(&store.incoming(""), new.iter().map(|file| file.size).sum())?;
            let fetching = new.into_iter().map(|file| self.fetch_file(&store, file));
            let fetched = stream::iter(fetching).buffer_unordered(AT_ONCE);
            fetched.try_collect::<()>().await?;
        }
        Ok(moved)
    }

    async fn fetch_file(&self, store: &Store, file: StoredFile) -> Result<(), BackupError> {
        let to = store.incoming(&file.sha256);
        self.get(&store::name(&file.sha256), &to).await?;
        check(&to, (file.size, &file.sha256)).await?;
        let store = store.clone();
        blocking(move || store.keep(&to, file.sum()).map(drop)).await
    }

    /// An object as a new file.
    async fn get(&self, name: &str, to: &Path) -> Result<(), BackupError> {
        let broke = |what| BackupError::file(what, to);
        let failed = |error: BlobError| BackupError::bucket("read", name)(error);
        let mut bytes = self.0.read(name).await.map_err(failed)?;
        let file = disk::create_private(to).map_err(broke("make"))?;
        let mut file = File::from_std(file);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(failed)?;
            file.write_all(&chunk).await.map_err(broke("write"))?;
        }
        file.flush().await.map_err(broke("write"))
    }

    /// Removes the copies that are not kept, then the files that none of the
    /// others names. `repository` is where there is room to read in.
    pub async fn prune(
        &self,
        repository: &Repository,
        keep: Keep,
        context: &Context,
    ) -> Result<Vec<Id>, BackupError> {
        let all = self.list().await?;
        let mut candidates = Vec::with_capacity(all.len());
        for id in &all {
            let verified = self.has(&format!("{id}/{VERIFIED}")).await?;
            candidates.push((id.clone(), verified));
        }
        let gone = retention::superfluous_copies(candidates, keep);
        for id in &gone {
            // Without its manifest it is none.
            for name in [MANIFEST, DATABASE, SECRETS, VERIFIED] {
                self.remove(vec![format!("{id}/{name}")]).await?;
            }
        }
        if !gone.is_empty() {
            let stay = all.iter().filter(|id| !gone.contains(id));
            // Nothing comes of this draft, and it goes when it is dropped.
            let draft = repository.begin(Id::new(&context.clock, &context.rng))?;
            self.sweep(stay, &draft, context.clock.now()).await?;
        }
        Ok(gone)
    }

    async fn sweep(
        &self,
        stay: impl Iterator<Item = &Id>,
        draft: &Draft,
        now: Timestamp,
    ) -> Result<(), BackupError> {
        let mut named = HashSet::new();
        for id in stay {
            let path = draft.part(id.as_str());
            self.get(&format!("{id}/{MANIFEST}"), &path).await?;
            let mut files = Batches::of(blocking(move || Reader::open(&path)).await?);
            while let Some(batch) = files.next().await? {
                named.extend(batch.into_iter().map(|file| file.sha256));
            }
        }
        let listed = self.0.list(store::FOLDER);
        let listed: Vec<Listed> = listed
            .try_collect()
            .await
            .map_err(BackupError::bucket("list", store::FOLDER))?;
        let gone = listed.into_iter().filter(|one| {
            let hash = one.name.rsplit('/').next().unwrap_or_default();
            !named.contains(hash) && one.age(now) > YOUNG_SECONDS
        });
        let gone: Vec<String> = gone.map(|one| one.name).collect();
        for names in gone.chunks(REMOVED_AT_ONCE) {
            self.remove(names.to_vec()).await?;
        }
        Ok(())
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), BackupError> {
        let first = names.first().cloned().unwrap_or_default();
        let removed = self.0.remove(names).await;
        removed.map_err(BackupError::bucket("remove", &first))
    }
}

async fn check(path: &Path, (size, sha256): (u64, &str)) -> Result<(), BackupError> {
    let (path, sha256) = (path.to_owned(), sha256.to_owned());
    let found = blocking({
        let path = path.clone();
        move || disk::sum(&path).map_err(BackupError::file("read", &path))
    })
    .await?;
    if found.size == size && found.sha256 == sha256 {
        return Ok(());
    }
    // The next try fetches it again.
    drop(fs::remove_file(&path).await);
    Err(BackupError::damaged(
        &path,
        "what came from the bucket is not what was sent there",
    ))
}

//! Bytes in a folder.
//!
//! ```text
//! blobs/019aa/3f1/019aa3f1-…   finished, by the time in their name
//! incoming/…                   being written; gone at the next start
//! parts/<id>/<number>-<sum>    parts of an upload
//! growing/<id>, <id>.sums      bytes that are appended, and what is known of them
//! lock                         held by whoever serves the folder
//! owner                        the books of which database these bytes are in
//! ```
//!
//! A folder in `blobs` takes the names of 65 seconds: a few thousand uploads a
//! second are a hundred thousand entries, and the newest names are in the last
//! folders. A name's file is written elsewhere, renamed, and then file and
//! folder are synced together, one wait for the journal instead of two: until
//! that is done no row names it.

mod append;
mod folders;
mod multipart;
mod temporary;
mod writer;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use rustix::fs::FlockOperation;
use uuid::Uuid;

use self::folders::Folders;
use super::pool::{Answer, Kind, Pool};
use super::{BlobError, BlobId, CHUNK, Given, UNFINISHED_MAX};

pub(super) use writer::Writer;

/// A folder of bytes. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    given: Given,
    pool: Pool,
    folders: Folders,
    /// Names before this were given before we had the folder to ourselves.
    alone: Option<BlobId>,
    /// Held as long as the folder is served.
    _lock: File,
}

impl Local {
    /// Opens the folder, and makes it where it is missing. Whoever comes when
    /// nobody else serves it removes what was being written.
    pub(super) fn open(root: &Path, given: Given) -> io::Result<Self> {
        for folder in ["blobs", "incoming", "parts", "growing"] {
            private_folder().recursive(true).create(root.join(folder))?;
        }
        let lock = new_file().create(true).open(root.join("lock"))?;
        let alone = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone {
            clear(&root.join("incoming"))?;
        }
        rustix::fs::flock(&lock, FlockOperation::LockShared)?;
        File::open(root)?.sync_all()?;
        Ok(Self(Arc::new(Inner {
            root: root.to_owned(),
            folders: Folders::new(root.join("blobs")),
            pool: Pool::start()?,
            alone: alone.then(|| BlobId::earliest_at(given.clock.now())),
            given,
            _lock: lock,
        })))
    }

    /// Where a finished name is.
    pub(super) fn path(&self, id: BlobId) -> PathBuf {
        self.0.folders.path(id)
    }

    pub(super) fn create(&self, id: Option<BlobId>) -> Writer {
        Writer::of_blob(self.clone(), id)
    }

    pub(super) async fn size(&self, id: BlobId) -> Result<u64, BlobError> {
        let path = self.path(id);
        let look = move || Ok(fs::metadata(path)?.len());
        self.0.pool.run(Kind::Quick, look).await
    }

    /// The first chunk is read with the opening: most files are no longer.
    pub(super) async fn read(
        &self,
        id: BlobId,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let path = self.path(id);
        let open = move || {
            let file = Arc::new(File::open(path)?);
            let size = file.metadata()?.len();
            let range = range.unwrap_or(0..size);
            let (at, end) = (range.start.min(size), range.end.min(size));
            let first = read_chunk(&file, at, end)?;
            Ok((file, first, at, end))
        };
        let (file, first, at, end) = self.0.pool.run(Kind::Quick, open).await?;
        let mut reading = Reading {
            pool: self.0.pool.clone(),
            file,
            next: at + first.len() as u64,
            end,
            ahead: None,
        };
        if first.is_empty() {
            return Ok(stream::empty().boxed());
        }
        reading.begin().await;
        let first = stream::iter([Ok(first)]);
        Ok(first.chain(stream::unfold(reading, Reading::go_on)).boxed())
    }

    /// Durably: a tombstone is taken away after this.
    pub(super) async fn remove(&self, ids: &[BlobId]) -> Result<(), BlobError> {
        let (ids, this) = (ids.to_vec(), self.clone());
        let remove = move || {
            let mut folders: Vec<PathBuf> = Vec::new();
            for id in ids {
                let path = this.path(id);
                absent_is_fine(fs::remove_file(&path))?;
                let folder = path.parent().unwrap_or(&this.0.root).to_owned();
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            for folder in folders {
                absent_is_fine(this.0.folders.sync(&folder))?;
            }
            Ok(())
        };
        self.0.pool.run(Kind::Sync, remove).await
    }

    /// A second link to the same bytes, which nobody writes again.
    pub(super) async fn copy(&self, id: BlobId) -> Result<BlobId, BlobError> {
        let (this, copy) = (self.clone(), self.new_id());
        let (from, to) = (self.path(id), self.path(copy));
        let link = move || {
            this.0.folders.make(copy)?;
            match fs::hard_link(&from, &to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error.into()),
                // Too many links, or a file system without them.
                Err(_) => return Ok(Some((from, to))),
            }
            this.0.folders.sync_of(copy)?;
            Ok(None)
        };
        let Some((from, to)) = self.0.pool.run(Kind::Sync, link).await? else {
            return Ok(copy);
        };
        let this = self.clone();
        let duplicate = move || {
            let mut temporary = this.temporary()?;
            let mut from = File::open(from)?;
            io::copy(&mut from, &mut temporary.file())?;
            temporary.publish(&to)?;
            this.0.folders.sync_of(copy)?;
            Ok(copy)
        };
        self.0.pool.run(Kind::Long, duplicate).await
    }

    /// Folder by folder, so that no answer is longer than a folder.
    pub(super) fn list(
        &self,
        after: Option<BlobId>,
    ) -> BoxStream<'static, Result<(BlobId, u64), BlobError>> {
        let (this, pool) = (self.clone(), self.0.pool.clone());
        let begin = move || this.0.folders.after(after).map_err(BlobError::from);
        let folders = async move {
            match pool.run(Kind::Quick, begin).await {
                Ok(folders) => stream::iter(folders.into_iter().map(Ok)).left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            }
        };
        let this = self.clone();
        let entries = stream::once(folders).flatten().then(move |folder| {
            let this = this.clone();
            async move {
                let folder: PathBuf = folder?;
                let read = move || Ok(folders::entries(&folder, after)?);
                this.0.pool.run(Kind::Quick, read).await
            }
        });
        let flat = entries.flat_map(|found| match found {
            Ok(list) => stream::iter(list.into_iter().map(Ok)).left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        flat.boxed()
    }

    pub(super) fn alone_since(&self) -> Option<BlobId> {
        self.0.alone
    }

    pub(super) async fn belong_to(&self, books: Uuid) -> Result<bool, BlobError> {
        let this = self.clone();
        let look = move || {
            let path = this.0.root.join("owner");
            match fs::read_to_string(&path) {
                Ok(owner) => return Ok(owner == books.to_string()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            let mut temporary = this.temporary()?;
            temporary
                .file()
                .write_all_at(books.to_string().as_bytes(), 0)?;
            temporary.publish(&path)?;
            temporary.keep();
            this.0.folders.sync(&this.0.root)?;
            Ok(true)
        };
        self.0.pool.run(Kind::Sync, look).await
    }

    pub(super) async fn unfinished(&self) -> Result<Vec<BlobId>, BlobError> {
        let this = self.clone();
        let look = move || {
            let mut found = Vec::new();
            for kind in ["parts", "growing"] {
                for entry in fs::read_dir(this.0.root.join(kind))? {
                    let name = entry?.file_name();
                    found.extend(name.to_str().and_then(|name| name.parse::<BlobId>().ok()));
                }
            }
            found.sort_unstable();
            found.dedup();
            found.truncate(UNFINISHED_MAX);
            Ok(found)
        };
        self.0.pool.run(Kind::Quick, look).await
    }

    pub(super) async fn discard(&self, id: BlobId) -> Result<(), BlobError> {
        let this = self.clone();
        let discard = move || {
            absent_is_fine(fs::remove_dir_all(this.parts(id)))?;
            absent_is_fine(fs::remove_file(this.growing(id)))?;
            absent_is_fine(fs::remove_file(this.growing_sums(id)))?;
            Ok(())
        };
        self.0.pool.run(Kind::Sync, discard).await
    }

    fn new_id(&self) -> BlobId {
        BlobId::new(&self.0.given.clock, &self.0.given.rng)
    }
}

/// A download: one chunk goes out while the next is read.
struct Reading {
    pool: Pool,
    file: Arc<File>,
    next: u64,
    end: u64,
    ahead: Option<Answer<io::Result<Bytes>>>,
}

impl Reading {
    async fn begin(&mut self) {
        if self.next < self.end {
            let (file, next, end) = (Arc::clone(&self.file), self.next, self.end);
            let read = move || read_chunk(&file, next, end);
            self.ahead = Some(self.pool.begin(Kind::Quick, read).await);
        }
    }

    async fn go_on(mut self) -> Option<(Result<Bytes, BlobError>, Self)> {
        let chunk = match self.ahead.take()?.get().await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Some((Err(error.into()), self)),
            Err(error) => return Some((Err(error), self)),
        };
        self.next += chunk.len() as u64;
        self.begin().await;
        Some((Ok(chunk), self))
    }
}

/// Up to [`CHUNK`] bytes at `at`. Fewer than there must be are an error: what
/// has a name does not change.
fn read_chunk(file: &File, at: u64, end: u64) -> io::Result<Bytes> {
    let size = usize::try_from(end.saturating_sub(at)).map_or(CHUNK, |left| left.min(CHUNK));
    let mut chunk = vec![0; size];
    file.read_exact_at(&mut chunk, at)?;
    Ok(chunk.into())
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// For nobody else on this machine.
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

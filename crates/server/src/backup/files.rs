//! The files that rows name: listed in a snapshot, taken into the repository,
//! and put back.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;
use pg::Session;

use super::disk::{self, Sum, blocking};
use super::manifest::{Line, Missing, Reader, StoredFile, Writer};
use super::repository::{MANIFEST, Repository};
use super::snapshot::{PAGE, Snapshot};
use super::store::Store;
use super::{BackupError, Id};

/// Where the bytes of files are, as backups need it; storage fills it.
pub trait Bytes: Send + Sync {
    /// The file that has them, or shall have them; none when they are
    /// elsewhere than on this machine's disk, or when nothing can have this name.
    fn path(&self, version: &str) -> Option<PathBuf>;
    /// Copies bytes that are elsewhere into a new file here.
    fn fetch<'a>(&'a self, version: &'a str, to: &'a Path) -> BoxFuture<'a, Result<(), String>>;
    /// Copies a file's bytes to where they belong, which is elsewhere.
    fn send<'a>(&'a self, version: &'a str, from: &'a Path) -> BoxFuture<'a, Result<(), String>>;
}

/// Where files go, given the folder that is restored into.
pub type FilesIn<'a> = dyn Fn(&Path) -> Result<Box<dyn Bytes>, BackupError> + Send + Sync + 'a;

/// What was done about the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Files that no earlier backup had.
    pub new_files: u64,
    /// Their size.
    pub new_bytes: u64,
    /// The first of those that could not be read, and why.
    pub first_missing: Option<String>,
}

/// A row's word about a file.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) version: String,
    size: Option<u64>,
    sha256: Option<String>,
}

/// Whether there are rows that name files in this database.
pub(super) async fn exist(session: &mut Session) -> Result<bool, BackupError> {
    let sql = "SELECT pg_catalog.to_regclass('storage.objects') IS NOT NULL
        AND pg_catalog.to_regclass('storage_engine.written') IS NOT NULL";
    let found = session.query(sql, &[]).await;
    let found = found.map_err(BackupError::database("look for files"))?;
    Ok(found.scalar() == Some("t"))
}

/// The files after this one.
async fn page(session: &mut Session, after: &str) -> Result<Vec<Named>, BackupError> {
    let size = PAGE.to_string();
    let params = [Some(after), Some(size.as_str())];
    let rows = session.query(include_str!("files.sql"), &params).await;
    let rows = rows.map_err(BackupError::database("list the files"))?;
    let named = rows.iter().map(|row| Named {
        version: row.get(0).unwrap_or_default().to_owned(),
        size: row.get(1).and_then(|size| size.parse().ok()),
        sha256: row.get(2).map(str::to_owned),
    });
    Ok(named.collect())
}

/// What the newest backup knows, so that its files are not read again: a name
/// never gets other bytes.
pub(super) fn known(repository: &Repository) -> HashMap<String, Sum> {
    let mut known = HashMap::new();
    let Ok(id) = repository.find("latest") else {
        return known;
    };
    let read = |known: &mut HashMap<String, Sum>| -> Result<(), BackupError> {
        let mut reader = Reader::open(&repository.path(&id).join(MANIFEST))?;
        while let Some(line) = reader.next()? {
            if let Line::File(file) = line {
                known.insert(file.version.clone(), file.sum());
            }
        }
        Ok(())
    };
    if let Err(error) = read(&mut known) {
        // A damaged manifest may name any hash.
        tracing::warn!(%error, %id, "The newest backup is not built upon");
        known.clear();
    }
    known
}

/// Takes every file of the snapshot into the repository and names it in the
/// manifest.
pub(super) async fn take_all(
    snapshot: &mut Snapshot,
    bytes: Option<&dyn Bytes>,
    store: &Store,
    known: HashMap<String, Sum>,
    mut manifest: Writer,
) -> Result<(Writer, Taken), BackupError> {
    let mut taken = Taken::default();
    if !exist(&mut snapshot.session).await? {
        return Ok((manifest, taken));
    }
    let mut taking = Taking {
        store: store.clone(),
        known,
    };
    let mut after = String::new();
    loop {
        let named = page(&mut snapshot.session, &after).await?;
        let Some(last) = named.last() else {
            return Ok((manifest, taken));
        };
        after.clone_from(&last.version);
        let mut sources = Vec::with_capacity(named.len());
        for one in named {
            let source = taking.source(one, bytes).await;
            sources.push(source);
        }
        let work = move || {
            let lines = taking.take_page(sources)?;
            for (line, _) in &lines {
                manifest.write(line)?;
            }
            Ok((taking, manifest, lines))
        };
        let (back, writer, lines) = blocking(work).await?;
        (taking, manifest) = (back, writer);
        for (line, is_new) in lines {
            taken.count(&line, is_new);
        }
    }
}

impl Taken {
    fn count(&mut self, line: &Line, is_new: bool) {
        match line {
            Line::File(file) if is_new => {
                self.new_files += 1;
                self.new_bytes += file.size;
            }
            Line::Missing(missing) if self.first_missing.is_none() => {
                self.first_missing = Some(format!("{}: {}", missing.version, missing.why));
            }
            _ => {}
        }
    }
}

/// Where a file's bytes are found.
enum Source {
    /// In the repository already.
    Known(Sum),
    /// In a file that will not change.
    File(PathBuf),
    /// In the repository's incoming folder.
    Fetched(PathBuf),
    Nowhere(String),
}

struct Taking {
    store: Store,
    known: HashMap<String, Sum>,
}

impl Taking {
    async fn source(&self, named: Named, bytes: Option<&dyn Bytes>) -> (Named, Source) {
        let known = self.known.get(&named.version);
        if let Some(sum) = known.filter(|sum| self.store.has(sum)) {
            let sum = sum.clone();
            return (named, Source::Known(sum));
        }
        let Some(bytes) = bytes else {
            return (
                named,
                Source::Nowhere("there is no storage here".to_owned()),
            );
        };
        if let Some(path) = bytes.path(&named.version) {
            return (named, Source::File(path));
        }
        let to = self.store.incoming(&hex(&named.version));
        let source = match bytes.fetch(&named.version, &to).await {
            Ok(()) => Source::Fetched(to),
            Err(why) => Source::Nowhere(why),
        };
        (named, source)
    }

    fn take_page(&self, sources: Vec<(Named, Source)>) -> Result<Vec<(Line, bool)>, BackupError> {
        let new = sources
            .iter()
            .filter(|(_, source)| matches!(source, Source::File(_)));
        let new_bytes = new.filter_map(|(named, _)| named.size).sum();
        // Links take no room, but whether they can be made is not known yet.
        disk::needs_room(&self.store.incoming(""), new_bytes)?;
        let taken = sources
            .into_iter()
            .map(|(named, source)| self.take(named, source));
        taken.collect()
    }

    /// Without room every file would seem to be missing, so that ends the
    /// backup; what is wrong with one file is said of that file.
    fn take(&self, named: Named, source: Source) -> Result<(Line, bool), BackupError> {
        let is_new = !matches!(source, Source::Known(_));
        let sum = match source {
            Source::Known(sum) => Ok(sum),
            Source::File(path) if path.is_file() => {
                Ok(self.store.take(&path, &hex(&named.version))?)
            }
            Source::File(_) => Err("it is not there".to_owned()),
            Source::Fetched(path) => {
                let sum = disk::sum(&path).map_err(BackupError::file("read", &path))?;
                Ok(self.store.keep(&path, sum)?)
            }
            Source::Nowhere(why) => Err(why),
        };
        let sum = sum.and_then(|sum| {
            if named.agrees(&sum) {
                return Ok(sum);
            }
            Err("its bytes are not those that were written".to_owned())
        });
        let version = named.version;
        let line = match sum {
            Ok(Sum { size, sha256 }) => Line::File(StoredFile {
                version,
                size,
                sha256,
            }),
            Err(why) => Line::Missing(Missing { version, why }),
        };
        Ok((line, is_new))
    }
}

impl Named {
    fn agrees(&self, sum: &Sum) -> bool {
        self.size.is_none_or(|size| size == sum.size)
            && self.sha256.as_ref().is_none_or(|hash| *hash == sum.sha256)
    }
}

/// A name that is safe as a file's, whatever a row says.
fn hex(version: &str) -> String {
    use std::fmt::Write as _;
    version.bytes().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Puts all files of a backup back.
pub(super) async fn put_all(
    repository: &Repository,
    id: &Id,
    bytes: &dyn Bytes,
) -> Result<u64, BackupError> {
    let mut files = Batches::open(repository, id).await?;
    let mut count = 0;
    while let Some(batch) = files.next().await? {
        count += batch.len() as u64;
        let mut here = Vec::new();
        for file in batch {
            let from = repository.store().path(&file.sha256);
            match bytes.path(&file.version) {
                Some(to) => here.push((from, to, file)),
                None => send(bytes, &file, &from).await?,
            }
        }
        blocking(move || {
            here.iter()
                .try_for_each(|(from, to, file)| put(from, to, file))
        })
        .await?;
    }
    Ok(count)
}

fn put(from: &Path, to: &Path, file: &StoredFile) -> Result<(), BackupError> {
    if let Some(folder) = to.parent() {
        disk::make_private(folder)?;
    }
    let sum = disk::take(from, to).map_err(BackupError::file("put back", to))?;
    if sum == file.sum() {
        return Ok(());
    }
    let _ = fs::remove_file(to);
    Err(BackupError::damaged(
        from,
        "its bytes do not have the hash that is its name",
    ))
}

async fn send(bytes: &dyn Bytes, file: &StoredFile, from: &Path) -> Result<(), BackupError> {
    let path = from.to_owned();
    let sum = blocking(move || disk::sum(&path).map_err(BackupError::file("read", &path))).await?;
    if sum != file.sum() {
        return Err(BackupError::damaged(
            from,
            "its bytes do not have the hash that is its name",
        ));
    }
    let sent = bytes.send(&file.version, from).await;
    sent.map_err(|why| BackupError::File {
        what: "put back",
        path: from.to_owned(),
        source: std::io::Error::other(why),
    })
}

/// The files of a backup, some at a time.
pub(super) struct Batches(Option<Reader>);

impl Batches {
    pub(super) async fn open(repository: &Repository, id: &Id) -> Result<Self, BackupError> {
        let path = repository.path(id).join(MANIFEST);
        blocking(move || Ok(Self(Some(Reader::open(&path)?)))).await
    }

    /// Of a manifest that is somewhere else.
    pub(super) fn of(reader: Reader) -> Self {
        Self(Some(reader))
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<StoredFile>>, BackupError> {
        let Some(mut reader) = self.0.take() else {
            return Ok(None);
        };
        let (reader, batch) = blocking(move || {
            let mut batch = Vec::new();
            while batch.len() < PAGE {
                match reader.next()? {
                    Some(Line::File(file)) => batch.push(file),
                    Some(_) => {}
                    None => return Ok((None, batch)),
                }
            }
            Ok((Some(reader), batch))
        })
        .await?;
        self.0 = reader;
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }
}

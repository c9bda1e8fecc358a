//! A backup becomes a project again. Start with [`restore`].
//!
//! Everything is put together in `.ferrobase.restoring` and gets the name
//! `.ferrobase` when all of it is on the disk: what a killed restore leaves is
//! no database that anybody would start, and the next restore removes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::Tasks;
use pg::cluster::{Cluster, ClusterConfig, Search, read_instance};
use pg::dump::{Into, Programs};
use pg::migrate::MIGRATIONS;
use pg::{Session, Target};

use super::disk::{self, Lock, blocking};
use super::files::{self, FilesIn};
use super::manifest::{Header, Line, Part, Reader, Table};
use super::repository::{DATABASE, MANIFEST, SECRETS};
use super::seal::{PartReader, Sealed};
use super::secrets::{self, Scope, Secrets};
use super::{BackupError, Id, Key, Repository};
use crate::app::Context;

/// Another database than the one that was backed up, which may still be at work
/// on its files: the sweeper removes only what belongs to its own database.
const OWN_BOOKS: &str = "DO $$ BEGIN
    IF pg_catalog.to_regclass('storage_engine.sweep') IS NOT NULL THEN
        UPDATE storage_engine.sweep SET books = pg_catalog.gen_random_uuid(), up_to = NULL;
    END IF;
END $$";

const STAGE: &str = ".ferrobase.restoring";
const DATA_DIR: &str = ".ferrobase";
/// Settings that came from the environment or a flag, for whoever has to set
/// them again.
const SETTINGS: &str = "restored-settings.json";
/// Connections for one who makes the others.
const MAINTENANCE_DATABASE: &str = "template1";

/// What to restore, and where to.
pub struct Order<'a> {
    /// Where backups lie.
    pub repository: &'a Repository,
    /// Which one.
    pub id: &'a Id,
    /// The folder that becomes the project's; empty, or not there yet.
    pub into: &'a Path,
    /// An empty database elsewhere, instead of a cluster in the folder.
    pub database: Option<Target>,
    /// Where files go, given the folder that becomes `.ferrobase`.
    pub files: &'a FilesIn<'a>,
    /// What the backup is encrypted with.
    pub key: Option<&'a Key>,
    /// Where to look for PostgreSQL's programs.
    pub search: &'a Search,
    /// Time and randomness.
    pub context: &'a Context,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// About the backup.
    pub header: Header,
    /// How many files.
    pub files: u64,
    /// What was left out or is to be done, one sentence each.
    pub notes: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// A backup that is whole, as far as its manifest goes.
pub(super) struct Opened {
    pub(super) folder: PathBuf,
    pub(super) header: Header,
    pub(super) tables: Vec<Table>,
    pub(super) files: u64,
    pub(super) file_bytes: u64,
    pub(super) missing: u64,
    parts: Vec<Part>,
    sealed: Option<Sealed>,
    _lock: Lock,
}

impl Opened {
    /// Reads the manifest to its end, hash included.
    pub(super) async fn open(
        repository: &Repository,
        id: &Id,
        key: Option<&Key>,
    ) -> Result<Self, BackupError> {
        let (repository, id, key) = (repository.clone(), id.clone(), key.cloned());
        blocking(move || Self::read(&repository, &id, key.as_ref())).await
    }

    fn read(repository: &Repository, id: &Id, key: Option<&Key>) -> Result<Self, BackupError> {
        repository.find(id.as_str())?;
        let lock = repository.read_lock()?;
        let folder = repository.path(id);
        let mut reader = Reader::open(&folder.join(MANIFEST))?;
        let mut opened = Self {
            sealed: Sealed::open(reader.header(), key)?,
            header: reader.header().clone(),
            folder,
            tables: Vec::new(),
            files: 0,
            file_bytes: 0,
            missing: 0,
            parts: Vec::new(),
            _lock: lock,
        };
        while let Some(line) = reader.next()? {
            match line {
                Line::Part(part) => opened.parts.push(part),
                Line::Table(table) => opened.tables.push(table),
                Line::File(file) => {
                    opened.files += 1;
                    opened.file_bytes += file.size;
                }
                Line::Missing(_) => opened.missing += 1,
                Line::Backup(_) | Line::End(_) => {}
            }
        }
        let known = MIGRATIONS.last().map_or(0, |last| last.version);
        if opened.header.migration > known {
            return Err(BackupError::Foreign {
                id: id.to_string(),
                why: format!(
                    "its schema is of migration {}, and this program knows {known}",
                    opened.header.migration
                ),
            });
        }
        Ok(opened)
    }

    fn part(&self, name: &str) -> Result<PartReader, BackupError> {
        let part = self.parts.iter().find(|part| part.name == name);
        let part = part.cloned().ok_or_else(|| {
            BackupError::damaged(&self.folder, format!("its manifest does not name {name}"))
        })?;
        PartReader::open(&self.folder, part, self.sealed.as_ref())
    }

    pub(super) fn secrets(&self) -> Result<Secrets, BackupError> {
        let bytes = self.part(SECRETS)?.all()?;
        serde_json::from_slice(&bytes)
            .map_err(|_| BackupError::damaged(&self.folder.join(SECRETS), "it is not as written"))
    }

    /// Roles, then the database, into a new cluster of our own.
    pub(super) async fn fill_cluster(
        &self,
        cluster: &Cluster,
        secrets: &Secrets,
        search: &Search,
    ) -> Result<(), BackupError> {
        let admin = cluster.target(Cluster::superuser(), MAINTENANCE_DATABASE);
        let mut session = connect(&admin).await?;
        secrets::apply(&mut session, &secrets.roles, Scope::OwnCluster).await?;
        session.close().await;
        self.fill_database(&admin, Into::NewDatabase, search).await
    }

    async fn fill_database(
        &self,
        target: &Target,
        into: Into,
        search: &Search,
    ) -> Result<(), BackupError> {
        let mut part = self.part(DATABASE)?;
        // A program of the archive's version or later can read it.
        let (search, version) = (search.clone(), self.header.server_version);
        let programs = blocking(move || Ok(Programs::find(&search, version)?)).await?;
        let mut restore = programs.restore(target, into)?;
        loop {
            let (back, bytes) = blocking(move || {
                let bytes = part.next()?;
                Ok((part, bytes))
            })
            .await?;
            part = back;
            let Some(bytes) = bytes else { break };
            if !restore.write(&bytes).await? {
                break;
            }
        }
        Ok(restore.finish().await?)
    }
}

pub(super) async fn connect(target: &Target) -> Result<Session, BackupError> {
    let connected = Session::connect(target).await;
    connected.map_err(BackupError::database("connect to the restored database"))
}

/// Restores one backup, as a project that `dev` and `serve` start.
pub async fn restore(
    order: &Order<'_>,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<Restored, BackupError> {
    let began = Instant::now();
    let opened = Opened::open(order.repository, order.id, order.key).await?;
    let secrets = opened.secrets()?;
    let stage = prepare(order.into).await?;
    disk::needs_room(&stage, opened.header.database_bytes + opened.file_bytes)?;
    let mut notes = Vec::new();
    if let Some(target) = &order.database {
        progress("restoring the database at the URL");
        notes = elsewhere(&opened, &secrets, target, order.search).await?;
    } else {
        progress("restoring the database");
        here(&opened, &secrets, order, &stage).await?;
    }
    progress(&format!("restoring {} files", opened.files));
    let bytes = (order.files)(&stage)?;
    let files = files::put_all(order.repository, order.id, bytes.as_ref()).await?;
    notes.extend(finish(&secrets, order.into, &stage)?);
    if opened.missing > 0 {
        notes.push(format!(
            "{} files were missing already when the backup was made",
            opened.missing
        ));
    }
    Ok(Restored {
        header: opened.header,
        files,
        notes,
        took: began.elapsed(),
    })
}

/// The folder in which everything is put together.
async fn prepare(into: &Path) -> Result<PathBuf, BackupError> {
    let stage = into.join(STAGE);
    if stage.exists() {
        // It was empty when that restore began, so all of it is that one's.
        if read_instance(&stage).is_some_and(|instance| instance.alive) {
            return Err(BackupError::Busy {
                folder: into.to_owned(),
            });
        }
        if into.join(DATA_DIR).exists() {
            return Err(not_empty(into));
        }
        disk::remove_busy(stage.clone()).await?;
        clear(into)?;
    }
    if !disk::is_empty(into)? {
        return Err(not_empty(into));
    }
    // As any project's folder: PostgreSQL's user has to get through it.
    fs::create_dir_all(into).map_err(BackupError::file("make", into))?;
    disk::make_private(&stage)?;
    Ok(fs::canonicalize(&stage).unwrap_or(stage))
}

/// Settings that a killed restore had written already.
fn clear(into: &Path) -> Result<(), BackupError> {
    for name in ["ferrobase.toml", "supabase"] {
        let path = into.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.map_err(BackupError::file("remove", &path))?;
    }
    Ok(())
}

fn not_empty(into: &Path) -> BackupError {
    BackupError::NotEmpty {
        what: format!("the folder {}", into.display()),
    }
}

/// The database in a cluster of its own, which is stopped again.
async fn here(
    opened: &Opened,
    secrets: &Secrets,
    order: &Order<'_>,
    stage: &Path,
) -> Result<(), BackupError> {
    let tasks = Tasks::new();
    let cluster = start(stage, order.search, order.context, &tasks).await?;
    let elsewhere = cluster.info().note.is_some();
    let data_dir = cluster.info().data_dir.clone();
    let done = if elsewhere {
        Err(BackupError::Closed {
            folder: order.into.to_owned(),
        })
    } else {
        fill_as_another(opened, &cluster, secrets, order.search).await
    };
    cluster.stop().await;
    tasks.stop().await;
    if elsewhere {
        disk::remove_busy(data_dir).await?;
    }
    done
}

async fn fill_as_another(
    opened: &Opened,
    cluster: &Cluster,
    secrets: &Secrets,
    search: &Search,
) -> Result<(), BackupError> {
    opened.fill_cluster(cluster, secrets, search).await?;
    let database = cluster.target(Cluster::superuser(), &opened.header.database);
    let mut session = connect(&database).await?;
    own_books(&mut session).await?;
    session.close().await;
    Ok(())
}

async fn own_books(session: &mut Session) -> Result<(), BackupError> {
    let done = session.script(OWN_BOOKS).await.map(drop);
    done.map_err(BackupError::database("begin new books about files"))
}

/// A new cluster in this folder, behind its private socket only.
pub(super) async fn start(
    folder: &Path,
    search: &Search,
    context: &Context,
    tasks: &Tasks,
) -> Result<Cluster, BackupError> {
    let config = ClusterConfig {
        search: search.clone(),
        port: None,
        ..ClusterConfig::new(folder, context.clock.clone())
    };
    Ok(Cluster::start(config, tasks, |_| ()).await?)
}

/// The database at a URL, in one transaction.
async fn elsewhere(
    opened: &Opened,
    secrets: &Secrets,
    target: &Target,
    search: &Search,
) -> Result<Vec<String>, BackupError> {
    let mut session = connect(target).await?;
    let found = session.query(include_str!("is_empty.sql"), &[]).await;
    let found = found.map_err(BackupError::database("look into the database"))?;
    if found.scalar() != Some("t") {
        return Err(BackupError::NotEmpty {
            what: format!("the database at {target}"),
        });
    }
    let mut notes = secrets::apply(&mut session, &secrets.roles, Scope::Foreign).await?;
    opened.fill_database(target, Into::Empty, search).await?;
    notes.extend(secrets::apply_to_database(&mut session, &secrets.roles).await?);
    own_books(&mut session).await?;
    session.close().await;
    Ok(notes)
}

/// Keys and settings, then the name that `dev` and `serve` look for.
fn finish(secrets: &Secrets, into: &Path, stage: &Path) -> Result<Vec<String>, BackupError> {
    secrets::write(secrets, into, stage)?;
    disk::replace(&stage.join(".gitignore"), b"*\n")?;
    let outside: Vec<_> = secrets.settings.iter().filter(|one| !one.in_file).collect();
    let mut notes = Vec::new();
    if !outside.is_empty() {
        let text = serde_json::to_vec_pretty(&outside).unwrap_or_default();
        disk::replace(&stage.join(SETTINGS), &text)?;
        let names: Vec<&str> = outside.iter().map(|one| one.path.as_str()).collect();
        notes.push(format!(
            "set outside of the project's files, and to be set again: {} (values are in \
             {DATA_DIR}/{SETTINGS})",
            names.join(", ")
        ));
    }
    if secrets.settings.iter().any(|one| one.path == "storage.url") {
        notes.push(format!(
            "files are in {DATA_DIR}/files; `storage.url` names another place, where they have to be \
             moved, or has to go"
        ));
    }
    disk::publish(stage, &into.join(DATA_DIR))?;
    Ok(notes)
}

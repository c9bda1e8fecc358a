//! Whether a backup is one: it is restored, for real, into a cluster and a
//! folder of its own, and compared with its manifest. Start with [`verify`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::Tasks;
use pg::cluster::{Cluster, Search, read_instance};
use pg::{Session, SqlBuf, Target};

use super::disk::{self, blocking};
use super::files::{self, Batches, Bytes, FilesIn};
use super::manifest::StoredFile;
use super::restore::{Opened, connect, start};
use super::{BackupError, Id, Key, Repository, rows};
use crate::app::Context;

/// What to verify, and where there is room for it.
pub struct Order<'a> {
    /// Where backups lie.
    pub repository: &'a Repository,
    /// Which one.
    pub id: &'a Id,
    /// A folder that PostgreSQL's user may enter; a folder in it is made and
    /// removed again.
    pub room: &'a Path,
    /// Where files go, given that folder.
    pub files: &'a FilesIn<'a>,
    /// What the backup is encrypted with.
    pub key: Option<&'a Key>,
    /// Where to look for PostgreSQL's programs.
    pub search: &'a Search,
    /// Time and randomness.
    pub context: &'a Context,
}

/// What was found equal.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Tables, rows and hashes of rows.
    pub tables: usize,
    /// Rows in them.
    pub rows: u64,
    /// Files, byte for byte.
    pub files: u64,
    /// Their size.
    pub file_bytes: u64,
    /// Files that the backup does not have, because they were missing.
    pub missing: u64,
    /// How long it took.
    pub took: Duration,
}

/// Restores a backup and compares it. Only when nothing differs it is marked.
pub async fn verify(order: &Order<'_>) -> Result<Verified, BackupError> {
    let began = Instant::now();
    let opened = Opened::open(order.repository, order.id, order.key).await?;
    let room = prepare(order).await?;
    disk::needs_room(&room, opened.header.database_bytes + opened.file_bytes)?;
    let tasks = Tasks::new();
    let cluster = start(&room, order.search, order.context, &tasks).await?;
    // Where PostgreSQL's user may not enter, its data lies elsewhere.
    let data_dir = cluster.info().data_dir.clone();
    let compared = compare(order, &opened, &cluster, &room).await;
    cluster.stop().await;
    tasks.stop().await;
    disk::remove_busy(data_dir).await?;
    disk::remove_busy(room).await?;
    let differences = compared?;
    if let Some(first) = differences.first() {
        return Err(BackupError::Differs {
            count: differences.len(),
            first: first.clone(),
        });
    }
    let now = order.context.clock.now();
    order.repository.mark_verified(order.id, now)?;
    Ok(Verified {
        tables: opened.tables.len(),
        rows: opened.tables.iter().map(|table| table.rows).sum(),
        files: opened.files,
        file_bytes: opened.file_bytes,
        missing: opened.missing,
        took: began.elapsed(),
    })
}

/// A folder for one verification at a time.
async fn prepare(order: &Order<'_>) -> Result<PathBuf, BackupError> {
    let room = order.room.join("verify");
    if read_instance(&room).is_some_and(|instance| instance.alive) {
        return Err(BackupError::Busy { folder: room });
    }
    disk::remove_busy(room.clone()).await?;
    disk::make_private(&room)?;
    Ok(room)
}

async fn compare(
    order: &Order<'_>,
    opened: &Opened,
    cluster: &Cluster,
    room: &Path,
) -> Result<Vec<String>, BackupError> {
    let secrets = opened.secrets()?;
    opened.fill_cluster(cluster, &secrets, order.search).await?;
    let database = cluster.target(Cluster::superuser(), &opened.header.database);
    let mut differences = compare_database(opened, &database).await?;
    let bytes = (order.files)(room)?;
    files::put_all(order.repository, order.id, bytes.as_ref()).await?;
    differences.extend(compare_files(order, opened, &database, bytes.as_ref()).await?);
    Ok(differences)
}

/// Tables, their rows, roles and extensions.
async fn compare_database(opened: &Opened, target: &Target) -> Result<Vec<String>, BackupError> {
    let mut session = connect(target).await?;
    let settings = session.query(rows::SETTINGS, &[]).await;
    settings.map_err(BackupError::database("look into the restored database"))?;
    let mut differences = Vec::new();
    let mut left = rows::tables(&mut session).await?;
    for table in &opened.tables {
        let name = format!("{}.{}", table.schema, table.name);
        let place = left
            .iter()
            .position(|(schema, name)| (schema, name) == (&table.schema, &table.name));
        let Some(place) = place else {
            differences.push(format!("table {name} is missing"));
            continue;
        };
        left.swap_remove(place);
        let found = rows::measure(&mut session, &table.schema, &table.name).await?;
        if found.rows != table.rows {
            let (found, wanted) = (found.rows, table.rows);
            differences.push(format!("table {name} has {found} rows instead of {wanted}"));
        } else if found.hash != table.hash {
            differences.push(format!("table {name} has other rows"));
        }
    }
    let more = left.iter();
    differences.extend(more.map(|(schema, name)| format!("table {schema}.{name} is too many")));
    differences.extend(compare_names(opened, &mut session).await?);
    session.close().await;
    Ok(differences)
}

async fn compare_names(opened: &Opened, session: &mut Session) -> Result<Vec<String>, BackupError> {
    let failed = BackupError::database("look into the restored database");
    let rows = session.query(include_str!("facts.sql"), &[]).await;
    let rows = rows.map_err(failed)?;
    let row = rows.first();
    let names = |place| -> Vec<String> {
        let text = row.as_ref().and_then(|row| row.get(place));
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    let mut differences = Vec::new();
    let roles = names(6);
    let missing = opened
        .header
        .roles
        .iter()
        .filter(|role| !roles.contains(role));
    differences.extend(missing.map(|role| format!("role {role} is missing")));
    // Versions may be newer where another package is installed.
    let bare = |text: &String| text.split(' ').next().unwrap_or_default().to_owned();
    let extensions: Vec<String> = names(5).iter().map(bare).collect();
    let wanted = opened.header.extensions.iter().map(bare);
    let missing = wanted.filter(|name| !extensions.contains(name));
    differences.extend(missing.map(|name| format!("extension {name} is missing")));
    Ok(differences)
}

/// Every file's bytes, and that rows and files name each other.
async fn compare_files(
    order: &Order<'_>,
    opened: &Opened,
    target: &Target,
    bytes: &dyn Bytes,
) -> Result<Vec<String>, BackupError> {
    let mut differences = Vec::new();
    let mut session = connect(target).await?;
    if !files::exist(&mut session).await? {
        return Ok(differences);
    }
    let failed = || BackupError::database("look for the files' rows");
    let named = session
        .query("SELECT count(DISTINCT version) FROM storage.objects", &[])
        .await
        .map_err(failed())?;
    let named: u64 = named.scalar().and_then(|n| n.parse().ok()).unwrap_or(0);
    if named != opened.files + opened.missing {
        let known = opened.files;
        differences.push(format!(
            "rows name {named} files, and the backup has {known}"
        ));
    }
    let mut batches = Batches::open(order.repository, order.id).await?;
    while let Some(batch) = batches.next().await? {
        let versions: Vec<&str> = batch.iter().map(|file| file.version.as_str()).collect();
        let versions = serde_json::to_string(&versions).unwrap_or_default();
        let sql = SqlBuf::fixed(
            "SELECT count(DISTINCT version) FROM storage.objects WHERE version = ANY (
                ARRAY(SELECT pg_catalog.json_array_elements_text($1::text::json)))",
        );
        let found = session
            .query_buf(&sql.bind(versions))
            .await
            .map_err(failed())?;
        if found.scalar() != Some(batch.len().to_string().as_str()) {
            differences.push("the backup has files that no row names".to_owned());
        }
        let placed = batch.into_iter();
        let placed = placed
            .map(|file| (bytes.path(&file.version), file))
            .collect();
        differences.extend(blocking(move || Ok(read_back(placed))).await?);
    }
    session.close().await;
    Ok(differences)
}

/// Reads restored files once more: what counts is what somebody would get.
fn read_back(placed: Vec<(Option<PathBuf>, StoredFile)>) -> Vec<String> {
    let differs = |(path, file): (Option<PathBuf>, StoredFile)| {
        let version = &file.version;
        let Some(path) = path else {
            return Some(format!("file {version} has no place"));
        };
        match disk::sum(&path) {
            Ok(sum) if sum == file.sum() => None,
            Ok(_) => Some(format!("file {version} has other bytes")),
            Err(error) => Some(format!("file {version}: {error}")),
        }
    };
    placed.into_iter().filter_map(differs).collect()
}

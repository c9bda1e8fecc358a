//! Making a backup. Start with [`create`].

use std::path::Path;
use std::time::{Duration, Instant};

use pg::Target;
use pg::cluster::Search;
use pg::dump::Programs;

use super::disk::{self, blocking};
use super::files::{self, Bytes, Taken};
use super::manifest::{Header, Line, Part, VERSION, Writer};
use super::repository::{DATABASE, Draft, MANIFEST, SECRETS};
use super::seal::{PartWriter, Sealed};
use super::secrets::{self, Secrets};
use super::snapshot::{Facts, Snapshot};
use super::{BackupError, Id, Key, Repository};
use crate::app::Context;
use crate::config::Loaded;

/// What to back up, and where to.
pub struct Order<'a> {
    /// Where backups lie.
    pub repository: &'a Repository,
    /// The database, entered as its owner or a superuser.
    pub database: &'a Target,
    /// The files that its rows name.
    pub files: Option<&'a dyn Bytes>,
    /// The settings.
    pub loaded: &'a Loaded,
    /// The project's folder.
    pub root: &'a Path,
    /// What encrypts archive and secrets.
    pub key: Option<&'a Key>,
    /// Where to look for PostgreSQL's programs.
    pub search: &'a Search,
    /// Time and randomness.
    pub context: &'a Context,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its name.
    pub id: Id,
    /// What was done about the files.
    pub files: Taken,
    /// How long it took.
    pub took: Duration,
}

/// Makes one backup. When this fails, or the process is killed in it, there is
/// none.
pub async fn create(order: &Order<'_>) -> Result<Made, BackupError> {
    let began = Instant::now();
    let id = Id::new(&order.context.clock, &order.context.rng);
    let draft = order.repository.begin(id)?;
    let mut snapshot = Snapshot::take(order.database, &order.context.clock).await?;
    let facts = snapshot.facts().await?;
    // Compressed and without indexes an archive is smaller than half of that.
    disk::needs_room(&draft.folder, facts.bytes / 2)?;
    let search = order.search.clone();
    let version = facts.server_version;
    let programs = blocking(move || Ok(Programs::find(&search, version)?)).await?;
    let (sealed, seal) = order
        .key
        .map(|key| Sealed::make(key, &order.context.rng))
        .unzip();
    let mut manifest = Writer::create(&draft.part(MANIFEST))?;
    let mut header = header(&draft, &snapshot, &facts);
    header.pg_dump = programs.version();
    header.seal = seal;
    manifest.write(&Line::Backup(header))?;

    let name = snapshot.name.clone();
    let archive = archive(order.database, &programs, &name, &draft, sealed.as_ref());
    let rest = the_rest(order, &mut snapshot, &draft, manifest, &facts);
    let (archive, (mut manifest, files, secrets)) = tokio::try_join!(archive, rest)?;
    snapshot.release().await?;
    let secrets = write_secrets(&secrets, &draft, sealed.as_ref())?;
    manifest.write(&Line::Part(archive))?;
    manifest.write(&Line::Part(secrets))?;
    let id = blocking(move || {
        manifest.finish()?;
        draft.publish()
    })
    .await?;
    Ok(Made {
        id,
        files,
        took: began.elapsed(),
    })
}

fn header(draft: &Draft, snapshot: &Snapshot, facts: &Facts) -> Header {
    Header {
        version: VERSION,
        id: draft.id.to_string(),
        taken_at: format!("{:.0}", snapshot.taken_at),
        ferrobase: env!("CARGO_PKG_VERSION").to_owned(),
        migration: facts.migration,
        server_version: facts.server_version,
        database: facts.database.clone(),
        database_bytes: facts.bytes,
        roles: facts.roles.clone(),
        extensions: facts.extensions.clone(),
        ..Header::default()
    }
}

/// `pg_dump`'s archive of the snapshot.
async fn archive(
    database: &Target,
    programs: &Programs,
    snapshot: &str,
    draft: &Draft,
    sealed: Option<&Sealed>,
) -> Result<Part, BackupError> {
    let mut part = PartWriter::create(&draft.folder, DATABASE, sealed)?;
    let mut dump = programs.dump(database, snapshot)?;
    while let Some(bytes) = dump.read().await? {
        part = blocking(move || part.write(&bytes).map(|()| part)).await?;
    }
    dump.finish().await?;
    part.finish()
}

/// Everything else, read in the snapshot's own session.
async fn the_rest(
    order: &Order<'_>,
    snapshot: &mut Snapshot,
    draft: &Draft,
    manifest: Writer,
    facts: &Facts,
) -> Result<(Writer, Taken, Secrets), BackupError> {
    let repository = order.repository.clone();
    let known = blocking(move || Ok(files::known(&repository))).await?;
    let store = order.repository.store();
    let taken = files::take_all(snapshot, order.files, &store, known, manifest).await;
    let (mut manifest, taken) = taken?;
    for table in snapshot.tables().await? {
        manifest.write(&Line::Table(table))?;
    }
    let data_dir = &order.loaded.config.db.data_dir;
    let mut secrets = secrets::read(order.root, data_dir, order.loaded)?;
    let may = facts.may_read_passwords;
    secrets.roles = secrets::read_roles(&mut snapshot.session, may).await?;
    tracing::debug!(id = %draft.id, "Everything of the snapshot has been read");
    Ok((manifest, taken, secrets))
}

fn write_secrets(
    secrets: &Secrets,
    draft: &Draft,
    sealed: Option<&Sealed>,
) -> Result<Part, BackupError> {
    let mut part = PartWriter::create(&draft.folder, SECRETS, sealed)?;
    let text = serde_json::to_vec_pretty(secrets).unwrap_or_default();
    part.write(&text)?;
    part.finish()
}

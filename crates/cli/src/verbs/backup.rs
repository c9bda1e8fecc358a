//! `ferrobase backup`: everything under one id, and back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use server::backup::copies::Moved;
use server::backup::{Id, Summary};
use server::config::Mode;
use server::operate::backup::Backups;

use super::Scene;
use super::db;
use crate::args::backup::{BackupVerb, PlaceArgs};
use crate::failure::{Failure, failure};
use crate::output::{Output, Tone};
use crate::project::{Workspace, flag};

/// Does what was asked for.
pub(super) async fn run(
    scene: &Scene<'_>,
    place: &PlaceArgs,
    verb: BackupVerb,
) -> Result<(), Failure> {
    let output = scene.output;
    let url = match &verb {
        BackupVerb::Create { database } => database.flag(),
        _ => None,
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = place
        .folder
        .as_deref()
        .map(|path| absolute(path).display().to_string());
    let key_file = place
        .key_file
        .as_deref()
        .map(|path| absolute(path).display().to_string());
    let flags = [
        flag("backup.folder", "--in", folder),
        flag("backup.key_file", "--key-file", key_file),
        flag("db.data_dir", "--data-dir", place.data_dir.as_ref()),
        url,
    ];
    let workspace = scene.workspace(Mode::Dev, flags)?;
    let backups = backups(scene, &workspace);
    match verb {
        BackupVerb::Create { .. } => create(scene, &workspace, &backups).await,
        BackupVerb::List => list(output, &backups),
        BackupVerb::Verify { backup } => verify(output, &backups, &backup).await,
        BackupVerb::Restore {
            backup,
            into,
            database_url,
        } => {
            let wanted = Wanted {
                backup,
                into: absolute(&into),
                database_url,
            };
            restore(output, &backups, wanted).await
        }
        BackupVerb::Send { backup } => {
            let (id, moved) = backups.send(&backup).await?;
            tell_moved(output, "copied into the bucket", &id, moved)
        }
        BackupVerb::Fetch { backup } => {
            let (id, moved) = backups.fetch(&backup).await?;
            tell_moved(output, "fetched from the bucket", &id, moved)
        }
        BackupVerb::Prune => prune(output, &backups).await,
    }
}

fn backups(scene: &Scene<'_>, workspace: &Workspace) -> Backups {
    Backups::new(
        workspace.loaded.clone(),
        workspace.root.clone(),
        workspace.search.clone(),
        scene.context.clone(),
    )
}

async fn create(
    scene: &Scene<'_>,
    workspace: &Workspace,
    backups: &Backups,
) -> Result<(), Failure> {
    let output = scene.output;
    let Some(database) = Box::pin(db::open_existing(scene, workspace)).await? else {
        return Err(failure(
            "FB4008",
            "there is no database in this folder yet",
            "Make it with `ferrobase dev`, or name one with --database-url.",
        ));
    };
    let made = backups.create(&database).await;
    database.close().await;
    let made = made?;
    if backups.is_copied() {
        let (_, moved) = backups.send(made.id.as_str()).await?;
        output.note(&format!(
            "  copied {} new files into the bucket",
            moved.files
        ));
    }
    if let Some(first) = &made.files.first_missing {
        output.warning(&format!(
            "files that rows name could not be read, the first is {first}; the rest is backed up"
        ));
    }
    if output.json {
        return output.value(&json!({
            "id": made.id.as_str(),
            "new_files": made.files.new_files,
            "new_bytes": made.files.new_bytes,
            "first_missing": made.files.first_missing,
            "took_ms": millis(made.took),
        }));
    }
    output.line(&format!(
        "backup {} made in {} ms: {} new files, {}",
        made.id,
        millis(made.took),
        made.files.new_files,
        size(made.files.new_bytes)
    ))
}

fn tell_moved(output: Output, what: &str, id: &Id, moved: Moved) -> Result<(), Failure> {
    if output.json {
        return output.value(&json!({
            "id": id.as_str(),
            "new_files": moved.files,
            "new_bytes": moved.bytes,
        }));
    }
    let (files, bytes) = (moved.files, size(moved.bytes));
    output.line(&format!("backup {id} {what}: {files} new files, {bytes}"))
}

fn list(output: Output, backups: &Backups) -> Result<(), Failure> {
    let all = backups.list()?;
    if output.json {
        let all: Vec<Value> = all.iter().map(object).collect();
        return output.value(&json!({ "backups": all }));
    }
    if all.is_empty() {
        return output.line(&format!(
            "no backups in {}; make one with `ferrobase backup create`",
            backups.repository().folder().display()
        ));
    }
    for one in &all {
        let verified = one.verified_at.as_deref().unwrap_or("never");
        let missing = match one.end.missing {
            0 => String::new(),
            count => format!(", {count} files missing"),
        };
        output.line(&format!(
            "{}  {:>9} + {} files of {}{missing}  verified {verified}",
            output.tone(one.id.as_str(), Tone::Strong),
            size(one.own_bytes),
            one.end.files,
            size(one.end.file_bytes),
        ))?;
    }
    Ok(())
}

fn object(one: &Summary) -> Value {
    json!({
        "id": one.id.as_str(),
        "taken_at": one.header.taken_at,
        "ferrobase": one.header.ferrobase,
        "migration": one.header.migration,
        "server_version": one.header.server_version,
        "database": one.header.database,
        "encrypted": one.header.seal.is_some(),
        "own_bytes": one.own_bytes,
        "files": one.end.files,
        "file_bytes": one.end.file_bytes,
        "missing": one.end.missing,
        "verified_at": one.verified_at,
    })
}

async fn verify(output: Output, backups: &Backups, name: &str) -> Result<(), Failure> {
    let (id, verified) = backups.verify(name).await?;
    if output.json {
        return output.value(&json!({
            "id": id.as_str(),
            "tables": verified.tables,
            "rows": verified.rows,
            "files": verified.files,
            "file_bytes": verified.file_bytes,
            "missing": verified.missing,
            "took_ms": millis(verified.took),
        }));
    }
    output.line(&format!(
        "backup {id} was restored and is equal: {} tables with {} rows, {} files of {}, in {} ms",
        verified.tables,
        verified.rows,
        verified.files,
        size(verified.file_bytes),
        millis(verified.took)
    ))
}

/// What was asked for.
struct Wanted {
    backup: String,
    into: PathBuf,
    database_url: Option<String>,
}

async fn restore(output: Output, backups: &Backups, wanted: Wanted) -> Result<(), Failure> {
    let progress = move |text: &str| output.note(&format!("  {text}"));
    let url = wanted.database_url.as_deref();
    let restored = backups.restore(&wanted.backup, &wanted.into, url, &progress);
    let restored = restored.await?;
    for note in &restored.notes {
        output.warning(note);
    }
    if output.json {
        return output.value(&json!({
            "id": restored.header.id,
            "into": wanted.into,
            "files": restored.files,
            "notes": restored.notes,
            "took_ms": millis(restored.took),
        }));
    }
    output.line(&format!(
        "backup {} restored into {} in {} ms, with {} files",
        restored.header.id,
        wanted.into.display(),
        millis(restored.took),
        restored.files
    ))
}

async fn prune(output: Output, backups: &Backups) -> Result<(), Failure> {
    let gone = backups.prune()?;
    let gone: Vec<&str> = gone.iter().map(Id::as_str).collect();
    let copies = if backups.is_copied() {
        backups.prune_copies().await?
    } else {
        Vec::new()
    };
    let copies: Vec<&str> = copies.iter().map(Id::as_str).collect();
    if output.json {
        return output.value(&json!({ "removed": gone, "removed_copies": copies }));
    }
    output.line(&format!(
        "{} removed, {} copies removed",
        gone.len(),
        copies.len()
    ))
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

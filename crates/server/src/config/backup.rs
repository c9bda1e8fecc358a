//! Settings of backups: their rows of the table, their form, their check.

use std::path::PathBuf;
use std::time::Duration;

use super::key::{Key, Kind, key};
use super::sources::Merged;
use super::{ConfigError, Mode};
use crate::backup::retention::Keep;

/// The rows of section `backup`.
pub(super) const KEYS: [Key; 7] = [
    key(
        "backup.schedule",
        Kind::Choice(&["auto", "on", "off"]),
        "auto",
        "Make backups by itself; `auto` is on under `serve` with the managed PostgreSQL.",
    ),
    key(
        "backup.folder",
        Kind::Text,
        "",
        "Folder of the backups; empty is `backups` in `db.data_dir`.",
    ),
    key(
        "backup.every",
        Kind::Span,
        "24h",
        "Time from one backup to the next.",
    ),
    key(
        "backup.verify_every",
        Kind::Text,
        "168h",
        "Time from one restore on trial to the next; `off` for none.",
    ),
    key(
        "backup.keep_daily",
        Kind::Number,
        "7",
        "Days whose newest backup is kept.",
    ),
    key(
        "backup.keep_weekly",
        Kind::Number,
        "4",
        "Weeks whose newest backup is kept.",
    ),
    key(
        "backup.key_file",
        Kind::Text,
        "",
        "File with what encrypts keys, settings and the database's archive.",
    ),
];

/// Backups.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Make them by itself.
    pub schedule: bool,
    /// Where they lie.
    pub folder: PathBuf,
    /// From one to the next.
    pub every: Duration,
    /// From one restore on trial to the next.
    pub verify_every: Option<Duration>,
    /// How many stay.
    pub keep: Keep,
    /// What encrypts them.
    pub key_file: Option<PathBuf>,
}

pub(super) fn check(mode: Mode, merged: &Merged) -> Result<BackupConfig, ConfigError> {
    let managed = merged.text("db.url").is_empty();
    let folder = match merged.text("backup.folder") {
        "" => PathBuf::from(merged.text("db.data_dir")).join("backups"),
        folder => folder.into(),
    };
    Ok(BackupConfig {
        schedule: match merged.text("backup.schedule") {
            "auto" => mode == Mode::Serve && managed,
            "on" => true,
            "off" => false,
            _ => return Err(merged.invalid("backup.schedule", "expected auto, on or off")),
        },
        folder,
        every: merged.span("backup.every")?,
        verify_every: match merged.text("backup.verify_every") {
            "off" => None,
            _ => Some(merged.span("backup.verify_every")?),
        },
        keep: Keep {
            daily: merged.number("backup.keep_daily")?,
            weekly: merged.number("backup.keep_weekly")?,
        },
        key_file: merged.optional("backup.key_file").map(PathBuf::from),
    })
}

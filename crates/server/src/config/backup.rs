//! Settings of backups: their rows of the table, their form, their check.

use std::path::PathBuf;
use std::time::Duration;

use ::storage::blobs::S3Config;

use super::key::{Key, Kind, key};
use super::sources::Merged;
use super::storage;
use super::{ConfigError, Mode};
use crate::backup::retention::Keep;

/// The rows of section `backup`.
pub(super) const KEYS: [Key; 14] = [
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
        "backup.first_after",
        Kind::Span,
        "10m",
        "How long a server has run before it makes or tries out a backup.",
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
    key(
        "backup.bucket",
        Kind::Text,
        "",
        "Bucket that gets a copy of every backup, `s3://bucket` or `s3://bucket/folder`.",
    ),
    key(
        "backup.s3.endpoint",
        Kind::Text,
        "",
        "Address of that bucket's S3 service; empty means AWS.",
    ),
    key(
        "backup.s3.region",
        Kind::Text,
        "us-east-1",
        "Region of that bucket; some services want `auto`.",
    ),
    key(
        "backup.s3.access_key_id",
        Kind::Text,
        "",
        "Who we are at that S3 service.",
    ),
    key(
        "backup.s3.secret_access_key",
        Kind::Text,
        "",
        "The secret that belongs to it.",
    )
    .secret(),
    key(
        "backup.s3.path_style",
        Kind::Flag,
        "true",
        "That bucket is in the path of addresses, not in the host's name.",
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
    /// From a start to the first.
    pub first_after: Duration,
    /// From one restore on trial to the next.
    pub verify_every: Option<Duration>,
    /// How many stay.
    pub keep: Keep,
    /// What encrypts them.
    pub key_file: Option<PathBuf>,
    /// Where copies of them go.
    pub bucket: Option<CopiesConfig>,
}

/// A bucket for copies of backups.
#[derive(Clone, Debug)]
pub struct CopiesConfig {
    /// The bucket, and who we are there.
    pub s3: S3Config,
    /// The folder in it, without slashes around it; may be empty.
    pub folder: String,
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
        first_after: merged.span("backup.first_after")?,
        verify_every: match merged.text("backup.verify_every") {
            "off" => None,
            _ => Some(merged.span("backup.verify_every")?),
        },
        keep: Keep {
            daily: merged.number("backup.keep_daily")?,
            weekly: merged.number("backup.keep_weekly")?,
        },
        key_file: merged.optional("backup.key_file").map(PathBuf::from),
        bucket: bucket(merged)?,
    })
}

fn bucket(merged: &Merged) -> Result<Option<CopiesConfig>, ConfigError> {
    let Some(url) = merged.optional("backup.bucket") else {
        return Ok(None);
    };
    let wrong = || {
        merged.invalid(
            "backup.bucket",
            "expected s3://bucket or s3://bucket/folder",
        )
    };
    let place = url.strip_prefix("s3://").ok_or_else(wrong)?;
    let (bucket, folder) = place.split_once('/').unwrap_or((place, ""));
    let folder = folder.trim_end_matches('/');
    let odd = |step: &str| step.is_empty() || step == "." || step == "..";
    if bucket.is_empty() || (!folder.is_empty() && folder.split('/').any(odd)) {
        return Err(wrong());
    }
    Ok(Some(CopiesConfig {
        s3: storage::s3(merged, "backup.s3", bucket)?,
        folder: folder.to_owned(),
    }))
}

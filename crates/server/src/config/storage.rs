//! Settings of files: their rows of the table, their form, their check.

use std::path::PathBuf;
use std::time::Duration;

use kernel::Secret;
use storage::Bounds;
use storage::blobs::S3Config;

use super::ConfigError;
use super::key::{Key, Kind, key};
use super::sources::Merged;

/// The rows of section `storage`.
pub(super) const KEYS: [Key; 13] = [
    key("storage.enabled", Kind::Flag, "true", "Serve files."),
    key(
        "storage.file_size_limit",
        Kind::Size,
        "50MiB",
        "The most bytes of one file, or `unlimited`; buckets may allow less.",
    ),
    key(
        "storage.url",
        Kind::Text,
        "",
        "Where the bytes of files are: a folder, or `s3://bucket`; empty means `files` in `db.data_dir`.",
    ),
    key(
        "storage.resumable_expire_after",
        Kind::Span,
        "24h",
        "How long an unfinished resumable upload waits for its next bytes.",
    ),
    key(
        "storage.resumable_open_max",
        Kind::Number,
        "1000",
        "How many unfinished resumable uploads one owner may have.",
    ),
    key(
        "storage.resumable_open_size",
        Kind::Size,
        "100GiB",
        "How many bytes one owner's unfinished resumable uploads may have together, or `unlimited`.",
    ),
    key(
        "storage.s3.endpoint",
        Kind::Text,
        "",
        "Address of the S3 service; empty means AWS.",
    ),
    key(
        "storage.s3.region",
        Kind::Text,
        "us-east-1",
        "Region of the bucket; some services want `auto`.",
    ),
    key(
        "storage.s3.access_key_id",
        Kind::Text,
        "",
        "Who we are at the S3 service.",
    ),
    key(
        "storage.s3.secret_access_key",
        Kind::Text,
        "",
        "The secret that belongs to it.",
    )
    .secret(),
    key(
        "storage.s3.path_style",
        Kind::Flag,
        "true",
        "The bucket is in the path of addresses, not in the host's name.",
    ),
    key(
        "storage.s3_protocol.access_keys",
        Kind::List,
        "",
        "Keys of our own S3 protocol, `id:secret` each, acting as `service_role`; empty means one that is the project's.",
    )
    .secret(),
    key(
        "storage.s3_protocol.region",
        Kind::Text,
        "local",
        "The region that clients of our S3 protocol sign for.",
    ),
];

/// Files.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// At all.
    pub enabled: bool,
    /// The most bytes of one file.
    pub file_size_limit: u64,
    /// Where their bytes are: a folder; none means one beside the database.
    pub folder: Option<PathBuf>,
    /// For how long an unfinished resumable upload waits for its next bytes.
    pub resumable_expire_after: Duration,
    /// What one owner's unfinished resumable uploads may come to.
    pub resumable_bounds: Bounds,
    /// In a bucket instead.
    pub s3: Option<S3Config>,
    /// Access keys of our S3 protocol and their secrets; none means one that is
    /// made for the project.
    pub s3_access_keys: Vec<(String, Secret)>,
    /// The region that its clients sign for.
    pub s3_region: String,
}

pub(super) fn check(merged: &Merged) -> Result<StorageConfig, ConfigError> {
    let url = merged.text("storage.url");
    let bucket = url.strip_prefix("s3://");
    let folder = url.strip_prefix("file://").unwrap_or(url);
    if bucket.is_none() && folder.contains("://") {
        return Err(merged.invalid("storage.url", "expected a folder or s3://bucket"));
    }
    Ok(StorageConfig {
        enabled: merged.flag("storage.enabled")?,
        file_size_limit: match merged.text("storage.file_size_limit") {
            "unlimited" => u64::MAX,
            _ => merged.size("storage.file_size_limit")?,
        },
        folder: (bucket.is_none() && !folder.is_empty()).then(|| PathBuf::from(folder)),
        resumable_expire_after: merged.span("storage.resumable_expire_after")?,
        resumable_bounds: Bounds {
            uploads: merged.number("storage.resumable_open_max")?,
            bytes: match merged.text("storage.resumable_open_size") {
                "unlimited" => u64::MAX,
                _ => merged.size("storage.resumable_open_size")?,
            },
        },
        s3: bucket
            .map(|bucket| own_bucket(merged, bucket))
            .transpose()?,
        s3_access_keys: s3_access_keys(merged)?,
        s3_region: merged.text("storage.s3_protocol.region").to_owned(),
    })
}

fn s3_access_keys(merged: &Merged) -> Result<Vec<(String, Secret)>, ConfigError> {
    const PATH: &str = "storage.s3_protocol.access_keys";
    // Whoever can guess one has all files.
    const SECRET_MIN: usize = 32;
    let keys = merged.list(PATH).into_iter().map(|pair| {
        let (id, secret) = pair.split_once(':').unwrap_or_default();
        let fits = !id.is_empty() && !id.contains('/') && secret.len() >= SECRET_MIN;
        fits.then(|| (id.to_owned(), Secret::new(secret)))
            .ok_or_else(|| {
                merged.invalid(PATH, "expected id:secret, secrets of 32 characters or more")
            })
    });
    keys.collect()
}

fn own_bucket(merged: &Merged, bucket: &str) -> Result<S3Config, ConfigError> {
    if bucket.is_empty() || bucket.contains('/') {
        return Err(merged.invalid("storage.url", "expected s3://bucket, without a folder"));
    }
    s3(merged, "storage.s3", bucket)
}

/// A bucket's section: `storage.s3`, `backup.s3`.
pub(super) fn s3(
    merged: &Merged,
    section: &'static str,
    bucket: &str,
) -> Result<S3Config, ConfigError> {
    let path = |name: &str| [section, ".", name].concat();
    let endpoint = merged.text(&path("endpoint"));
    let schemes = ["http://", "https://"];
    if !endpoint.is_empty() && !schemes.iter().any(|scheme| endpoint.starts_with(scheme)) {
        return Err(merged.invalid(&path("endpoint"), "expected http:// or https://"));
    }
    let secret = merged.secret(&path("secret_access_key"));
    let missing = || merged.invalid(&path("secret_access_key"), "expected a secret");
    Ok(S3Config {
        endpoint: (!endpoint.is_empty()).then(|| endpoint.to_owned()),
        region: merged.text(&path("region")).to_owned(),
        bucket: bucket.to_owned(),
        access_key_id: merged.text(&path("access_key_id")).to_owned(),
        secret_access_key: secret.ok_or_else(missing)?,
        path_style: merged.flag(&path("path_style"))?,
    })
}

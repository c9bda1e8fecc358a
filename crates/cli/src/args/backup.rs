//! `ferrobase backup`.

use std::path::PathBuf;

use clap::Subcommand;

use super::DatabaseArgs;

/// Where the backups are.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PlaceArgs {
    /// Folder of the backups [default: `backup.folder`, else `backups` in the data folder].
    #[arg(long = "in", value_name = "FOLDER", global = true)]
    pub(crate) folder: Option<PathBuf>,
    /// File with what encrypts keys, settings and the database's archive.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,
    /// Folder of keys, files and the managed PostgreSQL [default: .ferrobase].
    #[arg(long, value_name = "FOLDER", global = true)]
    pub(crate) data_dir: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupVerb {
    /// Back up database, files, keys and settings as of one moment.
    Create {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// List the backups, oldest first.
    List,
    /// Restore a backup on trial and compare every row and file.
    ///
    /// Needs room for database and files, and removes all of it again.
    Verify {
        /// Its id, or `latest`.
        #[arg(default_value = "latest")]
        backup: String,
    },
    /// Restore a backup into an empty folder.
    #[command(after_help = "\
Examples:
  ferrobase backup restore --into /srv/app
  ferrobase backup restore 20261121T233012Z-7f3a9c --in /mnt/backups --into /srv/app
  ferrobase backup restore --into /srv/app --database-url postgres://postgres:…@db.internal/empty")]
    Restore {
        /// Its id, or `latest`.
        #[arg(default_value = "latest")]
        backup: String,
        /// The folder that becomes the project's; empty, or not there yet.
        #[arg(long, value_name = "FOLDER")]
        into: PathBuf,
        /// An empty database to restore into, instead of a managed one.
        #[arg(long, value_name = "URL", hide_env_values = true)]
        database_url: Option<String>,
    },
    /// Copy a backup into the bucket that `backup.bucket` names.
    ///
    /// `create` does it by itself where there is one.
    Send {
        /// Its id, or `latest`.
        #[arg(default_value = "latest")]
        backup: String,
    },
    /// Bring a copy from the bucket into the folder of backups, to be restored.
    Fetch {
        /// Its id, or `latest`.
        #[arg(default_value = "latest")]
        backup: String,
    },
    /// Remove the backups that `backup.keep_daily` and `keep_weekly` do not keep.
    Prune,
}

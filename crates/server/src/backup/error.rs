//! Why a backup was not made, or not used: codes FB60….

use std::io;
use std::path::{Path, PathBuf};

use pg::TargetError;
use pg::cluster::ClusterError;
use pg::dump::DumpError;
use storage::blobs::BlobError;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The operating system refused something.
    #[error("could not {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The database refused something.
    #[error("could not {what}")]
    Database {
        /// What was tried.
        what: &'static str,
        /// What the database or the network said.
        #[source]
        source: pg::Error,
    },
    /// `pg_dump` or `pg_restore`.
    #[error(transparent)]
    Program(#[from] DumpError),
    /// The URL of the database to restore into.
    #[error("the database's URL is not valid: {0}")]
    Url(#[from] TargetError),
    /// The cluster that a backup is restored into.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Somebody else works in the repository.
    #[error("somebody else works on the backups in {}", folder.display())]
    Busy {
        /// The repository.
        folder: PathBuf,
    },
    /// The disk has too little room.
    #[error(
        "{} has {} MiB free, and this needs about {} MiB",
        path.display(), free_bytes >> 20, needed_bytes >> 20
    )]
    Space {
        /// On which disk.
        path: PathBuf,
        /// What is needed.
        needed_bytes: u64,
        /// What there is.
        free_bytes: u64,
    },
    /// No such backup.
    #[error("there is no backup {id} in {}", folder.display())]
    Unknown {
        /// What was asked for.
        id: String,
        /// Where.
        folder: PathBuf,
    },
    /// A part of a backup is not as it was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// What.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The target of a restore has something in it.
    #[error("{what} is not empty")]
    NotEmpty {
        /// The folder or database.
        what: String,
    },
    /// What was restored is not what was backed up.
    #[error("{} from the backup: {first}", differ(*count))]
    Differs {
        /// How many things differ.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// The key is missing or another one.
    #[error("backup {id} is encrypted, and {why}")]
    Locked {
        /// The backup.
        id: String,
        /// What is wrong with the key.
        why: &'static str,
    },
    /// The key file cannot be used.
    #[error("{} cannot be used as a key: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The bucket for copies refused something.
    #[error("could not {what} {name} in the bucket of copies")]
    Bucket {
        /// What was tried.
        what: &'static str,
        /// With which object.
        name: String,
        /// What the service or the network said.
        #[source]
        source: BlobError,
    },
    /// There is no bucket for copies.
    #[error("`backup.bucket` names no bucket")]
    NoBucket,
    /// PostgreSQL's user cannot work where a backup shall be restored.
    #[error("PostgreSQL's user may not enter {}", folder.display())]
    Closed {
        /// The folder.
        folder: PathBuf,
    },
    /// The backup is of a later Ferrobase or in another form.
    #[error("backup {id} cannot be restored by this program: {why}")]
    Foreign {
        /// The backup.
        id: String,
        /// What does not fit.
        why: String,
    },
}

fn differ(count: usize) -> String {
    match count {
        1 => "one thing differs".to_owned(),
        _ => format!("{count} things differ"),
    }
}

impl BackupError {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }

    pub(super) fn database(what: &'static str) -> impl FnOnce(pg::Error) -> Self {
        move |source| Self::Database { what, source }
    }

    pub(super) fn bucket(what: &'static str, name: &str) -> impl FnOnce(BlobError) -> Self {
        let name = name.to_owned();
        move |source| Self::Bucket { what, name, source }
    }

    pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.into(),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "FB6001",
            Self::Database { .. } => "FB6002",
            Self::Program(DumpError::NoProgram { .. }) => "FB6003",
            Self::Program(_) => "FB6004",
            Self::Cluster(error) => error.code(),
            Self::Url(_) => "FB3005",
            Self::Busy { .. } => "FB6005",
            Self::Space { .. } => "FB6006",
            Self::Unknown { .. } => "FB6007",
            Self::Damaged { .. } => "FB6008",
            Self::NotEmpty { .. } => "FB6009",
            Self::Differs { .. } => "FB6010",
            Self::Locked { .. } => "FB6011",
            Self::Key { .. } => "FB6012",
            Self::Foreign { .. } => "FB6013",
            Self::Closed { .. } => "FB6014",
            Self::Bucket { .. } => "FB6015",
            Self::NoBucket => "FB6016",
        }
    }

    /// What to do now.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::File { .. } => "Check that the path exists and that you may write there.",
            Self::Database { .. } => "`ferrobase doctor` looks at the database.",
            Self::Program(DumpError::NoProgram { .. }) => {
                "Install PostgreSQL's client programs of the server's version or a later one."
            }
            Self::Program(_) => "Read what the program said; nothing was kept of this attempt.",
            Self::Cluster(error) => return error.next_step(),
            Self::Url(_) => {
                "Write it as postgres://user:password@host:5432/database?sslmode=require."
            }
            Self::Busy { .. } => "Wait until it has ended, and try again.",
            Self::Space { .. } => "Free some space, or name another folder with --in.",
            Self::Unknown { .. } => "`ferrobase backup list` shows those there are.",
            Self::Damaged { .. } => {
                "Use another backup; `ferrobase backup verify` tells which are whole."
            }
            Self::NotEmpty { .. } => "Name an empty folder or database: nothing is overwritten.",
            Self::Differs { .. } => {
                "Keep this backup for inspection, make a new one, and verify that."
            }
            Self::Locked { .. } => "Name the key file that it was made with: --key-file.",
            Self::Key { .. } => "A key file has at least 16 bytes and is readable by you alone.",
            Self::Bucket { .. } => {
                "Check `backup.bucket` and `backup.s3`; what has arrived is kept, so try again."
            }
            Self::NoBucket => "Set `backup.bucket` and `backup.s3`.",
            Self::Closed { .. } => {
                "Name a folder that everybody may enter (`chmod o+x` for each one above it)."
            }
            Self::Foreign { .. } => "Use the version of Ferrobase that made it, or a later one.",
        }
        .to_owned()
    }
}

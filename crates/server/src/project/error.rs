//! What can be wrong with a project folder or with applying it: one enum, each
//! variant with a stable code, the place and the next step.

use std::path::PathBuf;

use super::split::Place;

/// A failure of [`crate::project`].
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file or folder could not be read or written.
    #[error("could not {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `config.toml` is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A setting has the wrong type.
    #[error("{}: {key} must be {expected}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Two files claim one version.
    #[error("{first} and {second} have the same version")]
    SameVersion {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A statement was refused.
    #[error("{file}:{place}: {}", message(source))]
    Statement {
        /// The file.
        file: String,
        /// Where in it.
        place: Place,
        /// How many statements of the file had already been committed,
        /// because one of them cannot run inside a transaction.
        committed: usize,
        /// Postgres' answer.
        source: Box<pg::Error>,
    },
    /// An applied file has another text now.
    #[error("{file} was changed after it was applied")]
    Changed {
        /// The file.
        file: String,
    },
    /// An applied file is gone.
    #[error("the database has migrations that the project has not: {}", versions.join(", "))]
    Missing {
        /// Their versions.
        versions: Vec<String>,
    },
    /// A file that is not applied is older than one that is.
    #[error("{} would run before {last}, which is applied", files.join(", "))]
    OutOfOrder {
        /// The files.
        files: Vec<String>,
        /// The latest version applied.
        last: String,
    },
    /// A quote or comment never ends.
    #[error("{file}:{place}: this quote or comment never ends")]
    Unterminated {
        /// The file.
        file: String,
        /// Where it begins.
        place: Place,
    },
    /// A statement that cannot stand in a migration.
    #[error("{file}:{place}: {what} cannot be run from a file")]
    Unsupported {
        /// The file.
        file: String,
        /// Where.
        place: Place,
        /// What.
        what: &'static str,
    },
    /// The database failed us outside of any file.
    #[error("{doing}: {}", message(source))]
    Database {
        /// What we were doing.
        doing: &'static str,
        /// Postgres' answer.
        source: Box<pg::Error>,
    },
    /// A name that cannot be a file's name.
    #[error("{name:?} is not a name for a migration")]
    Name {
        /// The name.
        name: String,
    },
}

impl ProjectError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "FB2001",
            Self::Toml { .. } => "FB2002",
            Self::Setting { .. } => "FB2003",
            Self::SameVersion { .. } => "FB2004",
            Self::Name { .. } => "FB2005",
            Self::Statement { .. } => "FB2010",
            Self::Changed { .. } => "FB2011",
            Self::Missing { .. } => "FB2012",
            Self::OutOfOrder { .. } => "FB2013",
            Self::Unterminated { .. } => "FB2014",
            Self::Unsupported { .. } => "FB2015",
            Self::Database { .. } => "FB2020",
        }
    }

    /// What can be done about it, as sentences.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::File { .. } => {
                "Check that the path exists and may be read and written.".to_owned()
            }
            Self::Toml { .. } | Self::Setting { .. } => {
                "Correct the file and start again.".to_owned()
            }
            Self::SameVersion { .. } => "Rename one of them.".to_owned(),
            Self::Name { .. } => "Use letters, digits, - and _.".to_owned(),
            Self::Statement {
                committed, source, ..
            } => after_statement(*committed, source),
            Self::Changed { .. } => "Undo the change and put it into a new migration, or run \
                 `ferrobase db reset` to rebuild the database from the files."
                .to_owned(),
            Self::Missing { .. } => {
                "Bring the files back (supabase migration fetch does it), or run \
                 `ferrobase db reset` to rebuild the database from the files."
                    .to_owned()
            }
            Self::OutOfOrder { .. } => {
                "Give them a later timestamp, or apply them as they are with \
                 `ferrobase migration up --include-all`."
                    .to_owned()
            }
            Self::Unterminated { .. } => "Close it. Nothing of this file was applied.".to_owned(),
            Self::Unsupported { .. } => {
                "Write INSERT statements instead of COPY FROM STDIN, and leave BEGIN, COMMIT and \
                 ROLLBACK out: every file has a transaction of its own. Nothing was applied."
                    .to_owned()
            }
            Self::Database { source, .. } => hint(source).unwrap_or_else(|| {
                "Look at the database's log; `ferrobase doctor` checks the connection.".to_owned()
            }),
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(super) fn database(doing: &'static str) -> impl FnOnce(pg::Error) -> Self {
        move |source| Self::Database {
            doing,
            source: Box::new(source),
        }
    }
}

fn after_statement(committed: usize, source: &pg::Error) -> String {
    let mut text = hint(source)
        .map(|hint| format!("{hint} "))
        .unwrap_or_default();
    if committed == 0 {
        text.push_str("The file was rolled back as a whole: correct it and start again.");
    } else {
        text.push_str(&format_committed(committed));
    }
    text
}

fn format_committed(committed: usize) -> String {
    format!(
        "The first {committed} statements of the file are in effect, because one of them cannot run \
         inside a transaction; remove or repeat them safely (IF NOT EXISTS) and start again."
    )
}

fn hint(source: &pg::Error) -> Option<String> {
    let db = source.db()?;
    let parts = [db.detail.as_deref(), db.hint.as_deref()];
    let text = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

fn message(source: &pg::Error) -> String {
    source.db().map_or_else(
        || source.to_string(),
        |db| format!("{} (SQLSTATE {})", db.message, db.code),
    )
}

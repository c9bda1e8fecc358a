//! Why the platform schema could not be brought up to date, and what to do.

use std::time::Duration;

use super::Migration;
use crate::error::Error;

/// A failure of [`super::migrate`].
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database remembers another text for a migration.
    #[error("migration {version} was applied as `{applied}` with another text than {ours} has")]
    Changed {
        /// Which.
        version: u32,
        /// The name it was applied under.
        applied: String,
        /// Our file.
        ours: String,
    },
    /// The database is ahead of this binary.
    #[error("the database is at schema version {found}, this ferrobase knows only {known}")]
    Newer {
        /// The database's version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Another node held the lock for too long.
    #[error("another ferrobase has been migrating this database for {} s", waited.as_secs())]
    Locked {
        /// How long we waited.
        waited: Duration,
    },
    /// The schema `ferrobase` is there, but not for us.
    #[error("the schema ferrobase cannot be read: {source}")]
    Unreadable {
        /// Postgres' reason.
        source: Box<Error>,
    },
    /// A migration did not run. It was rolled back.
    #[error("migration {file} failed{}: {source}", line.map(|l| format!(" at line {l}")).unwrap_or_default())]
    Failed {
        /// The file.
        file: String,
        /// The line of the statement that failed, where known.
        line: Option<usize>,
        /// Postgres' reason.
        source: Box<Error>,
    },
}

impl MigrateError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "FB2101",
            Self::Newer { .. } => "FB2102",
            Self::Locked { .. } => "FB2103",
            Self::Unreadable { .. } => "FB2104",
            Self::Failed { .. } => "FB2105",
        }
    }

    /// What the operator can do about it, as a sentence.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Changed { .. } => {
                "Start the release that made this database, or a later one; nothing was changed."
                    .to_owned()
            }
            Self::Newer { .. } => {
                "Start a ferrobase at least as new as the one that migrated this \
                 database; nothing was changed."
                    .to_owned()
            }
            Self::Locked { .. } => {
                "Wait for the other node, or stop it if it hangs, and start again.".to_owned()
            }
            Self::Unreadable { .. } => {
                "Connect as the role that first set this database up.".to_owned()
            }
            Self::Failed { source, .. } => source
                .db()
                .and_then(|error| error.hint.clone())
                .unwrap_or_else(|| {
                    "The migration was rolled back. Connect as a role that may create schemas and \
                     roles, or report this as a bug."
                        .to_owned()
                }),
        }
    }

    pub(super) fn failed(migration: &Migration, source: Error) -> Self {
        let position = source.db().and_then(|error| error.position);
        Self::Failed {
            file: migration.file(),
            line: position.map(|position| line_at(migration.sql, position)),
            source: Box::new(source),
        }
    }

    pub(super) fn from_state(source: Error) -> Self {
        Self::Unreadable {
            source: Box::new(source),
        }
    }
}

/// The line of a character position counted from 1.
fn line_at(sql: &str, position: u32) -> usize {
    let before = usize::try_from(position).unwrap_or(1).saturating_sub(1);
    1 + sql.chars().take(before).filter(|c| *c == '\n').count()
}

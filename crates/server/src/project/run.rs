//! Runs one file's statements and its record in one transaction, and turns a
//! refusal into the file's line and column.
//!
//! A statement that Postgres refuses inside a transaction (`CREATE INDEX
//! CONCURRENTLY`) runs between two transactions, as the official CLI does it;
//! only then can a failing file leave something behind, and the error says so.

use std::collections::HashMap;
use std::path::Path;

use pg::{Session, SqlBuf};

use super::error::ProjectError;
use super::split::{Place, Statement, split};
use super::statement::{Kind, classify};

/// A file's name for people, and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) statements: &'a [Statement<'a>],
}

/// Larger files are dumps, which psql loads better: here a file is held in
/// memory whole, and recorded whole if it is a migration.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads a file's text.
pub(super) fn read(path: &Path) -> Result<String, ProjectError> {
    let bounded = |meta: std::fs::Metadata| {
        if meta.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("it is larger than 256 MiB"));
        }
        std::fs::read_to_string(path)
    };
    std::fs::metadata(path)
        .and_then(bounded)
        .map_err(ProjectError::file("read", path))
}

/// Splits a file and refuses what cannot be run from one, before anything is.
pub(super) fn check<'a>(file: &str, sql: &'a str) -> Result<Vec<Statement<'a>>, ProjectError> {
    let statements = split(file, sql)?;
    for statement in &statements {
        let what = match classify(statement.text) {
            Kind::CopyFromStdin => "COPY FROM STDIN",
            Kind::Rollback => "ROLLBACK",
            _ if statement.text.contains('\0') => "a null byte",
            _ => continue,
        };
        return Err(ProjectError::Unsupported {
            file: file.to_owned(),
            place: statement.start,
            what,
        });
    }
    Ok(statements)
}

/// Runs files on one session.
pub(super) struct Runner<'s> {
    pub(super) session: &'s mut Session,
    extensions: Option<HashMap<String, bool>>,
    /// What was passed over.
    pub(super) warnings: Vec<String>,
}

/// How far a file has come.
#[derive(Default)]
struct Progress {
    /// Statements run.
    done: usize,
    /// Statements that a failure cannot undo any more.
    committed: usize,
}

impl<'s> Runner<'s> {
    pub(super) fn new(session: &'s mut Session) -> Self {
        Self {
            session,
            extensions: None,
            warnings: Vec::new(),
        }
    }

    /// Runs a file, then `record` in the same transaction, then commits.
    pub(super) async fn run(
        &mut self,
        source: Source<'_>,
        record: impl AsyncFnOnce(&mut Session) -> Result<(), pg::Error>,
    ) -> Result<(), ProjectError> {
        // A file before this one may have left settings behind.
        let reset = "RESET SESSION AUTHORIZATION; RESET ALL";
        self.session
            .script(reset)
            .await
            .map_err(ProjectError::database("could not reset the session"))?;
        let mut progress = Progress::default();
        let outcome = self.statements(source, &mut progress).await;
        let outcome = match outcome {
            Ok(()) => self.finish(source, &progress, record).await,
            failed => failed,
        };
        if outcome.is_err() {
            // A lost connection has rolled back by itself.
            let _ = self.session.script("ROLLBACK").await;
        }
        outcome
    }

    async fn finish(
        &mut self,
        source: Source<'_>,
        progress: &Progress,
        record: impl AsyncFnOnce(&mut Session) -> Result<(), pg::Error>,
    ) -> Result<(), ProjectError> {
        let end = source
            .statements
            .last()
            .map_or(Place::START, |s| s.start.after(s.text));
        let failed = |error| refused(source.file, end, progress.committed, error);
        // The record is ours to write, whatever role the file has taken on.
        let script = "RESET SESSION AUTHORIZATION";
        self.session.script(script).await.map_err(failed)?;
        record(self.session).await.map_err(failed)?;
        self.session.script("COMMIT").await.map_err(failed)?;
        Ok(())
    }

    async fn statements(
        &mut self,
        source: Source<'_>,
        progress: &mut Progress,
    ) -> Result<(), ProjectError> {
        let begin = self.session.script("BEGIN").await;
        begin.map_err(|error| refused(source.file, Place::START, 0, error))?;
        for statement in source.statements {
            let outcome = self.statement(source.file, statement, progress).await;
            outcome.map_err(|error| {
                let position = error.db().and_then(|db| db.position);
                let place = position.map_or(first_word(statement), |p| {
                    statement.start.at(statement.text, p)
                });
                refused(source.file, place, progress.committed, error)
            })?;
            progress.done += 1;
        }
        Ok(())
    }

    async fn statement(
        &mut self,
        file: &str,
        statement: &Statement<'_>,
        progress: &mut Progress,
    ) -> Result<(), pg::Error> {
        match classify(statement.text) {
            Kind::Comment | Kind::Bracket => Ok(()),
            Kind::Alone => {
                self.session.script("COMMIT").await?;
                progress.committed = progress.done;
                self.session.script(statement.text).await?;
                progress.committed = progress.done + 1;
                self.session.script("BEGIN").await.map(|_| ())
            }
            Kind::Extension { name, schema } => {
                let place = statement.start;
                self.extension(statement.text, &name, schema)
                    .await?
                    .into_iter()
                    .for_each(|warning| self.warnings.push(format!("{file}:{place}: {warning}")));
                Ok(())
            }
            // `check` has refused the other two.
            Kind::Plain | Kind::Rollback | Kind::CopyFromStdin => {
                self.session.script(statement.text).await.map(|_| ())
            }
        }
    }

    /// The hosted platform has dozens of extensions; a file that asks for one
    /// that this server lacks should not stop there. Those that Postgres keeps
    /// for superusers go through our own function, which knows harmless ones.
    async fn extension(
        &mut self,
        text: &str,
        name: &str,
        schema: Option<String>,
    ) -> Result<Option<String>, pg::Error> {
        let superuser = self.session.parameter("is_superuser") == Some("on");
        let Some(privileged) = self.available().await?.get(name).copied() else {
            return Ok(Some(format!(
                "extension \"{name}\" is not installed on the server and was skipped: what uses it will fail"
            )));
        };
        if superuser || !privileged {
            return self.session.script(text).await.map(|_| None);
        }
        let sql = SqlBuf::fixed("SELECT ferrobase.install_extension($1, $2)")
            .bind(name.to_owned())
            .bind(schema);
        self.session.query_buf(&sql).await.map(|_| None)
    }

    /// The extensions of the server, and whether each needs a superuser.
    async fn available(&mut self) -> Result<&HashMap<String, bool>, pg::Error> {
        if self.extensions.is_none() {
            let rows = self
                .session
                .query(include_str!("sql/list_extensions.sql"), &[])
                .await?;
            let known = rows
                .iter()
                .filter_map(|row| Some((row.get(0)?.to_owned(), row.get(1) == Some("t"))));
            self.extensions = Some(known.collect());
        }
        Ok(self.extensions.get_or_insert_default())
    }
}

/// Where a statement's own text begins, past the comments before it.
fn first_word(statement: &Statement<'_>) -> Place {
    let mut place = statement.start;
    for line in statement.text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with("--") {
            place = place.after(line);
        } else {
            return place.after(line.get(..line.len() - trimmed.len()).unwrap_or_default());
        }
    }
    statement.start
}

fn refused(file: &str, place: Place, committed: usize, source: pg::Error) -> ProjectError {
    ProjectError::Statement {
        file: file.to_owned(),
        place,
        committed,
        source: Box::new(source),
    }
}

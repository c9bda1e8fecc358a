//! Our own schema: one ordered, append-only history, applied at start.
//!
//! [`migrate`] brings a database up to [`MIGRATIONS`]. When nothing is to do it
//! asks one question; otherwise each missing migration runs in a transaction of
//! its own together with its row in `ferrobase.schema_migrations`, under a lock
//! that every node of a deployment takes. A released file never changes: its
//! checksum is stored and compared. What the server did not let us set up comes
//! back as [`Degradation`]s, one line each for the operator.
//!
//! Start reading at [`migrate`]; the SQL is in the folder `migrations`.

use std::fmt::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::session::Session;

mod apps;
mod error;
mod list;
#[cfg(test)]
mod tests;

pub use apps::{AppHistory, migrate_app};
pub use error::MigrateError;
pub use list::MIGRATIONS;

/// One file of the history.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its place: 1, 2, 3 …
    pub version: u32,
    /// The file's name without number and ending.
    pub name: &'static str,
    /// The file's text.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of the text, in hex.
    #[must_use]
    pub fn checksum(&self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(self.sql.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{:04}_{}.sql", self.version, self.name)
    }
}

/// What to apply and how long to wait for others who do the same.
#[derive(Clone, Copy, Debug)]
pub struct MigrateOptions {
    /// The history; shorter in the test that upgrades from every release.
    pub migrations: &'static [Migration],
    /// How long another node may hold the lock before we give up. The whole
    /// history takes a fraction of a second; a minute means that node hangs.
    pub lock_wait: Duration,
    /// How long one migration may run.
    pub statement_timeout: Duration,
}

impl Default for MigrateOptions {
    fn default() -> Self {
        Self {
            migrations: MIGRATIONS,
            lock_wait: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(300),
        }
    }
}

/// Something this database did not let us set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// What was tried, such as `role service_role`.
    pub feature: String,
    /// Why it was refused.
    pub reason: String,
    /// What does not work because of it.
    pub consequence: String,
}

impl std::fmt::Display for Degradation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} ({})",
            self.feature, self.consequence, self.reason
        )
    }
}

/// What [`migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The migrations applied now, in order. Empty when up to date.
    pub applied: Vec<u32>,
    /// The version before; 0 for a database we had never seen.
    pub from: u32,
    /// What does not work on this server.
    pub degradations: Vec<Degradation>,
}

/// What a role without CREATE on the database goes without.
const NOT_MADE: &str = "roles, helper functions, Realtime's publication and the closing of \
                        unprotected tables are not set up; what is there already is served";

/// What a role that others set the database up for goes without.
const UNREADABLE: &str = "whether it is up to date is not checked, and tables without row level \
                          security are not closed";

impl Report {
    fn out_of_reach(reason: &Error, consequence: &str) -> Self {
        let reason = reason.db().map(|error| error.message.clone());
        Self {
            degradations: vec![Degradation {
                feature: "platform schema".to_owned(),
                reason: reason.unwrap_or_default(),
                consequence: consequence.to_owned(),
            }],
            ..Self::default()
        }
    }
}

/// Any number that no other program is likely to lock: the letters `FerroSch`.
const LOCK: &str = "5072865913364539240";

/// Brings the database up to date. A role that may not even make our schema,
/// or not look into it, gets a report that says so: it can still serve what
/// others have set up.
pub async fn migrate(
    session: &mut Session,
    options: &MigrateOptions,
) -> Result<Report, MigrateError> {
    let mut state = match State::read(session).await {
        Err(MigrateError::Unreadable { source }) if is_refusal(&source) => {
            return Ok(Report::out_of_reach(&source, UNREADABLE));
        }
        read => read?,
    };
    let mut report = Report {
        applied: Vec::new(),
        from: state.version(),
        degradations: Vec::new(),
    };
    let before = state.check(options.migrations)?;
    for migration in options.migrations.iter().skip(before) {
        // Commits reach the disk in order, so the last one takes the others
        // along; a crash before it leaves a shorter history, which is resumed.
        let last = options.migrations.last().map(|last| last.version);
        let durable = last == Some(migration.version);
        match apply(session, migration, durable, options).await {
            Ok(true) => report.applied.push(migration.version),
            Ok(false) => {}
            // The first one makes the schema, and needs no other right.
            Err(MigrateError::Failed { source, .. })
                if migration.version == 1 && is_refusal(&source) =>
            {
                return Ok(Report::out_of_reach(&source, NOT_MADE));
            }
            Err(error) => return Err(error),
        }
    }
    // What was refused before may have been granted since.
    let retry = report.applied.is_empty() && !state.degradations.is_empty();
    if retry {
        retry_degraded(session).await?;
    }
    if retry || before < options.migrations.len() {
        state = State::read(session).await?;
        state.check(options.migrations)?;
    }
    report.degradations = state.degradations;
    Ok(report)
}

/// Tries again what was refused. Only the role that made the schema may; others
/// that may read it report what they find.
async fn retry_degraded(session: &mut Session) -> Result<(), MigrateError> {
    let tried = session
        .query("SELECT ferrobase.retry_degraded()", &[])
        .await;
    match tried {
        Err(error) if !is_refusal(&error) => Err(MigrateError::from_state(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether a right is missing.
fn is_refusal(error: &Error) -> bool {
    error.sqlstate() == Some("42501")
}

/// Applies one migration unless another node was faster.
async fn apply(
    session: &mut Session,
    migration: &Migration,
    durable: bool,
    options: &MigrateOptions,
) -> Result<bool, MigrateError> {
    let outcome = apply_in_transaction(session, migration, durable, options).await;
    match &outcome {
        Ok(true) => session.script("COMMIT").await,
        Ok(false) | Err(_) => session.script("ROLLBACK").await,
    }
    // A lost connection is reported by the outcome, if that has failed too.
    .map(|_| ())
    .or_else(|error| match &outcome {
        Ok(_) => Err(MigrateError::failed(migration, error)),
        Err(_) => Ok(()),
    })?;
    outcome
}

async fn apply_in_transaction(
    session: &mut Session,
    migration: &Migration,
    durable: bool,
    options: &MigrateOptions,
) -> Result<bool, MigrateError> {
    let failed = |error| MigrateError::failed(migration, error);
    session.script("BEGIN").await.map_err(failed)?;
    lock(session, migration, options).await?;
    set_up(session, durable, options).await.map_err(failed)?;
    if is_applied(session, migration).await.map_err(failed)? {
        return Ok(false);
    }
    session.script(migration.sql).await.map_err(failed)?;
    let version = migration.version.to_string();
    let checksum = migration.checksum();
    session
        .query(
            "INSERT INTO ferrobase.schema_migrations (version, name, checksum) \
             VALUES ($1::text::integer, $2, $3)",
            &[
                Some(version.as_str()),
                Some(migration.name),
                Some(checksum.as_str()),
            ],
        )
        .await
        .map_err(failed)?;
    Ok(true)
}

/// A role's own timeout must not cut a migration short, and a role's
/// `search_path` must not change what it means.
async fn set_up(
    session: &mut Session,
    durable: bool,
    options: &MigrateOptions,
) -> Result<(), Error> {
    let timeout = options.statement_timeout.as_millis().to_string();
    // Never more than the server was told to wait for.
    let wait = (!durable).then_some("off");
    session
        .query(
            "SELECT set_config('statement_timeout', $1, true), \
                    set_config('lock_timeout', '0', true), \
                    set_config('client_min_messages', 'warning', true), \
                    set_config('search_path', 'pg_catalog, public', true), \
                    set_config('synchronous_commit', \
                               coalesce($2, current_setting('synchronous_commit')), true)",
            &[Some(timeout.as_str()), wait],
        )
        .await
        .map(drop)
}

/// Several nodes may start at once. The lock belongs to the transaction, so
/// that it also works through a transaction pooler and cannot be left behind.
async fn lock(
    session: &mut Session,
    migration: &Migration,
    options: &MigrateOptions,
) -> Result<(), MigrateError> {
    let wait = options.lock_wait.as_millis().max(1).to_string();
    let set = session
        .query(
            "SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $1, true)",
            &[Some(wait.as_str())],
        )
        .await;
    set.map_err(|error| MigrateError::failed(migration, error))?;
    session
        .query(
            "SELECT pg_advisory_xact_lock($1::text::bigint)",
            &[Some(LOCK)],
        )
        .await
        .map_err(|error| match error.sqlstate() {
            Some("55P03" | "57014") => MigrateError::Locked {
                waited: options.lock_wait,
            },
            _ => MigrateError::failed(migration, error),
        })?;
    Ok(())
}

async fn is_applied(session: &mut Session, migration: &Migration) -> Result<bool, Error> {
    let known = session
        .query(
            "SELECT to_regclass('ferrobase.schema_migrations') IS NOT NULL",
            &[],
        )
        .await?;
    if known.scalar() != Some("t") {
        return Ok(false);
    }
    let version = migration.version.to_string();
    let found = session
        .query(
            "SELECT FROM ferrobase.schema_migrations WHERE version = $1::text::integer",
            &[Some(version.as_str())],
        )
        .await?;
    Ok(!found.is_empty())
}

/// What the database says about itself.
#[derive(Debug, Default)]
struct State {
    /// Version, name and checksum, in order.
    applied: Vec<(u32, String, String)>,
    degradations: Vec<Degradation>,
}

impl State {
    /// The one question of a start with nothing to do.
    async fn read(session: &mut Session) -> Result<Self, MigrateError> {
        let answer = session
            .query(include_str!("migrate/read_state.sql"), &[])
            .await;
        let rows = match answer {
            Ok(rows) => rows,
            // No such table, no such schema: a database we have never seen.
            Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => {
                return Ok(Self::default());
            }
            Err(error) => return Err(MigrateError::from_state(error)),
        };
        let mut state = Self::default();
        for row in rows.iter() {
            let text = |i| row.get(i).unwrap_or_default().to_owned();
            if row.get(0) == Some("migration") {
                let version = text(1).parse().unwrap_or(0);
                state.applied.push((version, text(2), text(3)));
            } else {
                state.degradations.push(Degradation {
                    feature: text(1),
                    reason: text(2),
                    consequence: text(3),
                });
            }
        }
        Ok(state)
    }

    fn version(&self) -> u32 {
        self.applied.last().map_or(0, |(version, ..)| *version)
    }

    /// Compares with the history and returns how many of it are applied: they
    /// must be its beginning, letter for letter.
    fn check(&self, history: &[Migration]) -> Result<usize, MigrateError> {
        for (i, (version, name, checksum)) in self.applied.iter().enumerate() {
            let Some(ours) = history.get(i) else {
                return Err(MigrateError::Newer {
                    found: *version,
                    known: history.last().map_or(0, |m| m.version),
                });
            };
            if ours.version != *version || ours.checksum() != *checksum {
                return Err(MigrateError::Changed {
                    version: *version,
                    applied: name.clone(),
                    ours: ours.file(),
                });
            }
        }
        Ok(self.applied.len())
    }
}

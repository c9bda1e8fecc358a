//! Histories of apps: schemas of their own, made when an app is switched on.
//!
//! Ordered, recorded and checked by checksum like ours, in a ledger beside it
//! that has the app's name as well. All that is missing of a history is applied
//! in one transaction, so an app is there or it is not. Why: ADR 24.

use super::{MigrateError, MigrateOptions, Migration, State};
use crate::error::Error;
use crate::session::Session;

/// One app's tables.
#[derive(Clone, Copy, Debug)]
pub struct AppHistory {
    /// The app's name, and its schema's.
    pub app: &'static str,
    /// Its files in order; names of migrations begin with the app's name.
    pub migrations: &'static [Migration],
}

/// What an app's ledger says, oldest first.
const READ: &str = "SELECT version::text, name, checksum FROM ferrobase.app_migrations \
                    WHERE app = $1 ORDER BY version";

/// Made for the first app. Nobody but us looks into it.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS ferrobase.app_migrations (\
        app text NOT NULL, version integer NOT NULL, name text NOT NULL, checksum text NOT NULL, \
        applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (app, version)); \
    ALTER TABLE ferrobase.app_migrations ENABLE ROW LEVEL SECURITY; \
    COMMENT ON TABLE ferrobase.app_migrations IS \
        'Migrations of apps applied to this database, with the SHA-256 of their text.'";

/// Brings an app's schema up to date; returns the versions applied now. When
/// nothing is to do it asks one question.
pub async fn migrate_app(
    session: &mut Session,
    history: &AppHistory,
    options: &MigrateOptions,
) -> Result<Vec<u32>, MigrateError> {
    let before = applied(session, history).await?;
    if before.check(history.migrations)? == history.migrations.len() {
        return Ok(Vec::new());
    }
    let outcome = bring_up(session, history, options).await;
    let end = if outcome.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = session.script(end).await;
    let applied = outcome?;
    match (ended, history.migrations.last()) {
        (Err(error), Some(last)) => Err(MigrateError::failed(last, error)),
        _ => Ok(applied),
    }
}

async fn bring_up(
    session: &mut Session,
    history: &AppHistory,
    options: &MigrateOptions,
) -> Result<Vec<u32>, MigrateError> {
    let Some(first) = history.migrations.first() else {
        return Ok(Vec::new());
    };
    let failed = |error| MigrateError::failed(first, error);
    session.script("BEGIN").await.map_err(failed)?;
    super::lock(session, first, options).await?;
    super::set_up(session, true, options)
        .await
        .map_err(failed)?;
    session.script(LEDGER).await.map_err(failed)?;
    // Another node may have been faster.
    let state = applied(session, history).await?;
    let before = state.check(history.migrations)?;
    let mut done = Vec::new();
    for migration in history.migrations.iter().skip(before) {
        let failed = |error| MigrateError::failed(migration, error);
        session.script(migration.sql).await.map_err(failed)?;
        record(session, history.app, migration)
            .await
            .map_err(failed)?;
        done.push(migration.version);
    }
    Ok(done)
}

async fn record(session: &mut Session, app: &str, migration: &Migration) -> Result<(), Error> {
    let version = migration.version.to_string();
    let checksum = migration.checksum();
    let values = [app, &version, migration.name, &checksum];
    session
        .query(
            "INSERT INTO ferrobase.app_migrations (app, version, name, checksum) \
             VALUES ($1, $2::text::integer, $3, $4)",
            &values.map(Some),
        )
        .await
        .map(drop)
}

async fn applied(session: &mut Session, history: &AppHistory) -> Result<State, MigrateError> {
    let rows = match session.query(READ, &[Some(history.app)]).await {
        Ok(rows) => rows,
        // No app has been here yet.
        Err(error) if matches!(error.sqlstate(), Some("42P01" | "3F000")) => {
            return Ok(State::default());
        }
        Err(error) => return Err(MigrateError::from_state(error)),
    };
    let mut state = State::default();
    for row in rows.iter() {
        let text = |i| row.get(i).unwrap_or_default().to_owned();
        let version = text(0).parse().unwrap_or(0);
        state.applied.push((version, text(1), text(2)));
    }
    Ok(state)
}

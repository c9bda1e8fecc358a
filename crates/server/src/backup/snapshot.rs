//! One moment of the database, held for as long as a backup takes.
//!
//! The session holds two things: the fence, which keeps files in place (see
//! [`pg::fence`]), and a transaction whose snapshot `pg_dump` enters as well.
//! Both end with the connection: a backup that lost one has lost the other.

use jiff::Timestamp;
use kernel::Clock;
use pg::{Session, Target, fence};

use super::manifest::Table;
use super::{BackupError, rows};

/// Files of storage that are listed at once.
pub(super) const PAGE: usize = 2000;

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Removals are short; what takes longer than this hangs.
const FENCE_WAIT: &str = "SET lock_timeout = '60s'";
const MIGRATION: &str = "SELECT max(version) FROM ferrobase.schema_migrations";

/// The moment.
pub(super) struct Snapshot {
    pub(super) session: Session,
    /// What `pg_dump` calls it.
    pub(super) name: String,
    pub(super) taken_at: Timestamp,
}

/// What a manifest says about the database as a whole.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) database: String,
    pub(super) bytes: u64,
    pub(super) server_version: u32,
    pub(super) migration: u32,
    pub(super) may_read_passwords: bool,
    pub(super) extensions: Vec<String>,
    pub(super) roles: Vec<String>,
}

impl Snapshot {
    pub(super) async fn take(target: &Target, clock: &Clock) -> Result<Self, BackupError> {
        let failed = || BackupError::database("take a snapshot of the database");
        let mut session = Session::connect(target)
            .await
            .map_err(BackupError::database("connect to the database"))?;
        session.query(rows::SETTINGS, &[]).await.map_err(failed())?;
        session.script(FENCE_WAIT).await.map_err(failed())?;
        session
            .query(fence::HOLD, &[])
            .await
            .map_err(BackupError::database("wait for removals of files"))?;
        session.script(BEGIN).await.map_err(failed())?;
        let exported = session.query("SELECT pg_catalog.pg_export_snapshot()", &[]);
        let exported = exported.await.map_err(failed())?;
        Ok(Self {
            name: exported.scalar().unwrap_or_default().to_owned(),
            taken_at: clock.now(),
            session,
        })
    }

    pub(super) async fn facts(&mut self) -> Result<Facts, BackupError> {
        let failed = || BackupError::database("ask the database about itself");
        let rows = self.session.query(include_str!("facts.sql"), &[]);
        let rows = rows.await.map_err(failed())?;
        let row = rows.first();
        let text = |place| {
            let value = row.as_ref().and_then(|row| row.get(place));
            value.unwrap_or_default().to_owned()
        };
        let names = |text: String| serde_json::from_str(&text).unwrap_or_default();
        let mut facts = Facts {
            database: text(0),
            bytes: text(1).parse().unwrap_or(0),
            server_version: text(2).parse().unwrap_or(0),
            migration: 0,
            may_read_passwords: text(4) == "t",
            extensions: names(text(5)),
            roles: names(text(6)),
        };
        if text(3) == "t" {
            let version = self.session.query(MIGRATION, &[]).await.map_err(failed())?;
            facts.migration = version.scalar().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        Ok(facts)
    }

    /// Counts and hashes of all tables.
    pub(super) async fn tables(&mut self) -> Result<Vec<Table>, BackupError> {
        let mut measured = Vec::new();
        for (schema, name) in rows::tables(&mut self.session).await? {
            measured.push(rows::measure(&mut self.session, &schema, &name).await?);
        }
        Ok(measured)
    }

    /// Ends the transaction and opens the fence.
    pub(super) async fn release(mut self) -> Result<(), BackupError> {
        // Of a connection that broke meanwhile nothing may be believed.
        let ended = self.session.script("COMMIT").await;
        ended.map_err(BackupError::database("hold the snapshot to the end"))?;
        self.session.close().await;
        Ok(())
    }
}

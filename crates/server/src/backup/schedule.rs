//! The duty of `serve`: a backup every day, a restore on trial every week, and
//! the gauges that tell when either was last done.
//!
//! What is due is decided from the repository alone, so a restart changes
//! nothing and a backup made by hand counts. The decision is `due`, pure.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use kernel::{Clock, Rng, Tasks};
use pg::Target;
use pg::cluster::Search;
use tokio_util::sync::CancellationToken;

use super::copies::Copies;
use super::disk::blocking;
use super::files::{Bytes, FilesIn};
use super::{BackupError, Key, Repository, Summary, create, retention, verify};
use crate::app::Context;
use crate::config::{BackupConfig, Loaded};
use crate::metrics::Metrics;

/// How often the repository is looked at, at most and at least: a fraction of
/// the shortest time that is asked for.
const LOOK: Duration = Duration::from_secs(60);
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOKS: u32 = 4;
/// What failed is tried again after this, not sooner.
const RETRY: Duration = Duration::from_secs(1800);
/// Several servers of one machine do not begin at the same moment: up to this
/// part of the time between backups is added.
const JITTER_PART: u32 = 20;
/// No backup yet.
const NEVER: i64 = i64::MIN;

/// The files there are when a backup begins.
pub type FilesHere = dyn Fn() -> Result<Option<Arc<dyn Bytes>>, BackupError> + Send + Sync;

/// What the duty needs.
pub struct Duty {
    /// How often, where, and what stays.
    pub config: BackupConfig,
    /// The settings, which are backed up.
    pub loaded: Loaded,
    /// The project's folder.
    pub root: PathBuf,
    /// The database, entered as its owner.
    pub database: Target,
    /// The files.
    pub files: Arc<FilesHere>,
    /// Where files go on trial.
    pub files_in: Arc<FilesIn<'static>>,
    /// Where to look for PostgreSQL's programs.
    pub search: Search,
    /// Time and randomness.
    pub context: Context,
}

/// When what was last done, for the gauges; seconds since the epoch.
#[derive(Debug)]
pub struct Ages {
    made: AtomicI64,
    verified: AtomicI64,
    count: AtomicI64,
    failures: AtomicU64,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            made: NEVER.into(),
            verified: NEVER.into(),
            count: 0.into(),
            failures: 0.into(),
        }
    }
}

impl Ages {
    fn look(&self, all: &[Summary]) {
        let seconds = |time: Option<Timestamp>| time.map_or(NEVER, Timestamp::as_second);
        let made = seconds(all.iter().filter_map(Summary::taken_at).max());
        let verified = seconds(all.iter().filter_map(Summary::verified).max());
        self.made.store(made, Ordering::Relaxed);
        self.verified.store(verified, Ordering::Relaxed);
        let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
        self.count.store(count, Ordering::Relaxed);
    }

    /// Registers the gauges. What never happened is infinitely long ago, so
    /// that one alarm rule serves for both.
    pub fn gauges(self: &Arc<Self>, metrics: &Metrics, clock: &Clock) {
        let age = |name, help, which: fn(&Self) -> &AtomicI64| {
            let (ages, clock) = (Arc::clone(self), clock.clone());
            metrics.add_gauge(name, help, move || {
                age_seconds(clock.now(), which(&ages).load(Ordering::Relaxed))
            });
        };
        age(
            "backup_age_seconds",
            "Time since the newest backup was taken",
            |ages| &ages.made,
        );
        age(
            "backup_verified_age_seconds",
            "Time since a backup was last restored and found equal",
            |ages| &ages.verified,
        );
        let ages = Arc::clone(self);
        let help = "Backups that are kept";
        #[expect(clippy::cast_precision_loss, reason = "counts of backups are small")]
        let count = move || ages.count.load(Ordering::Relaxed) as f64;
        metrics.add_gauge("backups", help, count);
        let ages = Arc::clone(self);
        let help = "Backups and restores on trial that failed since the start";
        #[expect(clippy::cast_precision_loss, reason = "counts of failures are small")]
        let failures = move || ages.failures.load(Ordering::Relaxed) as f64;
        metrics.add_gauge("backup_failures", help, failures);
    }
}

fn age_seconds(now: Timestamp, then: i64) -> f64 {
    if then == NEVER {
        return f64::INFINITY;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "ages are far below 2^52 seconds"
    )]
    let age = now.as_second().saturating_sub(then) as f64;
    age.max(0.0)
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Backup,
    /// Of the newest backup.
    Verify(super::Id),
}

/// Which goes first where both are due. They take turns, so that backups that
/// take as long as the time between them do not keep all from being tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Backup,
    Verify,
}

/// What is due. `started` is when this server did, `jitter` what is added to
/// the time between backups.
fn due(
    all: &[Summary],
    config: &BackupConfig,
    (started, now): (Timestamp, Timestamp),
    jitter: Duration,
    turn: Turn,
) -> Due {
    let past = |since: Timestamp, span: Duration| {
        let span = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
        now.as_second().saturating_sub(since.as_second()) >= span
    };
    // Whoever starts a server to try something does not pay for a backup.
    let settled = past(started, config.first_after);
    let Some(newest) = all.iter().filter_map(Summary::taken_at).max() else {
        return if settled { Due::Backup } else { Due::Nothing };
    };
    let backup = settled && past(newest, config.every.saturating_add(jitter));
    let verified = all.iter().filter_map(Summary::verified).max();
    match (config.verify_every, all.last()) {
        (Some(every), Some(last))
            if settled
                && (turn == Turn::Verify || !backup)
                && verified.is_none_or(|at| past(at, every)) =>
        {
            Due::Verify(last.id.clone())
        }
        _ if backup => Due::Backup,
        _ => Due::Nothing,
    }
}

/// Does it, until told to stop. A backup that is stopped in the middle is none.
pub async fn keep(duty: Duty, ages: Arc<Ages>, stop: CancellationToken) {
    let work = work(&duty, &ages);
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn work(duty: &Duty, ages: &Ages) {
    let clock = &duty.context.clock;
    let repository = Repository::at(&duty.config.folder);
    let started = clock.now();
    let mut jitter = jitter(&duty.context.rng, duty.config.every);
    let mut failed_at: Option<Timestamp> = None;
    let mut turn = Turn::Backup;
    loop {
        let listed = list(&repository).await;
        ages.look(&listed);
        let waits = failed_at.is_some_and(|at| {
            clock.now().as_second() - at.as_second() < i64::try_from(RETRY.as_secs()).unwrap_or(0)
        });
        let due = match (duty.config.schedule, waits) {
            (true, false) => due(&listed, &duty.config, (started, clock.now()), jitter, turn),
            _ => Due::Nothing,
        };
        let done = match due {
            Due::Nothing => Ok(()),
            Due::Backup => {
                jitter = self::jitter(&duty.context.rng, duty.config.every);
                turn = Turn::Verify;
                back_up(duty, &repository).await
            }
            Due::Verify(id) => {
                turn = Turn::Backup;
                try_out(duty, &repository, &id).await
            }
        };
        match done {
            Ok(()) => {}
            // Somebody at the command line; it is looked at again soon.
            Err(error @ BackupError::Busy { .. }) => tracing::info!(%error, "Backup postponed"),
            Err(error) => {
                failed_at = Some(clock.now());
                ages.failures.fetch_add(1, Ordering::Relaxed);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "Backup failed; next try in half an hour");
            }
        }
        ages.look(&list(&repository).await);
        tokio::time::sleep(look_again(&duty.config)).await;
    }
}

fn look_again(config: &BackupConfig) -> Duration {
    let verify = config.verify_every.unwrap_or(Duration::MAX);
    let shortest = config.every.min(config.first_after).min(verify);
    (shortest / LOOKS).clamp(LOOK_MIN, LOOK)
}

async fn list(repository: &Repository) -> Vec<Summary> {
    let repository = repository.clone();
    match blocking(move || repository.list()).await {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "The backups cannot be listed");
            Vec::new()
        }
    }
}

fn jitter(rng: &Rng, every: Duration) -> Duration {
    let part = u32::from(rng.bytes::<1>()[0]);
    every / JITTER_PART * part / 256
}

async fn back_up(duty: &Duty, repository: &Repository) -> Result<(), BackupError> {
    let key = key(&duty.config).await?;
    let files = (duty.files)()?;
    let order = create::Order {
        repository,
        database: &duty.database,
        files: files.as_deref(),
        loaded: &duty.loaded,
        root: &duty.root,
        key: key.as_ref(),
        search: &duty.search,
        context: &duty.context,
    };
    let made = Box::pin(create::create(&order)).await?;
    let took_ms = u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(id = %made.id, took_ms, new_bytes = made.files.new_bytes, "Backup {} made", made.id);
    if let Some(missing) = &made.files.first_missing {
        tracing::error!(%missing, "Files that rows name could not be backed up");
    }
    prune(duty, repository).await?;
    send(duty, repository, &made.id).await
}

/// A copy where one is wanted.
async fn send(duty: &Duty, repository: &Repository, id: &super::Id) -> Result<(), BackupError> {
    let Some(config) = &duty.config.bucket else {
        return Ok(());
    };
    let tasks = Tasks::new();
    let copies = Copies::open(config, &tasks)?;
    let moved = copies.send(repository, id).await?;
    let gone = copies
        .prune(repository, duty.config.keep, &duty.context)
        .await?;
    tasks.stop().await;
    let (new_bytes, removed) = (moved.bytes, gone.len());
    tracing::info!(%id, new_bytes, removed, "Backup {id} copied into the bucket");
    Ok(())
}

async fn prune(duty: &Duty, repository: &Repository) -> Result<(), BackupError> {
    let (repository, keep) = (repository.clone(), duty.config.keep);
    let removed = blocking(move || {
        let gone = retention::superfluous(&repository.list()?, keep);
        if !gone.is_empty() {
            repository.remove(&gone)?;
        }
        Ok(gone.len())
    })
    .await?;
    if removed > 0 {
        tracing::info!(removed, "{removed} old backups removed");
    }
    Ok(())
}

async fn try_out(duty: &Duty, repository: &Repository, id: &super::Id) -> Result<(), BackupError> {
    let key = key(&duty.config).await?;
    let order = verify::Order {
        repository,
        id,
        room: &duty.loaded.config.db.data_dir,
        files: duty.files_in.as_ref(),
        key: key.as_ref(),
        search: &duty.search,
        context: &duty.context,
    };
    let verified = Box::pin(verify::verify(&order)).await?;
    let (rows, files) = (verified.rows, verified.files);
    tracing::info!(%id, rows, files, "Backup {id} restored on trial and found equal");
    if let Some(config) = &duty.config.bucket {
        let tasks = Tasks::new();
        let copies = Copies::open(config, &tasks)?;
        copies.send_mark(repository, id).await?;
        tasks.stop().await;
    }
    Ok(())
}

async fn key(config: &BackupConfig) -> Result<Option<Key>, BackupError> {
    let Some(path) = config.key_file.clone() else {
        return Ok(None);
    };
    blocking(move || Key::read(&path).map(Some)).await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::backup::Id;
    use crate::backup::manifest::{End, Header};
    use crate::backup::retention::Keep;

    const HOUR: i64 = 3600;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * HOUR).unwrap()
    }

    fn backup(hours: i64, verified: Option<i64>) -> Summary {
        let clock = Clock::manual(at(hours));
        let id = Id::new(&clock, &Rng::seeded(1));
        Summary {
            header: Header {
                taken_at: at(hours).to_string(),
                ..Header::default()
            },
            id,
            end: End {
                lines: 0,
                files: 0,
                file_bytes: 0,
                missing: 0,
                sha256: String::new(),
            },
            own_bytes: 0,
            verified_at: verified.map(|hours| at(hours).to_string()),
        }
    }

    fn config() -> BackupConfig {
        BackupConfig {
            schedule: true,
            folder: PathBuf::new(),
            every: Duration::from_secs(24 * 3600),
            first_after: Duration::from_secs(600),
            verify_every: Some(Duration::from_secs(168 * 3600)),
            keep: Keep {
                daily: 7,
                weekly: 4,
            },
            key_file: None,
            bucket: None,
        }
    }

    #[test]
    fn the_repository_alone_tells_what_is_due() {
        let due = |all: &[Summary], started, now| {
            super::due(
                all,
                &config(),
                (at(started), at(now)),
                Duration::from_secs(3600),
                Turn::Backup,
            )
        };
        assert_eq!(due(&[], 0, 0), Due::Nothing, "it has just started");
        assert_eq!(due(&[], 0, 1), Due::Backup);
        let fresh = backup(0, None);
        assert_eq!(
            due(std::slice::from_ref(&fresh), 0, 1),
            Due::Verify(fresh.id.clone())
        );
        let known = backup(0, Some(1));
        assert_eq!(
            due(std::slice::from_ref(&known), 0, 24),
            Due::Nothing,
            "the jitter counts"
        );
        assert_eq!(due(std::slice::from_ref(&known), 0, 25), Due::Backup);
        let newer = backup(160, None);
        assert_eq!(due(&[known.clone(), newer.clone()], 0, 168), Due::Nothing);
        assert_eq!(due(&[known, newer.clone()], 0, 169), Due::Verify(newer.id));
        let mut without = config();
        without.verify_every = None;
        let asked = |config: &_, now, turn| {
            let all = std::slice::from_ref(&fresh);
            super::due(all, config, (at(0), at(now)), Duration::ZERO, turn)
        };
        assert_eq!(asked(&without, 1, Turn::Verify), Due::Nothing);
        // Where both are due they take turns.
        assert_eq!(asked(&config(), 30, Turn::Backup), Due::Backup);
        let verify = Due::Verify(fresh.id.clone());
        assert_eq!(asked(&config(), 30, Turn::Verify), verify);
    }

    #[test]
    fn what_never_happened_is_infinitely_long_ago() {
        let (ages, clock) = (Arc::new(Ages::default()), Clock::manual(at(5)));
        let metrics = Metrics::new(&[]);
        ages.gauges(&metrics, &clock);
        assert!(
            metrics
                .render()
                .contains("ferrobase_backup_age_seconds inf"),
            "{}",
            metrics.render()
        );
        ages.look(&[backup(2, Some(3))]);
        let page = metrics.render();
        assert!(
            page.contains("ferrobase_backup_age_seconds 10800.0"),
            "{page}"
        );
        assert!(
            page.contains("ferrobase_backup_verified_age_seconds 7200.0"),
            "{page}"
        );
        assert!(page.contains("ferrobase_backups 1.0"), "{page}");
    }
}

//! Keeps the keys in memory like those in the database, and writes down when
//! they were used: one task with one connection of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;
use pg::{Error, Session, Target};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{ApiKeys, hex};

/// Who reads the keys in the database.
const ROLE: &str = "SET ROLE supabase_auth_admin";
const LISTEN: &str = "LISTEN ferrobase_keys";

/// Changes within this time of one another are read at once: a script that
/// makes a hundred keys costs a few reads. A revocation is to be seen within a
/// second.
const COALESCE: Duration = Duration::from_millis(100);

/// Everything is read again after this long without a change: users who were
/// banned lose their keys, and a connection that has died without a word is
/// found out.
const REFRESH: Duration = Duration::from_secs(15);

/// The same where the operator wants no LISTEN.
const REFRESH_DEAF: Duration = Duration::from_secs(1);

/// Uses are written down this often at most.
const WRITE_USES: Duration = Duration::from_secs(10);

/// Longer than any of these answers takes on a server that lives.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Uses written by one statement.
const USES_MAX: usize = 1000;

/// The first wait after a failure, doubled each time …
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// … up to this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The task's own state.
pub(crate) struct Follower {
    keys: Arc<ApiKeys>,
    target: Target,
    listens: bool,
    /// Uses up to this second are written down.
    written: i64,
}

impl Follower {
    /// Who keeps `keys` like the database behind `target`.
    pub(crate) fn new(keys: Arc<ApiKeys>, target: Target, listens: bool) -> Self {
        let written = keys.clock.now().as_second();
        Self {
            keys,
            target,
            listens,
            written,
        }
    }

    /// Connects, listens and reads the keys: in this order, so that no change
    /// is missed.
    async fn open(&self) -> Result<Session, Error> {
        let mut session = answered(Session::connect(&self.target)).await?;
        answered(session.script(ROLE)).await?;
        if self.listens {
            answered(session.script(LISTEN)).await?;
        }
        self.load(&mut session).await?;
        Ok(session)
    }

    async fn load(&self, session: &mut Session) -> Result<(), Error> {
        let rows = answered(session.query(include_str!("load.sql"), &[])).await?;
        self.keys.replace(&rows);
        Ok(())
    }

    /// Follows until the connection fails.
    async fn follow(&mut self, session: &mut Session) -> Result<Infallible, Error> {
        let refresh = if self.listens { REFRESH } else { REFRESH_DEAF };
        let (mut next_load, mut next_write) =
            (Instant::now() + refresh, Instant::now() + WRITE_USES);
        loop {
            let until = next_load.min(next_write);
            if let Ok(notification) = timeout_at(until, session.notification()).await {
                notification?;
                let quiet = Instant::now() + COALESCE;
                while let Ok(notification) = timeout_at(quiet, session.notification()).await {
                    notification?;
                }
                next_load = Instant::now();
            }
            if Instant::now() >= next_load {
                self.load(session).await?;
                next_load = Instant::now() + refresh;
            }
            if Instant::now() >= next_write {
                self.write_uses(session).await?;
                next_write = Instant::now() + WRITE_USES;
            }
        }
    }

    async fn write_uses(&mut self, session: &mut Session) -> Result<(), Error> {
        // The present second may see more uses; it is written again then.
        let now = self.keys.clock.now().as_second();
        let used = self.keys.used_since(self.written);
        for some in used.chunks(USES_MAX) {
            let list = |each: fn(&([u8; 32], i64)) -> String| {
                some.iter().map(each).collect::<Vec<_>>().join(",")
            };
            let hashes = list(|(hash, _)| hex(hash));
            let seconds = list(|(_, at)| at.to_string());
            let params: [Option<&str>; 2] = [Some(&hashes), Some(&seconds)];
            let write = session.query(include_str!("used.sql"), &params);
            match answered(write).await {
                // A right that is missing was reported by the migration.
                Err(error) if error.sqlstate() == Some("42501") => {}
                other => drop(other?),
            }
        }
        self.written = now - 1;
        Ok(())
    }

    async fn run(mut self, opened: Option<Session>) -> Infallible {
        let (mut session, mut pause) = (opened, BACKOFF_MIN);
        loop {
            let failed = match &mut session {
                Some(open) => {
                    pause = BACKOFF_MIN;
                    self.follow(open).await.err()
                }
                None => match self.open().await {
                    Ok(open) => {
                        session = Some(open);
                        continue;
                    }
                    Err(error) => Some(error),
                },
            };
            session = None;
            if let Some(error) = failed {
                tracing::debug!(%error, "API keys not read; those known stay in force");
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }
}

/// Reads the keys, then keeps them fresh in the background. A database without
/// our tables, or one that lets us not read them, is served without platform
/// keys.
pub(crate) async fn start(follower: Follower, tasks: &Tasks) {
    let opened = follower.open().await;
    if let Err(error) = &opened {
        tracing::warn!(%error, "Platform API keys cannot be read; until they can, none is accepted");
    }
    let (keys, target) = (Arc::clone(&follower.keys), follower.target.clone());
    let (written, stop) = (follower.written, tasks.token());
    tasks.spawn("api keys", async move {
        tokio::select! {
            never = follower.run(opened.ok()) => match never {},
            () = stop.cancelled() => {}
        }
        // What was used last is written by whoever goes.
        let mut last = Follower {
            keys,
            target,
            listens: false,
            written,
        };
        if last.keys.used_since(written).is_empty() {
            return;
        }
        let wrote = async {
            let mut session = answered(Session::connect(&last.target)).await?;
            answered(session.script(ROLE)).await?;
            last.write_uses(&mut session).await?;
            session.close().await;
            Ok::<_, Error>(())
        };
        if let Err(error) = wrote.await {
            tracing::debug!(%error, "The last uses of API keys were not written down");
        }
    });
}

/// Waits for an answer, but not for ever.
async fn answered<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

//! Keeps the catalog fresh: listens on a connection of its own, loads a new
//! catalog when told to, and swaps it in. Requests go on with the old one
//! meanwhile, also while the connection is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::catalog::{Catalog, LoadOptions, load};
use crate::{Error, Notification, Session, SqlBuf, Target};

/// The channel that the database itself notifies when its schema changes
/// (`migrations/0006_change_watch.sql`), and so do other tools. Whatever the
/// operator's channel is called, this one may ask for the schema.
const WATCH: &str = "pgrst";

/// A migration tends to notify once per statement; one load answers all of
/// those that come within this time of one another.
const COALESCE: Duration = Duration::from_millis(50);

/// A stream of notifications without a pause must not put loading off for ever.
const COALESCE_MAX: Duration = Duration::from_secs(1);

/// A connection that says nothing for this long is asked whether it still
/// lives: a server that vanished without a word would leave us deaf for ever.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longer than any load or answer of a live server takes, catalogs of ten
/// thousand tables included.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The first wait after a failure, doubled each time …
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// … up to this: soon enough for a server that comes back, seldom enough for
/// one that does not.
const BACKOFF_MAX: Duration = Duration::from_secs(32);

/// What happened, for logs and metrics, and for those who reload their own
/// things.
#[derive(Debug)]
pub enum Event {
    /// A new catalog is in place.
    Loaded {
        /// How long it took.
        took: Duration,
    },
    /// `NOTIFY …, 'reload config'` on the operator's channel.
    ConfigReloadRequested,
    /// The connection is gone or loading failed; the old catalog stays and we
    /// try again after `retry_in`.
    Failed {
        /// Why.
        error: Error,
        /// When to expect the next attempt.
        retry_in: Duration,
    },
}

/// Which of our notifications came.
#[derive(Clone, Copy, Default)]
struct Requested {
    schema: bool,
    config: bool,
}

impl Requested {
    fn add(&mut self, notification: &Notification, channel: &str) {
        let is_watch = notification.channel == WATCH && channel != WATCH;
        match notification.payload.as_str() {
            "" | "reload schema" => self.schema = true,
            "reload config" if !is_watch => self.config = true,
            // The channel may be used for other things, too.
            _ => {}
        }
    }
}

/// Listens and reloads until dropped. The first load happens right after
/// connecting, so nothing that changed since the caller's own load is missed.
/// `options` are read anew for every load. `channel` is the operator's.
pub async fn keep_fresh(
    target: Target,
    channel: String,
    options: Arc<ArcSwap<LoadOptions>>,
    catalog: Arc<ArcSwap<Catalog>>,
    on_event: impl Fn(Event) + Send,
) {
    let mut retry_in = BACKOFF_MIN;
    loop {
        let connected = &mut false;
        let Err(error) = listen(&target, &channel, &options, &catalog, &on_event, connected).await;
        if *connected {
            retry_in = BACKOFF_MIN;
        }
        on_event(Event::Failed { error, retry_in });
        tokio::time::sleep(retry_in).await;
        retry_in = (retry_in * 2).min(BACKOFF_MAX);
    }
}

/// Runs until the connection or a load fails. `connected` tells whether it got
/// as far as a first catalog.
async fn listen(
    target: &Target,
    channel: &str,
    options: &ArcSwap<LoadOptions>,
    catalog: &ArcSwap<Catalog>,
    on_event: &(impl Fn(Event) + Send),
    connected: &mut bool,
) -> Result<std::convert::Infallible, Error> {
    let mut session = Session::connect(target).await?;
    // Listening before loading leaves no gap between the two.
    for channel in [WATCH, channel] {
        let mut listen = SqlBuf::new();
        listen.lit("LISTEN ").ident(channel);
        answered(session.query_buf(&listen)).await?;
    }
    reload(&mut session, options, catalog, on_event).await?;
    *connected = true;
    loop {
        let requested = wait(&mut session, channel).await?;
        if requested.config {
            on_event(Event::ConfigReloadRequested);
        }
        if requested.schema {
            reload(&mut session, options, catalog, on_event).await?;
        }
    }
}

/// Waits for a notification, and a little for those that follow it.
async fn wait(session: &mut Session, channel: &str) -> Result<Requested, Error> {
    let mut requested = Requested::default();
    requested.add(&first_notification(session).await?, channel);
    let first = Instant::now();
    while first.elapsed() < COALESCE_MAX {
        match tokio::time::timeout(COALESCE, session.notification()).await {
            Ok(notification) => requested.add(&notification?, channel),
            Err(_) => break,
        }
    }
    Ok(requested)
}

async fn first_notification(session: &mut Session) -> Result<Notification, Error> {
    loop {
        if let Ok(notification) = tokio::time::timeout(SILENCE_MAX, session.notification()).await {
            return notification;
        }
        answered(session.script("SELECT")).await?;
    }
}

/// Waits for an answer, but not for ever.
async fn answered<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn reload(
    session: &mut Session,
    options: &ArcSwap<LoadOptions>,
    catalog: &ArcSwap<Catalog>,
    on_event: &(impl Fn(Event) + Send),
) -> Result<(), Error> {
    let started = Instant::now();
    let options = options.load_full();
    catalog.store(Arc::new(answered(load(session, &options)).await?));
    on_event(Event::Loaded {
        took: started.elapsed(),
    });
    Ok(())
}

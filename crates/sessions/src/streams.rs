//! The event log: appending to it, and following it from any cursor.
//!
//! * `append`: pieces of many writers become few transactions; each event is
//!   kept once, whatever is sent twice.
//! * `hub` and `follow`: one tail for each watched stream, and a cursor for
//!   each watcher, who gets every event once and in order.
//! * `access`: policies decide who may watch, at the beginning and later on.
//! * `routes`: server-sent events, web sockets, long polls; and appending.
//!
//! Invariants: what a watcher was given is committed; a cursor is one integer
//! and means the same on every node; no watcher can make another wait or this
//! process grow.

mod access;
mod append;
mod error;
mod follow;
mod frame;
mod hub;
mod retention;
mod routes;
mod store;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Clock, Rng, Tasks};
use pg::Pool;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use access::ASK_EVERY;
pub use append::{
    AppendError, Appended, Appender, EVENT_BYTES_MAX, NewEvent, PIECE_BYTES_MAX, PIECE_EVENTS_MAX,
    Pending, Piece, Producer,
};
pub use error::StreamError;
pub use frame::Frame;
pub use watching::{Ended, Step, Watching};

use crate::ports::TellOthers;
use access::{Pass, Places};
use append::Flusher;
use error::Result;
use follow::Follower;
use hub::Hub;
use store::Store;

/// Pages read at once for watchers who lag: all of them back at once after a
/// restart must not take the connections from those who write.
const PAGES_AT_ONCE: usize = 4;

/// What streams are made of.
pub struct Given {
    /// The engine's connections.
    pub pool: Pool,
    /// The engine's role in the database.
    pub role: Arc<str>,
    /// The connections that callers' requests use.
    pub requests: Pool,
    /// What its services run in.
    pub tasks: Tasks,
    /// Cancelled when the server takes no more requests: who watches is sent
    /// elsewhere, so that nobody has to wait for them.
    pub leaving: CancellationToken,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// Tells other nodes what was appended here.
    pub tell_others: TellOthers,
    /// How often it is asked whether a watcher may still watch; [`ASK_EVERY`]
    /// unless there is a reason.
    pub ask_every: Duration,
    /// How long chunks (`job.chunk`) are kept; none for as long as their stream.
    pub chunks_kept: Option<Duration>,
}

/// The streams of a project.
pub struct Streams {
    store: Store,
    hub: Arc<Hub>,
    appender: Appender,
    places: Arc<Places>,
    pages: Arc<Semaphore>,
    clock: Clock,
    ask_every: Duration,
    tasks: Tasks,
    leaving: CancellationToken,
}

impl Streams {
    /// Starts what works beside requests.
    #[must_use]
    pub fn start(given: Given) -> Arc<Self> {
        let store = Store::new(given.pool, given.role, given.requests);
        let (hub, tasks) = (Hub::new(), given.tasks);
        let (appender, queue) = Appender::new();
        let flusher = Flusher {
            store: store.clone(),
            hub: Arc::clone(&hub),
            tell_others: given.tell_others,
        };
        tasks.spawn("stream-writer", flusher.run(queue, tasks.token()));
        let reading = Arc::clone(&hub).run(store.clone(), given.rng.clone(), tasks.token());
        tasks.spawn("stream-hub", reading);
        let pruning = retention::keep(store.clone(), given.chunks_kept, given.rng, tasks.token());
        tasks.spawn("stream-retention", pruning);
        Arc::new(Self {
            store,
            hub,
            appender,
            places: Arc::default(),
            pages: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
            clock: given.clock,
            ask_every: given.ask_every,
            tasks,
            leaving: given.leaving,
        })
    }

    /// Where events are written, in process.
    #[must_use]
    pub fn appender(&self) -> &Appender {
        &self.appender
    }

    /// These streams have news, somebody says: what is watched here is read.
    pub fn poke(&self, streams: &[Uuid]) {
        self.hub.poke(streams);
    }

    /// Any stream may have.
    pub fn poke_all(&self) {
        self.hub.poke_all();
    }

    /// How many streams are watched on this node.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.hub.watched()
    }

    /// How many watch on this node.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.places.taken()
    }

    /// Follows a stream behind a cursor, as long as the caller may read it.
    pub async fn watch(&self, caller: &Caller, stream: Uuid, after: i64) -> Result<Watching> {
        let last_seq = access::look(&self.store, caller, stream).await?;
        if after > last_seq {
            return Err(StreamError::Invalid(
                "the cursor is beyond the end of the stream",
            ));
        }
        let place = self.places.take(caller)?;
        let hold = self.hub.hold(stream, last_seq);
        let pages = Arc::clone(&self.pages);
        let follower = Follower::new(hold, (after, last_seq), self.store.clone(), pages);
        let store = self.store.clone();
        let pass = Pass::new(caller.clone(), stream, store, &self.clock, self.ask_every);
        Ok(Watching::new(follower, pass, place))
    }

    /// Deletes what belongs to nobody any more, and chunks that are older; how
    /// many rows.
    pub async fn prune(&self, chunks_older: Option<Duration>) -> Result<u64> {
        Ok(retention::once(&self.store, chunks_older).await?)
    }
}

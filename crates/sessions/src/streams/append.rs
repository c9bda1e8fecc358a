//! Writing: many small pieces become few transactions.
//!
//! Whoever appends hands a [`Piece`] over and waits for its verdict, which
//! comes after the commit. One task collects what comes while the last commit
//! is under way or not long ago, and sends all of it in one statement. So a
//! lone piece waits for nothing, and ten thousand a second cost as many
//! transactions as there are flushes. Start at [`Appender`]; `batch` says
//! what goes together.

mod batch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ports::TellOthers;

use super::hub::Hub;
use super::store::Store;
use batch::Gathered;

/// Between the beginnings of two flushes. Sixteen transactions a second are
/// nothing to the database, and nobody reads text that fast.
const FLUSH_EVERY: Duration = Duration::from_millis(60);
/// So much is sent without waiting any longer: what comes in large pieces is
/// bound by the database, not by our patience.
pub(super) const FLUSH_BYTES: usize = 256 << 10;
/// Events of one flush: their rows are locked for its length.
pub(super) const FLUSH_EVENTS: usize = 4096;
/// Bytes that wait at most, in all. Beyond it writers wait for room.
const QUEUE_BYTES: usize = 8 << 20;
/// Pieces that wait at most; a small one costs more than its bytes.
const QUEUE_PIECES: usize = 8192;
/// How long a writer waits for room before it is told to come back.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// Streams whose left-over events are numbered after a flush.
const NUMBERED_AT_ONCE: u32 = 256;
/// Until what is left over is tried again: whoever holds the lock commits soon.
const NUMBER_AGAIN: Duration = Duration::from_millis(10);

/// Events of one piece at most.
pub const PIECE_EVENTS_MAX: usize = 1000;
/// Bytes of one event's data at most: a log is read by many, in pages.
pub const EVENT_BYTES_MAX: usize = 16 << 10;
/// Bytes of one piece at most.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// Characters of a producer's name, as in the table.
const PRODUCER_CHARS_MAX: usize = 300;
/// Characters of a kind, as in the table.
const KIND_CHARS_MAX: usize = 100;

/// One event to be.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What it is: `job.chunk`, `message.created`.
    pub kind: String,
    /// Any JSON.
    pub data: Box<RawValue>,
}

/// Who writes, and the number of the first event: what is sent twice is kept
/// once. The name `<job>:<epoch>:<channel>` counts only as long as that claim
/// has its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its name, unique in the stream.
    pub name: String,
    /// The number of the piece's first event, from 0.
    pub first_n: i64,
}

/// What one writer has to say in one stream.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Where.
    pub stream: Uuid,
    /// Whose the stream must be; none for one who may write to any.
    pub owner: Option<Arc<str>>,
    /// Without one, what is sent twice is there twice.
    pub producer: Option<Producer>,
    /// The job it is about, unless the producer names it.
    pub job: Option<Uuid>,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
}

/// How a piece was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// What the producer sends next.
    pub next_n: Option<i64>,
    /// Events that were not there before.
    pub fresh: usize,
}

/// Why a piece was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// No such stream, or somebody else's.
    #[error("there is no such stream")]
    NotFound,
    /// The claim that the producer names has lost its job.
    #[error("the producer's claim has lost its job")]
    Stale,
    /// Events before these are missing.
    #[error("events before these are missing; the next is {next_n}")]
    Gap {
        /// What the producer sends next.
        next_n: i64,
    },
    /// It could never be taken.
    #[error("{0}")]
    Invalid(&'static str),
    /// Too many wait; nothing was done.
    #[error("too many events wait to be written")]
    Busy,
    /// The database did not answer: it may or may not have been taken.
    #[error("the events may not have been written")]
    Unavailable(#[source] Arc<pg::Error>),
    /// The server is going away; nothing was done.
    #[error("the server is stopping")]
    Stopping,
}

/// A piece with whoever waits for its verdict.
struct Waiting {
    piece: Piece,
    bytes: usize,
    reply: oneshot::Sender<Result<Appended, AppendError>>,
    /// Its part of the room.
    _room: OwnedSemaphorePermit,
}

/// Where pieces are handed in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Appender {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// The other end, to be run once.
pub(super) struct Queue {
    pieces: mpsc::Receiver<Waiting>,
    /// What must wait for the next flush, in order.
    held: VecDeque<Waiting>,
}

impl Appender {
    pub(super) fn new() -> (Self, Queue) {
        let (queue, pieces) = mpsc::channel(QUEUE_PIECES);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let held = VecDeque::new();
        (Self { queue, room }, Queue { pieces, held })
    }

    /// Appends and waits until it is committed. Pieces of one producer must be
    /// handed in one after the other; without a verdict, they may be sent again.
    pub async fn append(&self, piece: Piece) -> Result<Appended, AppendError> {
        let verdict = self.hand_in(piece).await?;
        verdict.await.unwrap_or(Err(AppendError::Stopping))
    }

    /// Hands a piece in; the verdict comes later. Waits only for room.
    pub async fn hand_in(&self, piece: Piece) -> Result<Pending, AppendError> {
        let bytes = checked(&piece)?;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        let room = tokio::time::timeout(ROOM_WAIT, room).await;
        let room = room
            .map_err(|_| AppendError::Busy)?
            .map_err(|_| AppendError::Stopping)?;
        let (reply, verdict) = oneshot::channel();
        let waiting = Waiting {
            piece,
            bytes,
            reply,
            _room: room,
        };
        match tokio::time::timeout(ROOM_WAIT, self.queue.send(waiting)).await {
            Ok(Ok(())) => Ok(verdict),
            Ok(Err(_)) => Err(AppendError::Stopping),
            Err(_) => Err(AppendError::Busy),
        }
    }
}

/// A verdict to come; none when the server stopped before.
pub type Pending = oneshot::Receiver<Result<Appended, AppendError>>;

/// The bytes of a piece that can be taken.
fn checked(piece: &Piece) -> Result<usize, AppendError> {
    let mut bytes = 0;
    for event in &piece.events {
        let size = event.data.get().len();
        if size > EVENT_BYTES_MAX {
            return Err(AppendError::Invalid("an event's data is too large"));
        }
        if !is_kind(&event.kind) {
            return Err(AppendError::Invalid(
                "a kind is 1 to 100 letters, digits, dots, colons, dashes and underscores",
            ));
        }
        // What a row takes beside its data.
        bytes += size + event.kind.len() + 64;
    }
    if piece.events.len() > PIECE_EVENTS_MAX || bytes > PIECE_BYTES_MAX {
        return Err(AppendError::Invalid("too many events at once"));
    }
    if let Some(producer) = &piece.producer {
        let length = producer.name.chars().count();
        if !(1..=PRODUCER_CHARS_MAX).contains(&length) || producer.name.contains('\0') {
            return Err(AppendError::Invalid(
                "a producer's name has 1 to 300 characters",
            ));
        }
        if !(0..i64::MAX - 1_000_000).contains(&producer.first_n) {
            return Err(AppendError::Invalid("n counts from 0"));
        }
    } else if piece.events.is_empty() {
        return Err(AppendError::Invalid("there are no events"));
    }
    Ok(bytes.max(1))
}

fn is_kind(kind: &str) -> bool {
    (1..=KIND_CHARS_MAX).contains(&kind.len())
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// What the collecting task works with.
pub(super) struct Flusher {
    pub(super) store: Store,
    pub(super) hub: Arc<Hub>,
    pub(super) tell_others: TellOthers,
}

impl Flusher {
    /// Collects and flushes until told to stop.
    pub(super) async fn run(self, mut queue: Queue, stop: CancellationToken) {
        let mut last = None;
        let mut left_over = false;
        loop {
            let again = async {
                tokio::time::sleep(NUMBER_AGAIN).await;
                if !left_over {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                gathered = queue.gather(last) => {
                    let Some(gathered) = gathered else { return };
                    last = Some(Instant::now());
                    left_over |= self.flush(gathered).await;
                }
                () = again => left_over = self.number().await,
            }
        }
    }

    /// One transaction, verdicts, news. Whether events are left to be numbered.
    async fn flush(&self, gathered: Gathered) -> bool {
        let outcome = gathered.send(&self.store).await;
        if outcome.told.is_empty() {
            return outcome.left_over;
        }
        self.hub.poke(&outcome.told);
        (self.tell_others)(&outcome.told);
        outcome.left_over
    }

    /// Numbers what is left over; whether to try again.
    async fn number(&self) -> bool {
        match self.store.number_some(NUMBERED_AT_ONCE).await {
            Ok(numbered) => {
                // Which streams it was is not said; those that are watched look.
                self.hub.poke_all();
                numbered == 0
            }
            // The hub's tick tries once a second.
            Err(_) => false,
        }
    }
}

impl Queue {
    /// What goes into the next transaction: all that is there once the time has
    /// come or enough is waiting. None when nobody can append any more. Loses
    /// nothing when it is dropped half way.
    async fn gather(&mut self, last: Option<Instant>) -> Option<Gathered> {
        let due = last.map_or_else(Instant::now, |last| last + FLUSH_EVERY);
        while self.held.is_empty() {
            let waiting = self.pieces.recv().await?;
            self.held.push_back(waiting);
        }
        let mut bytes: usize = self.held.iter().map(|waiting| waiting.bytes).sum();
        while bytes < FLUSH_BYTES {
            match tokio::time::timeout_at(due, self.pieces.recv()).await {
                Ok(Some(waiting)) => {
                    bytes += waiting.bytes;
                    self.held.push_back(waiting);
                }
                Ok(None) | Err(_) => break,
            }
        }
        // The rest of what came at the same moment.
        while bytes < FLUSH_BYTES
            && let Ok(waiting) = self.pieces.try_recv()
        {
            bytes += waiting.bytes;
            self.held.push_back(waiting);
        }
        Some(Gathered::take(&mut self.held))
    }
}

//! The connections that all requests share.
//!
//! A request becomes a [`Job`]: a few statements with one Sync behind them.
//! Jobs whose statement has shown to be quick may follow one another on the
//! same connection without waiting (pipelining); any other job gets a
//! connection of its own, so that a slow query delays nobody else. Each job
//! is its own implicit transaction: an error in one never touches the next.
//!
//! Start at [`Pool::submit`], then [`placement`] (who runs where) and
//! [`connection`] (the task that owns one connection).

mod connection;
mod in_flight;
mod lease;
mod placement;
mod statements;
mod timings;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use kernel::Tasks;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::rows::Rows;
use crate::sql_buf::Param;
use crate::target::Target;
use connection::Connection;
pub(crate) use connection::is_stale_plan;
pub(crate) use lease::Lease;
use lease::LeaseCommand;
use placement::{Company, Slot, State};

/// How the pool behaves.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Threads that serve requests, as [`kernel::lane`] numbers them. Each has
    /// connections of its own, so that no answer crosses threads.
    pub lanes: usize,
    /// Connections at most, over all lanes. Each costs Postgres a process.
    pub connections_max: usize,
    /// Connections that quick jobs spread over before they share. More than
    /// two per core only makes Postgres switch between processes.
    pub quick_connections: usize,
    /// Connections that quick writes spread over before they share: so many
    /// commits wait for the disk together.
    pub write_connections: usize,
    /// How long a job may wait for a connection.
    pub acquire_limit: Duration,
    /// A connection unused for this long is closed.
    pub idle_limit: Duration,
    /// The bytes of one job's result at most: it is held in memory.
    pub result_bytes_max: usize,
    /// Use named prepared statements. Off behind poolers in transaction mode.
    pub prepared: bool,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            lanes: 1,
            connections_max: 32,
            quick_connections: 4,
            write_connections: 16,
            acquire_limit: Duration::from_secs(10),
            idle_limit: Duration::from_secs(60),
            result_bytes_max: 256 << 20,
            prepared: true,
        }
    }
}

/// Jobs waiting for a connection at most: a longer queue could not be served
/// within the wait limit anyway.
const WAITING_MAX: usize = 4096;

/// How often idle connections are looked for.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// First and longest pause between attempts to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LAST: Duration = Duration::from_secs(1);

/// A statement on its way to a connection.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) text: Arc<str>,
    /// Shared, so that a second try costs no copy of a large body.
    pub(crate) params: Arc<[Param]>,
    /// Never kept as a prepared statement: BEGIN, COMMIT, ROLLBACK, and what
    /// is tried again because a prepared statement was stale.
    pub(crate) control: bool,
}

/// Statements up to and including a Sync.
pub(crate) type Segment = Vec<Statement>;

pub(crate) type Reply = oneshot::Sender<Result<Vec<Rows>, Error>>;

/// How a job is run.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Which prepared statements may be shared: one set per role, since a
    /// plan under row level security belongs to a role.
    pub(crate) scope: Arc<str>,
    /// Identifies the statement for `timings`; `None` is never pipelined.
    pub(crate) timing: Option<u64>,
    /// It changes no data.
    pub(crate) read_only: bool,
    /// It may change settings beyond its transaction, which the next caller
    /// must not find.
    pub(crate) reset: bool,
}

/// The work of one request.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) manner: Manner,
    started: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(crate) enum Work {
    Run {
        segments: Vec<Segment>,
        reply: Reply,
    },
    Lease(oneshot::Sender<mpsc::Sender<LeaseCommand>>),
}

impl Job {
    fn abandoned(&self) -> bool {
        match &self.work {
            Work::Run { reply, .. } => reply.is_closed(),
            Work::Lease(reply) => reply.is_closed(),
        }
    }
}

/// The pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    lanes: Arc<[Arc<Inner>]>,
    /// Lane 0, which also serves threads that are none.
    first: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    config: PoolConfig,
    tasks: Tasks,
    /// Not a Tokio mutex: nothing is awaited while it is held.
    state: Mutex<State>,
}

/// What the pool is doing, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Open connections.
    pub open: usize,
    /// Those with work in flight.
    pub busy: usize,
    /// Jobs waiting for a connection.
    pub waiting: usize,
    /// The configured maximum.
    pub max: usize,
}

impl Pool {
    /// A pool that connects when first used.
    #[must_use]
    pub fn new(target: &Target, config: &PoolConfig, tasks: &Tasks) -> Self {
        let lanes = config.lanes.clamp(1, config.connections_max.max(1));
        let share = PoolConfig {
            connections_max: (config.connections_max / lanes).max(1),
            quick_connections: (config.quick_connections / lanes).max(1),
            write_connections: (config.write_connections / lanes).max(1),
            ..config.clone()
        };
        let lane = |_| {
            let lane = Arc::new(Inner {
                target: target.clone(),
                config: share.clone(),
                tasks: tasks.clone(),
                state: Mutex::default(),
            });
            let reaping = reap(Arc::downgrade(&lane), tasks.token());
            tasks.spawn("pool-reaper", reaping);
            lane
        };
        let first = lane(0);
        let others = (1..lanes).map(lane);
        Self {
            lanes: std::iter::once(Arc::clone(&first)).chain(others).collect(),
            first,
        }
    }

    /// The present thread's part of the pool.
    fn lane(&self) -> &Arc<Inner> {
        let lane = kernel::lane::current() % self.lanes.len();
        self.lanes.get(lane).unwrap_or(&self.first)
    }

    /// Where the pool connects to.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.first.target
    }

    /// What the pool is doing.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for lane in self.lanes.iter() {
            let lane_state = lane.lock();
            stats.open += lane_state.slots.len();
            stats.busy += lane_state
                .slots
                .values()
                .filter(|s| s.in_flight > 0)
                .count();
            stats.waiting += lane_state.waiting.len();
            stats.max += lane.config.connections_max;
        }
        stats
    }

    /// Closes every connection once its work is done and refuses new work.
    pub fn close(&self) {
        self.lanes.iter().for_each(|lane| lane.close());
    }

    pub(crate) async fn run(
        &self,
        segments: Vec<Segment>,
        manner: Manner,
    ) -> Result<Vec<Rows>, Error> {
        let (reply, answer) = oneshot::channel();
        let work = Work::Run { segments, reply };
        self.submit(work, manner, answer).await?
    }

    pub(crate) async fn lease(&self, reset: bool) -> Result<Lease, Error> {
        let (reply, answer) = oneshot::channel();
        let manner = Manner {
            scope: Arc::from(""),
            timing: None,
            read_only: false,
            reset,
        };
        let commands = self.submit(Work::Lease(reply), manner, answer).await?;
        Ok(Lease::new(commands))
    }

    /// Finds a connection for the work, or lets it wait for one.
    async fn submit<T>(
        &self,
        work: Work,
        manner: Manner,
        mut answer: oneshot::Receiver<T>,
    ) -> Result<T, Error> {
        let started = Arc::new(AtomicBool::new(false));
        let job = Job {
            work,
            manner,
            started: Arc::clone(&started),
        };
        let lane = self.lane();
        if lane.place(job)? {
            return answer.await.map_err(|_| Error::Closed);
        }
        let wait = tokio::time::timeout(lane.config.acquire_limit, &mut answer).await;
        match wait {
            Ok(answer) => answer.map_err(|_| Error::Closed),
            // Out of the queue in the last moment: the limit is for waiting,
            // not for working.
            Err(_) if started.load(Ordering::Acquire) => answer.await.map_err(|_| Error::Closed),
            Err(_) => Err(lane.why_nothing_was_free()),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement that changes it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.slots.clear();
    }

    /// Gives the job to a connection (true) or puts it into the queue (false).
    fn place(self: &Arc<Self>, job: Job) -> Result<bool, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let now = Instant::now();
        let company = match job.manner.timing {
            Some(key) if !state.timings.is_quick(key) => Company::Nobody,
            Some(_) if job.manner.read_only => Company::Reads,
            Some(_) => Company::Writes,
            None => Company::Nobody,
        };
        if let Some(id) = state.choose(company, &self.config, now) {
            state.assign(id, job, company, now);
            return Ok(true);
        }
        if state.waiting.len() >= WAITING_MAX {
            return Err(Error::Busy);
        }
        state.wait(job, company, now);
        if state.slots.len() + state.connecting < self.config.connections_max {
            state.connecting += 1;
            drop(state);
            self.connect();
        }
        Ok(false)
    }

    /// Opens one more connection in the background.
    fn connect(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        self.tasks.spawn("pool-connection", async move {
            let stop = inner.tasks.token();
            let mut pause = RECONNECT_FIRST;
            loop {
                let connected = tokio::select! {
                    connected = crate::wire::login::login(&inner.target) => connected,
                    () = stop.cancelled() => {
                        inner.lock().connecting -= 1;
                        return;
                    }
                };
                match connected {
                    Ok(connected) => {
                        let (jobs, inbox) = mpsc::unbounded_channel();
                        let Some(id) = inner.admit(jobs) else { return };
                        Connection::new(connected, Arc::clone(&inner), id)
                            .run(inbox)
                            .await;
                        inner.dismiss(id);
                        return;
                    }
                    Err(error) => {
                        if !inner.note_connect_error(&error) {
                            return;
                        }
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(RECONNECT_LAST);
                    }
                }
            }
        });
    }

    /// Takes a new connection in and gives it the oldest waiting jobs.
    fn admit(&self, jobs: mpsc::UnboundedSender<Job>) -> Option<u64> {
        let mut state = self.lock();
        state.connecting -= 1;
        state.last_connect_error = None;
        if state.closed {
            return None;
        }
        let id = state.next_slot;
        state.next_slot += 1;
        let now = Instant::now();
        state.slots.insert(id, Slot::new(jobs, now));
        state.serve_waiting(id, now);
        Some(id)
    }

    /// Removes a connection that has ended, and replaces it when it is missed.
    fn dismiss(self: &Arc<Self>, id: u64) {
        let mut state = self.lock();
        state.slots.remove(&id);
        let replace = !state.waiting.is_empty()
            && !state.closed
            && state.slots.len() + state.connecting < self.config.connections_max;
        if replace {
            state.connecting += 1;
            drop(state);
            self.connect();
        }
    }

    /// Remembers why nobody could connect; false when nobody waits any more.
    fn note_connect_error(&self, error: &Error) -> bool {
        let mut state = self.lock();
        state.waiting.retain(|waiting| !waiting.job.abandoned());
        let wanted = !state.waiting.is_empty() && !state.closed;
        // Others that are open will serve the queue: one failure is enough.
        let others = !state.slots.is_empty();
        state.last_connect_error = Some(error.to_string());
        if !wanted || others {
            state.connecting -= 1;
            return false;
        }
        tracing::warn!("could not connect to PostgreSQL: {error}");
        true
    }

    fn why_nothing_was_free(&self) -> Error {
        match self.lock().last_connect_error.clone() {
            Some(reason) => Error::Connect {
                address: self.target.to_string(),
                source: std::io::Error::other(reason),
            },
            None => Error::Timeout,
        }
    }

    /// One job on this connection is done.
    pub(super) fn finished(&self, id: u64, timing: Option<u64>, took: Duration) {
        let mut state = self.lock();
        if let Some(key) = timing {
            state.timings.record(key, took);
        }
        state.release(id, Instant::now());
    }

    fn reap(&self) {
        let mut state = self.lock();
        let limit = self.config.idle_limit;
        // Dropping the sender ends the connection's task.
        state
            .slots
            .retain(|_, slot| slot.in_flight > 0 || slot.since.elapsed() < limit);
    }
}

/// Closes idle connections from time to time, and all of them at the end.
async fn reap(lane: Weak<Inner>, stop: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(REAP_EVERY) => false,
            () = stop.cancelled() => true,
        };
        let Some(lane) = lane.upgrade() else {
            break;
        };
        if stopping {
            // Otherwise its connections, which are tasks as well, would be
            // waited for without end.
            lane.close();
            break;
        }
        lane.reap();
    }
}

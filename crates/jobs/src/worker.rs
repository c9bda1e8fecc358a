//! Workers in this process: handlers by type, run beside the server with the
//! same queues in front of the database that HTTP workers go through.
//!
//! A worker takes a few jobs more than it runs, so that none waits for a round
//! trip, and says for all of them at once that it lives. A handler that has to
//! wait for something returns [`Stop::Suspended`] (its [`Ctx`] does that) and
//! is run again from its start when it has come; what it did before is
//! remembered step by step.

mod ahead;
mod context;
mod hold;
mod stop;
mod waits;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pace::jittered;
use crate::room::Jobs;
use crate::types::{Claimed, Finish, Outcome, Wants};
use ahead::{Ahead, WAIT_MAX};
pub use context::{Call, Ctx, Paid, Step};
use hold::{Held, Hold};
pub use stop::Stop;
pub use waits::{Answered, Ask, ChildEnd};

/// Handlers that run at once, and jobs taken ahead at first, unless said.
const SLOTS: usize = 16;
/// How long a free slot waits for others, so that one claim serves them all:
/// less than a commit takes.
const GATHER: Duration = Duration::from_millis(2);
/// Before asking again when the database does not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// How long handlers may go on after the worker was told to stop. Then they
/// are dropped and their jobs given back.
const GRACE: Duration = Duration::from_secs(10);
/// Tries to say how a job ended; afterwards its lease says it.
const FINISH_TRIES: u32 = 5;

/// What a handler comes to.
type Outcomes = Result<Box<RawValue>, Stop>;
type Handler =
    Arc<dyn Fn(Ctx, Option<Box<RawValue>>) -> BoxFuture<'static, Outcomes> + Send + Sync>;

/// A worker in the making.
pub struct Builder {
    jobs: Arc<Jobs>,
    name: String,
    queues: Vec<String>,
    slots: usize,
    ahead: Ahead,
    lease: Duration,
    owner: Option<String>,
    code_version: Option<String>,
    handlers: HashMap<String, Handler>,
}

/// A running worker.
pub struct Worker {
    stop: CancellationToken,
    done: CancellationToken,
}

impl Worker {
    /// A worker on these jobs.
    #[must_use]
    pub fn builder(jobs: &Arc<Jobs>) -> Builder {
        Builder {
            jobs: Arc::clone(jobs),
            name: format!("in-process/{}", jobs.core.rng.uuid()),
            queues: vec!["default".to_owned()],
            slots: SLOTS,
            ahead: Ahead::by_pace(SLOTS),
            lease: jobs.core.config.lease,
            owner: None,
            code_version: None,
            handlers: HashMap::new(),
        }
    }

    /// Takes no more jobs, lets handlers end for a while, gives the rest back.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.done.cancelled().await;
    }
}

impl Builder {
    /// Its name, for people.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The queues it takes jobs from.
    #[must_use]
    pub fn queues<T: Into<String>>(mut self, queues: impl IntoIterator<Item = T>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// How many handlers run at once, and how many jobs are taken ahead: not
    /// one more, while otherwise quick handlers get more.
    #[must_use]
    pub fn slots(mut self, slots: usize, ahead: usize) -> Self {
        self.slots = slots.max(1);
        self.ahead = Ahead::fixed(ahead);
        self
    }

    /// How long its claims hold if it dies.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Only jobs of this owner.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The version of its handlers' code.
    #[must_use]
    pub fn code_version(mut self, version: impl Into<String>) -> Self {
        self.code_version = Some(version.into());
        self
    }

    /// What to do with jobs of a type.
    #[must_use]
    pub fn handle<F, Fut, I, O>(mut self, kind: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Ctx, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Stop>> + Send + 'static,
        I: DeserializeOwned,
        O: Serialize,
    {
        let handler: Handler = Arc::new(move |ctx, input| {
            let text = input.as_ref().map_or("null", |raw| raw.get());
            match serde_json::from_str::<I>(text) {
                Ok(input) => {
                    let running = handler(ctx, input);
                    async move {
                        let output = running.await?;
                        serde_json::value::to_raw_value(&output)
                            .map_err(|error| Stop::fatal(format!("the output is no JSON: {error}")))
                    }
                    .boxed()
                }
                Err(error) => {
                    // Another try reads the same input.
                    let stop = Stop::fatal(format!("the input cannot be read: {error}"));
                    std::future::ready(Err(stop)).boxed()
                }
            }
        });
        self.handlers.insert(kind.into(), handler);
        self
    }

    /// Starts it. It ends with [`Worker::shutdown`] or [`Jobs::drain`].
    #[must_use]
    pub fn start(self) -> Worker {
        let stop = self.jobs.workers.stop.child_token();
        let done = CancellationToken::new();
        let wants = Arc::new(Wants {
            worker: self.name,
            queues: self.queues,
            types: Some(self.handlers.keys().cloned().collect()),
            any_owner: self.owner.is_none(),
            owner: self.owner,
            lease: self.lease,
            code_version: self.code_version,
        });
        let running = Running {
            hold: Hold::new(&self.jobs, &wants),
            slots: Arc::new(Semaphore::new(self.slots)),
            width: self.slots,
            ahead: self.ahead,
            handlers: self.handlers,
            wants,
            room: Arc::new(Notify::new()),
            tracker: TaskTracker::new(),
            jobs: self.jobs,
        };
        let tracker = running.jobs.workers.tracker.clone();
        let tasks = running.jobs.tasks.clone();
        let (token, ended) = (stop.clone(), done.clone().drop_guard());
        tasks.spawn(
            "worker",
            tracker.track_future(async move {
                Arc::new(running).run(token).await;
                drop(ended);
            }),
        );
        Worker { stop, done }
    }
}

/// The workers of a room, which end together.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    pub(crate) stop: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Jobs {
    /// Ends all workers of this process: handlers get a while to end, and what
    /// has not begun is given back. To be called while the database still
    /// answers.
    pub async fn drain(&self) {
        self.workers.stop.cancel();
        self.workers.tracker.close();
        self.workers.tracker.wait().await;
    }
}

/// What comes of waiting for a slot.
enum Turn<'a> {
    Now(SemaphorePermit<'a>),
    GiveBack,
    /// It is no longer ours.
    Gone,
}

/// A worker at work.
struct Running {
    jobs: Arc<Jobs>,
    wants: Arc<Wants>,
    handlers: HashMap<String, Handler>,
    hold: Arc<Hold>,
    slots: Arc<Semaphore>,
    /// How many handlers run at once.
    width: usize,
    ahead: Ahead,
    /// Called when a job has left the hand.
    room: Arc<Notify>,
    tracker: TaskTracker,
}

impl Running {
    async fn run(self: Arc<Self>, stop: CancellationToken) {
        let live = CancellationToken::new();
        let beating = Arc::clone(&self.hold).keep_alive(live.clone());
        let beating = self.jobs.tasks.spawn("worker-heartbeat", beating);
        loop {
            let room = tokio::select! {
                room = self.wait_for_room() => room,
                () = stop.cancelled() => break,
            };
            let claimed = tokio::select! {
                // Dropped when told to stop: what it claims is given back.
                claimed = self.jobs.claim(&self.wants, room, self.jobs.core.config.wait_max) => claimed,
                () = stop.cancelled() => break,
            };
            match claimed {
                Ok(claimed) => {
                    let idle = self.slots.available_permits() > 0;
                    self.ahead.answered(room, &claimed, idle);
                    for job in claimed {
                        self.take(job, &stop);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "No jobs could be taken; trying again");
                    let pause = jittered(&self.jobs.core.rng, PAUSE);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => break,
                    }
                }
            }
        }
        self.tracker.close();
        if tokio::time::timeout(GRACE, self.tracker.wait())
            .await
            .is_err()
        {
            self.hold.abandon();
            self.tracker.wait().await;
        }
        live.cancel();
        // It only ever ends.
        let _ = beating.await;
    }

    /// Until a claim is worth its round trip: a quarter of the hand is free,
    /// or a slot is, and has been for a moment.
    async fn wait_for_room(&self) -> usize {
        let room = || self.capacity().saturating_sub(self.hold.count());
        loop {
            let called = self.room.notified();
            if room() * 4 >= self.capacity() {
                return room();
            }
            if room() > 0 && self.slots.available_permits() > 0 {
                // Where jobs are quick, many more end within that moment.
                tokio::time::sleep(GATHER).await;
                return room();
            }
            called.await;
        }
    }

    /// Jobs in hand at most: running, waiting, and being ended.
    fn capacity(&self) -> usize {
        self.width + self.ahead.now()
    }

    fn take(self: &Arc<Self>, job: Claimed, stop: &CancellationToken) {
        // One of many that were taken because the others were quick.
        let extra = self.hold.count() >= self.width + self.ahead.first();
        let held = self.hold.take(&job);
        let (this, stop) = (Arc::clone(self), stop.clone());
        let work = async move {
            let end = match this.slot(&held, extra, &stop).await {
                Turn::Now(permit) => this.carry_out(job, &held, permit).await,
                Turn::GiveBack => Some(Finish::released(held.id, held.epoch)),
                Turn::Gone => None,
            };
            if let Some(end) = end {
                this.end(end).await;
            }
            this.hold.leave(&held);
            this.room.notify_one();
        };
        self.jobs
            .tasks
            .spawn("job", self.tracker.track_future(work));
    }

    /// Waits for a slot: an extra job not for long, since others may have one.
    async fn slot(&self, held: &Held, extra: bool, stop: &CancellationToken) -> Turn<'_> {
        if stop.is_cancelled() {
            return Turn::GiveBack;
        }
        if let Ok(permit) = self.slots.try_acquire() {
            return Turn::Now(permit);
        }
        let too_long = async {
            if extra {
                tokio::time::sleep(WAIT_MAX).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            permit = self.slots.acquire() => permit.map_or(Turn::GiveBack, Turn::Now),
            () = stop.cancelled() => Turn::GiveBack,
            () = held.gone.cancelled() => Turn::Gone,
            () = too_long => {
                self.ahead.fall_back();
                Turn::GiveBack
            }
        }
    }

    /// Runs the job's handler, and says how the claim ends if it is ours to
    /// end it.
    async fn carry_out(
        &self,
        job: Claimed,
        held: &Held,
        permit: SemaphorePermit<'_>,
    ) -> Option<Finish> {
        let (id, epoch) = (job.id, job.epoch);
        let handler = self.handlers.get(&job.kind)?;
        let input = job.input.clone();
        let ctx = Ctx::new(&self.jobs, job, held);
        let running = std::panic::AssertUnwindSafe(handler(ctx, input)).catch_unwind();
        let outcome = tokio::select! {
            outcome = running => outcome,
            // Word from the engine: whatever the handler would say is refused.
            () = held.gone_for_good() => return None,
            () = held.abandoned.cancelled() => return Some(Finish::released(id, epoch)),
        };
        drop(permit);
        self.room.notify_one();
        let failed = |error, retryable, delay| Finish {
            id,
            epoch,
            outcome: Outcome::Failed,
            output: None,
            error: serde_json::value::to_raw_value(&error).ok(),
            retryable,
            delay,
        };
        match outcome {
            Ok(Ok(output)) => Some(Finish {
                id,
                epoch,
                outcome: Outcome::Completed,
                output: Some(output),
                error: None,
                retryable: false,
                delay: None,
            }),
            Ok(Err(Stop::Suspended | Stop::Lost)) => None,
            Ok(Err(Stop::Failed {
                error,
                retryable,
                delay,
            })) => Some(failed(error, retryable, delay)),
            Err(_panic) => {
                tracing::error!(job = %id, "A handler panicked");
                let error = json!({ "code": "panic", "message": "the handler panicked" });
                Some(failed(error, true, None))
            }
        }
    }

    /// Says how the claim ended, again if the database does not answer: the
    /// claim's number lets it count once.
    async fn end(&self, end: Finish) {
        for tried in 0..FINISH_TRIES {
            match self.jobs.finish(end.clone()).await {
                Ok(_) => return,
                Err(error) if error.is_passing() => {
                    tracing::debug!(job = %end.id, %error, "The end of a job was not heard");
                    let pause = PAUSE * 2_u32.pow(tried);
                    tokio::time::sleep(jittered(&self.jobs.core.rng, pause)).await;
                }
                Err(error) if end.outcome == Outcome::Completed => {
                    // Its output cannot be kept: another try would bring the same.
                    let error = json!({ "code": error.code(), "message": error.to_string() });
                    let failed = Finish {
                        outcome: Outcome::Failed,
                        output: None,
                        error: serde_json::value::to_raw_value(&error).ok(),
                        ..end
                    };
                    if let Err(error) = self.jobs.finish(failed).await {
                        tracing::warn!(%error, "A job waits for the end of its lease");
                    }
                    return;
                }
                Err(error) => {
                    tracing::warn!(job = %end.id, %error, "A job waits for the end of its lease");
                    return;
                }
            }
        }
    }
}

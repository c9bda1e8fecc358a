//! The jobs that a worker has in hand, and the signs of life for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Result;
use crate::pace::jittered;
use crate::room::Jobs;
use crate::types::{Beat, Claimed, Wants};
use crate::wake::Holding;

/// How long a handler whose job is gone may go on to clean up.
const CLEAN_UP: Duration = Duration::from_secs(2);

/// A job in hand.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: Uuid,
    pub(crate) epoch: i32,
    /// The job is no longer ours: the handler should stop.
    pub(crate) gone: CancellationToken,
    /// The worker ends and will not wait for the handler.
    pub(crate) abandoned: CancellationToken,
    /// How far it is, until the next sign of life takes it along.
    pub(crate) said: Arc<Mutex<Said>>,
    /// So that word about the job reaches this worker at once.
    _holding: Arc<Holding>,
}

/// What a handler last said about itself.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) progress: Option<f32>,
    pub(crate) message: Option<String>,
}

impl Held {
    /// The handler had its time to clean up.
    pub(crate) async fn gone_for_good(&self) {
        self.gone.cancelled().await;
        tokio::time::sleep(CLEAN_UP).await;
    }
}

/// All of them.
pub(crate) struct Hold {
    jobs: Arc<Jobs>,
    wants: Arc<Wants>,
    /// Not a Tokio mutex: nothing is awaited while it is held.
    held: Mutex<HashMap<Uuid, Held>>,
    changed: Arc<Notify>,
    /// When it was last known that the claims hold.
    alive: Mutex<Instant>,
}

impl Hold {
    pub(crate) fn new(jobs: &Arc<Jobs>, wants: &Arc<Wants>) -> Arc<Self> {
        Arc::new(Self {
            jobs: Arc::clone(jobs),
            wants: Arc::clone(wants),
            held: Mutex::default(),
            changed: Arc::new(Notify::new()),
            alive: Mutex::new(Instant::now()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn take(&self, job: &Claimed) -> Held {
        let holding = self.jobs.core.wake.holder([job.id], &self.changed);
        let held = Held {
            id: job.id,
            epoch: job.epoch,
            gone: CancellationToken::new(),
            abandoned: CancellationToken::new(),
            said: Arc::default(),
            _holding: Arc::new(holding),
        };
        self.lock().insert(job.id, held.clone());
        held
    }

    /// The job is over here, unless it was taken again meanwhile.
    pub(crate) fn leave(&self, held: &Held) {
        let mut all = self.lock();
        if all.get(&held.id).is_some_and(|one| one.epoch == held.epoch) {
            all.remove(&held.id);
        }
    }

    /// Waits for no handler any more.
    pub(crate) fn abandon(&self) {
        for held in self.lock().values() {
            held.abandoned.cancel();
        }
    }

    /// Says for all jobs in hand that the worker lives, every third of the
    /// lease, and looks every second whether some are no longer ours.
    pub(crate) async fn keep_alive(self: Arc<Self>, end: CancellationToken) {
        let third = self.wants.lease / 3;
        let mut beat_at = Instant::now() + third;
        loop {
            let pause = jittered(&self.jobs.core.rng, self.jobs.core.config.poll.min(third));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.changed.notified() => {}
                () = end.cancelled() => break,
            }
            let now = Instant::now();
            let looked = if now >= beat_at {
                beat_at = now + third;
                self.beat(|_| true).await
            } else {
                self.look().await
            };
            match looked {
                Ok(()) => *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = now,
                Err(error) => {
                    tracing::debug!(%error, "A sign of life was not heard");
                    self.give_up_in_time(now);
                }
            }
        }
    }

    /// Nobody has heard of us for most of the lease: others may have the jobs
    /// soon, so side effects must stop before that.
    fn give_up_in_time(&self, now: Instant) {
        let alive = *self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(alive) > self.wants.lease.mul_f64(0.8) {
            for held in self.lock().values() {
                held.gone.cancel();
            }
        }
    }

    /// Whether some claims no longer hold, and what handlers have said.
    async fn look(&self) -> Result<()> {
        let claims: Vec<(Uuid, i32)> = {
            let held = self.lock();
            held.values().map(|held| (held.id, held.epoch)).collect()
        };
        if claims.is_empty() {
            return Ok(());
        }
        let lost = self.jobs.lost(&claims).await?;
        self.beat(|held| {
            let said = held.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.progress.is_some() || said.message.is_some() || lost.contains(&held.id)
        })
        .await
    }

    /// Signs of life for some.
    async fn beat(&self, some: impl Fn(&Held) -> bool) -> Result<()> {
        let beats: Vec<Beat> = {
            let held = self.lock();
            let chosen = held.values().filter(|held| some(held));
            chosen
                .map(|held| {
                    let mut said = held.said.lock().unwrap_or_else(PoisonError::into_inner);
                    Beat {
                        worker: self.wants.worker.clone(),
                        id: held.id,
                        epoch: held.epoch,
                        progress: said.progress.take(),
                        message: said.message.take(),
                        lease: self.wants.lease,
                    }
                })
                .collect()
        };
        if beats.is_empty() {
            return Ok(());
        }
        for (id, _) in self.jobs.heartbeat(beats, Duration::ZERO).await? {
            if let Some(held) = self.lock().get(&id) {
                held.gone.cancel();
            }
        }
        Ok(())
    }
}

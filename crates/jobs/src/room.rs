//! The room: what it is made of, and what it can be asked within the process.
//! Its routes are in [`crate::http`].

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use kernel::{Rng, Tasks};
use pg::Pool;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;
use uuid::Uuid;

use crate::actors::Actors;
use crate::config::Config;
use crate::core::Core;
use crate::error::{JobsError, Result};
use crate::news::{self, Told};
use crate::pace::jittered;
use crate::spec::{self, Spec};
use crate::store::{Sight, Store, Verb};
use crate::types::{Beat, Changed, Claimed, Directive, Event, Finish, Submitted, Wants};
use crate::worker::Workers;
use crate::{http, services};

/// What the room is made of.
pub struct Parts {
    /// Connections of its own, which may become [`Parts::role`].
    pub pool: Pool,
    /// The engine's role in the database.
    pub role: Arc<str>,
    /// How it behaves.
    pub config: Config,
    /// What its services run in.
    pub tasks: Tasks,
    /// Randomness.
    pub rng: Rng,
}

/// The jobs of a project.
pub struct Jobs {
    pub(crate) core: Arc<Core>,
    pub(crate) actors: Actors,
    pub(crate) tasks: Tasks,
    pub(crate) workers: Workers,
}

impl Jobs {
    /// Builds the room and starts what it does beside requests.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let store = Store::new(parts.pool, parts.role);
        let core = Core::new(store.clone(), parts.config, parts.rng.clone());
        let tasks = parts.tasks;
        let actors = Actors::start(&core, &tasks);
        services::start(&core, &tasks);
        let (news, stop) = (Arc::clone(&core.news), tasks.token());
        tasks.spawn("tell", news::send(news, store.clone(), stop));
        let (news, stop) = (Arc::clone(&core.news), tasks.token());
        tasks.spawn("listen", news::listen(news, store, parts.rng, stop));
        Arc::new(Self {
            core,
            actors,
            tasks,
            workers: Workers::default(),
        })
    }

    /// Its routes, under `/jobs/v1`.
    pub fn router(self: Arc<Self>) -> Router {
        http::router(self)
    }

    /// Makes one submission: all of its jobs, or none.
    pub async fn submit(&self, specs: Vec<Spec>) -> Result<Vec<Submitted>> {
        spec::check_all(&specs)?;
        self.actors.submit(specs).await
    }

    /// Makes children of a job that the asker holds.
    pub async fn spawn(
        &self,
        parent: Uuid,
        epoch: i32,
        specs: Vec<Spec>,
    ) -> Result<Vec<Submitted>> {
        spec::check_all(&specs)?;
        let made = self.core.store.spawn(parent, epoch, &specs).await?;
        self.core
            .submitted(specs.iter().zip(&made), Some(parent), &[]);
        Ok(made)
    }

    /// Takes jobs, and waits for some as long as it may when there are none.
    /// No database connection is held while it waits.
    pub async fn claim(
        &self,
        wants: &Arc<Wants>,
        most: usize,
        wait: Duration,
    ) -> Result<Vec<Claimed>> {
        let until = Instant::now() + wait.min(self.core.config.wait_max);
        let sleeping = self.core.wake.sleeper(wants, most);
        let stop = self.tasks.token();
        loop {
            sleeping.looks();
            let jobs = self.actors.claim.ask((Arc::clone(wants), most)).await?;
            let now = Instant::now();
            if !jobs.is_empty() || now >= until {
                drop(sleeping);
                if jobs.len() == most {
                    // There may be more, and somebody else who has room.
                    self.core.wake.queues(&wants.queues);
                }
                return Ok(jobs);
            }
            let pause = jittered(&self.core.rng, self.core.config.poll);
            sleeping.rests();
            tokio::select! {
                () = sleeping.called() => {}
                () = tokio::time::sleep_until(until.min(now + pause)) => {}
                () = stop.cancelled() => return Ok(Vec::new()),
            }
            let jobs = sleeping.handed().await;
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }

    /// Signs of life: extends the claims and says which of them to stop. When
    /// there is nothing to say it waits until there is, as long as it may.
    pub async fn heartbeat(
        &self,
        beats: Vec<Beat>,
        wait: Duration,
    ) -> Result<Vec<(Uuid, Directive)>> {
        let changed = Arc::new(Notify::new());
        let ids = beats.iter().map(|beat| beat.id);
        let _holding = self.core.wake.holder(ids, &changed);
        let directives = self.beat(beats.clone()).await?;
        // A claim must not end while its worker waits for word about it.
        let lease = beats.iter().map(|beat| beat.lease / 2).min();
        let wait = wait.min(lease.unwrap_or_default());
        if !directives.is_empty() || wait.is_zero() {
            return Ok(directives);
        }
        self.directive(&beats, &changed, wait.min(self.core.config.wait_max))
            .await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<(Uuid, Directive)>> {
        let ids: Vec<Uuid> = beats.iter().map(|beat| beat.id).collect();
        let answers = self.actors.heartbeat.ask_all(beats).await;
        let mut directives = Vec::new();
        for (id, answer) in ids.into_iter().zip(answers) {
            if let Some(directive) = answer? {
                directives.push((id, directive));
            }
        }
        Ok(directives)
    }

    /// Waits until one of the claims no longer holds.
    async fn directive(
        &self,
        beats: &[Beat],
        changed: &Notify,
        wait: Duration,
    ) -> Result<Vec<(Uuid, Directive)>> {
        let until = Instant::now() + wait;
        let stop = self.tasks.token();
        let held: Vec<_> = beats.iter().map(|beat| (beat.id, beat.epoch)).collect();
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(Vec::new());
            }
            let pause = jittered(&self.core.rng, self.core.config.poll);
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep_until(until.min(now + pause)) => {}
                () = stop.cancelled() => return Ok(Vec::new()),
            }
            let lost = self.core.store.lost(&held).await?;
            if lost.is_empty() {
                continue;
            }
            let gone = beats.iter().filter(|beat| lost.contains(&beat.id));
            return self.beat(gone.cloned().collect()).await;
        }
    }

    /// Which of these claims no longer hold.
    pub(crate) async fn lost(&self, held: &[(Uuid, i32)]) -> Result<Vec<Uuid>> {
        self.core.store.lost(held).await
    }

    /// Ends a claim; the job's state now, or none if the claim was stale.
    pub async fn finish(&self, end: Finish) -> Result<Option<String>> {
        spec::payload("output", end.output.as_deref())?;
        spec::payload("error", end.error.as_deref())?;
        self.actors.finish.ask(end).await
    }

    /// Tells a stream what happened.
    pub async fn append(&self, event: Event) -> Result<()> {
        spec::payload("data", Some(&event.data))?;
        self.actors.append.ask(event).await
    }

    /// Ends a job and everything below it.
    pub async fn cancel(&self, id: Uuid, reason: &str) -> Result<Vec<Changed>> {
        self.change(Verb::Cancel, id, &Sight::All, Some(reason))
            .await
    }

    /// Stops a job and everything below it until it is resumed.
    pub async fn pause(&self, id: Uuid) -> Result<Vec<Changed>> {
        self.change(Verb::Pause, id, &Sight::All, None).await
    }

    /// Goes on with what was paused.
    pub async fn resume(&self, id: Uuid) -> Result<Vec<Changed>> {
        self.change(Verb::Resume, id, &Sight::All, None).await
    }

    /// Tries again what failed or was cancelled.
    pub async fn retry(&self, id: Uuid) -> Result<Vec<Changed>> {
        self.change(Verb::Retry, id, &Sight::All, None).await
    }

    pub(crate) async fn change(
        &self,
        verb: Verb,
        id: Uuid,
        sight: &Sight,
        reason: Option<&str>,
    ) -> Result<Vec<Changed>> {
        let stream = self.core.store.stream_of(id, sight).await?;
        let changed = self.core.store.change(verb, id, sight, reason).await?;
        self.core.news.tell(Told {
            streams: stream.into_iter().collect(),
            jobs: match verb {
                Verb::Cancel | Verb::Pause => changed.iter().map(|job| job.id).collect(),
                Verb::Resume | Verb::Retry => std::collections::HashSet::new(),
            },
            ..Told::default()
        });
        self.core.settled([]);
        Ok(changed)
    }

    /// Refuses whoever may not speak for these jobs.
    pub(crate) async fn own(&self, sight: &Sight, ids: &[Uuid]) -> Result<()> {
        let Sight::Of(owner) = sight else {
            return Ok(());
        };
        let unknown = ids.iter().copied().filter(|id| {
            let known = self.core.known(*id);
            known.is_none_or(|known| known.owner.as_ref() != Some(owner))
        });
        let unknown: Vec<Uuid> = unknown.collect();
        if unknown.is_empty() || self.core.store.all_owned(owner, &unknown).await? {
            return Ok(());
        }
        Err(JobsError::not_found())
    }

    /// What happens from now on, on this node and on others, as a hint where
    /// to look: what others say is heard on one connection, for all rooms. A
    /// slow subscriber misses some and is told so.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Told>> {
        self.core.news.subscribe()
    }

    /// Tells the other nodes that another room has appended to these streams.
    pub fn tell_others(&self, streams: &[Uuid]) {
        self.core.news.tell_others(&Told {
            streams: streams.iter().copied().collect(),
            ..Told::default()
        });
    }
}

//! The jobs and sessions rooms, which share schema `work`.

use std::sync::Arc;
use std::time::Duration;

use ::sessions::Sessions;
use ::sessions::streams::Streams;
use axum::Router;
use jobs::{Jobs, Told};
use kernel::Tasks;
use pg::{Pool, Session, Target};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::app::Context;
use crate::config::Config;

/// Who both rooms are in the database.
pub(crate) const ROLE: &str = "ferrobase_work";
/// Where callers find their sessions and jobs.
pub(crate) const SCHEMA: &str = "work";
/// What a request needs beside its wait, before the gateway loses patience.
const WAIT_MARGIN: Duration = Duration::from_secs(2);

/// Both rooms.
#[derive(Clone)]
pub struct Work {
    /// Jobs.
    pub jobs: Arc<Jobs>,
    /// Sessions and streams.
    pub sessions: Arc<Sessions>,
}

impl Work {
    /// The jobs room's addresses, with the one that leads to another room.
    pub(crate) fn jobs_router(&self) -> Router {
        let streams = Arc::clone(self.sessions.streams());
        Arc::clone(&self.jobs).router().merge(streams.job_router())
    }
}

/// Builds the rooms and starts what works beside requests. `pool` is their own connections, `requests` those of callers' requests;
/// `front` stops first, and with it all that waits for a client.
pub(crate) fn rooms(
    config: &Config,
    (pool, requests): (Pool, &Pool),
    (front, tasks): (&Tasks, &Tasks),
    sandboxes: Option<::sessions::sandboxes::Given>,
    context: &Context,
) -> Work {
    let request = config.api.request_timeout;
    let behaviour = jobs::Config {
        lease: config.jobs.lease,
        keep: config.jobs.keep,
        wait_max: jobs::WAIT_MAX.min(request.saturating_sub(WAIT_MARGIN)),
        ..jobs::Config::default()
    };
    let jobs = Jobs::new(jobs::Parts {
        pool: pool.clone(),
        role: ROLE.into(),
        config: behaviour,
        tasks: tasks.clone(),
        rng: context.rng.clone(),
    });
    let sessions = Sessions::new(::sessions::Parts {
        pool: pool.clone(),
        role: ROLE.into(),
        requests: requests.clone(),
        tasks: tasks.clone(),
        leaving: front.token(),
        clock: context.clock.clone(),
        rng: context.rng.clone(),
        tell_others: {
            let jobs = Arc::clone(&jobs);
            Arc::new(move |streams| jobs.tell_others(streams))
        },
        keep_deleted: config.jobs.keep_sessions,
        sandboxes,
    });
    let news = pass_on(jobs.subscribe(), Arc::clone(sessions.streams()));
    let stop = tasks.token();
    tasks.spawn("stream-news", async move {
        stop.run_until_cancelled_owned(news).await;
    });
    Work { jobs, sessions }
}

/// What the jobs room does and hears from other nodes, for who watches streams.
async fn pass_on(mut news: Receiver<Arc<Told>>, streams: Arc<Streams>) {
    loop {
        match news.recv().await {
            Ok(told) if told.all => streams.poke_all(),
            Ok(told) if told.streams.is_empty() => {}
            Ok(told) => streams.poke(&told.streams.iter().copied().collect::<Vec<_>>()),
            Err(RecvError::Lagged(_)) => streams.poke_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Why the rooms cannot work with this login, if they cannot.
pub(crate) async fn obstacle(target: &Target) -> Result<Option<String>, pg::Error> {
    let mut session = Session::connect(target).await?;
    // Closed right after: what is set here goes with it.
    let tried = session
        .script("SET ROLE ferrobase_work; SELECT FROM work.jobs LIMIT 0")
        .await;
    session.close().await;
    match tried {
        Ok(_) => Ok(None),
        Err(error) => match error.sqlstate() {
            Some(state) => Ok(Some(format!(
                "Jobs and sessions are switched off: {} cannot work as {ROLE} (SQLSTATE {state}); \
                 a superuser may say GRANT {ROLE} TO {}",
                target.user, target.user
            ))),
            None => Err(error),
        },
    }
}

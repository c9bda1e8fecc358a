//! The jobs and sessions rooms, which share schema `work`.

use std::sync::Arc;
use std::time::Duration;

use ::sessions::Sessions;
use jobs::Jobs;
use kernel::Tasks;
use pg::{Pool, Session, Target};
use tokio_util::sync::CancellationToken;

use crate::app::Context;
use crate::config::Config;

/// Who both rooms are in the database.
pub(crate) const ROLE: &str = "ferrobase_work";

/// Where their tables are.
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

/// What the rooms are given of the server.
pub(crate) struct Given<'a> {
    /// What the operator said.
    pub(crate) config: &'a Config,
    /// Their own connections.
    pub(crate) pool: Pool,
    /// Those of callers' requests.
    pub(crate) requests: &'a Pool,
    /// What their services run in.
    pub(crate) tasks: &'a Tasks,
    /// Cancelled when no more requests are taken.
    pub(crate) leaving: CancellationToken,
}

/// Builds the rooms and starts what works beside requests.
pub(crate) fn rooms(given: &Given<'_>, context: &Context) -> Work {
    let (pool, tasks, config) = (&given.pool, given.tasks, given.config);
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
        requests: given.requests.clone(),
        tasks: tasks.clone(),
        leaving: given.leaving.clone(),
        clock: context.clock.clone(),
        rng: context.rng.clone(),
    });
    Work { jobs, sessions }
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

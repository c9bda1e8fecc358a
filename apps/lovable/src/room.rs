//! The app: what it is made of, its routes, and the worker that does its turns.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use jobs::{Jobs, Worker};
use kernel::{Caller, Clock, Rng, Tasks};
use pg::Pool;
use sessions::Sessions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ports::{Boxes, Coder};
use crate::store::Store;
use crate::{routes, work, ws};

/// Where workers find the app's jobs.
pub const QUEUE: &str = "lovable";

/// Whose the sessions of callers without a token are, where the app is open.
const DEMO_OWNER: &str = "lovable-demo";

/// What the app is given.
pub struct Parts {
    /// The connections of requests.
    pub requests: Pool,
    /// Jobs.
    pub jobs: Arc<Jobs>,
    /// Sessions and their logs.
    pub sessions: Arc<Sessions>,
    /// Models.
    pub coder: Arc<dyn Coder>,
    /// Where code runs; none where nothing can be closed in.
    pub boxes: Option<Arc<dyn Boxes>>,
    /// What sockets run in.
    pub tasks: Tasks,
    /// Cancelled when the server takes no more requests.
    pub leaving: CancellationToken,
    /// Whether callers without a token are let in, all of them as one owner:
    /// the original knows no users.
    pub open: bool,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
    /// What the page is told at its start.
    pub about: About,
    /// Turns that this process works on at once.
    pub at_once: usize,
}

/// What the page is told at its start; nothing of it is secret.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The key that browsers show.
    pub publishable_key: String,
    /// Where previews are seen, for the page's content security policy:
    /// `http://*.localhost:54321`.
    pub preview_origins: String,
}

/// The app.
pub struct Lovable {
    pub(crate) store: Store,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) coder: Arc<dyn Coder>,
    pub(crate) boxes: Option<Arc<dyn Boxes>>,
    pub(crate) tasks: Tasks,
    pub(crate) leaving: CancellationToken,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    pub(crate) about: About,
    /// Who somebody without a token is; none when they are refused.
    pub(crate) demo: Option<Caller>,
}

/// Plans, writing and installing take minutes at most; a worker that died is
/// noticed after this.
const LEASE: Duration = Duration::from_secs(15);

impl Lovable {
    /// Builds the app and starts its worker, which ends with the jobs room's.
    #[must_use]
    pub fn start(parts: Parts) -> Arc<Self> {
        let demo = parts.open.then(|| {
            tracing::warn!(
                owner = DEMO_OWNER,
                "Lovable is open: whoever shows no token shares the sessions of one demo owner"
            );
            owner(DEMO_OWNER)
        });
        let app = Arc::new(Self {
            store: Store::new(parts.requests),
            jobs: parts.jobs,
            sessions: parts.sessions,
            coder: parts.coder,
            boxes: parts.boxes,
            tasks: parts.tasks,
            leaving: parts.leaving,
            clock: parts.clock,
            rng: parts.rng,
            about: parts.about,
            demo,
        });
        let worker = Worker::builder(&app.jobs)
            .queues([QUEUE])
            // None is taken ahead: another node may have time for it.
            .slots(parts.at_once, 0)
            .lease(LEASE);
        // It ends with the room's others, see `Jobs::drain`.
        drop(work::handlers(worker, &app).start());
        app
    }

    /// Where the session's app is seen, if it runs.
    pub(crate) async fn address(&self, caller: &Caller, session: Uuid) -> Option<String> {
        self.boxes.as_ref()?.address(caller, session).await
    }

    /// What is below `/lovable`.
    pub fn router(self: Arc<Self>) -> Router {
        routes::router().with_state(self)
    }

    /// What is at `/ws`: the original's web socket.
    pub fn socket_router(self: Arc<Self>) -> Router {
        ws::router().with_state(self)
    }

    /// What is below `/preview`, as the original has it.
    pub fn preview_router(self: Arc<Self>) -> Router {
        routes::preview().with_state(self)
    }
}

/// Who a job's owner is, for statements on its behalf.
pub(crate) fn owner(subject: &str) -> Caller {
    let claims = serde_json::json!({"sub": subject, "role": "authenticated"});
    Caller {
        role: "authenticated".into(),
        claims: claims.to_string().into(),
        authenticated: true,
        read_only: false,
    }
}

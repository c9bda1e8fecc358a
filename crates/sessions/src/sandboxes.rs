//! Sandboxes of sessions: where the code of a session runs.
//!
//! A sandbox is a row of `work.sandboxes` and, as long as it lives, an entry in
//! the memory of the server that runs it. Its files begin as the session's
//! workspace and go back there with a snapshot, so that losing a sandbox loses
//! nothing that was kept: [`Sandboxes::ensure`] gives a live one whatever
//! happened.
//!
//! * `lifecycle`: made, paused, gone on with, extended, ended.
//! * `open`: what is done with one, as a caller who may; `exec` runs programs
//!   and writes what they say into the session's log.
//! * `workspace`: files to the session and back; `archive`: them as a zip.
//! * `project`: templates, packages and their shared layers, the dev server.
//! * `reap`: what is over its time, or nobody's any more, ends.
//!
//! Invariants: who may see the row may use the sandbox, nobody else can tell
//! that it exists; what the row says of state, place and walls is the engine's
//! word; no link inside is ever followed from outside.

mod archive;
mod exec;
mod lifecycle;
mod live;
mod open;
mod project;
mod reap;
mod record;
mod rows;
mod workspace;

use std::sync::Arc;
use std::time::Duration;

use kernel::{Clock, Rng, Tasks};

use crate::ports::{PreviewLink, Runner};
use crate::streams::Appender;

pub use archive::Pieces;
pub use exec::{Collected, Exec, Execution};
pub use lifecycle::NewSandbox;
pub(crate) use lifecycle::refused;
pub(crate) use live::Interpreter;
pub use live::{Live, ProcessInfo, Running};
pub use open::Open;
pub use project::{Template, template};
pub(crate) use record::whole;
pub use rows::Seen;
pub use workspace::{Restored, Skipped, Snapshot};

/// What operators say about sandboxes.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How long one lives when nobody says.
    pub lives: Duration,
    /// How long one may be asked to live.
    pub lives_max: Duration,
    /// Sandboxes of one owner at a time.
    pub per_owner: u32,
    /// Sandboxes of this server at a time.
    pub per_node: usize,
}

/// What sandboxes are made of beside the room's own parts.
#[derive(Clone)]
pub struct Given {
    /// What runs them.
    pub runner: Arc<dyn Runner>,
    /// This machine's name, the same after a restart: what ran under it then is
    /// known to be gone.
    pub machine: String,
    /// Addresses of their pages.
    pub preview: PreviewLink,
    /// The name below which those are, for clients that make addresses.
    pub preview_domain: String,
    /// What operators say.
    pub behaviour: Behaviour,
}

/// The sandboxes of a project, as one server has them.
pub struct Sandboxes {
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) rows: rows::Rows,
    pub(crate) live: live::Table,
    pub(crate) preview: PreviewLink,
    pub(crate) preview_domain: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) appender: Appender,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
    /// One after the other: two starts of the same template would fetch all
    /// packages twice.
    pub(crate) warming: tokio::sync::Mutex<()>,
}

/// What the room has for its sandboxes.
pub(crate) struct Own {
    pub(crate) pool: pg::Pool,
    pub(crate) role: Arc<str>,
    pub(crate) requests: pg::Pool,
    pub(crate) appender: Appender,
    pub(crate) tasks: Tasks,
    pub(crate) clock: Clock,
    pub(crate) rng: Rng,
}

impl Sandboxes {
    /// Starts what watches over them.
    pub(crate) fn start(own: Own, given: Given) -> Arc<Self> {
        let node = format!("{}/{}", given.machine, own.rng.uuid().simple());
        let sandboxes = Arc::new(Self {
            rows: rows::Rows::new(own.pool, own.role, own.requests, node),
            runner: given.runner,
            live: live::Table::default(),
            preview: given.preview,
            preview_domain: given.preview_domain,
            behaviour: given.behaviour,
            appender: own.appender,
            tasks: own.tasks,
            clock: own.clock,
            rng: own.rng,
            warming: tokio::sync::Mutex::new(()),
        });
        let reaping = reap::keep(Arc::clone(&sandboxes), given.machine);
        sandboxes.tasks.spawn("sandboxes", reaping);
        sandboxes
    }

    /// A sandbox that lives on this server, for whoever proxies to it. Not for
    /// anything that a caller must be allowed to do.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<Arc<Live>> {
        self.live.get(id)
    }

    /// What keeps sandboxes in.
    #[must_use]
    pub fn strength(&self) -> String {
        self.runner.strength()
    }
}

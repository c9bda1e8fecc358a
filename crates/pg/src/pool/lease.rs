//! A connection for one caller alone, for the few requests that must look at
//! a result before they know whether to commit.

use tokio::sync::{mpsc, oneshot};

use super::{Reply, Segment};
use crate::error::Error;
use crate::rows::Rows;

/// A segment to run on a leased connection.
#[derive(Debug)]
pub(crate) struct LeaseCommand {
    pub(super) segment: Segment,
    pub(super) scope: std::sync::Arc<str>,
    pub(super) reply: Reply,
}

/// A leased connection. Dropping it rolls back whatever is open and gives the
/// connection back, so a caller that vanishes in between leaves nothing.
#[derive(Debug)]
pub(crate) struct Lease {
    commands: mpsc::Sender<LeaseCommand>,
}

impl Lease {
    pub(super) fn new(commands: mpsc::Sender<LeaseCommand>) -> Self {
        Self { commands }
    }

    /// Runs statements up to a Sync.
    pub(crate) async fn run(
        &self,
        segment: Segment,
        scope: std::sync::Arc<str>,
    ) -> Result<Vec<Rows>, Error> {
        let (reply, answer) = oneshot::channel();
        let command = LeaseCommand {
            segment,
            scope,
            reply,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

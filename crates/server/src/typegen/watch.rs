//! Types that follow the schema: generated once, and again when
//! `NOTIFY pgrst` says that something changed, which our event triggers and
//! `ferrobase migration up` see to.

use std::time::Duration;

use pg::{Session, Target};

use super::{Request, TypegenError, typescript};

/// The channel that the API reloads by.
const LISTEN: &str = "LISTEN pgrst";

/// A migration notifies once for each of its statements; those that come within
/// this time of one another are one change …
const COALESCE: Duration = Duration::from_millis(200);

/// … but no more than these, so that a flood does not put writing off for ever.
const COALESCE_MAX: usize = 1000;

/// A connection that says nothing for so long is asked whether it still lives.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longer than a live server takes to answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The waits before connecting again: the first, and the longest.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Gives the types whenever they have become others.
pub struct Watch {
    target: Target,
    request: Request,
    session: Option<Session>,
    /// What was given last.
    last: Option<String>,
}

impl Watch {
    pub(crate) fn new(target: Target, request: Request) -> Self {
        Self {
            target,
            request,
            session: None,
            last: None,
        }
    }

    /// The next text that differs from the one before; the first comes at once.
    /// A connection that is lost is made again, and `retrying` hears why.
    pub async fn next(&mut self, mut retrying: impl FnMut(&TypegenError)) -> &str {
        let mut wait = BACKOFF_MIN;
        loop {
            match self.changed().await {
                Ok(text) => return self.last.insert(text),
                Err(error) => {
                    self.session = None;
                    retrying(&error);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    async fn changed(&mut self) -> Result<String, TypegenError> {
        loop {
            let session = if let Some(session) = &mut self.session {
                notified(session).await?;
                session
            } else {
                let mut session = Session::connect(&self.target).await?;
                // Listening before reading leaves no gap between the two.
                session.script(LISTEN).await?;
                self.session.insert(session)
            };
            let reading = typescript(session, &self.request);
            let text = tokio::time::timeout(ANSWER_MAX, reading)
                .await
                .map_err(|_| pg::Error::Timeout)??;
            if self.last.as_ref() != Some(&text) {
                return Ok(text);
            }
        }
    }
}

/// Waits for a notification, and a little for those that follow it.
async fn notified(session: &mut Session) -> Result<(), TypegenError> {
    loop {
        match tokio::time::timeout(SILENCE_MAX, session.notification()).await {
            Ok(notification) => {
                if is_about_schema(&notification?) {
                    break;
                }
            }
            Err(_) => {
                tokio::time::timeout(ANSWER_MAX, session.script("SELECT"))
                    .await
                    .map_err(|_| pg::Error::Timeout)??;
            }
        }
    }
    for _ in 0..COALESCE_MAX {
        match tokio::time::timeout(COALESCE, session.notification()).await {
            Ok(notification) => drop(notification?),
            Err(_) => break,
        }
    }
    Ok(())
}

fn is_about_schema(notification: &pg::Notification) -> bool {
    matches!(notification.payload.as_str(), "" | "reload schema")
}

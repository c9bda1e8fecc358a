//! A box for each session, as a sandbox of the sessions room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::lovable::ports::{BoxError, Boxes, FileChange, Lines, Progress};
use ::sessions::SessionsError;
use ::sessions::ports::Output;
use ::sessions::sandboxes::{Execution, Open, Sandboxes};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use kernel::Caller;
use uuid::Uuid;

/// Where the template's development server listens.
const PORT: u16 = 5173;
/// Sessions whose box is known; the others' previews are started anew.
const KNOWN_MAX: usize = 10_000;
/// Bytes of a line that has no end.
const LINE_MAX: usize = 4000;

/// Sandboxes, one for each session.
pub(super) struct InSandboxes {
    sandboxes: Arc<Sandboxes>,
    /// The box that each session was given here.
    known: Mutex<HashMap<Uuid, String>>,
}

type Asked<'a, T> = BoxFuture<'a, Result<T, BoxError>>;

impl InSandboxes {
    pub(super) fn over(sandboxes: &Arc<Sandboxes>) -> Arc<Self> {
        Arc::new(Self {
            sandboxes: Arc::clone(sandboxes),
            known: Mutex::default(),
        })
    }

    async fn given(&self, caller: &Caller, session: Uuid) -> Result<(Open, bool), BoxError> {
        let (open, is_new) = self
            .sandboxes
            .ensure(caller, session)
            .await
            .map_err(refused)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(session, open.id().to_owned());
        Ok((open, is_new))
    }

    fn known(&self, session: Uuid) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&session).cloned()
    }
}

impl Boxes for InSandboxes {
    fn strength(&self) -> Result<String, String> {
        Ok(self.sandboxes.strength())
    }

    fn ensure<'a>(&'a self, caller: &'a Caller, session: Uuid) -> Asked<'a, bool> {
        Box::pin(async move { Ok(self.given(caller, session).await?.1) })
    }

    fn write<'a>(
        &'a self,
        caller: &'a Caller,
        session: Uuid,
        changes: Vec<FileChange>,
    ) -> Asked<'a, ()> {
        Box::pin(async move {
            let (open, _) = self.given(caller, session).await?;
            let (mut files, mut gone) = (Vec::new(), Vec::new());
            for change in changes {
                match change.content {
                    Some(content) => files.push((change.path, Bytes::from(content))),
                    None => gone.push(change.path),
                }
            }
            open.remove(&gone).await.map_err(refused)?;
            open.write(&files).await.map_err(refused)
        })
    }

    fn install<'a>(&'a self, caller: &'a Caller, session: Uuid) -> Asked<'a, Lines> {
        Box::pin(async move {
            let (open, _) = self.given(caller, session).await?;
            let running = open.install(&[], None).await.map_err(refused)?;
            Ok(lines(running))
        })
    }

    fn serve<'a>(&'a self, caller: &'a Caller, session: Uuid, fresh: bool) -> Asked<'a, String> {
        Box::pin(async move {
            let (open, _) = self.given(caller, session).await?;
            if fresh {
                open.stop_dev_server().await.map_err(refused)?;
            }
            open.start_dev_server().await.map_err(refused)
        })
    }

    fn address<'a>(&'a self, caller: &'a Caller, session: Uuid) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let known = self.known(session)?;
            let open = self
                .sandboxes
                .open(caller, Some(session), &known)
                .await
                .ok()?;
            let listens = open.listening().await.ok()?.contains(&PORT);
            listens.then(|| open.preview_url(PORT))
        })
    }
}

/// What a program says, line by line, and its end.
fn lines(running: Execution) -> Lines {
    let pieces = stream::unfold(Some((running, String::new())), |state| async move {
        let (mut running, mut rest) = state?;
        let (bytes, end) = match running.output.recv().await? {
            Output::Stdout(bytes) | Output::Stderr(bytes) => (bytes, None),
            Output::Exit(ended) => (Bytes::new(), Some(ended.status())),
        };
        rest.push_str(&String::from_utf8_lossy(&bytes));
        let whole = match (end, rest.rfind('\n')) {
            (None, Some(at)) => rest.drain(..=at).collect(),
            (None, None) if rest.len() < LINE_MAX => String::new(),
            _ => std::mem::take(&mut rest),
        };
        let mut said: Vec<Result<Progress, BoxError>> = whole
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| Ok(Progress::Line(line.to_owned())))
            .collect();
        said.extend(end.map(|code| Ok(Progress::Exit(code))));
        let next = end.is_none().then_some((running, rest));
        Some((stream::iter(said), next))
    });
    pieces.flatten().boxed()
}

fn refused(error: SessionsError) -> BoxError {
    let passing = ["elsewhere", "busy", "too_slow", "gone", "try_again"];
    match error {
        SessionsError::Refused { code, message, .. } => BoxError {
            code: "sandbox",
            message,
            passing: passing.contains(&code.as_str()),
        },
        SessionsError::Database(error) => {
            tracing::error!(%error, "A sandbox of an app could not be noted");
            BoxError {
                code: "sandbox",
                message: "The database failed".to_owned(),
                passing: true,
            }
        }
    }
}

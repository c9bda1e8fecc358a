//! Sandboxes come and go: made, paused, gone on with, extended, ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use kernel::Caller;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::live::{Born, Live};
use super::open::Open;
use super::rows::{Seen, seconds};
use super::{Sandboxes, project};
use crate::error::{Result, SessionsError};
use crate::ports::{Network, RunError, Spec};

/// Nobody has more variables than this for good reasons.
const VARIABLES_MAX: usize = 200;

/// A sandbox to make.
#[derive(Clone, Debug)]
pub struct NewSandbox {
    /// What fills an empty workspace: a name that [`super::template`] knows.
    pub template: Option<String>,
    /// Whether its pages ask for a link of its owner's.
    pub private: bool,
    /// How long it lives; the usual time when none.
    pub lives: Option<Duration>,
    /// Whether being used makes it live on.
    pub stays: bool,
    /// Whom it may reach.
    pub network: Network,
    /// Variables of every command.
    pub env: Vec<(String, String)>,
    /// The owner's own notes.
    pub metadata: Map<String, Value>,
}

impl Default for NewSandbox {
    fn default() -> Self {
        Self {
            template: None,
            private: false,
            lives: None,
            stays: true,
            network: Network::default(),
            env: Vec::new(),
            metadata: Map::new(),
        }
    }
}

impl Sandboxes {
    /// Makes one in a session of the caller's, with the session's files in it.
    pub async fn create(
        self: &Arc<Self>,
        caller: &Caller,
        session: Uuid,
        new: NewSandbox,
    ) -> Result<Open> {
        let lives = self.checked(&new)?;
        let fields = json!({
            "template": new.template,
            "strength": self.runner.strength(),
            "limits": self.runner.limits(),
            "private": new.private,
            "stays": new.stays,
            "seconds": seconds(lives),
            "metadata": new.metadata,
        });
        if self.live.all().len() >= self.behaviour.per_node {
            return Err(SessionsError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "this server runs as many sandboxes as it may",
            ));
        }
        let most = self.behaviour.per_owner;
        let seen = self.rows.open(caller, session, most, fields).await?;
        let id = seen.sandbox_id.clone();
        // Whatever becomes of the request: a sandbox that was begun is finished
        // or taken away again.
        let (this, caller) = (Arc::clone(self), caller.clone());
        let made = self.tasks.spawn("create-sandbox", async move {
            let made = this.fill(&caller, seen, new).await;
            if let Err(error) = &made {
                this.give_up(&id, error).await;
            }
            made
        });
        made.await.map_err(|_| stopping())?
    }

    fn checked(&self, new: &NewSandbox) -> Result<Duration> {
        if let Some(name) = &new.template
            && super::template(name).is_none()
        {
            return Err(SessionsError::invalid("there is no such template"));
        }
        let odd = |(name, value): &(String, String)| {
            name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
        };
        if new.env.len() > VARIABLES_MAX || new.env.iter().any(odd) {
            return Err(SessionsError::invalid("these are no variables"));
        }
        self.span(new.lives.unwrap_or(self.behaviour.lives))
    }

    /// A time to live that may be asked for.
    fn span(&self, asked: Duration) -> Result<Duration> {
        if asked > self.behaviour.lives_max {
            let message = format!(
                "a sandbox lives {} seconds at most",
                self.behaviour.lives_max.as_secs()
            );
            return Err(SessionsError::new(
                StatusCode::BAD_REQUEST,
                "over_limit",
                message,
            ));
        }
        Ok(asked)
    }

    async fn fill(self: &Arc<Self>, caller: &Caller, seen: Seen, new: NewSandbox) -> Result<Open> {
        if let Some(name) = &new.template {
            self.put_template(caller, seen.session_id, name).await?;
        }
        let layer = self.layer_for(caller, seen.session_id).await?;
        let layers = layer
            .iter()
            .map(|name| (name.clone(), project::MODULES.to_owned()));
        let spec = Spec {
            id: seen.sandbox_id.clone(),
            layers: layers.collect(),
            env: new.env,
            limits: self.runner.limits(),
            network: new.network,
        };
        let contained = self.runner.create(spec).await.map_err(refused)?;
        let born = Born {
            id: seen.sandbox_id.clone(),
            session: seen.session_id,
            private: seen.private,
            contained,
            layer,
        };
        let live = Live::new(born, self.clock.clone());
        self.live.put(&live);
        let open = Open::new(Arc::clone(self), live, seen, caller.clone());
        open.restore().await?;
        let url = (self.preview)(&open.live.id, project::PORT, false);
        let seen = self
            .rows
            .change(&open.live.id, "active", json!({"url": url}))
            .await?;
        let seen = seen.ok_or_else(gone)?;
        Ok(open.with(seen))
    }

    async fn give_up(&self, id: &str, error: &SessionsError) {
        let reason = json!({"reason": error.to_string()});
        self.end_here(id).await;
        if let Err(error) = self.rows.change(id, "error", reason).await {
            tracing::warn!(%error, sandbox = id, "A sandbox that could not be made is not marked");
        }
    }

    /// Ends what runs here, if it does.
    pub(super) async fn end_here(&self, id: &str) {
        let kept = self.live.remove(id).map(|live| Arc::clone(&live.contained));
        if let Some(contained) = kept.or_else(|| self.runner.get(id))
            && let Err(error) = contained.kill().await
            && error != RunError::Gone
        {
            tracing::warn!(%error, sandbox = id, "A sandbox did not end");
        }
    }

    /// A live sandbox of a session, and whether it is new: the one it has, or
    /// another with the session's files as they were kept last.
    pub async fn ensure(self: &Arc<Self>, caller: &Caller, session: Uuid) -> Result<(Open, bool)> {
        if let Some(id) = self.rows.latest(caller, session).await? {
            match self.open(caller, Some(session), &id).await {
                Ok(open) => {
                    if open.seen.status == "paused" {
                        return Ok((open.resume().await?, false));
                    }
                    return Ok((open, false));
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let new = NewSandbox {
            template: Some(project::USUAL.to_owned()),
            ..NewSandbox::default()
        };
        Ok((self.create(caller, session, new).await?, true))
    }

    /// One that is alive on this server, to be used by who may change its
    /// session.
    pub async fn open(
        self: &Arc<Self>,
        caller: &Caller,
        session: Option<Uuid>,
        id: &str,
    ) -> Result<Open> {
        let seen = self.rows.see(caller, session, id).await?;
        if caller.read_only {
            return Err(SessionsError::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "this key only reads",
            ));
        }
        if !matches!(seen.status.as_str(), "active" | "paused") {
            return Err(gone());
        }
        match self.live.get(id) {
            Some(live) if self.runner.get(id).is_some() => {
                live.touch();
                Ok(Open::new(Arc::clone(self), live, seen, caller.clone()))
            }
            _ if seen.node.as_deref() == Some(self.rows.node.as_str()) => {
                self.end_here(id).await;
                let reason = json!({"reason": "it is gone"});
                self.rows.change(id, "stopped", reason).await?;
                Err(gone())
            }
            _ => Err(SessionsError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "elsewhere",
                "another server has this sandbox, or had it until a moment ago",
            )),
        }
    }

    /// A row, whether the sandbox is alive or not.
    pub async fn show(&self, caller: &Caller, session: Option<Uuid>, id: &str) -> Result<Seen> {
        self.rows.see(caller, session, id).await
    }

    /// The caller's that are not over, newest first.
    pub async fn mine(&self, caller: &Caller, limit: u32, offset: u64) -> Result<Vec<Seen>> {
        self.rows.mine(caller, limit, offset).await
    }
}

impl Open {
    /// Ends it with everything in it. What was not kept by a snapshot is lost.
    pub async fn kill(&self) -> Result<Seen> {
        let id = &self.live.id;
        self.boxes.end_here(id).await;
        let fields = json!({"reason": "ended by its owner"});
        let seen = self.boxes.rows.change(id, "stopped", fields).await?;
        seen.ok_or_else(gone)
    }

    /// Stops all its programs where they are. Its time goes on.
    pub async fn pause(&self) -> Result<Seen> {
        self.live.contained.freeze().await.map_err(refused)?;
        self.live.paused.store(true, Ordering::Relaxed);
        self.become_("paused", json!({})).await
    }

    /// Lets them go on.
    pub async fn resume(&self) -> Result<Self> {
        self.live.contained.thaw().await.map_err(refused)?;
        self.live.paused.store(false, Ordering::Relaxed);
        let seen = self.become_("active", json!({})).await?;
        Ok(self.clone().with(seen))
    }

    /// It lives so long from now on.
    pub async fn extend(&self, span: Duration) -> Result<Seen> {
        let span = self.boxes.span(span)?;
        let status = self.seen.status.clone();
        self.become_(&status, json!({"seconds": seconds(span)}))
            .await
    }

    /// It lives at least so long from now on.
    pub(crate) async fn at_least(&self, span: Duration) -> Result<Seen> {
        let until = self.seen.expires_at.as_deref();
        let until: Option<jiff::Timestamp> = until.and_then(|until| until.parse().ok());
        let now = self.boxes.clock.now();
        let left = until.map(|until| until.duration_since(now));
        let asked = jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX);
        if left.is_some_and(|left| left >= asked) {
            return Ok(self.seen.clone());
        }
        self.extend(span).await
    }

    async fn become_(&self, status: &str, fields: Value) -> Result<Seen> {
        let seen = self
            .boxes
            .rows
            .change(&self.live.id, status, fields)
            .await?;
        seen.ok_or_else(gone)
    }
}

/// It was there and is over.
pub(crate) fn gone() -> SessionsError {
    SessionsError::new(StatusCode::GONE, "gone", "the sandbox is over")
}

fn is_gone(error: &SessionsError) -> bool {
    matches!(error, SessionsError::Refused { status, .. } if *status == StatusCode::GONE)
}

fn stopping() -> SessionsError {
    SessionsError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "the server is stopping",
    )
}

/// What a runner said, as a refusal.
pub(crate) fn refused(error: RunError) -> SessionsError {
    let message = error.to_string();
    let (status, code) = match error {
        RunError::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
        RunError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        RunError::Exists(_) => (StatusCode::CONFLICT, "conflict"),
        RunError::TooMuch(_) => (StatusCode::PAYLOAD_TOO_LARGE, "over_limit"),
        RunError::Unsupported(_) => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
        RunError::Gone => return gone(),
        RunError::Failed(why) => {
            tracing::error!(why, "A sandbox failed");
            return SessionsError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the sandbox failed",
            );
        }
    };
    SessionsError::new(status, code, message)
}

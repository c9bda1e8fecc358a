//! The jobs of a turn. Each handler may be run again from its start at any
//! moment: what was paid for is a memoised step, rows are written so that
//! writing twice changes nothing, and boxes are compared with what they should
//! have.
//!
//! Everything is done as the session's owner.

mod ask;
mod install;
mod planning;
mod voice;
mod writing;

use std::sync::Arc;

use jobs::{Builder, Ctx, Stop};
use kernel::Caller;
use pg::SqlBuf;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::AppError;
use crate::room::{Lovable, owner};

/// What the jobs of a turn are given.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Input {
    /// The message that is answered; none where only files have changed.
    #[serde(default)]
    pub(crate) message: Option<Uuid>,
}

/// A job at work: for whom, and where.
pub(crate) struct Turn {
    pub(crate) app: Arc<Lovable>,
    pub(crate) ctx: Ctx,
    pub(crate) caller: Caller,
    pub(crate) session: Uuid,
}

/// Adds the app's handlers to a worker.
pub(crate) fn handlers(mut worker: Builder, app: &Arc<Lovable>) -> Builder {
    macro_rules! handle {
        ($kind:literal, $handler:path) => {
            let app = Arc::clone(app);
            worker = worker.handle($kind, move |ctx: Ctx, input: Input| {
                let app = Arc::clone(&app);
                async move { $handler(Turn::of(app, ctx)?, input).await }
            });
        };
    }
    handle!("lovable.plan", planning::plan);
    handle!("lovable.generate", writing::generate);
    handle!("lovable.apply", writing::apply);
    handle!("lovable.install", install::install);
    handle!("lovable.preview", install::preview);
    handle!("lovable.checkpoint", checkpoint);
    worker
}

impl Turn {
    fn of(app: Arc<Lovable>, ctx: Ctx) -> Result<Self, Stop> {
        let job = ctx.job();
        let (Some(subject), Some(session)) = (&job.owner, job.session_id) else {
            return Err(Stop::fatal("a turn belongs to somebody's session"));
        };
        let caller = owner(subject);
        Ok(Self {
            app,
            ctx,
            caller,
            session,
        })
    }

    /// The result of a step of the job with this name in the same turn.
    async fn result_of(&self, job: &str, step: &str) -> Result<Option<Value>, Stop> {
        let sql = SqlBuf::fixed(include_str!("../sql/step_result.sql"))
            .bind(self.ctx.job().parent_id.map(|id| id.to_string()))
            .bind(job.to_owned())
            .bind(step.to_owned());
        let what = "Failed to read an earlier step";
        self.app
            .store
            .document(&self.caller, what, sql)
            .await
            .map_err(stop)
    }
}

/// What is refused once is refused again.
pub(crate) fn stop(error: AppError) -> Stop {
    if let AppError::Failed { what, source } = &error {
        tracing::warn!(error = %source, "{what}");
    }
    if error.is_passing() {
        return Stop::from(error);
    }
    Stop::fatal(error.to_string())
}

/// A version to come back to.
async fn checkpoint(turn: Turn, _input: Input) -> Result<Value, Stop> {
    let sql = SqlBuf::fixed(include_str!("../sql/keep_version.sql"))
        .bind(turn.session.to_string())
        .bind(turn.ctx.job().parent_id.map(|id| id.to_string()));
    let what = "Failed to keep the version";
    let kept: Option<Value> = turn
        .app
        .store
        .document(&turn.caller, what, sql)
        .await
        .map_err(stop)?;
    Ok(kept.unwrap_or_else(|| json!({})))
}

//! What a handler is given beside its input: steps that are done once, and a
//! voice in the job's stream.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hold::Held;
use super::stop::Stop;
use crate::room::Jobs;
use crate::store::steps::{StepBegin, StepEnd, StepFail};
use crate::types::Claimed;

/// A handler's connection to its job. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    pub(super) jobs: Arc<Jobs>,
    pub(super) job: Arc<Claimed>,
    held: Held,
    pub(super) done: Arc<HashMap<String, Done>>,
}

/// What was done before, as the claim brought it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Done {
    pub(super) result: Option<Box<RawValue>>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    pub(super) state: Option<String>,
}

/// How a step is done.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// The version of the code: with another one the step is done anew.
    pub version: String,
    /// What it is expected to cost, and in which unit.
    pub estimate: Option<(f64, &'static str)>,
    /// A hash of what is asked, in hex: another question under the same key is
    /// refused.
    pub request_hash: Option<String>,
    /// The provider knows no idempotency token: a call of which nobody knows
    /// the end must not be made again by itself.
    pub once: bool,
}

/// A call that may be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// To be given to the provider: the same at every try.
    pub token: Uuid,
    /// The provider's word for work that is in progress there since an earlier
    /// try.
    pub handle: Option<Value>,
    ctx: Ctx,
    key: Arc<str>,
}

impl std::fmt::Debug for Ctx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ctx")
            .field("job", &self.job.id)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Keeps the provider's word for work in progress, so that another try
    /// asks after it instead of paying again.
    pub async fn in_progress(&self, handle: &impl Serialize) -> Result<(), Stop> {
        let raw = serde_json::value::to_raw_value(handle)?;
        let (id, epoch) = (self.ctx.job.id, self.ctx.job.epoch);
        let statement = crate::store::steps::handle(id, epoch, &self.key, &raw);
        let said = self.ctx.jobs.actors.statement(id, statement).await;
        let rows = said.map_err(|error| Stop::of(&error))?;
        match rows.scalar() {
            Some("stale") | None => Err(Stop::Lost),
            Some(_) => Ok(()),
        }
    }
}

/// A result and what it cost.
#[derive(Clone, Debug)]
pub struct Paid<T> {
    /// The result.
    pub result: T,
    /// In the step's unit.
    pub cost: Option<f64>,
    /// What the provider counted.
    pub usage: Option<Value>,
}

impl Ctx {
    pub(super) fn new(jobs: &Arc<Jobs>, job: Claimed, held: &Held) -> Self {
        let steps = job.steps.as_ref();
        let done = steps.and_then(|steps| serde_json::from_str(steps.get()).ok());
        Self {
            jobs: Arc::clone(jobs),
            job: Arc::new(job),
            held: held.clone(),
            done: Arc::new(done.unwrap_or_default()),
        }
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &Claimed {
        &self.job
    }

    /// Resolves when the job is no longer this worker's: cancelled, paused or
    /// given away. A handler that goes on is dropped two seconds later.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.held.gone
    }

    /// Does something once: its result is kept, and given back whenever the
    /// handler comes here again.
    pub async fn step<T, F, Fut>(&self, key: &str, run: F) -> Result<T, Stop>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Call) -> Fut + Send,
        Fut: Future<Output = Result<T, Stop>> + Send,
    {
        let run = |call| async {
            let result = run(call).await?;
            Ok(Paid {
                result,
                cost: None,
                usage: None,
            })
        };
        self.paid_step(key, Step::default(), run).await
    }

    /// The same for something that costs: it is reserved before and settled
    /// with the result.
    pub async fn paid_step<T, F, Fut>(&self, key: &str, step: Step, run: F) -> Result<T, Stop>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Call) -> Fut + Send,
        Fut: Future<Output = Result<Paid<T>, Stop>> + Send,
    {
        let known = self.done.get(key);
        if let Some(done) =
            known.filter(|done| done.version.as_deref().unwrap_or("") == step.version)
        {
            return read(done.result.as_deref());
        }
        let call = match self.begin(key, step).await? {
            Beginning::Known(result) => return read(result.as_deref()),
            Beginning::Call(call) => call,
        };
        match run(call).await {
            Ok(paid) => self.end(key, paid).await,
            Err(why) => {
                if let Stop::Failed { error, .. } = &why {
                    self.fail(key, error).await?;
                }
                Err(why)
            }
        }
    }

    async fn begin(&self, key: &str, step: Step) -> Result<Beginning, Stop> {
        let begin = StepBegin {
            epoch: self.job.epoch,
            version: step.version,
            request_hash: step.request_hash,
            unit: step.estimate.map(|(_, unit)| unit.to_owned()),
            estimate: step.estimate.map(|(amount, _)| amount),
            idempotent: Some(!step.once),
        };
        begin.check().map_err(|error| Stop::of(&error))?;
        let verdict = self.jobs.step_begin(self.job.id, key, &begin).await;
        let verdict = verdict.map_err(|error| Stop::of(&error))?;
        let refused = |message: &str| Stop::Failed {
            error: json!({ "code": verdict.verdict, "message": message, "step": key }),
            retryable: false,
            delay: None,
        };
        match verdict.verdict.as_str() {
            "hit" => Ok(Beginning::Known(verdict.result)),
            "run" | "resume" => Ok(Beginning::Call(Call {
                token: verdict.idempotency_token.unwrap_or_default(),
                handle: match &verdict.handle {
                    Some(raw) => serde_json::from_str(raw.get())?,
                    None => None,
                },
                ctx: self.clone(),
                key: key.into(),
            })),
            "in_doubt" => Err(refused("nobody knows whether an earlier call was made")),
            "mismatch" => Err(refused("the step was begun with another question")),
            // The engine has paused, failed or suspended the job by itself.
            "over_budget" | "stale" => Err(Stop::Lost),
            _ => Err(refused("the step cannot begin")),
        }
    }

    async fn end<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        paid: Paid<T>,
    ) -> Result<T, Stop> {
        let end = StepEnd {
            epoch: self.job.epoch,
            result: Some(serde_json::value::to_raw_value(&paid.result)?),
            cost: paid.cost,
            usage: paid
                .usage
                .map(|usage| serde_json::value::to_raw_value(&usage))
                .transpose()?,
        };
        let ended = self.jobs.step_end(self.job.id, key, &end).await;
        let ended = ended.map_err(|error| Stop::of(&error))?;
        match ended.outcome.as_str() {
            "kept" => Ok(paid.result),
            // Somebody else's result counts; it is the one that others saw.
            "superseded" => read(ended.result.as_deref()),
            _ => Err(Stop::Lost),
        }
    }

    async fn fail(&self, key: &str, error: &Value) -> Result<(), Stop> {
        let fail = StepFail {
            epoch: self.job.epoch,
            error: Some(serde_json::value::to_raw_value(error)?),
            charged: false,
        };
        let statement = crate::store::steps::fail(self.job.id, key, &fail);
        let said = self.jobs.actors.statement(self.job.id, statement).await;
        // The failure itself is told with the job's end.
        said.map(drop).map_err(|error| Stop::of(&error))
    }

    /// How far the handler is, from 0 to 1. Told with the next sign of life.
    pub fn progress(&self, progress: f32, message: impl Into<String>) {
        let mut said = self
            .held
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        said.progress = Some(progress.clamp(0.0, 1.0));
        said.message = Some(message.into());
    }

    /// A line for people, in the job's stream.
    pub async fn log(&self, message: impl Into<String>) -> Result<(), Stop> {
        self.say("job.log", &json!({ "message": message.into() }))
            .await
    }

    /// A part of the output as it comes, in the job's stream.
    pub async fn emit(&self, chunk: &impl Serialize) -> Result<(), Stop> {
        self.say("job.chunk", chunk).await
    }

    async fn say(&self, kind: &str, data: &impl Serialize) -> Result<(), Stop> {
        if self.job.stream_id.is_none() {
            return Ok(());
        }
        let data = serde_json::value::to_raw_value(data)?;
        let said = self.jobs.log(self.job.id, self.job.epoch, kind, &data);
        said.await.map_err(|error| Stop::of(&error))
    }
}

/// What the beginning of a step says.
enum Beginning {
    /// It is done.
    Known(Option<Box<RawValue>>),
    /// It may be done.
    Call(Call),
}

pub(super) fn read<T: DeserializeOwned>(result: Option<&RawValue>) -> Result<T, Stop> {
    let text = result.map_or("null", RawValue::get);
    serde_json::from_str(text).map_err(|error| {
        Stop::fatal(format!(
            "what was kept of a step has another shape: {error}"
        ))
    })
}

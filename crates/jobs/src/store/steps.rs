//! Statements about one job that are made one at a time and committed
//! together: steps, suspensions, signals. Each is one [`SqlBuf`] here; the
//! actor for them puts those that wait into one transaction.

use pg::{Rows, SqlBuf};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::Fields;
use super::reads::Sight;
use super::sql;
use crate::error::{JobsError, Result};

/// The beginning of a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepBegin {
    pub(crate) epoch: i32,
    pub(crate) version: String,
    /// Hex of a hash of what is asked for: another request under the same key
    /// is a mistake that is told.
    pub(crate) request_hash: Option<String>,
    pub(crate) unit: Option<String>,
    pub(crate) estimate: Option<f64>,
    /// Whether the provider takes the token for a repetition: then a call of
    /// which nobody knows the end may be made again.
    pub(crate) idempotent: Option<bool>,
}

impl StepBegin {
    /// Refuses what the statement could not take.
    pub(crate) fn check(&self) -> Result<()> {
        let hash = self.request_hash.as_deref().unwrap_or_default();
        let hex = hash.len() <= 128 && hash.len().is_multiple_of(2);
        if !hex || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(JobsError::invalid("request_hash is up to 64 bytes in hex"));
        }
        if self.version.chars().count() > 200 || self.version.contains('\0') {
            return Err(JobsError::invalid("version takes up to 200 characters"));
        }
        Ok(())
    }
}

/// The good end of a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepEnd {
    pub(crate) epoch: i32,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) cost: Option<f64>,
    pub(crate) usage: Option<Box<RawValue>>,
}

/// The bad end of a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StepFail {
    pub(crate) epoch: i32,
    pub(crate) error: Option<Box<RawValue>>,
    pub(crate) charged: bool,
}

/// What the beginning of a step came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Begun {
    pub(crate) verdict: String,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) handle: Option<Box<RawValue>>,
    pub(crate) idempotency_token: Option<Uuid>,
}

impl Begun {
    pub(crate) fn of(rows: &Rows) -> Result<Self> {
        let row = rows.first().ok_or_else(JobsError::stale)?;
        let mut fields = Fields::of(&row);
        Ok(Self {
            verdict: fields.must()?,
            result: fields.json()?,
            handle: fields.json()?,
            idempotency_token: fields.maybe_uuid(),
        })
    }
}

/// What became of a result: which one is kept.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) outcome: String,
    /// The result that is kept, if it is another.
    pub(crate) result: Option<Box<RawValue>>,
}

impl Ended {
    pub(crate) fn of(rows: &Rows) -> Result<Self> {
        let row = rows.first().ok_or_else(JobsError::stale)?;
        let mut fields = Fields::of(&row);
        Ok(Self {
            outcome: fields.must()?,
            result: fields.json()?,
        })
    }
}

/// What became of a wish to wait.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Suspended {
    /// `suspended`, or `ready` when it had come already.
    pub(crate) state: String,
    /// What has come: `{key: {state, result}}`.
    pub(crate) steps: Option<Box<RawValue>>,
}

impl Suspended {
    pub(crate) fn of(rows: &Rows) -> Result<Self> {
        let row = rows.first().ok_or_else(JobsError::stale)?;
        let mut fields = Fields::of(&row);
        let state = fields.must()?;
        if state == "stale" {
            return Err(JobsError::stale());
        }
        Ok(Self {
            state,
            steps: fields.json()?,
        })
    }
}

fn raw(value: Option<&RawValue>) -> Option<String> {
    value.map(|raw| raw.get().to_owned())
}

fn step(statement: SqlBuf, job: Uuid, epoch: i32, key: &str) -> SqlBuf {
    statement
        .bind(job.to_string())
        .bind(epoch.to_string())
        .bind(key.to_owned())
}

pub(crate) fn begin(job: Uuid, key: &str, begin: &StepBegin) -> SqlBuf {
    let hash = begin.request_hash.as_ref().map(|hex| format!("\\x{hex}"));
    step(sql!("step_begin"), job, begin.epoch, key)
        .bind(begin.version.clone())
        .bind(hash)
        .bind(begin.unit.clone())
        .bind(begin.estimate.map(|n| n.to_string()))
        .bind(begin.idempotent.unwrap_or(true).to_string())
}

pub(crate) fn handle(job: Uuid, epoch: i32, key: &str, handle: &RawValue) -> SqlBuf {
    step(sql!("step_handle"), job, epoch, key).bind(handle.get().to_owned())
}

pub(crate) fn end(job: Uuid, key: &str, end: &StepEnd) -> SqlBuf {
    step(sql!("step_end"), job, end.epoch, key)
        .bind(raw(end.result.as_deref()))
        .bind(end.cost.map(|n| n.to_string()))
        .bind(raw(end.usage.as_deref()))
}

pub(crate) fn fail(job: Uuid, key: &str, fail: &StepFail) -> SqlBuf {
    step(sql!("step_fail"), job, fail.epoch, key)
        .bind(raw(fail.error.as_deref()))
        .bind(fail.charged.to_string())
}

pub(crate) fn suspend(job: Uuid, epoch: i32, waits: &RawValue, all: bool) -> SqlBuf {
    sql!("suspend")
        .bind(job.to_string())
        .bind(epoch.to_string())
        .bind(waits.get().to_owned())
        .bind(if all { "all" } else { "any" }.to_owned())
}

pub(crate) fn log(job: Uuid, epoch: i32, kind: &str, data: &RawValue) -> SqlBuf {
    sql!("append_held")
        .bind(job.to_string())
        .bind(epoch.to_string())
        .bind(kind.to_owned())
        .bind(data.get().to_owned())
}

pub(crate) fn signal(
    job: Uuid,
    sight: &Sight,
    name: &str,
    payload: Option<&RawValue>,
    key: Option<&str>,
) -> SqlBuf {
    sight
        .bind(sql!("signal").bind(job.to_string()))
        .bind(name.to_owned())
        .bind(raw(payload))
        .bind(key.map(str::to_owned))
}

/// `by` is who answers; one who may answer for everybody need not be anybody.
pub(crate) fn answer(approval: Uuid, all: bool, by: Option<&str>, answer: &RawValue) -> SqlBuf {
    sql!("answer")
        .bind(approval.to_string())
        .bind(all.to_string())
        .bind(by.map(str::to_owned))
        .bind(answer.get().to_owned())
}

pub(crate) fn approvals(sight: &Sight, most: usize) -> SqlBuf {
    sight.bind(sql!("approvals")).bind(most.to_string())
}

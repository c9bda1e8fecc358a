//! What whoever holds a job may do with it beside ending it. Handlers in this
//! process and workers over HTTP come through here alike.

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Result;
use crate::room::Jobs;
use crate::spec;
use crate::store::steps::{self, Begun, Ended, StepBegin, StepEnd, Suspended};

impl Jobs {
    /// Begins a step, or hears that it is done already.
    pub(crate) async fn step_begin(&self, id: Uuid, key: &str, begin: &StepBegin) -> Result<Begun> {
        let rows = self
            .actors
            .statement(id, steps::begin(id, key, begin))
            .await?;
        Begun::of(&rows)
    }

    /// Keeps a step's result, or hears whose result counts.
    pub(crate) async fn step_end(&self, id: Uuid, key: &str, end: &StepEnd) -> Result<Ended> {
        spec::payload("result", end.result.as_deref())?;
        spec::payload("usage", end.usage.as_deref())?;
        let rows = self.actors.statement(id, steps::end(id, key, end)).await?;
        Ended::of(&rows)
    }

    /// Lets the job wait without a worker: for any of these, or all of them.
    pub(crate) async fn suspend(
        &self,
        id: Uuid,
        epoch: i32,
        waits: &RawValue,
        all: bool,
    ) -> Result<Suspended> {
        let statement = steps::suspend(id, epoch, waits, all);
        let rows = self.actors.statement(id, statement).await?;
        let suspended = Suspended::of(&rows)?;
        self.core.nudges.promote.notify_one();
        self.core.settled([id]);
        Ok(suspended)
    }

    /// Says something in the job's stream. A job that tells nothing, and a
    /// claim that no longer holds, say nothing.
    pub(crate) async fn log(
        &self,
        id: Uuid,
        epoch: i32,
        kind: &str,
        data: &RawValue,
    ) -> Result<()> {
        spec::payload("data", Some(data))?;
        let statement = steps::log(id, epoch, kind, data);
        let rows = self.actors.statement(id, statement).await?;
        let streams = rows.scalar().and_then(|text| Uuid::parse_str(text).ok());
        self.core.news.streams(streams);
        Ok(())
    }
}

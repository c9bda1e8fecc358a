//! Statements about what jobs are to do and may spend: schedules, budgets,
//! pauses of limits, and the forms of approvals.

use pg::SqlBuf;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::reads::Sight;
use super::{Store, sql};
use crate::error::Result;

pub(crate) fn schedules(sight: &Sight, most: usize) -> SqlBuf {
    sight.bind(sql!("schedules")).bind(most.to_string())
}

pub(crate) fn schedule(id: Uuid, sight: &Sight, fires: usize) -> SqlBuf {
    sight
        .bind(sql!("schedule").bind(id.to_string()))
        .bind(fires.to_string())
}

pub(crate) fn create(owner: Option<&str>, fields: &RawValue) -> SqlBuf {
    sql!("schedule_create")
        .bind(owner.map(str::to_owned))
        .bind(fields.get().to_owned())
}

pub(crate) fn update(id: Uuid, sight: &Sight, fields: &RawValue) -> SqlBuf {
    sight
        .bind(sql!("schedule_update").bind(id.to_string()))
        .bind(fields.get().to_owned())
}

pub(crate) fn delete(id: Uuid, sight: &Sight) -> SqlBuf {
    sight.bind(sql!("schedule_delete").bind(id.to_string()))
}

pub(crate) fn budgets(job: Uuid, sight: &Sight) -> SqlBuf {
    sight.bind(sql!("budgets").bind(job.to_string()))
}

/// A cap of a job and everything below it.
pub(crate) fn set_budget(
    job: Uuid,
    unit: &str,
    cap: f64,
    soft_cap: Option<f64>,
    on_exceed: Option<&str>,
) -> SqlBuf {
    sql!("set_budget")
        .bind(job.to_string())
        .bind(unit.to_owned())
        .bind(cap.to_string())
        .bind(soft_cap.map(|n| n.to_string()))
        .bind(on_exceed.map(str::to_owned))
}

pub(crate) fn pause_limit(
    job: Uuid,
    epoch: i32,
    key: &str,
    for_ms: u32,
    reason: Option<&str>,
) -> SqlBuf {
    sql!("pause_limit_of")
        .bind(job.to_string())
        .bind(epoch.to_string())
        .bind(key.to_owned())
        .bind(for_ms.to_string())
        .bind(reason.map(str::to_owned))
}

impl Store {
    /// The form that an answer must satisfy, if the asker may answer and there
    /// is one.
    pub(crate) async fn form(
        &self,
        approval: Uuid,
        all: bool,
        by: Option<&str>,
    ) -> Result<Option<String>> {
        let statement = sql!("form")
            .bind(approval.to_string())
            .bind(all.to_string())
            .bind(by.map(str::to_owned));
        let rows = self.read(statement).await?;
        Ok(rows.scalar().map(str::to_owned))
    }

    /// Gives back what ended jobs left behind; how much there was.
    pub(crate) async fn give_back(&self, most: usize) -> Result<u64> {
        let rows = self.one(sql!("give_back").bind(most.to_string())).await?;
        Ok(rows.scalar().and_then(|n| n.parse().ok()).unwrap_or(0))
    }
}

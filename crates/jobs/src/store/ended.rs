//! Ends of claims as statements. Most batches hold nothing but jobs that were
//! completed; they have a way of their own, which asks and answers less.

use std::collections::{HashMap, HashSet};

use pg::{Rows, SqlBuf};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::fields::{Fields, array, millis};
use super::{sql, texts};
use crate::error::{JobsError, Result};
use crate::types::{Finish, Outcome};

fn all_completed(ends: &[&Finish]) -> bool {
    ends.iter().all(|end| end.outcome == Outcome::Completed)
}

fn raw(value: Option<&RawValue>) -> Option<&str> {
    value.map(RawValue::get)
}

/// Ends these claims, no job twice.
pub(super) fn statement(ends: &[&Finish]) -> SqlBuf {
    let ids = texts(ends.iter().map(|end| Some(end.id)));
    let epochs = texts(ends.iter().map(|end| Some(end.epoch)));
    let outputs = array(ends.iter().map(|end| raw(end.output.as_deref())));
    if all_completed(ends) {
        return sql!("complete").bind(ids).bind(epochs).bind(outputs);
    }
    sql!("finish")
        .bind(ids)
        .bind(epochs)
        .bind(array(ends.iter().map(|end| Some(end.outcome.word()))))
        .bind(outputs)
        .bind(array(ends.iter().map(|end| raw(end.error.as_deref()))))
        .bind(texts(ends.iter().map(|end| Some(end.retryable))))
        .bind(texts(ends.iter().map(|end| end.delay.map(millis))))
}

/// What became of claims.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The states of the jobs; none where the claim was stale.
    pub(crate) states: HashMap<Uuid, Option<String>>,
    /// Others may start or hear of it, or events were left over: duties should
    /// look.
    pub(crate) stirred: bool,
}

/// What became of them.
pub(super) fn ended(rows: &Rows, ends: &[&Finish]) -> Result<Ended> {
    if !all_completed(ends) {
        let state = |row| {
            let mut fields = Fields::of(&row);
            Ok((fields.uuid()?, fields.text()))
        };
        let states = rows.iter().map(state).collect::<Result<_>>()?;
        return Ok(Ended {
            states,
            stirred: true,
        });
    }
    let row = rows.iter().next().ok_or_else(|| JobsError::odd("a row"))?;
    let mut fields = Fields::of(&row);
    let some: Option<HashSet<Uuid>> = fields.text().map(|ids| {
        let ids = ids.split(',');
        ids.filter_map(|id| Uuid::parse_str(id).ok()).collect()
    });
    let state = |end: &&Finish| {
        let done = some.as_ref().is_none_or(|some| some.contains(&end.id));
        (end.id, done.then(|| "completed".to_owned()))
    };
    Ok(Ended {
        states: ends.iter().map(state).collect(),
        stirred: fields.flag(),
    })
}

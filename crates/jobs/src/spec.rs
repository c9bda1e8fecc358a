//! What can be said about a job when it is submitted: checked here, once, so
//! that what reaches the database is refused there only for what the database
//! alone can know.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{JobsError, Result};

/// Jobs of one submission at most: one transaction inserts them.
pub const JOBS_MAX: usize = 10_000;
/// The bytes of one input, output or result at most. What is larger belongs
/// into storage, with its name in the job.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Dependencies of one job at most: a submission's jobs.
const DEPENDENCIES_MAX: usize = 10_000;
/// As the table has it.
const LIMIT_KEYS_MAX: usize = 8;
/// Budgets of one job: one for each unit.
const BUDGETS_MAX: usize = 4;
/// A hundred years: longer is a mistake, and too long for an interval.
const DELAY_MS_MAX: i64 = 100 * 365 * 24 * 3_600_000;

/// One job to be.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// A name within the submission, for `parent_ref` and `depends_on`.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The parent, by its name within the submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<String>,
    /// The parent, if it is there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<Uuid>,
    /// What handler it is for.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Unique among siblings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where workers find it; its type's otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// -100 to 100; higher goes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i16>,
    /// What the handler is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// Whose it is. Taken from the caller unless the caller may say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The session whose stream tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Uuid>,
    /// Has no handler: ends with its children.
    #[serde(skip_serializing_if = "is_false")]
    pub group: bool,
    /// What must end before it starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependsOn>,
    /// How many of those: `all`, `any` or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need: Option<Need>,
    /// Not before so many milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<i64>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<jiff::Timestamp>,
    /// Failed if not over so many milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// Failed if not over so long after its first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<i64>,
    /// Failures after which it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<i32>,
    /// Before the second attempt; doubles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<i64>,
    /// And no longer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_max_ms: Option<i64>,
    /// What it shares with others that may not all run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_keys: Option<Vec<String>>,
    /// Children of this one at most so many at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i32>,
    /// Its part of the parent's progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// What it is expected to cost, for taking turns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f32>,
    /// The same key is the same job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The same key is the same job for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// `fail`, `continue` or `ignore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_child_failure: Option<OnChildFailure>,
    /// For whoever looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Box<RawValue>>,
    /// Whether its stream tells of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<bool>,
    /// What it and everything below it may spend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<Budget>,
    /// The schedule that submitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<Uuid>,
}

/// A dependency.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DependsOn {
    /// By its name within the submission.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Or by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Which end of it counts.
    #[serde(default)]
    pub when: When,
}

/// Which end of a dependency counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Only `completed`.
    #[default]
    Success,
    /// Any.
    Terminal,
    /// Only `failed`.
    Failure,
}

/// How many dependencies must be satisfied.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Need {
    /// So many.
    Number(i32),
    /// `all` or `any`.
    Word(NeedWord),
}

/// The two usual numbers.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedWord {
    /// All of them.
    All,
    /// The first of them.
    Any,
}

/// Once in a while.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unique {
    /// What is done once.
    pub key: String,
    /// In how long a window.
    pub within_ms: i64,
}

/// What a failed child means.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChildFailure {
    /// The siblings are cancelled.
    Fail,
    /// The siblings go on; the group fails in the end.
    Continue,
    /// Nothing.
    Ignore,
}

/// What may be spent of one unit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// `usd`, `tokens`, `seconds` or `calls`.
    pub unit: String,
    /// At most.
    pub cap: f64,
    /// Where it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_cap: Option<f64>,
    /// `pause`, `fail` or `ask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exceed: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Spec {
    /// A job of this type with this input.
    pub fn new(kind: impl Into<String>, input: &impl Serialize) -> Result<Self> {
        let input = serde_json::value::to_raw_value(input)
            .map_err(|error| JobsError::invalid(format!("The input is no JSON: {error}")))?;
        Ok(Self {
            kind: kind.into(),
            input: Some(input),
            ..Self::default()
        })
    }

    /// Whether it names jobs or sessions that are there already, or others of
    /// its submission: then it cannot share a call with strangers.
    #[must_use]
    pub fn refers(&self) -> bool {
        self.parent_id.is_some() || self.session_id.is_some() || !self.depends_on.is_empty()
    }

    /// Roughly what it takes on its way.
    pub(crate) fn bytes(&self) -> usize {
        let raw = |value: &Option<Box<RawValue>>| value.as_ref().map_or(0, |raw| raw.get().len());
        // The names and numbers of a usual job.
        256 + raw(&self.input) + raw(&self.labels)
    }

    /// Refuses what no database would take.
    pub fn check(&self) -> Result<()> {
        // A group has no handler, so it needs no type.
        let kind = Some(self.kind.as_str()).filter(|kind| !self.group || !kind.is_empty());
        length("type", kind, 200)?;
        length("name", self.name.as_deref(), 200)?;
        length("queue", self.queue.as_deref(), 200)?;
        length("owner", self.owner.as_deref(), 500)?;
        length("idempotency_key", self.idempotency_key.as_deref(), 300)?;
        range("priority", self.priority.map(i64::from), -100, 100)?;
        range("delay_ms", self.delay_ms, 0, DELAY_MS_MAX)?;
        range("deadline_ms", self.deadline_ms, 1, DELAY_MS_MAX)?;
        range("time_limit_ms", self.time_limit_ms, 1, DELAY_MS_MAX)?;
        range("max_attempts", self.max_attempts.map(i64::from), 1, 1000)?;
        range("backoff_ms", self.backoff_ms, 0, DELAY_MS_MAX)?;
        range("backoff_max_ms", self.backoff_max_ms, 0, DELAY_MS_MAX)?;
        range("width", self.width.map(i64::from), 1, 10_000)?;
        positive("weight", self.weight)?;
        positive("cost", self.cost)?;
        payload("input", self.input.as_deref())?;
        payload("labels", self.labels.as_deref())?;
        self.check_lists()
    }

    fn check_lists(&self) -> Result<()> {
        let keys = self.limit_keys.as_deref().unwrap_or_default();
        if keys.len() > LIMIT_KEYS_MAX {
            return Err(JobsError::invalid("A job has at most 8 limit_keys"));
        }
        for key in keys {
            length("limit_keys", Some(key), 300)?;
        }
        if self.depends_on.len() > DEPENDENCIES_MAX {
            return Err(JobsError::invalid("A job has at most 10000 dependencies"));
        }
        if self.budget.len() > BUDGETS_MAX {
            return Err(JobsError::invalid("A job has one budget for each unit"));
        }
        for dependency in &self.depends_on {
            if dependency.reference.is_some() == dependency.id.is_some() {
                return Err(JobsError::invalid(
                    "A dependency names either ref or id, and not both",
                ));
            }
        }
        if let Some(unique) = &self.unique {
            length("unique.key", Some(&unique.key), 200)?;
            range("unique.within_ms", Some(unique.within_ms), 1, DELAY_MS_MAX)?;
            if self.idempotency_key.is_some() {
                return Err(JobsError::invalid(
                    "A job has either idempotency_key or unique",
                ));
            }
        }
        Ok(())
    }
}

/// Checks a whole submission: its size, and that names within it are told
/// once and known.
pub(crate) fn check_all(specs: &[Spec]) -> Result<()> {
    if specs.is_empty() {
        return Err(JobsError::invalid("There is no job in the submission"));
    }
    if specs.len() > JOBS_MAX {
        return Err(JobsError::invalid(
            "A submission has at most 10000 jobs; more go in several",
        ));
    }
    let mut names = HashSet::new();
    for spec in specs {
        spec.check()?;
        if let Some(name) = &spec.reference
            && !names.insert(name.as_str())
        {
            return Err(JobsError::invalid(format!("Two jobs have the ref {name}")));
        }
    }
    let unknown = |name: &&String| !names.contains(name.as_str());
    for spec in specs {
        let referred = spec
            .depends_on
            .iter()
            .filter_map(|on| on.reference.as_ref());
        if let Some(name) = referred.chain(&spec.parent_ref).find(unknown) {
            return Err(JobsError::invalid(format!("No job has the ref {name}")));
        }
    }
    Ok(())
}

fn length(what: &str, text: Option<&str>, max: usize) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.chars().count() > max || text.contains('\0') {
        return Err(JobsError::invalid(format!(
            "{what} takes 1 to {max} characters"
        )));
    }
    Ok(())
}

fn range(what: &str, value: Option<i64>, least: i64, most: i64) -> Result<()> {
    match value {
        Some(value) if !(least..=most).contains(&value) => Err(JobsError::invalid(format!(
            "{what} is from {least} to {most}"
        ))),
        _ => Ok(()),
    }
}

fn positive(what: &str, value: Option<f32>) -> Result<()> {
    match value {
        Some(value) if !(value.is_finite() && value > 0.0) => {
            Err(JobsError::invalid(format!("{what} is more than 0")))
        }
        _ => Ok(()),
    }
}

/// Refuses what is too large, and the one thing that JSON can say and the
/// database cannot keep.
pub(crate) fn payload(what: &str, value: Option<&RawValue>) -> Result<()> {
    let Some(text) = value.map(RawValue::get) else {
        return Ok(());
    };
    if text.len() > PAYLOAD_BYTES_MAX {
        return Err(JobsError::new(
            http::StatusCode::PAYLOAD_TOO_LARGE,
            "over_limit",
            format!(
                "{what} takes at most {PAYLOAD_BYTES_MAX} bytes; put what is larger into storage"
            ),
        ));
    }
    if text.contains("\\u0000") {
        return Err(JobsError::invalid(format!(
            "{what} has a null character, which the database cannot keep"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_read_and_refused_by_its_own_words() {
        let read = |text: &str| serde_json::from_str::<Vec<Spec>>(text);
        let good = read(
            r#"[{"type":"a","ref":"x","need":"any","priority":5,"input":{"n":1}},
                {"type":"b","depends_on":[{"ref":"x","when":"terminal"}],"need":1}]"#,
        );
        assert!(check_all(&good.expect("it is well formed")).is_ok());
        assert!(read(r#"[{"type":"a","qeue":"typo"}]"#).is_err());
        for bad in [
            "[]",
            r#"[{"type":""}]"#,
            r#"[{"type":"a","ref":"x"},{"type":"a","ref":"x"}]"#,
            r#"[{"type":"a","parent_ref":"y"}]"#,
            r#"[{"type":"a","depends_on":[{}]}]"#,
            r#"[{"type":"a","priority":101}]"#,
            r#"[{"type":"a","input":"\u0000"}]"#,
            r#"[{"type":"a","weight":0}]"#,
        ] {
            let specs = read(bad).expect("it is well formed");
            assert!(check_all(&specs).is_err(), "{bad}");
        }
    }
}

//! Two worlds, field by field.

use jobs::model::{Id, Job, Kind, PausedFrom, State, StepState, Told, Waiting, World};
use serde_json::Value;

use crate::both::{Both, Checked};

/// What the database has, held against the model.
pub(crate) fn worlds(both: &Both, seen: &Value) -> Checked {
    let mut wrong = Vec::new();
    let jobs = seen["jobs"].as_object().map_or(0, serde_json::Map::len);
    if jobs != both.world.jobs.len() {
        wrong.push(format!("{} jobs and {jobs} rows", both.world.jobs.len()));
    }
    for job in &both.world.jobs {
        let row = &seen["jobs"][&both.ids[job.id]];
        for (field, ours, theirs) in fields(&both.world, job, row) {
            if ours != theirs {
                wrong.push(format!(
                    "job {} {field}: {ours} in the model, {theirs} in the database",
                    job.id
                ));
            }
        }
        told(both, job, seen, &mut wrong);
    }
    numbers(seen, &mut wrong);
    steps(both, seen, &mut wrong);
    let news = seen["news"].as_u64().unwrap_or(0);
    if both.world.arrivals.is_empty() != (news == 0) {
        wrong.push(format!("{} news and {news}", both.world.arrivals.len()));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n"))
    }
}

fn fields(world: &World, job: &Job, row: &Value) -> Vec<(&'static str, String, String)> {
    let mut fields = Vec::new();
    let mut add = |name, ours: String, key: &str| {
        let theirs = match &row[key] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        fields.push((name, ours, theirs));
    };
    add("state", job.state.word().into(), "state");
    add(
        "waits for",
        job.waiting.map_or("", Waiting::word).into(),
        "waiting",
    );
    add("epoch", job.epoch.to_string(), "epoch");
    add("failures", job.failures.to_string(), "failures");
    add("crashes", job.crashes.to_string(), "crashes");
    add("lease", job.lease_until.is_some().to_string(), "leased");
    if job.state == State::Paused {
        add("paused from", from(job).into(), "from");
    }
    if job.state == State::Failed {
        add("error", job.error.unwrap_or("").into(), "code");
    }
    if job.state == State::Cancelled {
        let fell = matches!(job.reason, Some("dependency failed" | "sibling failed"));
        let theirs = row["fell"].as_bool().unwrap_or(false);
        fields.push(("fell with others", fell.to_string(), theirs.to_string()));
    }
    counters(world, job, row, &mut fields);
    fields
}

fn from(job: &Job) -> &'static str {
    match job.paused_from {
        Some(PausedFrom::Running) => "running",
        Some(PausedFrom::Ready) => "ready",
        Some(PausedFrom::Waiting(waiting)) => waiting.word(),
        None => "",
    }
}

fn counters(
    world: &World,
    job: &Job,
    row: &Value,
    fields: &mut Vec<(&'static str, String, String)>,
) {
    let mut add =
        |name, ours: i64, key: &str| fields.push((name, ours.to_string(), row[key].to_string()));
    if !job.state.is_over() {
        add("open children", job.children_open, "children_open");
        add("failed children", job.children_failed, "children_failed");
        if job.waiting == Some(Waiting::Dependencies) {
            add("dependencies left", job.deps_left, "deps_left");
            add("dependencies open", job.deps_open, "deps_open");
        }
    }
    let holds = world.is_limited(job) && (job.is_ready() || job.is_at_work());
    let theirs = row["slots"].as_u64() != Some(0);
    fields.push(("holds slots", holds.to_string(), theirs.to_string()));
}

/// What the log says of a job, in order. Progress is told by heartbeats alone
/// and is no transition.
fn told(both: &Both, job: &Job, seen: &Value, wrong: &mut Vec<String>) {
    let ours: Vec<&str> = kinds(&both.world, job.id).map(Kind::word).collect();
    let theirs = seen["told"][&both.ids[job.id]]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let theirs: Vec<&str> = theirs
        .iter()
        .filter_map(Value::as_str)
        .filter(|kind| *kind != "job.progress")
        .collect();
    if ours != theirs {
        wrong.push(format!(
            "job {} told {ours:?} in the model, {theirs:?} in the database",
            job.id
        ));
    }
}

fn kinds(world: &World, id: Id) -> impl Iterator<Item = Kind> {
    let logs = world.streams.values();
    let told = logs.flat_map(|log| {
        let numbered = log.events.iter().map(|(_, told)| told);
        numbered.chain(&log.unnumbered)
    });
    told.filter(move |told: &&Told| told.job == id)
        .map(|told| told.kind)
}

/// Numbers from one on, without gaps.
fn numbers(seen: &Value, wrong: &mut Vec<String>) {
    let Some(streams) = seen["streams"].as_object() else {
        return;
    };
    for (id, stream) in streams {
        let numbers = stream["numbers"].as_array().cloned().unwrap_or_default();
        let numbers: Vec<u64> = numbers.iter().filter_map(Value::as_u64).collect();
        let last = stream["last"].as_u64().unwrap_or(0);
        if !numbers.iter().copied().eq(1..=last) {
            wrong.push(format!(
                "log {id} has numbers {numbers:?} and counts to {last}"
            ));
        }
    }
}

fn steps(both: &Both, seen: &Value, wrong: &mut Vec<String>) {
    for ((job, key), step) in &both.world.steps {
        let row = &seen["steps"][format!("{}/k{key}", both.ids[*job])];
        let state = match step.state {
            StepState::Started => "started",
            StepState::Waiting => "waiting",
            StepState::Done => "done",
            StepState::InDoubt => "in_doubt",
            StepState::Failed => "failed",
        };
        let result = step.until.is_some() || step.result == row["result"].as_u64();
        if row["state"] != state || !result || row["late"] != step.late {
            wrong.push(format!(
                "step {key} of {job}: {step:?} in the model, {row} in the database"
            ));
        }
    }
}

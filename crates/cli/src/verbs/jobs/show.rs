//! `jobs show`: everything about one job on a page.

use std::fmt::Write as _;

use serde_json::{Value, json};
use server::operate::remote::Remote;

use super::graph;
use super::look::{self, clean, number, short, state, text, time, why};
use crate::failure::Failure;
use crate::output::{Output, Tone, aligned};

/// Of its attempts and steps; who wants them all asks the data API.
const ROWS_MAX: u32 = 200;
/// Of values on a page for people; `--json` has them whole.
const VALUE_CHARS_MAX: usize = 300;

/// Prints it.
pub(super) async fn run(output: Output, remote: &Remote, job: &str) -> Result<(), Failure> {
    let (job, tree) = look::tree(remote, job).await?;
    let id = look::id(text(&job, "id"))?;
    let rows = async |table: &str, order: &str| {
        let path = format!("{table}?job_id=eq.{id}&order={order}&limit={ROWS_MAX}");
        remote.rows("work", &path).await
    };
    let attempts = rows("attempts", "epoch.asc").await?;
    let steps = rows("steps", "started_at.asc").await?;
    let approvals = rows("approvals", "created_at.asc").await?;
    let budgets = rows("budgets", "unit.asc").await?;
    if output.json {
        return output.value(&json!({
            "job": job, "jobs": tree, "why": why(&job),
            "attempts": attempts, "steps": steps, "approvals": approvals, "budgets": budgets,
        }));
    }
    let mut page = aligned(&facts(output, &job));
    if tree.len() > 1 {
        section(output, &mut page, "Tree", &graph::ascii(output, &tree));
    }
    section(output, &mut page, "Attempts", &lines(&attempts, attempt));
    section(output, &mut page, "Steps", &lines(&steps, step));
    section(output, &mut page, "Approvals", &lines(&approvals, approval));
    section(output, &mut page, "Budgets", &lines(&budgets, budget));
    output.text(&page)
}

fn section(output: Output, page: &mut String, title: &str, lines: &str) {
    if !lines.is_empty() {
        let _ = write!(page, "\n{}\n{lines}", output.tone(title, Tone::Strong));
    }
}

fn lines(rows: &[Value], line: impl Fn(&Value) -> String) -> String {
    rows.iter().fold(String::new(), |mut all, row| {
        let _ = writeln!(all, "  {}", line(row));
        all
    })
}

fn facts(output: Output, job: &Value) -> Vec<(String, String)> {
    let mut facts = vec![
        ("job".to_owned(), clean(text(job, "id"))),
        ("type".to_owned(), clean(text(job, "type"))),
        ("state".to_owned(), state(output, job)),
    ];
    if let Some(why) = why(job) {
        facts.push(("why".to_owned(), why));
    }
    for name in [
        "name",
        "owner",
        "session_id",
        "parent_id",
        "queue",
        "worker",
        "message",
    ] {
        let value = text(job, name);
        if !value.is_empty() {
            facts.push((name.replace('_', " "), short(value, VALUE_CHARS_MAX)));
        }
    }
    let tries = format!(
        "{} of {} failed, {} crashed",
        number(job, "failures"),
        number(job, "max_attempts"),
        number(job, "crashes")
    );
    facts.push(("attempts".to_owned(), tries));
    for name in [
        "created_at",
        "started_at",
        "run_at",
        "deadline_at",
        "finished_at",
    ] {
        let at = time(job, name);
        if !at.is_empty() {
            facts.push((name.trim_end_matches("_at").replace('_', " "), at));
        }
    }
    for name in ["input", "output", "error", "labels"] {
        let value = job.get(name).filter(|value| !value.is_null());
        if let Some(value) = value {
            facts.push((name.to_owned(), short(&value.to_string(), VALUE_CHARS_MAX)));
        }
    }
    facts
}

fn attempt(row: &Value) -> String {
    let message = row.get("error").map_or("", |error| text(error, "message"));
    format!(
        "{:>3}  {}  {:9}  {}  {}",
        number(row, "epoch"),
        time(row, "ended_at"),
        clean(text(row, "outcome")),
        short(text(row, "worker"), 40),
        short(message, 120)
    )
}

fn step(row: &Value) -> String {
    let mut line = format!(
        "{}  {}  {}",
        short(text(row, "key"), 60),
        clean(text(row, "kind")),
        clean(text(row, "state"))
    );
    let cost = number(row, "cost");
    if cost > 0.0 {
        let _ = write!(line, "  {cost} {}", clean(text(row, "unit")));
    }
    if number(row, "tries") > 1.0 {
        let _ = write!(line, "  {} tries", number(row, "tries"));
    }
    if row.get("late") == Some(&Value::Bool(true)) {
        line.push_str("  late");
    }
    line
}

fn approval(row: &Value) -> String {
    format!(
        "{}  {}  {}  {}",
        clean(text(row, "id")),
        short(text(row, "step_key"), 60),
        clean(text(row, "state")),
        short(text(row, "prompt"), 120)
    )
}

fn budget(row: &Value) -> String {
    format!(
        "{} of {} {} spent, {} reserved",
        number(row, "spent"),
        number(row, "cap"),
        clean(text(row, "unit")),
        number(row, "reserved")
    )
}

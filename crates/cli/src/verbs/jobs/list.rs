//! `jobs list`: a page of the table, over the data API.

use std::fmt::Write as _;

use serde_json::Value;
use server::operate::remote::Remote;

use super::look::{called, clean, short, state, text, time};
use crate::args::jobs::ListArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Inputs and outputs may be large and are left to `show`.
const COLUMNS: &str = "id,root_id,parent_id,type,name,queue,owner,session_id,state,waiting_on,reason,\
progress,message,priority,failures,crashes,children_total,children_open,children_failed,run_at,worker,\
error,labels,created_at,started_at,finished_at";

/// Prints it.
pub(super) async fn run(output: Output, remote: &Remote, args: &ListArgs) -> Result<(), Failure> {
    let jobs = remote.rows("work", &query(args)).await?;
    if output.json {
        return output.value(&jobs.into());
    }
    if jobs.is_empty() {
        return output.line("There are no such jobs");
    }
    output.text(&table(output, &jobs))
}

fn query(args: &ListArgs) -> String {
    let mut query = format!(
        "jobs?select={COLUMNS}&order=created_at.desc,id.desc&limit={}",
        args.limit
    );
    if !args.all {
        query.push_str("&parent_id=is.null");
    }
    let states: Vec<_> = args
        .state
        .iter()
        .map(|state| state.word().to_owned())
        .collect();
    for (column, values) in [
        ("state", &states),
        ("waiting_on", &args.waiting_on),
        ("type", &args.types),
    ] {
        if !values.is_empty() {
            let quoted: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            let _ = write!(query, "&{column}=in.({})", quoted.join(","));
        }
    }
    for (column, value) in [
        ("queue", &args.queue),
        ("owner", &args.owner),
        ("session_id", &args.session),
    ] {
        if let Some(value) = value {
            let _ = write!(query, "&{column}=eq.{}", encoded(value));
        }
    }
    query
}

/// A value within `in.(…)`, where commas and parentheses mean something.
fn quoted(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    encoded(&format!("\"{escaped}\""))
}

/// Percent-encoded, everything but what never means anything.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn table(output: Output, jobs: &[Value]) -> String {
    let kinds: Vec<_> = jobs
        .iter()
        .map(|job| short(text(job, "type"), 40))
        .collect();
    let width = kinds
        .iter()
        .map(|kind| kind.chars().count())
        .max()
        .unwrap_or(0);
    jobs.iter()
        .zip(kinds)
        .fold(String::new(), |mut out, (job, kind)| {
            let _ = write!(
                out,
                "{}  {}  {kind:width$}  {}",
                clean(text(job, "id")),
                time(job, "created_at"),
                state(output, job)
            );
            let name = text(job, "name");
            if !name.is_empty() {
                let _ = write!(out, "  {}", called(job));
            }
            let message = job.get("error").map_or("", |error| text(error, "message"));
            if !message.is_empty() {
                let _ = write!(out, "  {}", short(message, 80));
            }
            out.push('\n');
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::jobs::JobState;

    fn args() -> ListArgs {
        ListArgs {
            state: Vec::new(),
            waiting_on: Vec::new(),
            types: Vec::new(),
            queue: None,
            owner: None,
            session: None,
            all: false,
            limit: 5,
        }
    }

    #[test]
    fn filters_become_a_query_and_nothing_in_them_becomes_syntax() {
        let plain = query(&args());
        assert!(plain.ends_with("&limit=5&parent_id=is.null"), "{plain}");
        let filtered = query(&ListArgs {
            state: vec![JobState::Queued, JobState::Failed],
            types: vec!["a,b\")&x=".to_owned()],
            queue: Some("q&r".to_owned()),
            all: true,
            ..args()
        });
        let end = "&limit=5&state=in.(%22queued%22,%22failed%22)&type=in.(%22a%2Cb%5C%22%29%26x%3D%22)&queue=eq.q%26r";
        assert!(filtered.ends_with(end), "{filtered}");
    }
}

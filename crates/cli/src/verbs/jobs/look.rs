//! Reading documents of jobs, and wording them on a line.

use std::time::Duration;

use serde_json::Value;
use server::operate::remote::Remote;

use crate::failure::{Failure, failure};
use crate::output::{Output, Tone};

/// A job's document and everything below it, itself first.
pub(super) async fn tree(remote: &Remote, job: &str) -> Result<(Value, Vec<Value>), Failure> {
    let path = format!("/jobs/v1/jobs/{}?tree=1", id(job)?);
    let mut said = remote.get(&path, Duration::ZERO).await?;
    let jobs = said.get_mut("jobs").map(Value::take);
    let jobs = match jobs {
        Some(Value::Array(jobs)) => jobs,
        _ => Vec::new(),
    };
    let job = said.get_mut("job").map(Value::take).unwrap_or(said);
    Ok((job, jobs))
}

/// An id as it may stand in a path.
pub(super) fn id(text: &str) -> Result<&str, Failure> {
    let fits = text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if fits {
        return Ok(text);
    }
    Err(failure(
        "FB4016",
        format!("`{}` is no job's id", clean(text)),
        "`ferrobase jobs list` shows ids, such as 0199c0de-….",
    ))
}

/// A text field; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number field.
pub(super) fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or_default()
}

/// Text of others, without what would move a terminal's cursor.
pub(super) fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(printable).collect()
}

/// Text of others on a line of ours: clean and not too long.
pub(super) fn short(text: &str, max: usize) -> String {
    let mut short: String = clean(text).chars().take(max + 1).collect();
    if short.chars().count() > max {
        short.pop();
        short.push('…');
    }
    short
}

/// A time as people read it, to the second.
pub(super) fn time(value: &Value, name: &str) -> String {
    text(value, name)
        .chars()
        .take(19)
        .map(|c| if c == 'T' { ' ' } else { c })
        .collect()
}

/// What a job is called among others: its name, else its type.
pub(super) fn called(job: &Value) -> String {
    let name = text(job, "name");
    short(
        if name.is_empty() {
            text(job, "type")
        } else {
            name
        },
        60,
    )
}

/// Whether a state is an end.
pub(super) fn is_over(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "cancelled")
}

/// The state in a word or two: `queued: limit`, `running 40 %`.
pub(super) fn state(output: Output, job: &Value) -> String {
    let (word, waiting) = (text(job, "state"), text(job, "waiting_on"));
    let tone = match word {
        "completed" => Tone::Good,
        "failed" => Tone::Bad,
        "paused" => Tone::Warning,
        "running" => Tone::Strong,
        _ => Tone::Faint,
    };
    let mut said = clean(word);
    let percent = number(job, "progress") * 100.0;
    if word == "running" && percent >= 1.0 {
        said = format!("{said} {percent:.0} %");
    }
    let expected = word == "running" && waiting == "children";
    if !waiting.is_empty() && !expected {
        said = format!("{said}: {}", clean(waiting));
    }
    output.tone(&said, tone)
}

/// Why a job is not running, as far as its own row says.
pub(super) fn why(job: &Value) -> Option<String> {
    let reason = short(text(job, "reason"), 200);
    let because = |what: &str| {
        if reason.is_empty() {
            what.to_owned()
        } else {
            format!("{what}: {reason}")
        }
    };
    let until = |what: &str| format!("{what} {}", time(job, "run_at"));
    match (text(job, "state"), text(job, "waiting_on")) {
        ("paused", _) => Some(because("it is paused")),
        ("cancelled", _) => Some(because("it was cancelled")),
        (_, "dependencies") => Some(format!(
            "it waits for {} more of the jobs it depends on",
            number(job, "deps_left")
        )),
        (_, "time") => Some(until("it starts at")),
        (_, "retry") => Some(until("it failed and is tried again at")),
        (_, "timer") => Some("it sleeps".to_owned()),
        (_, "limit") => Some(because("its limit keys have no room")),
        (_, "budget") => Some(because("its budget is used up")),
        (_, "queue") => Some(format!("its queue {} is paused", clean(text(job, "queue")))),
        (_, "children") => Some(format!(
            "it waits for {} of its {} children",
            number(job, "children_open"),
            number(job, "children_total")
        )),
        (_, "signal") => Some(because("it waits for a signal")),
        (_, "approval") => Some("it waits for somebody's answer".to_owned()),
        ("queued", "") => {
            Some("it is ready and waits for a worker that takes its queue and type".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_wrote_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a [2Jb c");
        assert_eq!(short("abcdef", 3), "abc…");
        assert_eq!(short("abc", 3), "abc");
    }

    #[test]
    fn ids_are_held_against_their_form() {
        assert!(id("0199c0de-0000-7000-8000-000000000001").is_ok());
        for bad in ["", "1", "../../rest/v1/jobs?select=*&aaaaaaaaaa"] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_job_that_does_not_run_says_why() {
        let of = |state: &str, waiting: Value| {
            why(
                &json!({"state": state, "waiting_on": waiting, "reason": null, "children_open": 2, "children_total": 3}),
            )
        };
        assert!(of("queued", Value::Null).is_some_and(|why| why.contains("worker")));
        assert!(of("running", json!("children")).is_some_and(|why| why.contains("2 of its 3")));
        assert_eq!(of("running", Value::Null), None);
        assert_eq!(of("completed", Value::Null), None);
    }
}

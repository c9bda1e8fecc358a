//! `jobs tail`: the job's stream as it grows, a line for each event; on a
//! terminal with a last line that shows how far the job is.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use server::operate::remote::{Remote, RemoteError};

use super::look::{self, called, clean, is_over, number, short, text, time};
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::signals::Signals;

/// How long the server waits for news: shorter on a terminal, where progress
/// moves without events.
const WAIT: Duration = Duration::from_secs(20);
const WAIT_LIVE: Duration = Duration::from_secs(1);
/// Between tries when the server does not answer, and how many there are: a
/// restart takes seconds.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 30;
/// Cells of the bar.
const BAR: usize = 24;

/// Follows it, until it is over or somebody says stop.
pub(super) async fn run(
    output: Output,
    remote: &Remote,
    job: &str,
    after: u64,
    follow: bool,
) -> Result<(), Failure> {
    let (document, tree) = look::tree(remote, job).await?;
    let mut tail = Tail {
        output,
        remote,
        job: look::id(job)?.to_owned(),
        stream: text(&document, "stream_id").to_owned(),
        after,
        names: HashMap::new(),
        live: output.terminal && !output.json && follow,
    };
    tail.learn(&tree);
    let mut over = is_over(text(&document, "state"));
    if tail.stream.is_empty() {
        output.note("This job tells nothing: events are off for its type.");
        return Ok(());
    }
    let mut signals = Signals::catch()?;
    let mut failures = 0;
    loop {
        let wait = match (over || !follow, tail.live) {
            (true, _) => Duration::ZERO,
            (false, true) => WAIT_LIVE,
            (false, false) => WAIT,
        };
        let page = tokio::select! {
            page = tail.page(wait) => page,
            () = signals.next() => break,
        };
        let events = match page {
            Ok(events) => events,
            Err(error) if failures < TRIES_MAX && is_passing(&error) => {
                failures += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        failures = 0;
        if events.is_empty() && wait.is_zero() {
            break;
        }
        tail.print(&events).await?;
        if !over && follow {
            over = tail.look().await?;
        }
    }
    tail.wipe();
    Ok(())
}

/// What passes when a server starts again.
fn is_passing(error: &RemoteError) -> bool {
    match error {
        RemoteError::Unreachable { .. } => true,
        RemoteError::Refused { status, .. } => matches!(status, 429 | 502..=504),
        _ => false,
    }
}

struct Tail<'a> {
    output: Output,
    remote: &'a Remote,
    job: String,
    stream: String,
    after: u64,
    /// What jobs are called, by id.
    names: HashMap<String, String>,
    /// Whether there is a last line that is drawn again and again.
    live: bool,
}

impl Tail<'_> {
    /// The events behind the last one, when there are any or the wait is over.
    async fn page(&mut self, wait: Duration) -> Result<Vec<Value>, RemoteError> {
        let path = format!(
            "/sessions/v1/streams/{}/events?after={}&wait_ms={}",
            self.stream,
            self.after,
            wait.as_millis()
        );
        let mut said = self.remote.get(&path, wait).await?;
        let Some(Value::Array(events)) = said.get_mut("events").map(Value::take) else {
            return Ok(Vec::new());
        };
        let last = events.last().and_then(|event| event.get("seq")?.as_u64());
        self.after = last.unwrap_or(self.after);
        Ok(events)
    }

    async fn print(&mut self, events: &[Value]) -> Result<(), Failure> {
        for event in events {
            if self.output.json {
                self.output.value(event)?;
                continue;
            }
            let job = text(event, "job_id");
            if !job.is_empty() && !self.names.contains_key(job) {
                // A child that came since: one look names all of them.
                let (_, tree) = look::tree(self.remote, &self.job).await?;
                self.learn(&tree);
                self.names.entry(job.to_owned()).or_default();
            }
            self.wipe();
            let name = self.names.get(job).map_or("", String::as_str);
            self.output.line(&line(self.output, event, name))?;
        }
        Ok(())
    }

    /// Looks at the tree, draws the last line, and says whether all is over.
    async fn look(&mut self) -> Result<bool, Failure> {
        if !self.live {
            let path = format!("/jobs/v1/jobs/{}", self.job);
            return match self.remote.get(&path, Duration::ZERO).await {
                Ok(said) => Ok(is_over(text(said.get("job").unwrap_or(&said), "state"))),
                Err(error) if is_passing(&error) => Ok(false),
                Err(error) => Err(error.into()),
            };
        }
        let Ok((job, tree)) = look::tree(self.remote, &self.job).await else {
            // The next page finds out what is wrong.
            return Ok(false);
        };
        self.learn(&tree);
        self.output.status(&progress(&job, &tree));
        Ok(is_over(text(&job, "state")))
    }

    fn learn(&mut self, tree: &[Value]) {
        let names = tree
            .iter()
            .map(|job| (text(job, "id").to_owned(), called(job)));
        self.names.extend(names);
    }

    fn wipe(&self) {
        if self.live {
            self.output.status("");
        }
    }
}

/// An event on a line: when, whose, what.
fn line(output: Output, event: &Value, name: &str) -> String {
    let kind = text(event, "kind");
    let tone = match kind {
        "job.completed" | "step.completed" | "approval.answered" => Tone::Good,
        "job.failed" | "budget.exceeded" => Tone::Bad,
        "job.retrying" | "job.cancelled" | "job.paused" | "approval.requested" => Tone::Warning,
        "job.log" | "job.chunk" | "job.progress" => Tone::Faint,
        _ => Tone::Strong,
    };
    let data = event.get("data").unwrap_or(&Value::Null);
    let said = match text(data, "message") {
        "" if data.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        "" => data.to_string(),
        message => message.to_owned(),
    };
    let line = format!(
        "{:>5}  {}  {}  {}  {}",
        number(event, "seq"),
        time(event, "at"),
        output.tone(&clean(kind), tone),
        name,
        short(&said, 200)
    );
    line.trim_end().to_owned()
}

/// The last line: a bar, and how many jobs are in which state.
fn progress(job: &Value, tree: &[Value]) -> String {
    let share = number(job, "progress").clamp(0.0, 1.0);
    // A bar of two dozen cells: nothing is lost.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 24"
    )]
    let full = (share * BAR as f64).round() as usize;
    let bar: String = (0..BAR)
        .map(|cell| if cell < full { '█' } else { '░' })
        .collect();
    let mut text_ = format!("{bar} {:3.0} %", share * 100.0);
    for state in [
        "running",
        "queued",
        "paused",
        "completed",
        "failed",
        "cancelled",
    ] {
        let count = tree
            .iter()
            .filter(|one| text(one, "state") == state)
            .count();
        if count > 0 {
            text_ = format!("{text_}  {count} {state}");
        }
    }
    text_
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::Environment;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let output = Output::new(true, &Environment::default());
        let event = json!({"seq": 7, "at": "2026-01-02T03:04:05.678Z", "kind": "job.log", "data": {"message": "a\u{1b}[0mb\nc"}});
        assert_eq!(
            line(output, &event, "clip"),
            "    7  2026-01-02 03:04:05  job.log  clip  a [0mb c"
        );
        let bare =
            json!({"seq": 8, "at": "2026-01-02T03:04:05Z", "kind": "job.started", "data": {}});
        assert_eq!(
            line(output, &bare, "clip"),
            "    8  2026-01-02 03:04:05  job.started  clip"
        );
    }

    #[test]
    fn the_last_line_counts_states() {
        let tree = [
            json!({"state": "running"}),
            json!({"state": "completed"}),
            json!({"state": "completed"}),
        ];
        let line = progress(&json!({"progress": 0.5}), &tree);
        assert_eq!(
            line,
            format!(
                "{}{}  50 %  1 running  2 completed",
                "█".repeat(12),
                "░".repeat(12)
            )
        );
    }
}

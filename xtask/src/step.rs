//! One step of `cargo xtask test`: runs a command, shows its output as it comes, and reads the
//! number of tests from the closing lines that the runners print.
//!
//! Start at [`Steps::command`]; [`Tally::read`] knows the runners' closing lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Compiling everything on two busy cores takes ten minutes; what takes longer is stuck, and CI
/// has an hour for all steps together.
const STEP_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a stuck runner gets to end what it has started.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads one line of a runner's output; nothing when it is not a closing line.
    ///
    /// Known are nextest (`Summary … tests run: 3 passed, 1 failed`), cargo's own harness
    /// (`test result: ok. 3 passed; 0 failed`), node (`pass 3` and `fail 1` on lines of their own)
    /// and pytest (`1 failed, 3 passed in 2.1s`).
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = plain(line);
        let line = line.trim();
        let node = line.trim_start_matches(['#', 'ℹ', ' ']);
        if node.len() < line.len() {
            return match node.split_once(' ')? {
                ("pass", count) => Some(Self {
                    passed: count.trim().parse().ok()?,
                    failed: 0,
                }),
                ("fail" | "cancelled", count) => Some(Self {
                    passed: 0,
                    failed: count.trim().parse().ok()?,
                }),
                _ => None,
            };
        }
        let counts = if let Some(rest) = line.strip_prefix("test result:") {
            rest.split_once('.')?.1
        } else if line.starts_with("Summary") {
            line.split_once(" run:")?.1
        } else {
            let inner = line.trim_matches(['=', ' ']);
            let before = inner
                .rsplit_once(" in ")
                .filter(|(_, time)| time.contains('s'))?
                .0;
            before
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(before)?
        };
        Some(Self::counts(counts))
    }

    /// Sums phrases such as `3 passed`, `1 failed` and `2 errors`, whatever stands between them.
    fn counts(text: &str) -> Self {
        let mut tally = Self::default();
        for phrase in text.split([',', ';']) {
            let mut words = phrase.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match what {
                "passed" => tally.passed += number,
                "failed" | "error" | "errors" | "timed" => tally.failed += number,
                _ => {}
            }
        }
        tally
    }
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

/// What came of a step.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) result: String,
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
    pub(crate) ok: bool,
}

/// The steps that have run so far, in order.
#[derive(Default)]
pub(crate) struct Steps {
    outcomes: Vec<Outcome>,
}

impl Steps {
    /// Runs a command as a step. A command that fails without having counted a failed test
    /// counts as one, so that "0 failed" never stands beside a failing exit code.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> bool {
        self.step(name, || {
            let (ok, mut tally) = stream(command)?;
            if !ok && tally.failed == 0 {
                tally.failed = 1;
            }
            Ok(tally)
        })
    }

    /// Runs a function as a step.
    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce() -> Result<Tally>) -> bool {
        println!("\n==> {name}");
        let start = Instant::now();
        let tally = body().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally {
                passed: 0,
                failed: 1,
            }
        });
        let ok = tally.failed == 0;
        let counted = if tally == Tally::default() {
            String::new()
        } else {
            format!(" ({} passed, {} failed)", tally.passed, tally.failed)
        };
        let result = format!("{}{counted}", if ok { "ok" } else { "FAILED" });
        let seconds = start.elapsed().as_secs_f64();
        println!("<== {name}: {result}, {seconds:.1} s");
        self.outcomes.push(Outcome {
            name: name.to_owned(),
            result,
            seconds,
            tally,
            ok,
        });
        ok
    }

    /// Records a step that cannot run here, with the reason on one line.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n==> {name}: skipped, {reason}");
        self.outcomes.push(Outcome {
            name: name.to_owned(),
            result: format!("skipped, {reason}"),
            seconds: 0.0,
            tally: Tally::default(),
            ok: true,
        });
    }

    /// Prints the table of steps and, as the very last line, the sum of all tests.
    pub(crate) fn summary(&self) -> bool {
        let mut total = Tally::default();
        println!("\nSummary");
        for outcome in &self.outcomes {
            println!(
                "  {:<28} {:>7.1} s  {}",
                outcome.name, outcome.seconds, outcome.result
            );
            total.add(outcome.tally);
        }
        println!("{} passed, {} failed", total.passed, total.failed);
        self.outcomes.iter().all(|outcome| outcome.ok)
    }
}

/// Runs a command, prints both of its streams line by line, and sums the closing lines.
fn stream(command: &mut Command) -> Result<(bool, Tally)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start {name}"))?;
    let (sender, receiver) = mpsc::channel::<String>();
    for source in [
        child.stdout.take().map(boxed),
        child.stderr.take().map(boxed),
    ]
    .into_iter()
    .flatten()
    {
        let sender = sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                if sender
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
    }
    drop(sender);
    let deadline = Instant::now() + STEP_TIME_MAX;
    let tally = show(&receiver, deadline);
    if Instant::now() >= deadline {
        println!(
            "{name} has not ended within {} minutes and is stopped",
            STEP_TIME_MAX.as_secs() / 60
        );
        // Asked first, so that a runner can end the servers it has started.
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        std::thread::sleep(STOP_TIME_MAX);
        let _ = child.kill();
    }
    let status = child
        .wait()
        .with_context(|| format!("could not wait for {name}"))?;
    Ok((status.success(), tally))
}

/// Prints lines until there are no more or the time is over, and sums the closing ones.
fn show(lines: &mpsc::Receiver<String>, deadline: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut out = std::io::stdout();
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        // A reader that went away must not stop the tests: the exit code still tells the result.
        let _ = writeln!(out, "{line}");
        if let Some(counts) = Tally::read(&line) {
            tally.add(counts);
        }
    }
    tally
}

fn boxed(source: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, passed: usize, failed: usize) {
        assert_eq!(Tally::read(line), Some(Tally { passed, failed }), "{line}");
    }

    #[test]
    fn closing_lines_of_every_runner_are_understood() {
        check(
            "     Summary [   0.52s] 13 tests run: 12 passed (1 slow), 1 failed, 2 skipped",
            12,
            1,
        );
        check(
            "     Summary [   0.52s] 3/13 tests run: 1 passed, 1 failed, 1 timed out",
            1,
            2,
        );
        check(
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            3,
            2,
        );
        check("ℹ pass 21", 21, 0);
        check("# fail 2", 0, 2);
        check("\u{1b}[34mℹ fail 4\u{1b}[39m", 0, 4);
        check(
            "========= 1 failed, 22 passed, 1 error in 3.20s =========",
            22,
            2,
        );
        check("22 passed in 3.20s", 22, 0);
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in [
            "",
            "running 3 tests",
            "ok 3 - a test",
            "   Compiling pg v0.1.0",
            "# duration_ms 12",
            "3 users in 2 seats",
        ] {
            assert!(
                Tally::read(line).is_none_or(|tally| tally == Tally::default()),
                "{line}"
            );
        }
    }

    #[test]
    fn a_command_that_fails_without_counting_is_one_failure() {
        let mut steps = Steps::default();
        assert!(!steps.command("false", &mut Command::new("false")));
        assert!(steps.command("true", &mut Command::new("true")));
        assert!(!steps.summary());
    }
}

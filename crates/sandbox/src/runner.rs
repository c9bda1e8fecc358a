//! Judges a submission: compiles it, feeds it each test's input, compares.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::process::Why;
use crate::{Command, Engine, Limits, Output, Sandbox, SandboxError, Spec};

/// One test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// What the program reads.
    pub stdin: String,
    /// What it shall print; trailing white space of lines and of the end does
    /// not count.
    pub expected: String,
}

/// What is judged.
#[derive(Clone, Debug)]
pub struct Submission {
    /// A name of the language table: `python`, `javascript`, `cpp`, `java`.
    pub language: String,
    /// One file.
    pub source: String,
    /// In order.
    pub tests: Vec<Test>,
    /// `wall` is per test here.
    pub limits: Limits,
}

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As expected.
    Accepted,
    /// Something else was printed.
    WrongAnswer,
    /// Not done in time.
    TimeLimit,
    /// Too much memory.
    MemoryLimit,
    /// Ended by a signal or with another code than 0.
    RuntimeError,
    /// Too much output.
    OutputLimit,
    /// The compiler refused it.
    CompileError,
}

/// One test's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// How it ended.
    pub verdict: Verdict,
    /// What it printed, cut.
    pub stdout: String,
    /// What it complained about, cut.
    pub stderr: String,
    /// Its CPU time.
    pub cpu: Duration,
    /// The most memory it had.
    pub max_rss: u64,
}

/// A submission's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// The first that is not accepted, or accepted.
    pub verdict: Verdict,
    /// One for each test that ran: all of them, or none after a compile error.
    pub cases: Vec<Case>,
    /// What the compiler said.
    pub compiler: String,
}

/// Compiling has limits of its own, whatever the program may use.
const COMPILE_WITHIN: Duration = Duration::from_secs(30);
const COMPILE_MEMORY: u64 = 1 << 30;
const COMPILE_PIDS: u32 = 128;
/// Tests of one submission.
const TESTS_MOST: usize = 256;
/// A submission's source, and one test's input.
const TEXT_MOST: usize = 4 << 20;
/// What of a program's words goes into a result.
const QUOTE_MOST: usize = 16 * 1024;

/// One line of the language table.
#[derive(Debug, Deserialize)]
struct Language {
    name: String,
    aliases: Vec<String>,
    /// The program without which it is not there.
    needs: String,
    file: String,
    compile: Vec<String>,
    run: Vec<String>,
    /// What its own machinery takes, beyond what a program may use.
    own_memory_mb: u64,
    /// Words of a failing program that mean want of memory.
    memory_marks: Vec<String>,
}

impl Language {
    fn table() -> Vec<Self> {
        // The table is compiled in, and a test reads it.
        serde_json::from_str(include_str!("runner/languages.json")).unwrap_or_default()
    }

    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut table = Self::table().into_iter();
        table.find(|one| one.name == name || one.aliases.contains(&name))
    }

    fn is_there(&self) -> bool {
        let folders = ["/usr/local/bin", "/usr/bin", "/bin"];
        folders
            .iter()
            .any(|folder| Path::new(folder).join(&self.needs).exists())
    }

    fn command(words: &[String], memory: u64) -> Command {
        let megabytes = (memory >> 20).to_string();
        let mut words = words
            .iter()
            .map(|word| word.replace("{memory_mb}", &megabytes));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args = words.collect();
        command
    }
}

/// Names of languages whose tools exist on this machine.
#[must_use]
pub fn languages() -> Vec<String> {
    let there = Language::table().into_iter().filter(Language::is_there);
    there.map(|language| language.name).collect()
}

/// Judges `submission` in a sandbox of its own, without network. Goes on to
/// its end, and tidies up, even when nobody waits any more.
pub async fn judge(engine: &Arc<Engine>, submission: Submission) -> Result<Verdicts, SandboxError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let language = Language::of(&submission.language)
        .ok_or_else(|| SandboxError::invalid(format!("no language {}", submission.language)))?;
    if !language.is_there() {
        return Err(SandboxError::NotFound(format!(
            "{} on this machine",
            language.needs
        )));
    }
    let texts = submission.tests.iter().map(|test| test.stdin.len());
    if texts
        .chain([submission.source.len()])
        .any(|size| size > TEXT_MOST)
    {
        return Err(SandboxError::TooMuch {
            what: "bytes of a text",
            most: TEXT_MOST as u64,
        });
    }
    if submission.tests.len() > TESTS_MOST {
        return Err(SandboxError::TooMuch {
            what: "tests",
            most: TESTS_MOST as u64,
        });
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let court = Court {
        engine: Arc::clone(engine),
        id: format!("judge-{}-{number}", std::process::id()),
        language,
    };
    let judging = async move {
        // A process of our number may have died in the middle.
        court.engine.remove(&court.id).await?;
        let judged = court.judge(&submission).await;
        court.engine.remove(&court.id).await?;
        judged
    };
    engine.detached("sandbox judge", judging).await
}

/// One submission's trial.
struct Court {
    engine: Arc<Engine>,
    id: String,
    language: Language,
}

impl Court {
    async fn judge(&self, submission: &Submission) -> Result<Verdicts, SandboxError> {
        let compiler = match self.compile(&submission.source).await? {
            Ok(words) => words,
            Err(words) => {
                let verdict = Verdict::CompileError;
                return Ok(Verdicts {
                    verdict,
                    cases: Vec::new(),
                    compiler: words,
                });
            }
        };
        let mut spec = Spec::new(&self.id);
        spec.limits = submission.limits.clone();
        spec.limits.memory_bytes += self.language.own_memory_mb << 20;
        let sandbox = self.engine.create(spec).await?;
        let mut cases = Vec::new();
        for test in &submission.tests {
            cases.push(self.test(&sandbox, &submission.limits, test).await?);
            // What it left behind is not the next test's neighbour.
            sandbox.end_programs(Why::Asked).await;
        }
        let bad = cases
            .iter()
            .map(|case| case.verdict)
            .find(|one| *one != Verdict::Accepted);
        Ok(Verdicts {
            verdict: bad.unwrap_or(Verdict::Accepted),
            cases,
            compiler,
        })
    }

    /// What the compiler said; as an error when it refused.
    async fn compile(&self, source: &str) -> Result<Result<String, String>, SandboxError> {
        let mut spec = Spec::new(&self.id);
        spec.limits.memory_bytes = COMPILE_MEMORY;
        spec.limits.pids = COMPILE_PIDS;
        let sandbox = self.engine.create(spec).await?;
        let source = Bytes::copy_from_slice(source.as_bytes());
        sandbox
            .files()
            .write(&self.language.file, source, None)
            .await?;
        let said = if self.language.compile.is_empty() {
            Ok(String::new())
        } else {
            let command = Language::command(&self.language.compile, COMPILE_MEMORY);
            let output = sandbox.run(command.timeout(COMPILE_WITHIN)).await?;
            let mut words = quote(&output.stderr);
            words.push_str(&quote(&output.stdout));
            if output.exit.why != Why::Itself {
                words.push_str("\n(the compiler reached a limit)");
            }
            if output.exit.success() {
                Ok(words)
            } else {
                Err(words)
            }
        };
        // Its limits were the compiler's; the workspace stays.
        self.engine.kill(&self.id).await;
        Ok(said)
    }

    async fn test(
        &self,
        sandbox: &Arc<Sandbox>,
        limits: &Limits,
        test: &Test,
    ) -> Result<Case, SandboxError> {
        let mut command = Language::command(&self.language.run, limits.memory_bytes);
        command.timeout = Some(limits.wall);
        let whole = limits.wall.as_secs() + u64::from(limits.wall.subsec_nanos() > 0);
        command.cpu_seconds = Some(whole.max(1));
        let output = sandbox.run_with(command, test.stdin.as_bytes()).await?;
        Ok(Case {
            verdict: self.verdict(&output, &test.expected),
            stdout: quote(&output.stdout),
            stderr: quote(&output.stderr),
            cpu: output.exit.cpu,
            max_rss: output.exit.max_rss,
        })
    }

    fn verdict(&self, output: &Output, expected: &str) -> Verdict {
        let errors = String::from_utf8_lossy(&output.stderr);
        let starved = self
            .language
            .memory_marks
            .iter()
            .any(|mark| errors.contains(mark.as_str()));
        match output.exit.why {
            Why::Time => Verdict::TimeLimit,
            Why::Output => Verdict::OutputLimit,
            Why::Memory => Verdict::MemoryLimit,
            _ if output.exit.success() => {
                let printed = String::from_utf8_lossy(&output.stdout);
                if lines(&printed).eq(lines(expected)) {
                    Verdict::Accepted
                } else {
                    Verdict::WrongAnswer
                }
            }
            _ if starved => Verdict::MemoryLimit,
            _ => Verdict::RuntimeError,
        }
    }
}

/// Lines without white space at their ends, up to the last that has any.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_end().lines().map(str::trim_end)
}

/// Words for a result, cut.
fn quote(bytes: &[u8]) -> String {
    let kept = bytes.get(..bytes.len().min(QUOTE_MOST)).unwrap_or_default();
    String::from_utf8_lossy(kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_can_be_read_and_names_are_found() {
        assert_eq!(Language::table().len(), 4);
        assert_eq!(
            Language::of("C++").map(|one| one.name).as_deref(),
            Some("cpp")
        );
        assert!(Language::of("cobol").is_none());
    }

    #[test]
    fn white_space_at_ends_does_not_count_and_elsewhere_it_does() {
        let same = |a: &str, b: &str| lines(a).eq(lines(b));
        assert!(same("1 2 \n3\n\n", "1 2\n3"));
        assert!(same("1\r\n", "1\n"));
        assert!(!same("1  2", "1 2") && !same(" 1", "1") && !same("\n1", "1"));
    }
}

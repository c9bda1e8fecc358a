//! Judges a submission: compiles it, feeds it each test's input, compares.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Engine, Limits, SandboxError};

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

/// Names of languages whose tools exist on this machine.
#[must_use]
pub fn languages() -> Vec<String> {
    Vec::new()
}

/// Judges `submission` in a sandbox of its own, without network.
pub async fn judge(engine: &Engine, submission: Submission) -> Result<Verdicts, SandboxError> {
    let _ = (engine, submission);
    Err(SandboxError::Ended)
}

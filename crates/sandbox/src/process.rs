//! A program that runs in a sandbox: its events, its input, signals.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::SandboxError;

/// What a running program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessEvent {
    /// Bytes of its standard output, or of its terminal.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// Its end: the last event.
    Exit(Exit),
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What it returned, when it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Who or what ended it.
    pub why: Why,
    /// CPU time of it and of what it waited for.
    pub cpu: std::time::Duration,
    /// The most memory that one of its processes had.
    pub max_rss: u64,
}

/// Who or what ended a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It did, or code in the sandbox.
    Itself,
    /// Somebody called [`Process::signal`] or [`crate::Sandbox::kill`].
    Asked,
    /// [`crate::Command::timeout`] or the sandbox's wall limit.
    Time,
    /// The sandbox's memory limit.
    Memory,
    /// The output limit.
    Output,
    /// The workspace's size limit.
    Disk,
    /// The whole sandbox ended.
    Sandbox,
}

/// A running program. Dropping it does not end it.
#[derive(Debug)]
pub struct Process {
    /// Its number inside the sandbox.
    pub pid: u32,
    /// Bounded: who does not read makes the program wait.
    pub events: mpsc::Receiver<ProcessEvent>,
}

impl Process {
    /// Writes all of `bytes` to its standard input.
    pub async fn write_stdin(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let _ = bytes;
        Err(SandboxError::Ended)
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {}

    /// Sends `signal` (9 is KILL, 15 is TERM) to it and its descendants.
    pub async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        let _ = signal;
        Err(SandboxError::Ended)
    }
}

//! One sandbox: an init that stays, programs started in it, its files, ways
//! to its ports.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::files::Files;
use crate::process::{Exit, Process};
use crate::{Command, Limits, SandboxError};

/// What [`Sandbox::run`] brings back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
    /// The end.
    pub exit: Exit,
}

/// One process inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its number inside.
    pub pid: u32,
    /// What was asked for.
    pub command: Vec<String>,
    /// Where it started.
    pub cwd: String,
}

/// What a sandbox uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Memory of all processes.
    pub memory_bytes: u64,
    /// Processes.
    pub pids: u32,
    /// CPU time since the start, of processes alive (of all, with cgroups).
    pub cpu_micros: u64,
    /// The workspace's size when last looked at.
    pub disk_bytes: u64,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {}

impl Sandbox {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        ""
    }

    /// Its limits, as cut by the engine's.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether its init is alive.
    #[must_use]
    pub fn alive(&self) -> bool {
        false
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {}

    /// Starts a program.
    pub async fn start(&self, command: Command) -> Result<Process, SandboxError> {
        let _ = command;
        Err(SandboxError::Ended)
    }

    /// Starts a program and waits for its end.
    pub async fn run(&self, command: Command) -> Result<Output, SandboxError> {
        let _ = command;
        Err(SandboxError::Ended)
    }

    /// The started programs that have not ended.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        Vec::new()
    }

    /// Sends a signal to a started program and its descendants.
    pub async fn signal(&self, pid: u32, signal: i32) -> Result<(), SandboxError> {
        let _ = (pid, signal);
        Err(SandboxError::Ended)
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Files {
        Files {}
    }

    /// Keeps a folder of the workspace as a layer of the cache. What is in it
    /// will be read by every sandbox that names it, so only trusted callers
    /// may choose name and moment. False when there is one already.
    pub async fn keep_layer(&self, path: &str, name: &str) -> Result<bool, SandboxError> {
        let _ = (path, name);
        Err(SandboxError::Ended)
    }

    /// Ports on which something listens inside.
    pub async fn listening(&self) -> Result<Vec<u16>, SandboxError> {
        Err(SandboxError::Ended)
    }

    /// A connection to a port inside, on its loopback.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, SandboxError> {
        let _ = port;
        Err(SandboxError::Ended)
    }

    /// Stops all processes where they are.
    pub async fn freeze(&self) -> Result<(), SandboxError> {
        Err(SandboxError::Ended)
    }

    /// Lets them go on.
    pub async fn thaw(&self) -> Result<(), SandboxError> {
        Err(SandboxError::Ended)
    }

    /// What it uses now.
    pub async fn stats(&self) -> Result<Stats, SandboxError> {
        Err(SandboxError::Ended)
    }

    /// Ends everything in it and waits for that. The workspace stays.
    pub async fn kill(&self) {}
}

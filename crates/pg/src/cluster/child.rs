//! One child process: started, listened to, signalled and reaped.
//!
//! Every child has a thread of its own that starts it and then waits for it.
//! The thread is the point: the kernel sends the parent-death signal (see
//! [`parent_death`]) when the *thread* that started the child ends, so that
//! thread must live exactly as long as the child; a runtime's worker may not.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::Tasks;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::process::ChildStderr;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::log::{LogTail, follow};

/// Enough to start a process and to wait; the default of 2 MiB is not needed.
const STACK_BYTES: usize = 256 * 1024;

/// How long the last log lines of an ended process are waited for. Processes
/// that it started may hold the pipe open, so there must be an end.
const LAST_LINES_WAIT: Duration = Duration::from_millis(300);

/// A running child in its own process group, so that a Ctrl-C on the terminal
/// reaches only us and we stop it in our order.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: u32,
    pub(super) log: LogTail,
    /// Emptied under the lock at the moment of reaping: a signal can never
    /// reach another process that got the same number.
    running: Arc<Mutex<Option<Pid>>>,
    exit: watch::Receiver<Option<String>>,
    lines: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts `command` with its standard error coming to us.
    pub(super) async fn spawn(command: Command, tasks: &Tasks) -> io::Result<Self> {
        let (started, starting) = oneshot::channel();
        let (ended, exit) = watch::channel(None);
        let running = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&running);
        std::thread::Builder::new()
            .name("pg-parent".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || parent(command, started, &slot, &ended))?;
        let (pid, stderr) = starting
            .await
            .map_err(|_| io::Error::other("the starting thread ended"))??;
        let log = LogTail::default();
        let lines = match stderr {
            Some(stderr) => {
                let stderr = ChildStderr::from_std(stderr)?;
                Some(tasks.spawn("postgres log", follow(stderr, log.clone())))
            }
            None => None,
        };
        Ok(Self {
            pid,
            log,
            running,
            exit,
            lines,
        })
    }

    /// Waits until it has ended and been reaped; says how it ended.
    pub(super) async fn exited(&mut self) -> String {
        let exit = match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone(),
            Err(_) => None,
        };
        if let Some(lines) = &mut self.lines {
            // Either outcome is fine: these are lines for a message.
            let _ = tokio::time::timeout(LAST_LINES_WAIT, lines).await;
            self.lines = None;
        }
        exit.unwrap_or_else(|| "unknown exit".to_owned())
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *running
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::debug!(%error, pid = self.pid, "could not signal the child");
        }
    }

    /// Ends it: each signal in turn, with the time it gets.
    pub(super) async fn end(&mut self, steps: &[(Signal, Duration)]) -> String {
        for (signal, wait) in steps {
            self.signal(*signal);
            if let Ok(exit) = tokio::time::timeout(*wait, self.exited()).await {
                return exit;
            }
            tracing::warn!(pid = self.pid, ?signal, "PostgreSQL did not end in time");
        }
        "still running".to_owned()
    }
}

impl Drop for Child {
    /// SIGINT makes PostgreSQL shut down cleanly and initdb clean up.
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

type Started = io::Result<(u32, Option<std::process::ChildStderr>)>;

/// The life of the thread.
fn parent(
    mut command: Command,
    started: oneshot::Sender<Started>,
    running: &Mutex<Option<Pid>>,
    ended: &watch::Sender<Option<String>>,
) {
    use std::os::unix::process::CommandExt as _;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    *running.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    let receiver_gone = started.send(Ok((child.id(), child.stderr.take()))).is_err();
    if let Some(pid) = pid {
        if receiver_gone {
            // The start was given up between the two lines above.
            let _ = kill_process(pid, Signal::INT);
        }
        // NOWAIT leaves it a zombie, which keeps its number taken until we
        // reap it under the lock.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    }
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    let exit = match child.wait() {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    *running = None;
    drop(running);
    ended.send_replace(Some(exit));
}

/// util-linux's `setpriv`, if it can ask the kernel for a signal at the
/// parent's death. With it a `kill -9` of Ferrobase shuts PostgreSQL down
/// cleanly; without it (macOS, busybox) the next start finds the orphan.
pub(super) fn parent_death() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"]
        .into_iter()
        .map(Path::new)
        .find(|program| {
            Command::new(program)
                .args(["--pdeathsig", "INT", "--", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        })
        .map(Path::to_owned)
}

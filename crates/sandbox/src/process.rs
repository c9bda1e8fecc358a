//! A program that runs in a sandbox: its events, its input, signals.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::SandboxError;
use crate::control::{Control, Ended, lock};
use crate::sys;
use crate::wire::Order;

/// Pieces of output that wait for who reads them; the program waits then.
pub(crate) const EVENTS_MOST: usize = 64;
/// One piece: what a pipe holds.
const PIECE: usize = 64 * 1024;

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
    pub cpu: Duration,
    /// The most memory that one of its processes had.
    pub max_rss: u64,
}

impl Exit {
    /// It returned 0, by itself.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0) && self.why == Why::Itself
    }
}

/// Who or what ended a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It did, or code in the sandbox.
    Itself,
    /// Somebody called [`Process::signal`] or [`crate::Sandbox::signal`].
    Asked,
    /// [`crate::Command::timeout`], the sandbox's wall limit or CPU seconds.
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

/// The first reason that somebody gave for an end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reason(Arc<Mutex<Option<Why>>>);

impl Reason {
    pub(crate) fn give(&self, why: Why) {
        lock(&self.0).get_or_insert(why);
    }

    pub(crate) fn given(&self) -> Option<Why> {
        *lock(&self.0)
    }
}

/// A running program. Dropping it does not end it.
#[derive(Debug)]
pub struct Process {
    /// Its number inside the sandbox.
    pub pid: u32,
    /// Bounded: who does not read makes the program wait. Who drops it does
    /// not want the output.
    pub events: mpsc::Receiver<ProcessEvent>,
    pub(crate) stdin: Option<AsyncFd<OwnedFd>>,
    pub(crate) handle: Handle,
}

impl Process {
    /// Writes all of `bytes` to its standard input.
    pub async fn write_stdin(&mut self, mut bytes: &[u8]) -> Result<(), SandboxError> {
        let Some(stdin) = &self.stdin else {
            return Err(SandboxError::invalid("standard input is not open"));
        };
        while !bytes.is_empty() {
            let wrote = stdin
                .async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?))
                .await
                .map_err(|error| SandboxError::system("write to standard input", error))?;
            bytes = bytes.get(wrote..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends its standard input; on a terminal by the character for it.
    pub async fn close_stdin(&mut self) {
        const END_OF_TRANSMISSION: &[u8] = b"\x04";
        if self.handle.pty {
            let _ = self.write_stdin(END_OF_TRANSMISSION).await;
        }
        self.stdin = None;
    }

    /// Sends `signal` (9 is KILL, 15 is TERM) to it, its session and its
    /// descendants.
    pub async fn signal(&self, signal: i32) -> Result<(), SandboxError> {
        self.handle.signal(signal, Why::Asked).await
    }
}

/// A way to end a program.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) control: Arc<Control>,
    pub(crate) pid: i32,
    pub(crate) reason: Reason,
    pub(crate) pty: bool,
}

impl Handle {
    pub(crate) async fn signal(&self, signal: i32, why: Why) -> Result<(), SandboxError> {
        if !(1..=64).contains(&signal) {
            return Err(SandboxError::invalid("no such signal"));
        }
        if signal == libc::SIGKILL || signal == libc::SIGTERM || signal == libc::SIGINT {
            self.reason.give(why);
        }
        let pid = self.pid;
        self.control.send(&Order::Signal { pid, signal }, &[]).await
    }
}

/// Whatever a program's output comes through.
pub(crate) fn source(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    sys::async_fd(fd, Interest::READABLE)
}

/// The other way round.
pub(crate) fn sink(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    sys::async_fd(fd, Interest::WRITABLE)
}

/// Reads a piece; empty at the end. A terminal whose last program has gone
/// answers with an error instead.
fn piece(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match rustix::io::read(fd, buffer) {
        Ok(got) => Ok(got),
        Err(rustix::io::Errno::IO) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Carries a program's output to who wants it and watches over its limits.
pub(crate) struct Pump {
    pub(crate) handle: Handle,
    pub(crate) events: mpsc::Sender<ProcessEvent>,
    pub(crate) stdout: Option<AsyncFd<OwnedFd>>,
    pub(crate) stderr: Option<AsyncFd<OwnedFd>>,
    pub(crate) exit: oneshot::Receiver<Ended>,
    pub(crate) deadline: Instant,
    pub(crate) output_left: u64,
    pub(crate) cpu_seconds: Option<u64>,
    pub(crate) frozen: Arc<AtomicBool>,
}

/// How often a frozen program's clock is looked at again.
const FROZEN_LOOK: Duration = Duration::from_secs(1);

enum Next {
    Out(usize),
    Err(usize),
    Ended(Option<Ended>),
    Late,
}

async fn read(source: Option<&AsyncFd<OwnedFd>>, buffer: &mut [u8]) -> usize {
    match source {
        Some(source) => {
            let got = source.async_io(Interest::READABLE, |fd| piece(fd, buffer));
            got.await.unwrap_or(0)
        }
        None => std::future::pending().await,
    }
}

impl Pump {
    /// Until the program's end; the last event is left to the caller.
    pub(crate) async fn run(&mut self) -> (Option<Ended>, Why) {
        let mut out = vec![0; PIECE];
        let mut err = vec![0; PIECE];
        let mut late = false;
        let ended = loop {
            let next = tokio::select! {
                got = read(self.stdout.as_ref(), &mut out) => Next::Out(got),
                got = read(self.stderr.as_ref(), &mut err) => Next::Err(got),
                ended = &mut self.exit => Next::Ended(ended.ok()),
                () = tokio::time::sleep_until(self.deadline), if !late => Next::Late,
            };
            match next {
                Next::Out(0) => self.stdout = None,
                Next::Err(0) => self.stderr = None,
                Next::Out(got) => self.pass(out.get(..got), ProcessEvent::Stdout).await,
                Next::Err(got) => self.pass(err.get(..got), ProcessEvent::Stderr).await,
                Next::Ended(ended) => break ended,
                Next::Late if self.frozen.load(Ordering::Relaxed) => {
                    self.deadline = Instant::now() + FROZEN_LOOK;
                }
                Next::Late => {
                    late = true;
                    self.end(Why::Time).await;
                }
            }
        };
        self.drain(&mut out).await;
        let why = self.why(ended.as_ref());
        (ended, why)
    }

    fn why(&self, ended: Option<&Ended>) -> Why {
        let Some(ended) = ended else {
            return Why::Sandbox;
        };
        if let Some(why) = self.handle.reason.given() {
            return why;
        }
        let spent = |seconds| ended.cpu >= Duration::from_secs(seconds);
        let cut = matches!(ended.signal, Some(libc::SIGXCPU | libc::SIGKILL));
        if cut && self.cpu_seconds.is_some_and(spent) {
            return Why::Time;
        }
        Why::Itself
    }

    async fn end(&self, why: Why) {
        self.handle.reason.give(why);
        // An error means that it has ended already.
        let _ = self.handle.signal(libc::SIGKILL, why).await;
    }

    /// One piece, counted. A reader who takes their time does not stop the
    /// clock.
    async fn pass(&mut self, bytes: Option<&[u8]>, event: fn(Bytes) -> ProcessEvent) {
        let bytes = bytes.unwrap_or_default();
        let wanted = usize::try_from(self.output_left).unwrap_or(usize::MAX);
        let over = bytes.len() > wanted;
        let kept = bytes.get(..bytes.len().min(wanted)).unwrap_or_default();
        self.output_left -= kept.len() as u64;
        if !kept.is_empty() {
            let sent = self.events.send(event(Bytes::copy_from_slice(kept)));
            if tokio::time::timeout_at(self.deadline, sent).await.is_err() {
                self.end(Why::Time).await;
            }
        }
        if over {
            self.end(Why::Output).await;
            self.stdout = None;
            self.stderr = None;
        }
    }

    /// What had been written before the end is in the pipes already. What a
    /// program left behind writes later is not waited for.
    async fn drain(&mut self, buffer: &mut [u8]) {
        let events: [fn(Bytes) -> ProcessEvent; 2] = [ProcessEvent::Stdout, ProcessEvent::Stderr];
        for event in events {
            loop {
                let source = match event(Bytes::new()) {
                    ProcessEvent::Stderr(_) => self.stderr.as_ref(),
                    _ => self.stdout.as_ref(),
                };
                match source.map(|source| piece(source.get_ref(), buffer)) {
                    Some(Ok(got)) if got > 0 => self.pass(buffer.get(..got), event).await,
                    _ => break,
                }
            }
        }
    }
}

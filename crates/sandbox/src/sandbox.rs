//! One sandbox: an init that stays, programs started in it, its files, ways
//! to its ports.

mod streams;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kernel::Tasks;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::cgroup::Cgroup;
use crate::control::{Control, Ended, lock};
use crate::files::Files;
use crate::process::{self, EVENTS_MOST, Exit, Handle, Process, ProcessEvent, Pump, Reason, Why};
use crate::spec::HOME;
use crate::wire::{News, Order, Start};
use crate::{Command, Limits, SandboxError, Strength};
use streams::{Ours, Streams, collect};

/// Started programs of one sandbox at a time: each has buffers in the server.
const PROGRAMS_MOST: usize = 128;

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
    /// Processes, init included.
    pub pids: u32,
    /// CPU time of the processes alive now.
    pub cpu_micros: u64,
    /// The workspace's size when last looked at.
    pub disk_bytes: u64,
}

#[derive(Debug)]
struct Running {
    info: ProcessInfo,
    handle: Handle,
}

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    pub(crate) id: String,
    pub(crate) limits: Limits,
    pub(crate) strength: Strength,
    pub(crate) control: Arc<Control>,
    /// Init's number on the host, and a handle that cannot mean another.
    pub(crate) pid: i32,
    pub(crate) init: OwnedFd,
    pub(crate) files: Files,
    pub(crate) layers: std::path::PathBuf,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) disk: AtomicU64,
    pub(crate) tasks: Tasks,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) running: Mutex<HashMap<u64, Slot>>,
    pub(crate) frozen: Arc<AtomicBool>,
}

/// A started program, as the sandbox remembers it.
#[derive(Debug)]
pub(crate) struct Slot(Running);

impl Sandbox {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its limits, as cut by the engine's.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What stands between it and the host.
    #[must_use]
    pub fn strength(&self) -> &Strength {
        &self.strength
    }

    /// Whether its init is alive.
    #[must_use]
    pub fn alive(&self) -> bool {
        !self.control.has_ended()
    }

    /// Resolves when it has ended.
    pub async fn ended(&self) {
        self.control.ended().await;
    }

    /// Starts a program. Its first output comes as an event; an error means
    /// that it does not run.
    pub async fn start(self: &Arc<Self>, command: Command) -> Result<Process, SandboxError> {
        let id = self.control.number();
        let cwd = command.cwd.clone().unwrap_or_else(|| HOME.to_owned());
        let (start, streams) = self.order(id, &command, &cwd)?;
        let exit = self.control.expect_exit(id);
        let beside: Vec<_> = streams.theirs.iter().map(OwnedFd::as_fd).collect();
        let answer = self.control.ask(id, &Order::Start(start), &beside).await;
        let (pid, mut fds) = match answer {
            Ok((News::Started { pid, .. }, fds)) => (pid, fds),
            Ok((News::NotStarted { errno, .. }, _)) => {
                self.control.forget_exit(id);
                let source = std::io::Error::from_raw_os_error(errno);
                return Err(SandboxError::Start {
                    program: command.program,
                    source,
                });
            }
            Ok(_) => return Err(SandboxError::Ended),
            Err(error) => {
                self.control.forget_exit(id);
                return Err(error);
            }
        };
        drop(beside);
        let handle = Handle {
            control: Arc::clone(&self.control),
            pid,
            reason: Reason::default(),
            pty: command.pty.is_some(),
        };
        let mut ours = streams.ours;
        if let Some(master) = fds.pop() {
            ours.stdin = master.try_clone().ok();
            ours.stdout = Some(master);
        }
        self.attend(id, &command, cwd, handle, (ours, exit))
    }

    /// The order, and pipes for it.
    fn order(
        &self,
        id: u64,
        command: &Command,
        cwd: &str,
    ) -> Result<(Start, Streams), SandboxError> {
        if command.program.is_empty() {
            return Err(SandboxError::invalid("no program given"));
        }
        if !self.alive() {
            return Err(SandboxError::Ended);
        }
        if lock(&self.running).len() >= PROGRAMS_MOST {
            return Err(SandboxError::TooMuch {
                what: "programs of a sandbox at once",
                most: PROGRAMS_MOST as u64,
            });
        }
        let streams = match command.pty {
            Some(_) => Streams::default(),
            None => Streams::pipes(command.stdin)
                .map_err(|error| SandboxError::system("make pipes", error))?,
        };
        let start = Start {
            id,
            program: command.program.clone(),
            args: command.args.clone(),
            env: command.env.clone(),
            cwd: cwd.to_owned(),
            cpu_seconds: command.cpu_seconds,
            pty: command.pty,
        };
        Ok((start, streams))
    }

    /// Gives a started program its pump.
    fn attend(
        self: &Arc<Self>,
        id: u64,
        command: &Command,
        cwd: String,
        handle: Handle,
        (ours, exit): (Ours, tokio::sync::oneshot::Receiver<Ended>),
    ) -> Result<Process, SandboxError> {
        let _entered = self.runtime.enter();
        let registered = |fd: Option<OwnedFd>| -> Result<Option<AsyncFd<OwnedFd>>, SandboxError> {
            fd.map(process::source)
                .transpose()
                .map_err(|error| SandboxError::system("read output", error))
        };
        let (tell, events) = mpsc::channel(EVENTS_MOST);
        let wall = command
            .timeout
            .unwrap_or(self.limits.wall)
            .min(self.limits.wall);
        let mut pump = Pump {
            handle: handle.clone(),
            events: tell,
            stdout: registered(ours.stdout)?,
            stderr: registered(ours.stderr)?,
            exit,
            deadline: Instant::now() + wall,
            output_left: self.limits.output_bytes,
            cpu_seconds: command.cpu_seconds,
            frozen: Arc::clone(&self.frozen),
        };
        let stdin = ours.stdin.map(process::sink).transpose();
        let stdin = stdin.map_err(|error| SandboxError::system("write input", error))?;
        let pid = u32::try_from(handle.pid).unwrap_or(0);
        let asked = std::iter::once(&command.program).chain(&command.args);
        let info = ProcessInfo {
            pid,
            command: asked.cloned().collect(),
            cwd,
        };
        let slot = Slot(Running {
            info,
            handle: handle.clone(),
        });
        lock(&self.running).insert(id, slot);
        let sandbox = Arc::clone(self);
        let kills = sandbox.cgroup.as_ref().map_or(0, Cgroup::memory_kills);
        let pumping = async move {
            let (ended, why) = pump.run().await;
            lock(&sandbox.running).remove(&id);
            let exit = sandbox.exit(ended, why, kills);
            // Nobody may be left to be told.
            let _ = pump.events.send(ProcessEvent::Exit(exit)).await;
        };
        self.tasks
            .spawn_on("sandbox process", pumping, &self.runtime);
        Ok(Process {
            pid,
            events,
            stdin,
            handle,
        })
    }

    /// An end, with what the control group knows of it.
    fn exit(&self, ended: Option<Ended>, why: Why, kills: u64) -> Exit {
        let Some(ended) = ended else {
            return Exit {
                code: None,
                signal: Some(libc::SIGKILL),
                why,
                cpu: std::time::Duration::ZERO,
                max_rss: 0,
            };
        };
        let starved = self
            .cgroup
            .as_ref()
            .is_some_and(|group| group.memory_kills() > kills);
        let unhappy = ended.code != Some(0);
        Exit {
            code: ended.code,
            signal: ended.signal,
            why: if starved && unhappy && why == Why::Itself {
                Why::Memory
            } else {
                why
            },
            cpu: ended.cpu,
            max_rss: ended.max_rss,
        }
    }

    /// Starts a program and waits for its end.
    pub async fn run(self: &Arc<Self>, command: Command) -> Result<Output, SandboxError> {
        let mut process = self.start(command).await?;
        process.close_stdin().await;
        collect(&mut process).await
    }

    /// Starts a program, gives it `input` and waits for its end.
    pub async fn run_with(
        self: &Arc<Self>,
        mut command: Command,
        input: &[u8],
    ) -> Result<Output, SandboxError> {
        command.stdin = true;
        let mut process = self.start(command).await?;
        let Some(stdin) = process.stdin.take() else {
            return Err(SandboxError::Ended);
        };
        // Both at once: a program may print before it has read everything.
        let feed = async move {
            let mut rest = input;
            while !rest.is_empty() {
                let wrote = stdin.async_io(tokio::io::Interest::WRITABLE, |fd| {
                    Ok(rustix::io::write(fd, rest)?)
                });
                // A program may not want all of its input.
                let Ok(wrote) = wrote.await else { break };
                rest = rest.get(wrote..).unwrap_or_default();
            }
        };
        let mut feed = std::pin::pin!(feed);
        let mut output = std::pin::pin!(collect(&mut process));
        let mut done = false;
        loop {
            tokio::select! {
                output = &mut output => return output,
                () = &mut feed, if !done => done = true,
            }
        }
    }

    /// The started programs that have not ended.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let running = lock(&self.running);
        let mut all: Vec<_> = running.values().map(|slot| slot.0.info.clone()).collect();
        all.sort_by_key(|info| info.pid);
        all
    }

    /// Sends a signal to a started program and its descendants.
    pub async fn signal(&self, pid: u32, signal: i32) -> Result<(), SandboxError> {
        let handle = {
            let running = lock(&self.running);
            let found = running.values().find(|slot| slot.0.info.pid == pid);
            found.map(|slot| slot.0.handle.clone())
        };
        match handle {
            Some(handle) => handle.signal(signal, Why::Asked).await,
            None => Err(SandboxError::NotFound(format!("process {pid}"))),
        }
    }

    /// Ends all programs for a reason; the sandbox stays.
    pub(crate) async fn end_programs(&self, why: Why) {
        for slot in lock(&self.running).values() {
            slot.0.handle.reason.give(why);
        }
        let signal = libc::SIGKILL;
        let _ = self.control.send(&Order::SignalAll { signal }, &[]).await;
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Files {
        self.files.clone()
    }

    /// Keeps a folder of the workspace as a layer of the cache. What is in it
    /// will be read by every sandbox that names it, so only trusted callers
    /// may choose name and moment. False when there is one already.
    pub async fn keep_layer(&self, path: &str, name: &str) -> Result<bool, SandboxError> {
        let layer = crate::Layer {
            name: name.to_owned(),
            at: String::new(),
        };
        layer.check()?;
        self.files.copy_out(path, &self.layers, name).await
    }

    /// Ports on which something listens inside.
    pub async fn listening(&self) -> Result<Vec<u16>, SandboxError> {
        self.needs_network()?;
        let id = self.control.number();
        match self.control.ask(id, &Order::Listening { id }, &[]).await? {
            (News::Listening { ports, .. }, _) => Ok(ports),
            _ => Err(SandboxError::Ended),
        }
    }

    fn needs_network(&self) -> Result<(), SandboxError> {
        if self.strength.has_network() {
            Ok(())
        } else {
            Err(SandboxError::Unsupported("there is no network inside"))
        }
    }

    /// A connection to a port inside, on its loopback: a socket made in the
    /// sandbox's network and connected from here, so nothing of ours runs
    /// inside and no port of the host is used.
    pub async fn connect(&self, port: u16) -> Result<TcpStream, SandboxError> {
        self.needs_network()?;
        let addresses = [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            // Node listens on this one alone when told `localhost`.
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ];
        let mut last = std::io::Error::from_raw_os_error(libc::ECONNREFUSED);
        for address in addresses {
            match self.socket(address.is_ipv6()).await?.connect(address).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(SandboxError::system("connect to the sandbox", last))
    }

    async fn socket(&self, v6: bool) -> Result<TcpSocket, SandboxError> {
        let id = self.control.number();
        match self.control.ask(id, &Order::Socket { id, v6 }, &[]).await? {
            (News::Socket { .. }, mut fds) if fds.len() == 1 => {
                let socket = fds.pop().ok_or(SandboxError::Ended)?;
                Ok(TcpSocket::from_std_stream(socket.into()))
            }
            (News::Socket { errno, .. }, _) => {
                let error = std::io::Error::from_raw_os_error(errno);
                Err(SandboxError::system("make a socket inside", error))
            }
            _ => Err(SandboxError::Ended),
        }
    }

    /// Stops all processes where they are, and their clocks.
    pub async fn freeze(&self) -> Result<(), SandboxError> {
        self.frozen.store(true, Ordering::Relaxed);
        let signal = libc::SIGSTOP;
        self.control.send(&Order::SignalAll { signal }, &[]).await
    }

    /// Lets them go on.
    pub async fn thaw(&self) -> Result<(), SandboxError> {
        self.frozen.store(false, Ordering::Relaxed);
        let signal = libc::SIGCONT;
        self.control.send(&Order::SignalAll { signal }, &[]).await
    }

    /// What it uses now.
    pub async fn stats(&self) -> Result<Stats, SandboxError> {
        if !self.alive() {
            return Err(SandboxError::Ended);
        }
        let pid = self.pid;
        let looked = tokio::task::spawn_blocking(move || crate::watch::Census::take().of(pid));
        let used = looked.await.map_err(|_| SandboxError::Ended)?;
        Ok(Stats {
            memory_bytes: self
                .cgroup
                .as_ref()
                .and_then(Cgroup::memory)
                .unwrap_or(used.memory),
            pids: used.pids,
            cpu_micros: used.cpu_micros,
            disk_bytes: self.disk.load(Ordering::Relaxed),
        })
    }

    /// Ends everything in it and waits for that. The workspace stays.
    pub async fn kill(&self) {
        let signal = rustix::process::Signal::KILL;
        let _ = rustix::process::pidfd_send_signal(&self.init, signal);
        self.ended().await;
    }
}

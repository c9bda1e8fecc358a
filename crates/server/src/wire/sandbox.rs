//! Where code runs: the engine as the sessions room sees it, and the addresses
//! of its pages.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ::sandbox::{Engine, Process, ProcessEvent, Sandbox, SandboxError, Why};
use ::sessions::ports::{
    Answer, Command, Contained, Control, Ended, Entry, Kind, Limits, Network, Output, RunError,
    Runner, Spec, Started, Usage,
};
use ::sessions::sandboxes::{Behaviour, Given};
use bytes::Bytes;
use kernel::{Rng, Tasks};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell, mpsc};

use crate::app::Context;
use crate::config::Config;
use crate::preview::Links;

/// Workspaces and layers are below it, within the data folder.
const FOLDER: &str = "sandboxes";
/// Holds this machine's name.
const MACHINE: &str = "machine";
/// A file that is read in one piece. What is larger is fetched by a program.
const READ_BYTES_MAX: u64 = 64 << 20;
/// What a program says waits for whoever listens.
const OUTPUT_WAITING: usize = 64;
/// Where the tools' versions are asked for.
const PROBE: &str = "tools";

/// What runs sandboxes, or why nothing does.
pub(crate) async fn given(
    config: &Config,
    links: &Arc<Links>,
    tasks: &Tasks,
    context: &Context,
) -> Result<Option<Given>, String> {
    if !config.sandbox.enabled || !config.jobs.enabled {
        return Ok(None);
    }
    let folder = config.db.data_dir.join(FOLDER);
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    let machine = machine(&folder, &context.rng).map_err(|error| error.to_string())?;
    let launcher = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut settings = ::sandbox::Config::new(folder, launcher);
    settings.policy.insecure_allowed = config.sandbox.insecure;
    settings.limits = config.sandbox.limits.clone();
    settings.egress = config.sandbox.egress.clone();
    let limits = settings.limits.clone();
    let engine = Engine::start(settings, tasks.clone()).await;
    let engine = engine.map_err(|error| error.to_string())?;
    let strength = engine.strength();
    tracing::info!(strength = strength.word(), "Sandboxes: {strength}");
    if !strength.isolated() && !config.sandbox.insecure {
        return Err(strength.notes.join("; "));
    }
    let preview_domain = links.domain();
    let links = Arc::clone(links);
    Ok(Some(Given {
        runner: Arc::new(Engines {
            engine,
            limits,
            toolchain: OnceCell::new(),
            tasks: tasks.clone(),
        }),
        machine,
        preview_domain,
        preview: Arc::new(move |id, port, private| links.url(id, port, private)),
        behaviour: Behaviour {
            lives: config.sandbox.lives,
            lives_max: config.sandbox.lives_max,
            per_owner: config.sandbox.per_owner,
            per_node: config.sandbox.per_node,
        },
    }))
}

/// This machine's name: made once, and kept beside what it names.
fn machine(folder: &Path, rng: &Rng) -> io::Result<String> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(MACHINE);
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => fresh(&path, rng),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fresh(&path, rng),
        Err(error) => Err(error),
    }
}

fn fresh(path: &Path, rng: &Rng) -> io::Result<String> {
    let name = rng.uuid().simple().to_string();
    std::fs::write(path, &name)?;
    Ok(name)
}

/// The engine as a runner.
struct Engines {
    engine: Arc<Engine>,
    limits: ::sandbox::Limits,
    toolchain: OnceCell<String>,
    tasks: Tasks,
}

fn refused(error: SandboxError) -> RunError {
    let message = error.to_string();
    match error {
        SandboxError::Invalid(_) | SandboxError::Forbidden(_) => RunError::Invalid(message),
        SandboxError::NotFound(_) | SandboxError::Start { .. } => RunError::NotFound(message),
        SandboxError::Exists(_) => RunError::Exists(message),
        SandboxError::TooMuch { .. } => RunError::TooMuch(message),
        SandboxError::NotIsolated(_) | SandboxError::Unsupported(_) => {
            RunError::Unsupported(message)
        }
        SandboxError::Ended => RunError::Gone,
        error => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            RunError::Failed(format!("{message}: {}", cause.unwrap_or_default()))
        }
    }
}

impl Engines {
    async fn versions(&self) -> Result<String, RunError> {
        let spec = ::sandbox::Spec::new(PROBE);
        let sandbox = self.engine.create(spec).await.map_err(refused)?;
        let asked = ::sandbox::Command::shell("node --version; npm --version; uname -m");
        let output = sandbox.run(asked).await;
        self.engine.remove(PROBE).await.map_err(refused)?;
        let output = output.map_err(refused)?;
        let said = String::from_utf8_lossy(&output.stdout)
            .trim()
            .replace('\n', " ");
        if output.exit.code == Some(0) {
            return Ok(said);
        }
        Err(RunError::Unsupported(
            "there is no Node in sandboxes".to_owned(),
        ))
    }
}

impl Runner for Engines {
    fn strength(&self) -> String {
        self.engine.strength().word().to_owned()
    }

    fn limits(&self) -> Limits {
        Limits {
            cpu: self.limits.cpu,
            memory_bytes: self.limits.memory_bytes,
            pids: self.limits.pids,
            disk_bytes: self.limits.disk_bytes,
            output_bytes: self.limits.output_bytes,
            wall: self.limits.wall,
        }
    }

    fn toolchain(&self) -> Answer<'_, String> {
        Box::pin(async {
            self.toolchain
                .get_or_try_init(|| self.versions())
                .await
                .cloned()
        })
    }

    fn has_layer(&self, name: &str) -> bool {
        self.engine.has_layer(name)
    }

    fn create(&self, spec: Spec) -> Answer<'_, Arc<dyn Contained>> {
        Box::pin(async move {
            let layers = spec.layers.into_iter();
            let asked = ::sandbox::Spec {
                layers: layers
                    .map(|(name, at)| ::sandbox::Layer { name, at })
                    .collect(),
                env: spec.env,
                limits: ::sandbox::Limits {
                    cpu: spec.limits.cpu,
                    memory_bytes: spec.limits.memory_bytes,
                    pids: spec.limits.pids,
                    disk_bytes: spec.limits.disk_bytes,
                    output_bytes: spec.limits.output_bytes,
                    wall: spec.limits.wall,
                },
                network: match spec.network {
                    Network::None => ::sandbox::Network::None,
                    Network::Registries => ::sandbox::Network::Registries,
                    Network::Hosts(hosts) => ::sandbox::Network::Allow(hosts),
                },
                ..::sandbox::Spec::new(spec.id)
            };
            let sandbox = self.engine.create(asked).await.map_err(refused)?;
            Ok(self.contained(sandbox))
        })
    }

    fn get(&self, id: &str) -> Option<Arc<dyn Contained>> {
        let sandbox = self.engine.get(id).filter(|sandbox| sandbox.alive())?;
        Some(self.contained(sandbox))
    }

    fn list(&self) -> Vec<String> {
        let mut ids = self.engine.list();
        ids.retain(|id| id != PROBE);
        ids
    }
}

impl Engines {
    fn contained(&self, sandbox: Arc<Sandbox>) -> Arc<dyn Contained> {
        Arc::new(One {
            engine: Arc::clone(&self.engine),
            sandbox,
            tasks: self.tasks.clone(),
        })
    }
}

/// A sandbox of the engine.
struct One {
    engine: Arc<Engine>,
    sandbox: Arc<Sandbox>,
    tasks: Tasks,
}

fn entry(found: ::sandbox::files::Entry) -> Entry {
    Entry {
        path: found.path,
        kind: match found.kind {
            ::sandbox::files::Kind::File => Kind::File,
            ::sandbox::files::Kind::Folder => Kind::Folder,
            ::sandbox::files::Kind::Link => Kind::Link,
            ::sandbox::files::Kind::Other => Kind::Other,
        },
        size: found.size,
        mode: found.mode,
        modified_ns: i128::from(found.modified),
    }
}

/// Folders of one level, as the engine counts them.
const ONE_LEVEL: u32 = 1;

impl Contained for One {
    fn start(&self, command: Command) -> Answer<'_, Started> {
        Box::pin(async move {
            let asked = ::sandbox::Command {
                args: command.args,
                cwd: command.cwd,
                env: command.env,
                timeout: command.timeout,
                stdin: command.stdin,
                pty: command.pty,
                ..::sandbox::Command::new(command.program)
            };
            let mut process = self.sandbox.start(asked).await.map_err(refused)?;
            let pid = process.pid;
            let (closed, nothing) = mpsc::channel(1);
            drop(closed);
            let events = std::mem::replace(&mut process.events, nothing);
            let control = Spoken {
                sandbox: Arc::clone(&self.sandbox),
                process: Mutex::new(process),
                pid,
            };
            Ok(Started {
                pid,
                output: translated(events, &self.tasks),
                control: Arc::new(control),
            })
        })
    }

    fn read(&self, path: String) -> Answer<'_, Bytes> {
        Box::pin(async move {
            let read = self.sandbox.files().read(&path, READ_BYTES_MAX).await;
            read.map_err(refused)
        })
    }

    fn write(&self, path: String, bytes: Bytes, executable: Option<bool>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mode = executable.map(|executable| if executable { 0o755 } else { 0o644 });
            let written = self.sandbox.files().write(&path, bytes, mode).await;
            written.map_err(refused).map(drop)
        })
    }

    fn entries(&self, path: String) -> Answer<'_, Vec<Entry>> {
        Box::pin(async move {
            let listed = self.sandbox.files().list(&path, ONE_LEVEL).await;
            Ok(listed.map_err(refused)?.into_iter().map(entry).collect())
        })
    }

    fn stat(&self, path: String) -> Answer<'_, Entry> {
        Box::pin(async move {
            let found = self.sandbox.files().stat(&path).await;
            found.map_err(refused).map(entry)
        })
    }

    fn make_folder(&self, path: String) -> Answer<'_, bool> {
        Box::pin(async move { self.sandbox.files().mkdir(&path).await.map_err(refused) })
    }

    fn rename(&self, from: String, to: String) -> Answer<'_, ()> {
        Box::pin(async move {
            let renamed = self.sandbox.files().rename(&from, &to).await;
            renamed.map_err(refused)
        })
    }

    fn remove(&self, path: String) -> Answer<'_, ()> {
        Box::pin(async move { self.sandbox.files().remove(&path).await.map_err(refused) })
    }

    fn listening(&self) -> Answer<'_, Vec<u16>> {
        Box::pin(async move { self.sandbox.listening().await.map_err(refused) })
    }

    fn connect(&self, port: u16) -> Answer<'_, TcpStream> {
        Box::pin(async move { self.sandbox.connect(port).await.map_err(refused) })
    }

    fn freeze(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.sandbox.freeze().await.map_err(refused) })
    }

    fn thaw(&self) -> Answer<'_, ()> {
        Box::pin(async move { self.sandbox.thaw().await.map_err(refused) })
    }

    fn usage(&self) -> Answer<'_, Usage> {
        Box::pin(async move {
            let stats = self.sandbox.stats().await.map_err(refused)?;
            Ok(Usage {
                memory_bytes: stats.memory_bytes,
                pids: stats.pids,
                disk_bytes: stats.disk_bytes,
                cpu_millis: stats.cpu_micros / 1000,
            })
        })
    }

    fn keep_layer(&self, name: String, path: String) -> Answer<'_, ()> {
        Box::pin(async move {
            let kept = self.sandbox.keep_layer(&path, &name).await;
            kept.map_err(refused).map(drop)
        })
    }

    fn kill(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let removed = self.engine.remove(self.sandbox.id()).await;
            removed.map_err(refused)
        })
    }
}

/// A running program of the engine.
struct Spoken {
    sandbox: Arc<Sandbox>,
    process: Mutex<Process>,
    pid: u32,
}

impl Control for Spoken {
    fn write(&self, bytes: Bytes) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut process = self.process.lock().await;
            process.write_stdin(&bytes).await.map_err(refused)
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.process.lock().await.close_stdin().await;
            Ok(())
        })
    }

    fn signal(&self, number: i32) -> Answer<'_, ()> {
        // Not through the program itself: a write that waits holds that.
        Box::pin(async move {
            let sent = self.sandbox.signal(self.pid, number).await;
            sent.map_err(refused)
        })
    }

    fn resize(&self, _: u16, _: u16) -> Answer<'_, ()> {
        Box::pin(async {
            Err(RunError::Unsupported(
                "the size of a terminal is said at its start".to_owned(),
            ))
        })
    }
}

/// The engine's events in the room's words, as they are asked for.
fn translated(mut events: mpsc::Receiver<ProcessEvent>, tasks: &Tasks) -> mpsc::Receiver<Output> {
    let (said, output) = mpsc::channel(OUTPUT_WAITING);
    tasks.spawn("sandbox-output", async move {
        while let Some(event) = events.recv().await {
            let output = match event {
                ProcessEvent::Stdout(bytes) => Output::Stdout(bytes),
                ProcessEvent::Stderr(bytes) => Output::Stderr(bytes),
                ProcessEvent::Exit(exit) => Output::Exit(Ended {
                    code: exit.code,
                    signal: exit.signal,
                    why: why(exit.why).map(str::to_owned),
                }),
            };
            if said.send(output).await.is_err() {
                return;
            }
        }
    });
    output
}

/// Which limit ended it, if one did.
fn why(why: Why) -> Option<&'static str> {
    match why {
        Why::Itself => None,
        Why::Asked => Some("asked"),
        Why::Time => Some("timeout"),
        Why::Memory => Some("memory"),
        Why::Output => Some("output"),
        Why::Disk => Some("disk"),
        Why::Sandbox => Some("sandbox"),
    }
}

//! What is asked of the engine, as data: its own settings ([`Config`]), a
//! sandbox ([`Spec`]), a program in it ([`Command`]). Nothing here acts.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::SandboxError;

/// Where a sandbox's workspace is mounted, in every sandbox.
pub const HOME: &str = "/home/user";

/// The engine's settings, made once by the composition root.
#[derive(Clone, Debug)]
pub struct Config {
    /// Workspaces live below it, one folder per sandbox. Made when missing.
    pub folder: PathBuf,
    /// The program that is started again as `… sandbox-init`: this binary.
    pub launcher: PathBuf,
    /// Read-only layers (see [`Layer`]), shared by sandboxes.
    pub cache: PathBuf,
    /// What is allowed where isolation is missing.
    pub policy: Policy,
    /// Who may be reached from inside.
    pub egress: Egress,
    /// The most that any sandbox may get; a [`Spec`] can only ask for less.
    pub limits: Limits,
    /// Host uids for sandboxes, used when the server runs as root: one per
    /// sandbox, never 0. The range must belong to nobody else.
    pub uids: Range<u32>,
    /// Further folders of the host shown inside, read-only, at their own path
    /// (toolchains outside of `/usr`).
    pub read_only: Vec<PathBuf>,
}

impl Config {
    /// Settings for `folder`, with the cache beside the workspaces.
    #[must_use]
    pub fn new(folder: PathBuf, launcher: PathBuf) -> Self {
        Self {
            // No sandbox can have this name.
            cache: folder.join(".layers"),
            folder,
            launcher,
            policy: Policy::default(),
            egress: Egress::default(),
            limits: Limits::default(),
            uids: DEFAULT_UIDS,
            read_only: Vec::new(),
        }
    }
}

/// Above what distributions give to people and services, below the ranges of
/// container runtimes (from 100000 and from 524288).
pub const DEFAULT_UIDS: Range<u32> = 70_000..99_000;

/// What is allowed where isolation is missing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Run code as the server's own user, with nothing between them, when
    /// neither namespaces nor Landlock are there. Off: such code is refused.
    pub insecure_allowed: bool,
    /// Use at most this, for tests and for machines where more is broken.
    pub at_most: Option<Ceiling>,
}

/// See [`Policy::at_most`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// Landlock and seccomp, no namespaces.
    Landlock,
    /// Nothing at all.
    Nothing,
}

/// Who may be reached from inside, through the proxy.
#[derive(Clone, Debug)]
pub struct Egress {
    /// Package registries: what [`Network::Registries`] opens. `host` means
    /// port 443; `host:port` is exact; `*.host` is any name below.
    pub registries: Vec<String>,
    /// Hosts the operator vouches for (a mirror inside the own network): part
    /// of the registries, and allowed to resolve to a private address. Even
    /// these may not be link-local, where clouds keep their metadata.
    pub mirrors: Vec<String>,
    /// Variables that point package managers to the mirrors, set in each
    /// sandbox that may reach registries (`npm_config_registry`, …).
    pub env: Vec<(String, String)>,
    /// Certificates of authorities that inside programs shall trust besides
    /// the system's, one PEM file.
    pub ca_file: Option<PathBuf>,
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            registries: crate::egress::default_registries(),
            mirrors: Vec::new(),
            env: Vec::new(),
            ca_file: None,
        }
    }
}

/// What one sandbox may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Cores; 1.5 is one and a half.
    pub cpu: f64,
    /// Memory of all processes together.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// The workspace; /tmp has a quarter of it at most, out of memory.
    pub disk_bytes: u64,
    /// Output of one command, both streams together.
    pub output_bytes: u64,
    /// Time of one command.
    pub wall: Duration,
}

impl Default for Limits {
    /// Enough for a Vite build with npm install, not for mining.
    fn default() -> Self {
        Self {
            cpu: 2.0,
            memory_bytes: 2 << 30,
            pids: 512,
            disk_bytes: 4 << 30,
            output_bytes: 64 << 20,
            wall: Duration::from_secs(1800),
        }
    }
}

impl Limits {
    /// The smaller of both, field by field.
    #[must_use]
    pub fn within(&self, most: &Self) -> Self {
        Self {
            cpu: self.cpu.min(most.cpu),
            memory_bytes: self.memory_bytes.min(most.memory_bytes),
            pids: self.pids.min(most.pids),
            disk_bytes: self.disk_bytes.min(most.disk_bytes),
            output_bytes: self.output_bytes.min(most.output_bytes),
            wall: self.wall.min(most.wall),
        }
    }
}

/// What may be reached from inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// [`Egress::registries`] and [`Egress::mirrors`].
    Registries,
    /// The registries and these hosts (same forms), which must be public.
    Allow(Vec<String>),
}

/// A read-only tree of the cache, merged into the workspace: reads see it,
/// writes stay in the workspace. Made by [`crate::Sandbox::keep_layer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name in the cache: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where it appears, relative to the home (`node_modules`); empty for the
    /// home itself.
    pub at: String,
}

/// A sandbox to make.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Its name: letters, digits, `-` and `_`, at most 64.
    pub id: String,
    /// A layer merged into the home itself: a shorthand of [`Spec::layers`].
    pub template: Option<String>,
    /// Layers below the home.
    pub layers: Vec<Layer>,
    /// Variables of every command.
    pub env: Vec<(String, String)>,
    /// Cut to [`Config::limits`].
    pub limits: Limits,
    /// What may be reached from inside.
    pub network: Network,
}

impl Spec {
    /// A sandbox without network, with default limits.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The id as a folder's name.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.bytes().all(allowed) {
            return Err(SandboxError::invalid(
                "a sandbox id is 1 to 64 letters, digits, - and _",
            ));
        }
        self.all_layers().try_for_each(|layer| layer.check())
    }

    /// The template and the other layers.
    pub(crate) fn all_layers(&self) -> impl Iterator<Item = Layer> + '_ {
        let template = self.template.iter().map(|name| Layer {
            name: name.clone(),
            at: String::new(),
        });
        template.chain(self.layers.iter().cloned())
    }
}

impl Layer {
    /// Both parts stay where they belong.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = !self.name.is_empty()
            && self.name.len() <= 128
            && !self.name.starts_with('.')
            && self.name.bytes().all(plain);
        if !name {
            return Err(SandboxError::invalid(
                "a layer's name is letters, digits, - _ .",
            ));
        }
        let inside = self.at.is_empty()
            || self
                .at
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains(','));
        if inside && self.at.len() <= 256 {
            Ok(())
        } else {
            Err(SandboxError::invalid("a layer is mounted below the home"))
        }
    }
}

/// A program to start.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// A path, or a name looked for in `PATH`.
    pub program: String,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// Relative to [`HOME`], or absolute. Default: the home.
    pub cwd: Option<String>,
    /// In addition to the sandbox's.
    pub env: Vec<(String, String)>,
    /// At most this long; cut to [`Limits::wall`].
    pub timeout: Option<Duration>,
    /// At most this much CPU time per process, in whole seconds.
    pub cpu_seconds: Option<u64>,
    /// Keep standard input open for [`crate::Process::write_stdin`].
    pub stdin: bool,
    /// A terminal of (columns, rows): both output streams are one then.
    pub pty: Option<(u16, u16)>,
}

impl Command {
    /// `program` without arguments.
    #[must_use]
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            ..Self::default()
        }
    }

    /// `line` for the shell.
    #[must_use]
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new("/bin/sh").arg("-c").arg(line)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Where it starts.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<String>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// At most this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// With an open standard input.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }
}

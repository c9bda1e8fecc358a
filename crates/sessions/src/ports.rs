//! What the room needs of others, which `server` wires.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Tells other nodes that these streams have news. No more than a hint: each
/// node looks every second. What others say comes back by
/// [`Streams::poke`](crate::streams::Streams::poke).
pub type TellOthers = Arc<dyn Fn(&[Uuid]) + Send + Sync>;

/// The address of a sandbox's page: of this sandbox, this port; whether only
/// who has this very link may see it.
pub type PreviewLink = Arc<dyn Fn(&str, u16, bool) -> String + Send + Sync>;

/// What a [`Runner`] answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, RunError>>;

/// Runs other people's code on this machine, apart from everything else.
pub trait Runner: Send + Sync {
    /// What keeps a sandbox in, in a few words.
    fn strength(&self) -> String;
    /// The most that a sandbox may use.
    fn limits(&self) -> Limits;
    /// The tools that packages are installed for, as `node v22.1.0`: layers
    /// made with others do not fit.
    fn toolchain(&self) -> Answer<'_, String>;
    /// Whether there is a layer of this name.
    fn has_layer(&self, name: &str) -> bool;
    /// Makes a sandbox.
    fn create(&self, spec: Spec) -> Answer<'_, Arc<dyn Contained>>;
    /// One that is alive.
    fn get(&self, id: &str) -> Option<Arc<dyn Contained>>;
    /// All that are alive.
    fn list(&self) -> Vec<String>;
}

/// One sandbox. Paths are relative to its home; links are never followed.
pub trait Contained: Send + Sync {
    /// Starts a program.
    fn start(&self, command: Command) -> Answer<'_, Started>;
    /// A file's bytes.
    fn read(&self, path: String) -> Answer<'_, Bytes>;
    /// Makes a file with the folders that lead to it, or replaces it.
    fn write(&self, path: String, bytes: Bytes, executable: Option<bool>) -> Answer<'_, ()>;
    /// What is in a folder.
    fn entries(&self, path: String) -> Answer<'_, Vec<Entry>>;
    /// What is at a path.
    fn stat(&self, path: String) -> Answer<'_, Entry>;
    /// Makes a folder and those that lead to it; false when it was there.
    fn make_folder(&self, path: String) -> Answer<'_, bool>;
    /// Gives a file or folder another name.
    fn rename(&self, from: String, to: String) -> Answer<'_, ()>;
    /// Removes a file, or a folder with all that is in it.
    fn remove(&self, path: String) -> Answer<'_, ()>;
    /// Ports that somebody inside listens on.
    fn listening(&self) -> Answer<'_, Vec<u16>>;
    /// A connection to such a port.
    fn connect(&self, port: u16) -> Answer<'_, TcpStream>;
    /// Stops every process where it is.
    fn freeze(&self) -> Answer<'_, ()>;
    /// Lets them go on.
    fn thaw(&self) -> Answer<'_, ()>;
    /// What is used now.
    fn usage(&self) -> Answer<'_, Usage>;
    /// Keeps a folder as a layer that later sandboxes see and cannot change.
    fn keep_layer(&self, name: String, path: String) -> Answer<'_, ()>;
    /// Ends everything in it and removes its files.
    fn kill(&self) -> Answer<'_, ()>;
}

/// A sandbox to make.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name.
    pub id: String,
    /// Layers, and the folder where each is seen.
    pub layers: Vec<(String, String)>,
    /// Variables of every command.
    pub env: Vec<(String, String)>,
    /// What it may use, cut to [`Runner::limits`].
    pub limits: Limits,
    /// Whom it may reach.
    pub network: Network,
}

/// What may be reached from inside.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Network {
    /// Nothing.
    None,
    /// Package registries.
    #[default]
    Registries,
    /// These hosts too.
    Hosts(Vec<String>),
}

/// What a sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Cores.
    pub cpu: f64,
    /// Memory of all processes together.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Its files.
    pub disk_bytes: u64,
    /// Output of one command.
    pub output_bytes: u64,
    /// Time of one command.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub wall: Duration,
}

fn seconds<S: serde::Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(span.as_secs())
}

/// What is used now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Memory.
    pub memory_bytes: u64,
    /// Processes.
    pub pids: u32,
    /// Its files.
    pub disk_bytes: u64,
    /// Processor time since it began, in milliseconds.
    pub cpu_millis: u64,
}

/// A program to start.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// A path, or a name looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where it starts; else the home.
    pub cwd: Option<String>,
    /// More variables.
    pub env: Vec<(String, String)>,
    /// At most this long, and never longer than [`Limits::wall`].
    pub timeout: Option<Duration>,
    /// Whether it can be written to.
    pub stdin: bool,
    /// Columns and rows of a terminal.
    pub pty: Option<(u16, u16)>,
    /// It is there for long: neither time nor output end it.
    pub service: bool,
}

/// A running program.
pub struct Started {
    /// Its number.
    pub pid: u32,
    /// What it says, in order; the last is an [`Output::Exit`].
    pub output: mpsc::Receiver<Output>,
    /// How it is spoken to.
    pub control: Arc<dyn Control>,
}

/// Speaks to a running program.
pub trait Control: Send + Sync {
    /// Writes to its input.
    fn write(&self, bytes: Bytes) -> Answer<'_, ()>;
    /// Ends its input.
    fn close(&self) -> Answer<'_, ()>;
    /// Sends a signal by its number.
    fn signal(&self, number: i32) -> Answer<'_, ()>;
    /// The terminal has another size.
    fn resize(&self, columns: u16, rows: u16) -> Answer<'_, ()>;
}

/// What a program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// On standard output.
    Stdout(Bytes),
    /// On standard error.
    Stderr(Bytes),
    /// It is over.
    Exit(Ended),
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// Its own word.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why it was ended, where a limit did: `timeout`, `memory`, `output`.
    pub why: Option<String>,
}

impl Ended {
    /// As shells say it: 128 and the signal's number, for those that were ended.
    #[must_use]
    pub fn status(&self) -> i32 {
        let by_signal = self.signal.map(|signal| 128 + signal);
        self.code.or(by_signal).unwrap_or(-1)
    }
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Relative to the home.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// Permissions.
    pub mode: u32,
    /// Last written, in nanoseconds since 1970.
    pub modified_ns: i128,
}

/// What kind of thing is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, which nobody follows.
    Link,
    /// Pipes, sockets, devices.
    Other,
}

/// Why a runner did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// What was asked for means nothing.
    #[error("{0}")]
    Invalid(String),
    /// No such file, process or port.
    #[error("{0}")]
    NotFound(String),
    /// There is one already.
    #[error("{0}")]
    Exists(String),
    /// More than there may be.
    #[error("{0}")]
    TooMuch(String),
    /// This machine cannot keep it in, or not with this feature.
    #[error("{0}")]
    Unsupported(String),
    /// The sandbox is gone.
    #[error("the sandbox is gone")]
    Gone,
    /// The machine failed.
    #[error("{0}")]
    Failed(String),
}

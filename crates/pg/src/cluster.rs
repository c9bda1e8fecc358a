//! The managed PostgreSQL: found, made, started, watched and stopped by us.
//!
//! Start with [`Cluster::start`]. It takes the folder's lock, chooses the
//! programs and the user, clears what an earlier run left, makes a cluster if
//! there is none, starts `postgres` as our own child and waits until it
//! answers on a private socket. From then on a supervisor starts it again when
//! it dies; [`Cluster::state`] tells.
//!
//! Invariants: an acknowledged commit survives `kill -9` and a power cut; no
//! data folder is ever removed, repaired or opened by a wrong version; at most
//! one Ferrobase and one server work in a folder; nothing here reads the
//! environment.

mod binaries;
mod child;
mod error;
mod failure;
mod init;
mod install;
mod layout;
mod lock;
mod log;
mod orphan;
mod owner;
mod settings;
mod start;
mod supervise;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kernel::{Clock, Secret, Tasks};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::child::Child;
use self::layout::{Site, ensure_folder};
use self::lock::FolderLock;
use self::settings::{Launch, Tuning};
use self::supervise::Supervisor;
use crate::Target;

pub(crate) use self::binaries::find_clients;
pub use self::binaries::{Binaries, Found, MAJORS, Search, find};
pub use self::error::ClusterError;
pub use self::install::{can_install, install_distribution_package, install_hint};
pub use self::lock::{Instance, read_instance};
pub use self::supervise::ClusterState;

/// The port that Supabase's local database has.
pub const DEFAULT_PORT: u16 = 54322;

/// A server whose Ferrobase was killed in the instant of starting it is not
/// recognisable yet when we look for one. It then takes the data folder before
/// ours does; by the next look it is recognisable and is stopped.
const START_TRIES: u32 = 3;
const START_PAUSE: Duration = Duration::from_millis(300);

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// `<project>/.ferrobase`; made when missing.
    pub folder: PathBuf,
    /// Where clusters go that cannot lie in their project, because root's
    /// project is closed to PostgreSQL's user.
    pub state_folder: PathBuf,
    /// Where to look for PostgreSQL's programs.
    pub search: Search,
    /// The TCP port on loopback; `None` leaves only the private socket.
    pub port: Option<u16>,
    /// Where the API will answer, told to a second instance.
    pub url: String,
    /// `max_connections`; the pools need fewer.
    pub max_connections: u16,
    /// `shared_buffers` in MiB.
    pub shared_buffers_mib: u32,
    /// For the moment of the start.
    pub clock: Clock,
}

impl ClusterConfig {
    /// The defaults for a project's `.ferrobase` folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            folder: folder.into(),
            state_folder: PathBuf::from("/var/lib/ferrobase"),
            search: Search::default(),
            port: Some(DEFAULT_PORT),
            url: String::new(),
            max_connections: 100,
            shared_buffers_mib: 64,
            clock,
        }
    }
}

/// What was started.
#[derive(Clone, Debug)]
pub struct ClusterInfo {
    /// PostgreSQL's programs and version.
    pub binaries: Binaries,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The folder of the private socket.
    pub socket_dir: PathBuf,
    /// The TCP port on loopback.
    pub port: Option<u16>,
    /// The user PostgreSQL runs as.
    pub user: String,
    /// Whether the cluster was made by this start.
    pub cold: bool,
    /// Whether PostgreSQL stops by itself when we are killed.
    pub ends_with_us: bool,
    /// Said when the data lies outside the project.
    pub note: Option<String>,
    /// How long making the cluster took.
    pub init_time: Duration,
    /// How long `postgres` took from spawn to its first answer.
    pub ready_time: Duration,
    /// How long everything took.
    pub total_time: Duration,
}

/// A running managed PostgreSQL. Dropping it stops the server, [`Cluster::stop`]
/// also waits for that.
#[derive(Debug)]
pub struct Cluster {
    info: ClusterInfo,
    state: watch::Receiver<ClusterState>,
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

impl Cluster {
    /// Starts PostgreSQL for `config.folder`, making the cluster if needed.
    ///
    /// The server is stopped by [`Cluster::stop`], or when `tasks` is told to
    /// stop; a caller that drains requests first gives the cluster a group of
    /// its own. `progress` hears one sentence before every step that takes
    /// noticeable time.
    pub async fn start(
        config: ClusterConfig,
        tasks: &Tasks,
        progress: impl Fn(&str) + Send + Sync,
    ) -> Result<Self, ClusterError> {
        start(config, tasks, &progress).await
    }

    /// The superuser's name.
    #[must_use]
    pub fn superuser() -> &'static str {
        init::SUPERUSER
    }

    /// A database of this cluster behind the private socket, no password.
    #[must_use]
    pub fn target(&self, user: &str, database: &str) -> Target {
        let port = self.info.port.unwrap_or(settings::SOCKET_PORT);
        Target::socket(&self.info.socket_dir, port, user, database)
    }

    /// A connection string for other programs, when there is a TCP port.
    #[must_use]
    pub fn tcp_url(&self, user: &str, password: &Secret, database: &str) -> Option<Secret> {
        let port = self.info.port?;
        Some(Secret::new(format!(
            "postgresql://{}:{}@127.0.0.1:{port}/{}",
            encode(user),
            encode(password.expose()),
            encode(database)
        )))
    }

    /// What was started.
    #[must_use]
    pub fn info(&self) -> &ClusterInfo {
        &self.info
    }

    /// What it is doing, and every change of that.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClusterState> {
        self.state.clone()
    }

    /// Shuts PostgreSQL down cleanly and waits until it is gone.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.supervisor.await {
            tracing::warn!(%error, "the supervisor of PostgreSQL did not end cleanly");
        }
    }
}

type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

async fn start(
    config: ClusterConfig,
    tasks: &Tasks,
    progress: Progress<'_>,
) -> Result<Cluster, ClusterError> {
    let began = Instant::now();
    let folder = ensure_folder(&config.folder)?;
    let mut instance = Instance {
        pid: std::process::id(),
        started_at: format!("{:.0}", config.clock.now()),
        url: config.url.clone(),
        port: config.port,
        ..Instance::default()
    };
    let lock = FolderLock::take(&folder, &instance)?;
    let site = Site::survey(&folder, &config.state_folder)?;
    if let Some(note) = &site.note {
        progress(note);
    }
    let launch = prepare(&config, &site)?;
    let premises = Premises {
        socket_dir: launch.socket_dir.clone(),
        lock,
    };
    let cold = site.existing.is_none();
    let init_time = if cold {
        make(&launch, &site.base, tasks, progress).await?
    } else {
        take_over(&launch, progress)?;
        Duration::ZERO
    };
    launch.write_files(&Tuning {
        max_connections: config.max_connections,
        shared_buffers_mib: config.shared_buffers_mib,
    })?;
    instance.data_dir.clone_from(&launch.data_dir);
    instance.socket_dir.clone_from(&launch.socket_dir);
    premises.lock.publish(&instance)?;

    let spawned = Instant::now();
    let child = bring_up(&launch, tasks, progress).await?;
    let info = ClusterInfo {
        binaries: launch.binaries.clone(),
        data_dir: launch.data_dir.clone(),
        socket_dir: launch.socket_dir.clone(),
        port: launch.port,
        user: launch.owner.name.clone(),
        cold,
        ends_with_us: launch.setpriv.is_some(),
        note: site.note,
        init_time,
        ready_time: spawned.elapsed(),
        total_time: began.elapsed(),
    };
    Ok(look_after(launch, child, info, premises, tasks))
}

/// What is ours while a server may run, and is given back after it.
struct Premises {
    socket_dir: PathBuf,
    lock: FolderLock,
}

impl Drop for Premises {
    /// The lock, a field, goes after this: only then may another start here.
    fn drop(&mut self) {
        // Fails, rightly, when the server left something in it.
        let _ = std::fs::remove_dir(&self.socket_dir);
    }
}

/// Hands the running server to its supervisor, which also keeps the premises.
fn look_after(
    launch: Launch,
    child: Child,
    info: ClusterInfo,
    premises: Premises,
    tasks: &Tasks,
) -> Cluster {
    let (sender, state) = watch::channel(ClusterState::Ready);
    let (stop, stop_receiver) = watch::channel(false);
    let supervisor = Supervisor {
        launch,
        tasks: tasks.clone(),
        state: sender,
        stop: stop_receiver,
    };
    let supervisor = tasks.spawn("postgres supervisor", async move {
        supervisor.run(child).await;
        drop(premises);
    });
    Cluster {
        info,
        state,
        stop,
        supervisor,
    }
}

/// Everything that is decided before anything is started or made.
fn prepare(config: &ClusterConfig, site: &Site) -> Result<Launch, ClusterError> {
    let found = find(&config.search);
    let version = site.existing.as_ref().map(|one| one.version.as_str());
    let data_dir = match &site.existing {
        Some(existing) => existing.data_dir.clone(),
        None => site.base.clone(),
    };
    let binaries = binaries::choose(&found, &data_dir, version)?;
    if let Some(parent) = site.owner.barred_from(&binaries.dir) {
        return Err(ClusterError::ParentNotSearchable {
            folder: binaries.dir,
            parent,
            user: site.owner.name.clone(),
        });
    }
    Ok(Launch {
        data_dir: site.data_dir(binaries.major),
        socket_dir: site.socket_dir(config.port.unwrap_or(settings::SOCKET_PORT))?,
        owner: site.owner.clone(),
        port: config.port,
        setpriv: child::parent_death(),
        binaries,
    })
}

async fn make(
    launch: &Launch,
    base: &Path,
    tasks: &Tasks,
    progress: Progress<'_>,
) -> Result<Duration, ClusterError> {
    progress(&format!(
        "making a PostgreSQL {} cluster in {}",
        launch.binaries.major,
        launch.data_dir.display()
    ));
    let began = Instant::now();
    init::create(launch, base, tasks).await?;
    Ok(began.elapsed())
}

/// Starts the server and waits until it answers.
async fn bring_up(
    launch: &Launch,
    tasks: &Tasks,
    progress: Progress<'_>,
) -> Result<Child, ClusterError> {
    let mut tries = 1;
    loop {
        orphan::settle(launch, progress).await?;
        let mut child = start::spawn(launch, tasks).await?;
        let Err(error) = start::wait_ready(launch, &mut child).await else {
            return Ok(child);
        };
        start::stop(&mut child).await;
        if tries == START_TRIES || !matches!(error, ClusterError::InUse { .. }) {
            return Err(error);
        }
        tries += 1;
        tokio::time::sleep(START_PAUSE).await;
    }
}

/// Makes sure that PostgreSQL's user owns an existing cluster.
fn take_over(launch: &Launch, progress: Progress<'_>) -> Result<(), ClusterError> {
    use std::os::unix::fs::MetadataExt as _;
    let dir = &launch.data_dir;
    let meta = std::fs::symlink_metadata(dir).map_err(ClusterError::io("open", dir))?;
    if meta.uid() != launch.owner.uid {
        if !launch.owner.switch {
            return Err(ClusterError::Permission {
                path: dir.clone(),
                detail: format!(
                    "it belongs to user {}, and this is {}",
                    meta.uid(),
                    launch.owner.name
                ),
            });
        }
        // Root copied or restored it; PostgreSQL must own every file.
        progress(&format!(
            "giving {} to user {}",
            dir.display(),
            launch.owner.name
        ));
        launch
            .owner
            .give_all(dir)
            .map_err(ClusterError::io("give to PostgreSQL's user", dir))?;
    }
    Ok(())
}

/// Percent-encodes everything but unreserved characters (RFC 3986, 2.3).
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_encoded() {
        assert_eq!(encode("a/b@c:é"), "a%2Fb%40c%3A%C3%A9");
    }
}

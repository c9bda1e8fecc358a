//! Control groups, where we may make them: limits over all processes of a
//! sandbox together. Version 1 (a tree per controller) and version 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Limits;

/// Groups of ours: this, the server's process number, the sandbox.
pub(crate) const PREFIX: &str = "ferrobase-";
const MOUNT: &str = "/sys/fs/cgroup";
/// The kernel counts CPU time over such a period.
const PERIOD_MICROS: f64 = 100_000.0;
/// Removing a group fails while its last process is being taken apart.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(25);

/// Where groups of ours can be made.
#[derive(Clone, Debug)]
pub(crate) enum Cgroups {
    /// Folders of controllers, each with its own tree.
    V1 {
        memory: PathBuf,
        pids: PathBuf,
        cpu: Option<PathBuf>,
    },
    V2 {
        parent: PathBuf,
    },
}

/// One sandbox's group.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    folders: Vec<PathBuf>,
    memory: PathBuf,
    v2: bool,
}

impl Cgroups {
    /// Tries; none when this process may not make groups.
    pub(crate) fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let found = Self::v1(&own).or_else(|| Self::v2(&own))?;
        found.sweep();
        let name = format!("{PREFIX}{}-probe", std::process::id());
        let probe = found.make(&name, &Limits::default()).ok()?;
        probe.remove_now();
        Some(found)
    }

    /// Removes empty groups of servers that were killed.
    fn sweep(&self) {
        let parents = match self {
            Self::V1 { memory, pids, cpu } => vec![Some(memory), Some(pids), cpu.as_ref()],
            Self::V2 { parent } => vec![Some(parent)],
        };
        for parent in parents.into_iter().flatten() {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let server = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                let server = server.and_then(|rest| rest.split('-').next());
                let gone = server.is_some_and(|pid| {
                    pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
                });
                if gone {
                    // Refused while somebody is in it.
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }

    fn v1(own: &str) -> Option<Self> {
        let folder = |controller: &str| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let (names, path) = (parts.next()?, parts.next()?);
                names.split(',').find(|name| *name == controller)?;
                let tree = Path::new(MOUNT).join(names);
                let inside = tree.join(path.trim_start_matches('/'));
                // In a container the path may be the host's.
                [inside, tree].into_iter().find(|path| path.is_dir())
            })
        };
        Some(Self::V1 {
            memory: folder("memory")?,
            pids: folder("pids")?,
            cpu: folder("cpu"),
        })
    }

    fn v2(own: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let inside = Path::new(MOUNT).join(path.trim_start_matches('/'));
        let parent = inside.is_dir().then_some(inside)?;
        // Refused while the group itself has processes, unless somebody has
        // delegated it to us as it should be.
        let enabled = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
        if !enabled.contains("memory") || !enabled.contains("pids") {
            fs::write(parent.join("cgroup.subtree_control"), "+memory +pids +cpu").ok()?;
        }
        Some(Self::V2 { parent })
    }

    /// Makes a group with its limits.
    pub(crate) fn make(&self, name: &str, limits: &Limits) -> io::Result<Cgroup> {
        let bytes = limits.memory_bytes.to_string();
        let pids = limits.pids.to_string();
        #[expect(clippy::cast_possible_truncation, reason = "cores are few")]
        let quota = (limits.cpu * PERIOD_MICROS).max(1000.0) as i64;
        let mut group = Cgroup {
            folders: Vec::new(),
            memory: PathBuf::new(),
            v2: false,
        };
        let mut add = |parent: &Path, settings: &[(&str, &str)]| -> io::Result<PathBuf> {
            let folder = parent.join(name);
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            group.folders.push(folder.clone());
            for (file, value) in settings {
                fs::write(folder.join(file), value)?;
            }
            Ok(folder)
        };
        let done = match self {
            Self::V1 {
                memory,
                pids: pids_at,
                cpu,
            } => {
                let memory = add(memory, &[("memory.limit_in_bytes", &bytes)]);
                let pids = add(pids_at, &[("pids.max", &pids)]);
                if let Some(cpu) = cpu {
                    // Not every kernel has quotas.
                    let _ = add(cpu, &[("cpu.cfs_quota_us", &quota.to_string())]);
                }
                pids.and(memory)
            }
            Self::V2 { parent } => {
                let cpu = format!("{quota} {PERIOD_MICROS}");
                let settings = [
                    ("memory.max", bytes.as_str()),
                    ("memory.swap.max", "0"),
                    ("pids.max", &pids),
                    ("cpu.max", &cpu),
                ];
                add(parent, &settings)
            }
        };
        group.v2 = matches!(self, Self::V2 { .. });
        match done {
            Ok(memory) => {
                group.memory = memory;
                Ok(group)
            }
            Err(error) => {
                group.remove_now();
                Err(error)
            }
        }
    }
}

impl Cgroup {
    /// Files that a process writes `0` into to join.
    pub(crate) fn procs(&self) -> Vec<PathBuf> {
        self.folders
            .iter()
            .map(|folder| folder.join("cgroup.procs"))
            .collect()
    }

    /// Memory in use.
    pub(crate) fn memory(&self) -> Option<u64> {
        let file = if self.v2 {
            "memory.current"
        } else {
            "memory.usage_in_bytes"
        };
        fs::read_to_string(self.memory.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// How many processes were ended for want of memory so far.
    pub(crate) fn memory_kills(&self) -> u64 {
        let file = if self.v2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let text = fs::read_to_string(self.memory.join(file)).unwrap_or_default();
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
        text.lines().find_map(count).unwrap_or(0)
    }

    fn remove_now(&self) -> bool {
        let gone = |folder: &PathBuf| !folder.exists() || fs::remove_dir(folder).is_ok();
        self.folders
            .iter()
            .map(gone)
            // Each is tried, whatever became of the one before.
            .filter(|gone| !gone)
            .count()
            == 0
    }

    /// After the last process has ended.
    pub(crate) async fn remove(&self) {
        for _ in 0..REMOVE_TRIES {
            if self.remove_now() {
                return;
            }
            tokio::time::sleep(REMOVE_PAUSE).await;
        }
        tracing::warn!(folder = %self.memory.display(), "a control group is still busy");
    }
}

//! Watchdogs for what no control group counts: memory of all processes of a
//! sandbox together, and the size of its workspace.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::process::Why;
use crate::{Engine, Sandbox};

/// Between two looks at memory: what a process can take in the meantime is
/// bounded by its own limit.
const MEMORY_LOOK: Duration = Duration::from_millis(200);
/// Between two looks at a workspace, and at least this many times as long as
/// a look takes.
const DISK_LOOK: Duration = Duration::from_millis(500);
const DISK_REST: u32 = 5;
/// Open files of one sandbox; a development server has some hundred.
const DESCRIPTORS_MOST: u32 = 50_000;
/// What a disk keeps free for others.
const FREE_LEAST: u64 = 512 << 20;

/// Everybody on this machine at one moment. Asked of the host's /proc, where
/// nobody inside can hide.
pub(crate) struct Census(HashMap<i32, One>, u64);

struct One {
    parent: i32,
    memory: u64,
    ticks: u64,
}

/// A sandbox's share of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) memory: u64,
    pub(crate) pids: u32,
    pub(crate) cpu_micros: u64,
}

impl Census {
    pub(crate) fn take() -> Self {
        let page = rustix::param::page_size() as u64;
        let ticks = rustix::param::clock_ticks_per_second();
        let mut all = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(pid) = pid
                && let Some(one) = One::look(pid, page)
            {
                all.insert(pid, one);
            }
        }
        Self(all, ticks.max(1))
    }

    /// What `init` and everything below it uses.
    pub(crate) fn of(&self, init: i32) -> Used {
        let mut used = Used::default();
        for one in self.below(init).iter().filter_map(|pid| self.0.get(pid)) {
            used.memory += one.memory;
            used.pids += 1;
            used.cpu_micros += one.ticks * 1_000_000 / self.1;
        }
        used
    }

    /// `init` and everything below it.
    fn below(&self, init: i32) -> Vec<i32> {
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for (pid, one) in &self.0 {
            children.entry(one.parent).or_default().push(*pid);
        }
        let mut found = Vec::new();
        let mut left = vec![init];
        while let Some(pid) = left.pop() {
            found.push(pid);
            left.extend(children.remove(&pid).unwrap_or_default());
        }
        found
    }

    /// Bytes of files that are open and have no name any more: they take the
    /// disk, and no walk finds them. More than `most` when there are too many
    /// descriptors to look at.
    fn nameless(&self, init: i32, most: u64) -> u64 {
        let mut files = HashMap::new();
        let mut looked = 0;
        for pid in self.below(init) {
            let folder = fs::read_dir(format!("/proc/{pid}/fd"));
            for entry in folder.into_iter().flatten().flatten() {
                looked += 1;
                if looked > DESCRIPTORS_MOST {
                    return most.saturating_add(1);
                }
                // Asks about what is open, without opening it.
                if let Ok(about) = fs::metadata(entry.path())
                    && about.is_file()
                    && about.nlink() == 0
                {
                    files.insert((about.dev(), about.ino()), about.blocks() * 512);
                }
            }
        }
        files.values().sum()
    }
}

impl One {
    /// Private memory only: a library that ten processes share is there once.
    fn look(pid: i32, page: u64) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u64>().ok();
        let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        let mut pages = statm
            .split(' ')
            .skip(1)
            .map_while(|word| word.parse::<u64>().ok());
        let (resident, shared) = (pages.next()?, pages.next()?);
        Some(Self {
            parent: words.get(1)?.parse().ok()?,
            memory: resident.saturating_sub(shared) * page,
            ticks: number(11)? + number(12)?,
        })
    }
}

/// Looks at memory until the engine is gone.
pub(crate) async fn memory(engine: Weak<Engine>) {
    loop {
        tokio::time::sleep(MEMORY_LOOK).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        // Also those in which nothing seems to run: a program may have left
        // another one behind.
        let looked: Vec<Arc<Sandbox>> = engine.living();
        let looked: Vec<_> = looked
            .into_iter()
            .filter(|one| one.cgroup.is_none())
            .collect();
        if looked.is_empty() {
            continue;
        }
        let Ok(census) = tokio::task::spawn_blocking(Census::take).await else {
            continue;
        };
        for sandbox in looked {
            if census.of(sandbox.pid).memory > sandbox.limits.memory_bytes {
                sandbox.end_programs(Why::Memory).await;
            }
        }
    }
}

/// Looks at workspaces until the engine is gone.
pub(crate) async fn disk(engine: Weak<Engine>) {
    let mut rest = DISK_LOOK;
    loop {
        tokio::time::sleep(rest).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let began = Instant::now();
        for sandbox in engine.living() {
            // Nor is one quiet because nothing that was started still runs.
            look_at_disk(&engine, &sandbox).await;
        }
        rest = DISK_LOOK.max(began.elapsed() * DISK_REST);
    }
}

async fn look_at_disk(engine: &Engine, sandbox: &Arc<Sandbox>) {
    let folder = engine.folder_of(&sandbox.id);
    let most = sandbox.limits.disk_bytes;
    let init = sandbox.pid;
    let looked = tokio::task::spawn_blocking(move || {
        let free =
            rustix::fs::statvfs(&folder).map_or(u64::MAX, |about| about.f_bavail * about.f_frsize);
        let nameless = Census::take().nameless(init, most);
        (
            crate::tree::size(&folder, most).saturating_add(nameless),
            free,
        )
    });
    let Ok((size, free)) = looked.await else {
        return;
    };
    sandbox.disk.store(size, Ordering::Relaxed);
    // A disk that is almost full is in danger, whoever filled it.
    if size > most || free < FREE_LEAST {
        sandbox.end_programs(Why::Disk).await;
    }
}

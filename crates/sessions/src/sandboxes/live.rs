//! What this server keeps in memory of sandboxes that live on it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use kernel::Clock;
use serde::Serialize;
use tokio::sync::broadcast;
use uuid::Uuid;

use super::workspace::Index;
use crate::ports::{Contained, Control, Output};

/// What late watchers of a process may miss before they are told so.
pub(super) const WATCHED_MAX: usize = 256;
/// Processes of a sandbox that somebody can still reach by number. The sandbox
/// itself has a limit of its own; this one is for the table.
const PROCESSES_MAX: usize = 512;

/// A sandbox that lives here.
pub struct Live {
    /// Its id in addresses.
    pub id: String,
    /// Its session.
    pub session: Uuid,
    /// Whether its pages ask for a link.
    pub private: bool,
    /// The thing itself.
    pub contained: Arc<dyn Contained>,
    /// The key that opens it to clients that know no other, and as whom.
    pub(crate) door: Mutex<Option<(String, kernel::Caller)>>,
    /// Programs that somebody may want to reach.
    pub(super) processes: Mutex<BTreeMap<u32, Arc<Running>>>,
    /// What its files were at the last snapshot or restore.
    pub(super) index: tokio::sync::Mutex<Index>,
    /// The layer that its packages come from, by the hash of the lock file.
    pub(super) layer: Option<String>,
    /// The dev server.
    pub(super) service: tokio::sync::Mutex<Option<Arc<Running>>>,
    /// Python that remembers, once it was asked for.
    pub(crate) interpreter: Arc<tokio::sync::Mutex<Option<Interpreter>>>,
    /// When it was last used, in seconds.
    pub(super) used: AtomicI64,
    /// Whether it is stopped where it is.
    pub(super) paused: AtomicBool,
    clock: Clock,
}

/// A program that is asked one thing after the other.
pub(crate) struct Interpreter {
    pub(crate) execution: super::Execution,
    /// How many things it was asked.
    pub(crate) asked: u64,
    /// The beginning of its next line.
    pub(crate) rest: Vec<u8>,
}

/// A program in a sandbox.
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// What was started.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where.
    pub cwd: Option<String>,
    /// A client's own name for it.
    pub tag: Option<String>,
    /// How it is spoken to.
    pub control: Arc<dyn Control>,
    /// What it says from now on.
    pub(super) said: broadcast::Sender<Output>,
    /// The last of what it said.
    pub(super) tail: Mutex<Vec<u8>>,
}

/// A program in a list.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessInfo {
    /// Its number.
    pub pid: u32,
    /// What was started.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where.
    pub cwd: Option<String>,
    /// A client's own name for it.
    pub tag: Option<String>,
}

/// Bytes of a program's last words that are kept for whoever asks for logs.
const TAIL_BYTES: usize = 64 << 10;

impl Running {
    /// What it says from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Output> {
        self.said.subscribe()
    }

    /// The last of what it said.
    #[must_use]
    pub fn tail(&self) -> Bytes {
        Bytes::copy_from_slice(&held(&self.tail))
    }

    pub(super) fn says(&self, output: &Output) {
        if let Output::Stdout(bytes) | Output::Stderr(bytes) = output {
            let mut tail = held(&self.tail);
            tail.extend_from_slice(bytes);
            let beyond = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..beyond);
        }
        // Nobody watches most of the time.
        let _ = self.said.send(output.clone());
    }
}

/// What makes an entry.
pub(super) struct Born {
    pub(super) id: String,
    pub(super) session: Uuid,
    pub(super) private: bool,
    pub(super) contained: Arc<dyn Contained>,
    pub(super) layer: Option<String>,
}

impl Live {
    pub(super) fn new(born: Born, clock: Clock) -> Arc<Self> {
        let used = AtomicI64::new(clock.now().as_second());
        Arc::new(Self {
            id: born.id,
            session: born.session,
            private: born.private,
            contained: born.contained,
            door: Mutex::default(),
            processes: Mutex::default(),
            index: tokio::sync::Mutex::default(),
            layer: born.layer,
            service: tokio::sync::Mutex::default(),
            interpreter: Arc::default(),
            used,
            paused: AtomicBool::new(false),
            clock,
        })
    }

    /// It is being used: it lives on, where it may.
    pub fn touch(&self) {
        let now = self.clock.now().as_second();
        self.used.store(now, Ordering::Relaxed);
    }

    /// Its programs that can be reached.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessInfo> {
        let table = held(&self.processes);
        let infos = table.values().map(|running| ProcessInfo {
            pid: running.pid,
            command: running.command.clone(),
            args: running.args.clone(),
            cwd: running.cwd.clone(),
            tag: running.tag.clone(),
        });
        infos.collect()
    }

    /// One of them, by number or by the client's own name.
    #[must_use]
    pub fn process(&self, pid: Option<u32>, tag: Option<&str>) -> Option<Arc<Running>> {
        let table = held(&self.processes);
        let found = match pid {
            Some(pid) => table.get(&pid),
            None => table
                .values()
                .find(|running| tag.is_some() && running.tag.as_deref() == tag),
        };
        found.map(Arc::clone)
    }

    /// Keeps a program within reach until it ends; the oldest make room.
    pub(super) fn keep(&self, running: &Arc<Running>) {
        let mut table = held(&self.processes);
        if table.len() >= PROCESSES_MAX {
            table.pop_first();
        }
        table.insert(running.pid, Arc::clone(running));
    }

    pub(super) fn drop_process(&self, pid: u32) {
        held(&self.processes).remove(&pid);
    }

    /// The key of its door; made when it is first asked for. Whoever shows it
    /// acts as this caller.
    pub(crate) fn give_key(
        &self,
        caller: &kernel::Caller,
        fresh: impl FnOnce() -> String,
    ) -> String {
        let mut door = held(&self.door);
        let (key, _) = door.get_or_insert_with(|| (fresh(), caller.clone()));
        key.clone()
    }

    /// Whom this key makes its bearer.
    pub(crate) fn unlock(&self, key: &str) -> Option<kernel::Caller> {
        let door = held(&self.door);
        let (right, caller) = door.as_ref()?;
        constant_eq(right.as_bytes(), key.as_bytes()).then(|| caller.clone())
    }
}

/// Compares without stopping at the first difference.
pub(crate) fn constant_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
}

/// Nothing that holds one of these locks can leave what it guards half done.
pub(super) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that live here.
#[derive(Default)]
pub(crate) struct Table {
    entries: Mutex<HashMap<String, Arc<Live>>>,
}

impl Table {
    pub(super) fn get(&self, id: &str) -> Option<Arc<Live>> {
        held(&self.entries).get(id).map(Arc::clone)
    }

    pub(super) fn put(&self, live: &Arc<Live>) {
        held(&self.entries).insert(live.id.clone(), Arc::clone(live));
    }

    pub(super) fn remove(&self, id: &str) -> Option<Arc<Live>> {
        held(&self.entries).remove(id)
    }

    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        held(&self.entries).values().map(Arc::clone).collect()
    }
}

/// What stands for a program that did not have to be started.
struct Nobody;

impl Control for Nobody {
    fn write(&self, _: Bytes) -> crate::ports::Answer<'_, ()> {
        Box::pin(async { Err(crate::ports::RunError::NotFound("it is over".to_owned())) })
    }

    fn close(&self) -> crate::ports::Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn signal(&self, _: i32) -> crate::ports::Answer<'_, ()> {
        Box::pin(async { Err(crate::ports::RunError::NotFound("it is over".to_owned())) })
    }

    fn resize(&self, _: u16, _: u16) -> crate::ports::Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

impl Running {
    /// A program that did not have to be started.
    pub(super) fn nothing() -> Self {
        Self {
            pid: 0,
            command: String::new(),
            args: Vec::new(),
            cwd: None,
            tag: None,
            control: Arc::new(Nobody),
            said: broadcast::channel(1).0,
            tail: Mutex::default(),
        }
    }
}

//! Changes of a workspace's files, by inotify.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::beneath::{self, Spot};
use super::{Change, Inner};
use crate::SandboxError;

/// Changes that wait for who reads them.
pub(super) const CHANGES_MOST: usize = 1024;
/// Watched folders: the kernel's own limit is per user and shared.
const FOLDERS_MOST: usize = 4096;

/// A running watch.
pub(super) struct Watching {
    notify: AsyncFd<OwnedFd>,
    /// Watch number to path.
    folders: HashMap<i32, String>,
    recursive: bool,
    /// Read, and not looked at yet.
    pending: VecDeque<(i32, ReadFlags, Option<CString>)>,
}

impl Watching {
    /// Within a runtime.
    pub(super) fn start(inner: &Inner, spot: &Spot, recursive: bool) -> Result<Self, SandboxError> {
        let failed = |error: std::io::Error| SandboxError::system("watch files", error);
        let notify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(|error| failed(error.into()))?;
        let notify = crate::sys::async_fd(notify, Interest::READABLE).map_err(failed)?;
        let mut watching = Self {
            notify,
            folders: HashMap::new(),
            recursive,
            pending: VecDeque::new(),
        };
        inner.open(&spot.path, OFlags::PATH | OFlags::DIRECTORY)?;
        watching.add(inner, &spot.path);
        Ok(watching)
    }

    /// A folder, and those below. False when there are too many.
    fn add(&mut self, inner: &Inner, path: &str) -> bool {
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            if self.folders.len() >= FOLDERS_MOST {
                return false;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let Ok(folder) = inner.open(&path, flags) else {
                continue;
            };
            // By the open descriptor: the name may mean another by now.
            let opened = format!("/proc/self/fd/{}", folder.as_raw_fd());
            let what = WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO;
            let Ok(number) = inotify::add_watch(self.notify.get_ref(), opened, what) else {
                return false;
            };
            if self.recursive
                && let Ok(dir) = rustix::fs::Dir::read_from(&folder)
            {
                let below = dir.flatten().filter(|entry| entry.file_type().is_dir());
                let names = below.map(|entry| entry.file_name().to_string_lossy().into_owned());
                let names = names.filter(|name| name != "." && name != "..");
                left.extend(names.map(|name| beneath::join(&path, &name)));
            }
            self.folders.insert(number, path);
        }
        true
    }

    /// Until nobody listens.
    pub(super) async fn run(
        mut self,
        inner: &Inner,
        tell: &mpsc::Sender<Change>,
        settle: Duration,
    ) {
        loop {
            match self.notify.readable().await {
                // Everything is read below, or found again by the next look.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
            tokio::time::sleep(settle).await;
            for change in self.take(inner) {
                if tell.send(change).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Everything that has happened, each thing once, in order.
    fn take(&mut self, inner: &Inner) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((number, flags, name)) = self.next() {
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.push(Change::Overflow);
                continue;
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.folders.remove(&number);
                continue;
            }
            let (Some(above), Some(name)) = (self.folders.get(&number), name) else {
                continue;
            };
            let path = beneath::join(above, &name.to_string_lossy());
            if path
                .rsplit('/')
                .next()
                .is_some_and(|name| name.starts_with(".ferrobase-"))
            {
                // Half-written files of our own.
                continue;
            }
            let folder = flags.contains(ReadFlags::ISDIR);
            let change = if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
                Change::Removed(path)
            } else if folder {
                if self.recursive && !self.add(inner, &path) {
                    changes.push(Change::Overflow);
                }
                Change::Folder(path)
            } else {
                Change::Written(path)
            };
            // What was removed and made again is told in that order.
            if seen.insert(change.clone()) {
                changes.push(change);
            }
        }
        changes
    }

    fn next(&mut self) -> Option<(i32, ReadFlags, Option<CString>)> {
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(self.notify.get_ref(), &mut buffer);
        loop {
            let event = reader.next().ok()?;
            let name = event.file_name().map(ToOwned::to_owned);
            self.pending.push_back((event.wd(), event.events(), name));
            if reader.is_buffer_empty() {
                return self.pending.pop_front();
            }
        }
    }
}

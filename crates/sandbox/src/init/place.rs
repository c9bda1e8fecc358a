//! Where things are: the home as init sees it, processes below another.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode as Bits, OFlags};

use super::{At as _, Step};
use crate::spec::HOME;
use crate::wire::{Mode, Setup};

/// The home's path for programs.
pub(super) fn home_path(setup: &Setup) -> PathBuf {
    match setup.mode {
        Mode::Namespaces { .. } => PathBuf::from(HOME),
        _ => setup.home.clone(),
    }
}

/// The home, opened from inside: the server sees what programs see, layers
/// included, whatever is mounted where.
pub(super) fn home(setup: &Setup) -> Step<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(home_path(setup), flags, Bits::empty()).at("home")
}

/// A path of a command as a path for the kernel: relative ones are below the
/// home, and `/home/user` is the home even where it has no such name.
pub(super) fn resolve(setup: &Setup, path: &str) -> PathBuf {
    let home = home_path(setup);
    match Path::new(path).strip_prefix(HOME) {
        Ok(below) => home.join(below),
        Err(_) => home.join(path),
    }
}

/// One line of `/proc/<pid>/stat`: parent and session.
fn relations(pid: i32) -> Option<(i32, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets too.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_ascii_whitespace().skip(1);
    let parent = words.next()?.parse().ok()?;
    let session = words.nth(1)?.parse().ok()?;
    Some((parent, session))
}

fn everybody() -> Vec<(i32, i32, i32)> {
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| relations(pid).map(|(parent, session)| (pid, parent, session)))
        .collect()
}

/// Everything below `root`, without it.
pub(super) fn descendants(root: i32) -> Vec<i32> {
    tree(root, false)
}

/// `root`, its session and everything below them.
pub(super) fn family(root: i32) -> Vec<i32> {
    tree(root, true)
}

fn tree(root: i32, with_session: bool) -> Vec<i32> {
    let everybody = everybody();
    let mut found = Vec::new();
    if with_session {
        found.push(root);
        let members = everybody.iter().filter(|(_, _, session)| *session == root);
        found.extend(members.map(|(pid, _, _)| *pid).filter(|pid| *pid != root));
    }
    let mut fresh = if with_session {
        found.clone()
    } else {
        vec![root]
    };
    while let Some(above) = fresh.pop() {
        for (pid, parent, _) in &everybody {
            if *parent == above && !found.contains(pid) {
                found.push(*pid);
                fresh.push(*pid);
            }
        }
    }
    found
}

/// Ports of listening sockets, from one of the kernel's two tables.
pub(super) fn listening(table: &str) -> Vec<u16> {
    const LISTEN: &str = "0A";
    let text = std::fs::read_to_string(table).unwrap_or_default();
    let port = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (_, port) = words.next()?.rsplit_once(':')?;
        (words.nth(1)? == LISTEN).then(|| u16::from_str_radix(port, 16).ok())?
    };
    text.lines().skip(1).filter_map(port).collect()
}

//! Memory of the process and of everything below it, from `/proc`.

use std::collections::HashMap;
use std::fs;

/// Resident memory of one process, in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    kib(&format!("/proc/{pid}/status"), "VmRSS:") / 1024.0
}

/// The most that was resident since the process began, in MiB.
pub(crate) fn peak(pid: u32) -> f64 {
    kib(&format!("/proc/{pid}/status"), "VmHWM:") / 1024.0
}

/// Proportional memory of a process and all its descendants, in MiB: shared
/// pages are divided among those that share them.
pub(crate) fn tree(pid: u32) -> f64 {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some(parent) = parent_of(child) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut sum = 0.0;
    let mut todo = vec![pid];
    while let Some(next) = todo.pop() {
        sum += kib(&format!("/proc/{next}/smaps_rollup"), "Pss:");
        todo.extend(children.get(&next).into_iter().flatten());
    }
    sum / 1024.0
}

fn parent_of(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("PPid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn kib(path: &str, key: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(key))
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}

//! Who listens on a port: a bind tells whether somebody does, Linux's /proc
//! tells who, where it may be read.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// "Listening" in the fourth column of /proc/net/tcp.
const LISTENING: &str = "0A";

/// The program on this port of loopback, or `None` when it is free.
pub(super) fn holder(port: u16) -> Option<String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
        _ => return None,
    }
    let found = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| socket(&table, port))
        .and_then(|inode| process(&inode));
    Some(found.unwrap_or_else(|| "another program".to_owned()))
}

/// The inode of the socket that listens on the port.
fn socket(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&suffix) && *columns.get(3)? == LISTENING;
        listens.then(|| columns.get(9).map(|inode| (*inode).to_owned()))?
    })
}

/// The process that has the socket open, by name and number.
fn process(inode: &str) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        // Only numbers are processes; `self` and `thread-self` are doubles.
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // Not ours to look into.
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*wanted));
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_listener_is_found_and_a_closed_one_is_not() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let who = holder(port).unwrap();
        if cfg!(target_os = "linux") {
            assert!(
                who.contains(&format!("process {}", std::process::id())),
                "{who}"
            );
        }
        drop(listener);
        assert_eq!(holder(port), None);
    }
}

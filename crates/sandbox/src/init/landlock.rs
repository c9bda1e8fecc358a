//! The second-best wall: the host's tree stays in sight, and Landlock denies
//! all of it but programs and the workspace.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{Mode as Bits, OFlags};

use super::{At as _, Step};
use crate::sys::{self, Ruleset};
use crate::wire::Setup;

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// Everything that version 6 knows about files.
const ALL_FILES: u64 = (1 << 16) - 1;
/// Binding and connecting TCP: handled, and allowed nowhere.
const ALL_NET: u64 = 0b11;
/// Abstract sockets and signals.
const ALL_SCOPES: u64 = 0b11;
/// Rights that make sense for something that is no folder.
const OF_A_FILE: u64 = EXECUTE | WRITE_FILE | READ_FILE | (1 << 14) | (1 << 15);

const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/sys/devices/system/cpu",
];

const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// Puts this process and all later ones under the rules.
pub(super) fn enter(setup: &Setup) -> Step {
    let rules = sys::landlock_ruleset(&Ruleset {
        access_fs: ALL_FILES,
        access_net: ALL_NET,
        scoped: ALL_SCOPES,
    })
    .at("Landlock")?;
    let allow = |path: &Path, access: u64| -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Ok(place) = rustix::fs::open(path, flags, Bits::empty()) else {
            return Ok(());
        };
        let access = if path.is_dir() {
            access
        } else {
            access & OF_A_FILE
        };
        sys::landlock_allow(rules.as_fd(), place.as_fd(), access)
    };
    let more = setup.read_only.iter().map(std::path::PathBuf::as_path);
    for path in PROGRAMS.iter().map(Path::new).chain(more) {
        allow(path, EXECUTE | READ_FILE | READ_DIR).at("Landlock's programs")?;
    }
    for path in DEVICES {
        allow(
            Path::new(path),
            READ_FILE | WRITE_FILE | READ_DIR | (1 << 15),
        )
        .at("Landlock's devices")?;
    }
    allow(&setup.home, ALL_FILES).at("Landlock's home")?;
    sys::landlock_enter(rules.as_fd()).at("Landlock")
}

//! Everything unsafe: system calls that have no safe wrapper, each behind a
//! function that cannot be misused. The rest of the crate forbids `unsafe`.
#![expect(
    unsafe_code,
    reason = "fork, wait4, signalfd, mount_setattr, keyctl, ioctl and Landlock have no safe form; \
              this file is where they get one"
)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use rustix::thread::UnshareFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that tasks can wait for, within a runtime.
pub(crate) fn async_fd(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same until it is dropped,
    // which the `AsyncFd` does after it has unregistered it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

/// Which side of a [`fork`] this is.
pub(crate) enum Forked {
    /// The new process.
    Child,
    /// The old one, with the number of the new one.
    Parent(i32),
}

/// How a child ended.
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) cpu: Duration,
    pub(crate) max_rss: u64,
}

fn checked(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Splits this process in two. Refused when it has more than one thread: a
/// child would wait for locks whose holders do not exist in it.
pub(crate) fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(io::Error::other("fork with more than one thread"));
    }
    fork_of_init()
}

/// [`fork`] for a process known to have one thread, without looking: init,
/// which never makes a second one.
pub(crate) fn fork_of_init() -> io::Result<Forked> {
    // SAFETY: the process has one thread (see above), so the child has a
    // whole copy of everything, locks included.
    let pid = unsafe { libc::fork() };
    match checked(i64::from(pid))? {
        0 => Ok(Forked::Child),
        _ => Ok(Forked::Parent(pid)),
    }
}

/// Ends at once: no destructors, no exit handlers, nothing flushed. For the
/// child of a fork, whose copies of those belong to the parent.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code) }
}

/// Enters new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only CLONE_FILES would take file descriptors from others, and
    // no caller passes it.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Marks all descriptors from 3 on as closed at exec.
pub(crate) fn close_others_at_exec() -> io::Result<()> {
    // SAFETY: changes a flag of descriptors, closes none.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    checked(done).map(drop)
}

/// Makes a mount read-only, without set-uid programs and devices.
pub(crate) fn mount_attributes(mount: impl AsFd, set: u64, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path is a C string and the structure lives until the call
    // returns; its size is passed along.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(done).map(drop)
}

/// A descriptor that becomes readable when a child ends; SIGCHLD is blocked
/// from here on, in children too until [`unblock_signals`].
pub(crate) fn child_signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before it is used, and
    // signalfd's result is a new descriptor that nobody else owns.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        checked(i64::from(libc::sigprocmask(
            libc::SIG_BLOCK,
            &raw const set,
            std::ptr::null_mut(),
        )))?;
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        checked(i64::from(fd))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Before an exec: no signal blocked, SIGPIPE as programs expect it.
pub(crate) fn unblock_signals() {
    // SAFETY: the set is initialised; no handler is installed, only the
    // default disposition restored.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// The next child that has ended, with its costs. `wait`: until one does.
pub(crate) fn reap(wait: bool) -> io::Result<Option<Ended>> {
    let mut status = 0;
    let options = if wait { 0 } else { libc::WNOHANG };
    // SAFETY: both are plain old data that the kernel fills.
    let (pid, usage) = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        let pid = libc::wait4(-1, &raw mut status, options, &raw mut usage);
        (pid, usage)
    };
    if checked(i64::from(pid))? == 0 {
        return Ok(None);
    }
    let time = |value: libc::timeval| {
        Duration::from_secs(u64::try_from(value.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(value.tv_usec).unwrap_or(0))
    };
    let exited = libc::WIFEXITED(status);
    Ok(Some(Ended {
        pid,
        code: exited.then(|| libc::WEXITSTATUS(status)),
        signal: (!exited).then(|| libc::WTERMSIG(status)),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        // Counted in kilobytes.
        max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }))
}

/// Sends `signal` to every process that may be reached, but for oneself. Only
/// for the init of a pid namespace.
pub(crate) fn signal_all(signal: i32) -> io::Result<()> {
    // SAFETY: always allowed.
    if unsafe { libc::getpid() } != 1 {
        return Err(io::Error::other("not the init of a namespace"));
    }
    // SAFETY: -1 means this namespace here, of which we are the first.
    checked(i64::from(unsafe { libc::kill(-1, signal) })).map(drop)
}

/// Sends `signal` to a process, or to a group when negative.
pub(crate) fn signal(pid: i32, signal: i32) -> io::Result<()> {
    if pid == 0 || pid == -1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: always allowed.
    checked(i64::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// A keyring of one's own instead of the server's, which would be shared.
pub(crate) fn new_keyring() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: i64 = 1;
    // SAFETY: a null name makes an anonymous keyring.
    let done = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    checked(done).map(drop)
}

/// Brings the loopback device of a new network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    // SAFETY: ifreq is plain old data; the name fits with its final zero, and
    // the kernel only reads and writes within the structure.
    unsafe {
        let mut request = std::mem::zeroed::<libc::ifreq>();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        checked(i64::from(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCGIFFLAGS,
            &raw mut request,
        )))?;
        request.ifr_ifru.ifru_flags |= libc::c_short::try_from(libc::IFF_UP).unwrap_or(1);
        checked(i64::from(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )))
        .map(drop)
    }
}

/// Replaces this process; returns only when that failed.
pub(crate) fn exec(path: &CStr, args: &[&CStr], env: &[&CStr]) -> io::Error {
    let pointers = |strings: &[&CStr]| -> Vec<*const libc::c_char> {
        let end = std::iter::once(std::ptr::null());
        strings.iter().map(|s| s.as_ptr()).chain(end).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end with a null pointer, and what they point to
    // outlives the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Landlock's version on this kernel; 0 without it.
pub(crate) fn landlock_abi() -> i64 {
    // SAFETY: asks for the version only (flag 1).
    let abi = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            1_u32,
        )
    };
    abi.max(0)
}

/// What a Landlock rule set handles; the kernel's own layout.
#[repr(C)]
pub(crate) struct Ruleset {
    pub(crate) access_fs: u64,
    pub(crate) access_net: u64,
    pub(crate) scoped: u64,
}

/// Makes an empty rule set. Kernels that know less than `Ruleset` accept it
/// as long as what they do not know is zero.
pub(crate) fn landlock_ruleset(rules: &Ruleset) -> io::Result<OwnedFd> {
    // SAFETY: the structure and its size belong together; the result is a
    // new descriptor.
    unsafe {
        let fd = libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::from_ref(rules),
            size_of::<Ruleset>(),
            0_u32,
        );
        let fd = i32::try_from(checked(fd)?).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Allows `access` to what is below `place`.
pub(crate) fn landlock_allow(
    rules: BorrowedFd<'_>,
    place: BorrowedFd<'_>,
    access: u64,
) -> io::Result<()> {
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: i32,
    }
    let rule = PathBeneath {
        access,
        parent: place.as_raw_fd(),
    };
    // SAFETY: rule type 1 takes this structure, which outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            1_u32,
            &raw const rule,
            0_u32,
        )
    };
    checked(done).map(drop)
}

/// Puts this process and its descendants under the rules, for good.
pub(crate) fn landlock_enter(rules: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes a descriptor and no flags.
    let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    checked(done).map(drop)
}

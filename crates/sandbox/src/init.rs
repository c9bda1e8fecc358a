//! The launcher: what the binary is when started as `… sandbox-init`.
//!
//! It has one thread from its first instruction to its last. The order of
//! steps matters: descriptors, death with the server, control groups,
//! namespaces, and only then the fork whose child is the new namespaces'
//! first process. That one builds the root, gives up every right, and
//! [`serve`]s orders on its standard input until that ends.

mod identity;
mod landlock;
mod mounts;
mod place;
mod seccomp;
mod serve;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::net::{RecvFlags, SendFlags};
use rustix::process::Signal;
use rustix::thread::UnshareFlags;

use crate::sys::{self, Forked};
use crate::wire::{self, Mode, News, Order, PROXY_PORT, Setup};

/// What went wrong, and where.
struct Failure(&'static str, io::Error);

type Step<T = ()> = Result<T, Failure>;

/// Names a step.
trait At<T> {
    fn at(self, step: &'static str) -> Step<T>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: &'static str) -> Step<T> {
        self.map_err(|error| Failure(step, error.into()))
    }
}

/// Does not return. The control socket is standard input.
pub(crate) fn main() -> ! {
    let Ok(Some((Order::Setup(setup), _))) = wire::receive(io::stdin(), RecvFlags::empty()) else {
        sys::exit_now(2);
    };
    if let Err(failure) = launch(&setup) {
        report(&failure);
        sys::exit_now(1);
    }
    sys::exit_now(0)
}

fn report(Failure(step, error): &Failure) {
    let news = News::Failed {
        step: format!("{step}: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
    };
    // Nobody is left to be told when this fails.
    let _ = wire::send(io::stdin(), &news, &[], SendFlags::empty());
}

/// The outer half: until the fork, and then waiting for init.
fn launch(setup: &Setup) -> Step {
    sys::close_others_at_exec().at("descriptors")?;
    die_with_parent().at("death signal")?;
    for procs in &setup.cgroup_procs {
        std::fs::write(procs, "0").at("control group")?;
    }
    if let Mode::Namespaces { as_root } = setup.mode {
        enter_namespaces(as_root)?;
    } else {
        // Orphans come to us, so that we can end them (see `sweep`).
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).at("subreaper")?;
    }
    match sys::fork().at("fork")? {
        Forked::Child => {
            if let Err(failure) = inner(setup) {
                report(&failure);
                sys::exit_now(1);
            }
            sys::exit_now(0)
        }
        Forked::Parent(pid) => outlive(setup.mode, pid),
    }
}

fn die_with_parent() -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

fn enter_namespaces(as_root: bool) -> Step {
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if as_root {
        return sys::unshare(flags).at("namespaces");
    }
    flags |= UnshareFlags::NEWUSER;
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    sys::unshare(flags).at("namespaces")?;
    std::fs::write("/proc/self/setgroups", "deny").at("setgroups")?;
    let inside = identity::INSIDE;
    std::fs::write("/proc/self/uid_map", format!("{inside} {uid} 1")).at("uid map")?;
    std::fs::write("/proc/self/gid_map", format!("{inside} {gid} 1")).at("gid map")?;
    // A second user namespace inside would bring capabilities back, and with
    // them much more of the kernel. Seccomp refuses it as well.
    std::fs::write("/proc/sys/user/max_user_namespaces", "0").at("nested namespaces")
}

/// Tells the server which process init is, lets go of the socket (its end is
/// how the server learns of init's) and waits.
fn outlive(mode: Mode, init: i32) -> Step {
    if let Some(init) = rustix::process::Pid::from_raw(init) {
        let handle =
            rustix::process::pidfd_open(init, rustix::process::PidfdFlags::empty()).at("pidfd")?;
        let news = News::Forked {
            pid: init.as_raw_nonzero().get(),
        };
        wire::send(io::stdin(), &news, &[handle.as_fd()], SendFlags::empty()).at("report")?;
    }
    let nowhere = std::fs::File::open("/dev/null").at("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere).at("release")?;
    loop {
        match sys::reap(true) {
            Ok(Some(ended)) if ended.pid == init => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if !matches!(mode, Mode::Namespaces { .. }) {
        sweep();
    }
    Ok(())
}

/// Without a pid namespace, ending init ends nobody else. All orphans are our
/// children now: they are ended until there are none, new ones included.
fn sweep() {
    let myself = rustix::process::getpid().as_raw_nonzero().get();
    loop {
        for child in place::descendants(myself) {
            let _ = sys::signal(child, libc::SIGKILL);
        }
        match sys::reap(true) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The inner half: the first process of the namespaces.
fn inner(setup: &Setup) -> Step {
    die_with_parent().at("death signal")?;
    let mut beside: Vec<OwnedFd> = Vec::new();
    let isolated = matches!(setup.mode, Mode::Namespaces { .. });
    if isolated {
        mounts::build(setup)?;
        sys::loopback_up().at("loopback")?;
        // A name would tell the host's.
        rustix::system::sethostname(b"sandbox").at("host name")?;
        mounts::seal_proc()?;
    }
    beside.push(place::home(setup)?);
    if isolated && setup.network {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT)).at("proxy's port")?;
        beside.push(listener.into());
    }
    identity::limit(&setup.limits)?;
    identity::drop_rights(setup)?;
    if setup.mode == Mode::Landlock {
        landlock::enter(setup)?;
    }
    let sockets = match setup.mode {
        Mode::Landlock => seccomp::Sockets::PairsOnly,
        _ => seccomp::Sockets::Own,
    };
    let counted = setup.limits.data_bytes.is_none();
    seccomp::enter(sockets, counted).at("seccomp")?;
    let fds: Vec<_> = beside.iter().map(OwnedFd::as_fd).collect();
    wire::send(io::stdin(), &News::Ready, &fds, SendFlags::empty()).at("report")?;
    drop(beside);
    serve::serve(setup).at("serve")
}

/// Whether `path` exists, not following a last link.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

//! Init's life: orders in, ends of programs out. It has no rights any more.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit};
use rustix::pty::OpenptFlags;

use super::place;
use crate::sys::{self, Forked};
use crate::wire::{self, News, Order, Setup, Start};

/// Where names of programs are looked for when a command has no PATH.
const PATH: &str =
    "/home/user/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs are ended before init when memory runs out.
const OOM_SCORE: &str = "500";

fn say(news: &News, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    wire::send(io::stdin(), news, fds, SendFlags::empty())
}

/// Until the server's end of the socket is closed.
pub(super) fn serve(setup: &Setup) -> io::Result<()> {
    // Output of init itself belongs to nobody; 0 stays the control socket.
    let signals = sys::child_signals()?;
    let mut running = HashMap::new();
    loop {
        let stdin = io::stdin();
        let mut ready = [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [orders, ended] = ready.map(|one| !one.revents().is_empty());
        if ended {
            drain(&signals);
            report_ends(&mut running)?;
        }
        if orders {
            let Some((order, fds)) = wire::receive(&stdin, RecvFlags::empty())? else {
                return Ok(());
            };
            obey(setup, order, fds, &mut running)?;
        }
    }
}

fn drain(signals: &OwnedFd) {
    let mut buffer = [0; 1024];
    while rustix::io::read(signals, &mut buffer).is_ok_and(|got| got > 0) {}
}

fn report_ends(running: &mut HashMap<i32, u64>) -> io::Result<()> {
    while let Ok(Some(ended)) = sys::reap(false) {
        // Orphans are reaped as well, and are nobody's business.
        if let Some(id) = running.remove(&ended.pid) {
            say(
                &News::Exited {
                    id,
                    code: ended.code,
                    signal: ended.signal,
                    cpu_micros: u64::try_from(ended.cpu.as_micros()).unwrap_or(u64::MAX),
                    max_rss: ended.max_rss,
                },
                &[],
            )?;
        }
    }
    Ok(())
}

fn obey(
    setup: &Setup,
    order: Order,
    fds: Vec<OwnedFd>,
    running: &mut HashMap<i32, u64>,
) -> io::Result<()> {
    match order {
        Order::Setup(_) => Ok(()),
        Order::Start(start) => {
            let id = start.id;
            match begin(setup, &start, fds) {
                Ok((pid, terminal)) => {
                    running.insert(pid, id);
                    let beside: Vec<_> = terminal.iter().map(OwnedFd::as_fd).collect();
                    say(&News::Started { id, pid }, &beside)
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(libc::EIO);
                    say(&News::NotStarted { id, errno }, &[])
                }
            }
        }
        Order::Signal { pid, signal } => {
            if running.contains_key(&pid) {
                signal_family(pid, signal);
            }
            Ok(())
        }
        Order::SignalAll { signal } => {
            if sys::signal_all(signal).is_err() {
                for pid in place::descendants(rustix::process::getpid().as_raw_nonzero().get()) {
                    let _ = sys::signal(pid, signal);
                }
            }
            Ok(())
        }
        Order::Socket { id, v6 } => {
            let family = if v6 {
                AddressFamily::INET6
            } else {
                AddressFamily::INET
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::socket_with(family, SocketType::STREAM, flags, None) {
                Ok(socket) => say(&News::Socket { id, errno: 0 }, &[socket.as_fd()]),
                Err(error) => say(
                    &News::Socket {
                        id,
                        errno: error.raw_os_error(),
                    },
                    &[],
                ),
            }
        }
        Order::Listening { id } => {
            let mut ports = place::listening("/proc/net/tcp");
            ports.extend(place::listening("/proc/net/tcp6"));
            ports.retain(|port| *port != wire::PROXY_PORT);
            ports.sort_unstable();
            ports.dedup();
            say(&News::Listening { id, ports }, &[])
        }
    }
}

/// To a program, its session and what descends from them. For an end that
/// must be certain it is repeated: who forks meanwhile is found next time.
fn signal_family(pid: i32, signal: i32) {
    const ROUNDS: usize = 20;
    let rounds = if signal == libc::SIGKILL { ROUNDS } else { 1 };
    let mut before = Vec::new();
    for _ in 0..rounds {
        let family = place::family(pid);
        if family == before {
            return;
        }
        for member in &family {
            let _ = sys::signal(*member, signal);
        }
        before = family;
    }
}

/// Starts a program; what hinders its exec is told like any other error.
fn begin(setup: &Setup, start: &Start, fds: Vec<OwnedFd>) -> io::Result<(i32, Option<OwnedFd>)> {
    let plan = Plan::of(setup, start)?;
    let (streams, master) = match start.pty {
        Some(size) => {
            let (master, terminal) = open_terminal(size)?;
            (vec![terminal], Some(master))
        }
        None if fds.len() == 3 => (fds, None),
        None => return Err(io::Error::from_raw_os_error(libc::EBADF)),
    };
    let (mut told, tell) = io::pipe()?;
    match sys::fork_of_init()? {
        Forked::Child => {
            let error = become_program(&plan, start, &streams);
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            let _ = rustix::io::write(&tell, &errno.to_ne_bytes());
            sys::exit_now(127)
        }
        Forked::Parent(pid) => {
            drop((tell, streams));
            let mut errno = [0; 4];
            // The pipe is closed by a successful exec: nothing to read.
            match told.read_exact(&mut errno) {
                Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
                Err(_) => Ok((pid, master)),
            }
        }
    }
}

fn open_terminal((columns, rows): (u16, u16)) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&master)?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
    let size = rustix::termios::Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&master, size)?;
    Ok((master, terminal))
}

/// Everything an exec needs, made before the fork.
struct Plan {
    candidates: Vec<CString>,
    args: Vec<CString>,
    env: Vec<CString>,
    cwd: PathBuf,
}

impl Plan {
    fn of(setup: &Setup, start: &Start) -> io::Result<Self> {
        let text = |text: String| CString::new(text).map_err(io::Error::from);
        let mut env: Vec<(String, String)> = vec![
            (
                "HOME".into(),
                place::home_path(setup).to_string_lossy().into_owned(),
            ),
            ("PATH".into(), PATH.into()),
            ("USER".into(), "user".into()),
            ("LANG".into(), "C.UTF-8".into()),
        ];
        if start.pty.is_some() {
            env.push(("TERM".into(), "xterm-256color".into()));
        }
        for (name, value) in setup.env.iter().chain(&start.env) {
            env.retain(|(other, _)| other != name);
            env.push((name.clone(), value.clone()));
        }
        let cwd = place::resolve(setup, &start.cwd);
        let path = env.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(PATH, |(_, value)| value.as_str());
        let candidates = candidates(setup, start, path, &cwd)
            .iter()
            .map(|path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from))
            .collect::<io::Result<_>>()?;
        let args = std::iter::once(&start.program).chain(&start.args);
        Ok(Self {
            candidates,
            args: args.cloned().map(text).collect::<io::Result<_>>()?,
            env: env
                .into_iter()
                .map(|(name, value)| text(format!("{name}={value}")))
                .collect::<io::Result<_>>()?,
            cwd,
        })
    }
}

/// A path as it is, a name in each folder of PATH.
fn candidates(setup: &Setup, start: &Start, path: &str, cwd: &Path) -> Vec<PathBuf> {
    if start.program.starts_with('/') {
        vec![place::resolve(setup, &start.program)]
    } else if start.program.contains('/') {
        vec![cwd.join(&start.program)]
    } else {
        let folders = path.split(':').filter(|folder| !folder.is_empty());
        folders
            .map(|folder| Path::new(folder).join(&start.program))
            .collect()
    }
}

fn pointers(strings: &[CString]) -> Vec<&CStr> {
    strings.iter().map(CString::as_c_str).collect()
}

/// Returns only what went wrong.
fn become_program(plan: &Plan, start: &Start, streams: &[OwnedFd]) -> io::Error {
    match prepare(plan, start, streams) {
        Ok(()) => {}
        Err(error) => return error,
    }
    let (args, env) = (pointers(&plan.args), pointers(&plan.env));
    let mut worst = io::Error::from_raw_os_error(libc::ENOENT);
    for path in &plan.candidates {
        let error = sys::exec(path, &args, &env);
        if error.kind() != io::ErrorKind::NotFound {
            worst = error;
        }
    }
    worst
}

fn prepare(plan: &Plan, start: &Start, streams: &[OwnedFd]) -> io::Result<()> {
    rustix::process::setsid()?;
    let [input, output, errors] = match streams {
        [one] => [one, one, one],
        [input, output, errors] => [input, output, errors],
        _ => return Err(io::Error::from_raw_os_error(libc::EBADF)),
    };
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(output)?;
    rustix::stdio::dup2_stderr(errors)?;
    if start.pty.is_some() {
        rustix::process::ioctl_tiocsctty(io::stdin())?;
    }
    if let Some(seconds) = start.cpu_seconds {
        // The hard limit a second later: the first signal can be caught.
        let most = Rlimit {
            current: Some(seconds),
            maximum: Some(seconds + 1),
        };
        rustix::process::setrlimit(Resource::Cpu, most)?;
    }
    // Not vital: there may be no /proc.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::chdir(&plan.cwd)?;
    sys::unblock_signals();
    Ok(())
}

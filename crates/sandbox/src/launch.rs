//! Starts a launcher process and waits until its init is ready.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::sync::oneshot;

use crate::SandboxError;
use crate::control::Control;
use crate::wire::{News, Order, Setup};

/// Mounting a root takes milliseconds; a loaded machine may take its time.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Sandboxes that may wait for their turn to be started.
const WAITING_MOST: usize = 64;

type Spawned = std::io::Result<(Child, OwnedFd)>;

/// One thread that starts all launchers and lives as long as the engine: a
/// launcher dies with the *thread* that started it, and threads of a runtime
/// come and go.
#[derive(Debug)]
pub(crate) struct Spawner {
    orders: mpsc::SyncSender<oneshot::Sender<Spawned>>,
}

impl Spawner {
    pub(crate) fn start(launcher: PathBuf) -> std::io::Result<Self> {
        let (orders, queue) = mpsc::sync_channel::<oneshot::Sender<Spawned>>(WAITING_MOST);
        std::thread::Builder::new()
            .name("sandbox-spawner".to_owned())
            .spawn(move || {
                while let Ok(answer) = queue.recv() {
                    // Who asked and left again leaves a launcher whose socket
                    // is closed: it ends by itself.
                    let _ = answer.send(spawn(&launcher));
                }
            })?;
        Ok(Self { orders })
    }

    async fn spawn(&self) -> Result<(Child, OwnedFd), SandboxError> {
        let (tell, told) = oneshot::channel();
        self.orders
            .try_send(tell)
            .map_err(|_| SandboxError::TooMuch {
                what: "sandboxes being started",
                most: WAITING_MOST as u64,
            })?;
        let spawned = told.await.map_err(|_| SandboxError::Ended)?;
        spawned.map_err(|error| SandboxError::system("start the launcher", error))
    }
}

/// With an empty environment: that of the first process can be read inside.
fn spawn(launcher: &Path) -> Spawned {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let child = std::process::Command::new(launcher)
        .arg(crate::INIT_ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// An init that is ready for orders.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) control: Control,
    /// Means init and nobody else, whatever becomes of its number.
    pub(crate) init: OwnedFd,
    /// Init's number on the host.
    pub(crate) pid: i32,
    /// The home, opened inside.
    pub(crate) home: OwnedFd,
    /// The proxy's listener, bound inside.
    pub(crate) listener: Option<std::net::TcpListener>,
    /// The outer process: it ends when everything inside has.
    pub(crate) outer: Child,
}

/// Starts a launcher and waits until it is ready.
pub(crate) async fn launch(spawner: &Spawner, setup: Setup) -> Result<Launched, SandboxError> {
    let (mut child, socket) = spawner.spawn().await?;
    let control = Control::new(socket)
        .map_err(|error| SandboxError::system("talk to the launcher", error))?;
    let order = Order::Setup(Box::new(setup));
    let ready = async {
        control.send(&order, &[]).await?;
        until_ready(&control).await
    };
    let ready = tokio::time::timeout(READY_WITHIN, ready).await;
    match ready.unwrap_or_else(|_| Err(SandboxError::Launch("no answer in time".to_owned()))) {
        Ok(ready) => Ok(Launched {
            init: ready.init,
            pid: ready.pid,
            home: ready.home,
            listener: ready.listener,
            control,
            outer: child,
        }),
        Err(error) => {
            control.hang_up();
            // Its init, if there is one, dies with it.
            let _ = child.kill();
            let _ = tokio::task::spawn_blocking(move || child.wait()).await;
            Err(error)
        }
    }
}

struct Ready {
    init: OwnedFd,
    pid: i32,
    home: OwnedFd,
    listener: Option<std::net::TcpListener>,
}

/// Two processes write to the socket now: the outer one says who init is, init
/// that it is ready, in any order.
async fn until_ready(control: &Control) -> Result<Ready, SandboxError> {
    let mut init = None;
    let mut inside = None;
    let broken = |_| SandboxError::Launch("the launcher's words are not understood".to_owned());
    loop {
        if let (Some(_), Some(_)) = (&init, &inside)
            && let (Some((pid, init)), Some((home, listener))) = (init.take(), inside.take())
        {
            return Ok(Ready {
                init,
                pid,
                home,
                listener,
            });
        }
        let news = control.receive().await.map_err(broken)?;
        let Some((news, fds)) = news else {
            return Err(SandboxError::Launch(
                "the launcher ended without a word".to_owned(),
            ));
        };
        let mut fds = fds.into_iter();
        match news {
            News::Forked { pid } => init = fds.next().map(|fd| (pid, fd)),
            News::Ready => {
                inside = fds.next().map(|home| {
                    let listener = fds.next().map(std::net::TcpListener::from);
                    (home, listener)
                });
            }
            News::Failed { step, .. } => return Err(SandboxError::Launch(step)),
            _ => {}
        }
    }
}

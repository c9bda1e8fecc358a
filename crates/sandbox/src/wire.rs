//! What server and init say to each other: one JSON text per packet of a
//! sequenced socket, descriptors beside it.
//!
//! The init's side is not trusted: it runs as the sandbox's user. Nothing it
//! says makes the server do more than note the end of a program.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The largest packet: arguments and environment of one command. The kernel's
/// default send buffer takes 208 KiB.
pub(crate) const PACKET_MOST: usize = 128 * 1024;
/// The most descriptors beside one packet: three streams.
const FDS_MOST: usize = 3;

/// From the server to the launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Setup(Box<Setup>),
    Start(Start),
    /// To a program, its session and its descendants.
    Signal {
        pid: i32,
        signal: i32,
    },
    /// To everything but init.
    SignalAll {
        signal: i32,
    },
    /// A socket of the sandbox's network, not connected.
    Socket {
        id: u64,
        v6: bool,
    },
    /// Ports that something listens on.
    Listening {
        id: u64,
    },
}

/// From the launcher to the server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum News {
    /// With a pidfd of init.
    Forked {
        pid: i32,
    },
    /// With the home and, with network, the proxy's listener.
    Ready,
    /// Setting up failed; the launcher has ended.
    Failed {
        step: String,
        errno: i32,
    },
    /// With the master of a terminal, when one was asked for.
    Started {
        id: u64,
        pid: i32,
    },
    NotStarted {
        id: u64,
        errno: i32,
    },
    Exited {
        id: u64,
        code: Option<i32>,
        signal: Option<i32>,
        cpu_micros: u64,
        max_rss: u64,
    },
    Socket {
        id: u64,
        errno: i32,
    },
    Listening {
        id: u64,
        ports: Vec<u16>,
    },
}

/// How the launcher separates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    Namespaces { as_root: bool },
    Landlock,
    Nothing,
}

/// All that the launcher needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    /// An empty folder of the host: where the new root is put together.
    pub(crate) root: PathBuf,
    /// The workspace on the host.
    pub(crate) home: PathBuf,
    /// A folder of the host for overlay's own use, when the home is merged.
    pub(crate) layers: Vec<LayerMount>,
    /// Shown inside at the same place, when they exist.
    pub(crate) read_only: Vec<PathBuf>,
    /// An extra authority's certificate file, shown at [`CA_FILE`].
    pub(crate) ca_file: Option<PathBuf>,
    /// The user to become, when root.
    pub(crate) uid: Option<u32>,
    /// Files into which the launcher writes `0` to join control groups.
    pub(crate) cgroup_procs: Vec<PathBuf>,
    pub(crate) limits: Rlimits,
    /// Whether a proxy listens inside.
    pub(crate) network: bool,
    /// The environment of every command.
    pub(crate) env: Vec<(String, String)>,
}

/// A layer to merge into the home.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LayerMount {
    pub(crate) at: String,
    pub(crate) lower: PathBuf,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

/// What processes get, one by one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rlimits {
    pub(crate) pids: u64,
    pub(crate) file_bytes: u64,
    /// Private memory per process, where nothing counts it together; then
    /// memory without an owner (memfd, System V) is refused as well.
    pub(crate) data_bytes: Option<u64>,
    pub(crate) tmp_bytes: u64,
}

/// A program to start. Three descriptors come along, none for a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) id: u64,
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: String,
    pub(crate) cpu_seconds: Option<u64>,
    pub(crate) pty: Option<(u16, u16)>,
}

/// Where [`Setup::ca_file`] appears inside.
pub(crate) const CA_FILE: &str = "/etc/sandbox-ca.pem";
/// Where the proxy listens inside.
pub(crate) const PROXY_PORT: u16 = 3128;

/// Sends one packet.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    fds: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > PACKET_MOST {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many descriptors"));
    }
    let flags = flags | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut beside, flags)?;
    Ok(())
}

/// Receives one packet; none when the other side has ended.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; PACKET_MOST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MOST))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let got = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut beside,
        flags,
    )?;
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(bytes.get(..got.bytes).unwrap_or_default())?;
    Ok(Some((message, fds)))
}

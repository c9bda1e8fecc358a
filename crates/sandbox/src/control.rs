//! The server's end of the socket to an init: requests and answers by number,
//! ends of programs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

use crate::SandboxError;
use crate::sys;
use crate::wire::{self, News, Order};

/// Init answers within milliseconds; one that does not for so long is broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How init says that a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) cpu: Duration,
    pub(crate) max_rss: u64,
}

type Answer = (News, Vec<OwnedFd>);

/// One sandbox's init, as somebody to talk to.
#[derive(Debug)]
pub(crate) struct Control {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    exits: Mutex<HashMap<u64, oneshot::Sender<Ended>>>,
    closed: AtomicBool,
    ended: watch::Sender<bool>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of ours; what a lock protects is
    // whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Within the runtime that shall drive the socket.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket: sys::async_fd(socket, Interest::READABLE | Interest::WRITABLE)?,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            exits: Mutex::default(),
            closed: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) async fn send(
        &self,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), SandboxError> {
        let sent = self.socket.async_io(Interest::WRITABLE, |socket| {
            wire::send(socket, order, fds, SendFlags::DONTWAIT)
        });
        match sent.await {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => Err(SandboxError::TooMuch {
                what: "bytes of arguments and environment",
                most: wire::PACKET_MOST as u64,
            }),
            Err(_) => Err(SandboxError::Ended),
        }
    }

    /// Sends an order that has an answer of the same number.
    pub(crate) async fn ask(
        &self,
        id: u64,
        order: &Order,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Answer, SandboxError> {
        if self.has_ended() {
            return Err(SandboxError::Ended);
        }
        let (tell, told) = oneshot::channel();
        lock(&self.waiting).insert(id, tell);
        let answer = async {
            self.send(order, fds).await?;
            told.await.map_err(|_| SandboxError::Ended)
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        lock(&self.waiting).remove(&id);
        answer.unwrap_or(Err(SandboxError::Ended))
    }

    /// Who is to be told of a program's end; before it is started.
    pub(crate) fn expect_exit(&self, id: u64) -> oneshot::Receiver<Ended> {
        let (tell, told) = oneshot::channel();
        lock(&self.exits).insert(id, tell);
        told
    }

    pub(crate) fn forget_exit(&self, id: u64) {
        lock(&self.exits).remove(&id);
    }

    pub(crate) async fn receive(&self) -> io::Result<Option<Answer>> {
        self.socket
            .async_io(Interest::READABLE, |socket| {
                wire::receive(socket, RecvFlags::DONTWAIT)
            })
            .await
    }

    /// Hands out news until init's end of the socket is closed.
    pub(crate) async fn listen(&self) {
        // News that cannot be read end the sandbox: init was broken into.
        while let Ok(Some((news, fds))) = self.receive().await {
            match news {
                News::Exited {
                    id,
                    code,
                    signal,
                    cpu_micros,
                    max_rss,
                } => {
                    if let Some(waiter) = lock(&self.exits).remove(&id) {
                        let cpu = Duration::from_micros(cpu_micros);
                        let _ = waiter.send(Ended {
                            code,
                            signal,
                            cpu,
                            max_rss,
                        });
                    }
                }
                News::Started { id, .. }
                | News::NotStarted { id, .. }
                | News::Socket { id, .. }
                | News::Listening { id, .. } => {
                    if let Some(waiter) = lock(&self.waiting).remove(&id) {
                        let _ = waiter.send((news, fds));
                    }
                }
                News::Forked { .. } | News::Ready | News::Failed { .. } => {}
            }
        }
        self.hang_up();
    }

    /// Init sees the end of its orders and ends; everybody who waits is told.
    pub(crate) fn hang_up(&self) {
        let _ = rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Both);
        self.closed.store(true, Ordering::SeqCst);
        lock(&self.waiting).clear();
        lock(&self.exits).clear();
    }

    /// Nothing of the sandbox is left.
    pub(crate) fn finish(&self) {
        self.hang_up();
        self.ended.send_replace(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // An error means that we are gone ourselves.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

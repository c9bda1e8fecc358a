//! The accept loop: TCP in, HTTP/1 and HTTP/2 out, everything bounded.
//!
//! * No more connections than allowed: the rest wait in the system's queue.
//! * A head must arrive in time and within its size (slow-loris, 431).
//! * At shutdown no new work is taken, running requests may finish in their
//!   time, what is left then is cut.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use kernel::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::config::ApiConfig;
use crate::gateway::Gateway;
use crate::lanes::Lanes;
use crate::metrics::Metrics;

/// After an accept error (too many open files) trying at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An HTTP/2 peer that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at once on one HTTP/2 connection; more would let one client take
/// all of the room's places.
const STREAMS_MAX: u32 = 128;

/// hyper closes on a head beyond its buffer, and a client that is still
/// sending then sees a reset and no answer. So its buffer is larger than the
/// limit, and the gateway gives a proper 431 in between: heads that went wrong
/// by accident, with a cookie or token too many, are seldom larger.
const HEADER_ROOM: usize = 4;

/// Open listeners, not yet serving.
pub struct Listeners {
    sockets: Vec<TcpListener>,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, not ours, or not allowed.
    #[error("could not listen on {address}: {}", explain(.source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses this port; stop it or choose another with --port".to_owned()
        }
        _ => error.to_string(),
    }
}

impl Listeners {
    /// Opens every address. A machine without IPv6 may still serve
    /// `localhost`, so an address that does not exist is skipped as long as
    /// one does.
    pub async fn bind(config: &ApiConfig) -> Result<Self, ListenError> {
        let mut sockets: Vec<TcpListener> = Vec::new();
        let mut port = config.port;
        let mut missing = None;
        for host in &config.hosts {
            let address = SocketAddr::new(*host, port);
            match TcpListener::bind(address).await {
                Ok(socket) => {
                    // When the system chose the port, all families share it.
                    port = socket.local_addr().map_or(port, |address| address.port());
                    sockets.push(socket);
                }
                Err(source) if config.hosts.len() > 1 && absent(&source, host) => {
                    missing = Some(ListenError::Bind { address, source });
                }
                Err(source) => return Err(ListenError::Bind { address, source }),
            }
        }
        match missing {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Self { sockets }),
        }
    }

    /// Where we listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Serves until `tasks` stops, then drains. Returns at once; the loops are
    /// tasks of their own.
    pub fn serve(
        self,
        gateway: &Arc<Gateway>,
        metrics: &Arc<Metrics>,
        config: &ApiConfig,
        lanes: &Lanes,
        tasks: &Tasks,
    ) {
        let places = Arc::new(Semaphore::new(
            config.connections_max.min(Semaphore::MAX_PERMITS),
        ));
        for socket in self.sockets {
            let front = Arc::new(Front {
                gateway: Arc::clone(gateway),
                metrics: Arc::clone(metrics),
                places: Arc::clone(&places),
                http: Arc::new(builder(config)),
                header_timeout: config.header_timeout,
                drain_timeout: config.drain_timeout,
                lanes: lanes.clone(),
                tasks: tasks.clone(),
            });
            tasks.spawn("listen", front.run(socket));
        }
    }
}

/// Errors of a machine that lacks an address family. A second family on a
/// wildcard address may also find the first one covering it already.
fn absent(error: &io::Error, host: &IpAddr) -> bool {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => true,
        io::ErrorKind::AddrInUse => host.is_ipv6() && host.is_unspecified(),
        _ => error.raw_os_error() == Some(EAFNOSUPPORT),
    }
}

/// "Address family not supported by protocol" on Linux.
const EAFNOSUPPORT: i32 = 97;

fn builder(config: &ApiConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.header_bytes_max * HEADER_ROOM)
        // One piece for head and body. Not `pipeline_flush`, which does that
        // too: it keeps answers back while input is left, and input that is no
        // HTTP would then get none at all.
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX));
    builder
}

struct Front {
    gateway: Arc<Gateway>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    http: Arc<Builder<TokioExecutor>>,
    header_timeout: Duration,
    drain_timeout: Duration,
    lanes: Lanes,
    tasks: Tasks,
}

impl Front {
    async fn run(self: Arc<Self>, socket: TcpListener) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.tasks.stopping() => break,
                accepted = self.accept(&socket) => accepted,
            };
            let Some((stream, peer, place)) = accepted else {
                continue;
            };
            let connected = self.metrics.connect();
            // Taken off this thread's reactor; the lane registers it with its own.
            let Ok(stream) = stream.into_std() else {
                continue;
            };
            let (front, watcher) = (Arc::clone(&self), graceful.watcher());
            self.lanes.run(&self.tasks, move || async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    front.serve(stream, peer.ip(), watcher).await;
                }
                drop((connected, place));
            });
        }
        drop(socket);
        // Connections past their time end when the runtime does; their tasks
        // watch the same limit below.
        let _ = tokio::time::timeout(self.drain_timeout, graceful.shutdown()).await;
    }

    async fn accept(
        &self,
        socket: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        match socket.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                Some((stream, peer, place))
            }
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    /// One connection, to its end.
    fn serve(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        watcher: Watcher,
    ) -> impl Future<Output = ()> + use<> {
        let gateway = Arc::clone(&self.gateway);
        let began = Arc::new(AtomicBool::new(false));
        let first = Arc::clone(&began);
        let service = service_fn(move |request: Request<Incoming>| {
            first.store(true, Ordering::Relaxed);
            let gateway = Arc::clone(&gateway);
            async move {
                Ok::<Response<Body>, std::convert::Infallible>(
                    gateway.handle(request.map(Body::new), peer).await,
                )
            }
        });
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = watcher.watch(connection);
        let header_timeout = self.header_timeout;
        let tasks = self.tasks.clone();
        let drain_timeout = self.drain_timeout;
        async move {
            // hyper's own timeout starts once it knows the version, so a client
            // that sends nothing, or half of "PRI", is watched here.
            let never_began = async {
                tokio::time::sleep(header_timeout).await;
                if began.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            let drained = async {
                tasks.stopping().await;
                tokio::time::sleep(drain_timeout).await;
            };
            tokio::select! {
                // Errors are the client's: it left, or spoke no HTTP.
                _ = connection => {}
                () = never_began => {}
                () = drained => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;

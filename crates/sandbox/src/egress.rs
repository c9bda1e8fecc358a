//! The one way out: a proxy in the server that knows which hosts are allowed.
//!
//! It accepts on a socket that was bound inside the sandbox's network, so
//! nothing else of the host can be reached from there. Names are resolved
//! here, and the address that is checked is the address that is connected:
//! a name that changes its meaning in between gains nothing.

mod address;
mod head;
mod rules;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kernel::Tasks;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub(crate) use rules::{Rules, default_registries};

/// Connections of one sandbox at a time; npm opens fifteen.
const CONNECTIONS_MOST: usize = 128;
/// To resolve and connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// A tunnel in which nothing moved for so long is given up. Total time, for
/// simplicity: no download takes longer.
const TUNNEL_MOST: Duration = Duration::from_secs(1800);

/// Variables by which programs find authorities' certificates.
pub(crate) const CA_VARIABLES: &[&str] = &[
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

/// One sandbox's proxy.
pub(crate) struct Proxy {
    rules: Rules,
    places: Semaphore,
}

impl Proxy {
    /// Serves until dropped.
    pub(crate) fn start(
        listener: std::net::TcpListener,
        rules: Rules,
        tasks: Tasks,
    ) -> impl Future<Output = ()> + Send + 'static {
        let proxy = Arc::new(Self {
            rules,
            places: Semaphore::new(CONNECTIONS_MOST),
        });
        async move {
            let Ok(listener) = listener
                .set_nonblocking(true)
                .and_then(|()| TcpListener::from_std(listener))
            else {
                return;
            };
            while let Ok((client, _)) = listener.accept().await {
                let proxy = Arc::clone(&proxy);
                tasks.spawn("sandbox egress connection", async move {
                    // Who finds no place is closed without a word.
                    if let Ok(_place) = proxy.places.try_acquire() {
                        proxy.serve(client).await;
                    }
                });
            }
        }
    }

    async fn serve(&self, mut client: TcpStream) {
        let asked = match head::read(&mut client).await {
            Ok(asked) => asked,
            Err(words) => return refuse(&mut client, "400 Bad Request", words).await,
        };
        let Some(grant) = self.rules.grant(&asked.host, asked.port) else {
            let words = format!(
                "{}:{} is not on the list of this sandbox",
                asked.host, asked.port
            );
            return refuse(&mut client, "403 Forbidden", &words).await;
        };
        let reached = tokio::time::timeout(CONNECT_WITHIN, reach(&asked.host, asked.port, grant));
        let mut server = match reached.await {
            Ok(Ok(server)) => server,
            Ok(Err((status, words))) => return refuse(&mut client, status, words).await,
            Err(_) => return refuse(&mut client, "504 Gateway Timeout", "no answer").await,
        };
        let began = match &asked.forward {
            None => {
                client
                    .write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
                    .await
            }
            Some(head) => server.write_all(head).await,
        };
        if began.is_ok() && server.write_all(&asked.rest).await.is_ok() {
            let tunnel = copy_bidirectional(&mut client, &mut server);
            let _ = tokio::time::timeout(TUNNEL_MOST, tunnel).await;
        }
    }
}

async fn refuse(client: &mut TcpStream, status: &str, words: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}\n",
        words.len() + 1
    );
    let _ = client.write_all(text.as_bytes()).await;
}

type Refusal = (&'static str, &'static str);

/// Whether both ends are this machine's.
fn is_here(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) => here.ip() == there.ip(),
        _ => true,
    }
}

/// Resolves, checks, connects — to the very addresses that were checked.
async fn reach(host: &str, port: u16, grant: rules::Grant) -> Result<TcpStream, Refusal> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found
        .map_err(|_| ("502 Bad Gateway", "no such host"))?
        .collect();
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| address::allowed(address.ip(), grant))
        .collect();
    if allowed.is_empty() {
        return Err(("403 Forbidden", "the host's address is private"));
    }
    let mut last = ("502 Bad Gateway", "the host cannot be reached");
    for address in allowed {
        match TcpStream::connect(address).await {
            // This machine by its public address: what listens here may trust
            // whoever is inside.
            Ok(stream) if grant == rules::Grant::Public && is_here(&stream) => {
                last = ("403 Forbidden", "the host's address is this machine's");
            }
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(_) => last = ("502 Bad Gateway", "the host does not answer"),
        }
    }
    Err(last)
}

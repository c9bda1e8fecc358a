//! One connection: look the name up, keep what may be reached, connect, and
//! speak TLS where the address says `https`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use kernel::Tasks;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Reach;

/// Long enough for a lost packet or two; a host with several addresses still
/// has time for the next one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Runs what hyper needs beside a request, as tasks that end with the rest.
#[derive(Clone, Debug)]
pub(super) struct Spawn(pub(super) Tasks);

impl<F> hyper::rt::Executor<F> for Spawn
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let tasks = self.0.clone();
        self.0.spawn("outbound connection", async move {
            // An idle connection must not hold up the end.
            tokio::select! {
                () = future => {}
                () = tasks.stopping() => {}
            }
        });
    }
}

/// A connection, encrypted or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl Duplex for TcpStream {}
impl Duplex for tokio_rustls::client::TlsStream<TcpStream> {}

impl Connection for Box<dyn Duplex> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[derive(Clone)]
pub(super) struct Connector {
    reach: Reach,
    tls: TlsConnector,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl Connector {
    pub(super) fn new(reach: Reach, extra_roots: &[Vec<u8>]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in rustls_native_certs::load_native_certs().certs {
            // One that rustls cannot read is of no use, and no reason to stop.
            let _ = roots.add(certificate);
        }
        for root in extra_roots {
            let root = CertificateDer::from(root.clone());
            roots.add(root).map_err(io::Error::other)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            reach,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    async fn connect(self, uri: Uri) -> io::Result<TokioIo<Box<dyn Duplex>>> {
        let wrong = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("neither http nor https")),
        };
        let host = uri.host().ok_or_else(|| wrong("no host"))?;
        // IPv6 addresses stand in brackets there.
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tcp = self.dial(&host, port).await?;
        if !secure {
            return Ok(TokioIo::new(Box::new(tcp)));
        }
        let name = ServerName::try_from(host).map_err(|_| wrong("not a host's name"))?;
        let tls = self.tls.connect(name, tcp).await?;
        Ok(TokioIo::new(Box::new(tls)))
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => tokio::net::lookup_host((host, port)).await?.collect(),
        };
        let mut last = io::Error::new(
            io::ErrorKind::PermissionDenied,
            "none of its addresses may be reached",
        );
        let allowed = found
            .iter()
            .filter(|address| self.reach.allows(address.ip()));
        for address in allowed.take(ADDRESSES_MAX) {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Duplex>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

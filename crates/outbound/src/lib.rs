//! Speaking HTTP to others: hooks, captcha services, identity providers, object
//! stores.
//!
//! Start with [`Client`], which reads whole answers; [`Streams`] is for bodies
//! that are longer than memory. Both are hyper's own client with a connector of ours
//! ([ADR 14](../../../docs/adr/0014-one-http-client.md)): the connector looks a
//! name up, decides by [`Reach`] which of its addresses may be spoken to, and
//! connects to exactly those. So neither a name that points inside nor one that
//! changes its mind between check and use reaches what it should not.
//!
//! Invariants: no redirect is followed; every call has a time and a size it
//! must keep to; no proxy and nothing else is taken from the environment.

mod address;
mod connect;
mod streams;

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use kernel::Tasks;

use connect::{Connector, Spawn};

pub use address::Reach;
pub use streams::{StreamError, Streams};

/// How long an idle connection is kept, and how many to one host.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 4;

/// Calls HTTP services. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    inner: legacy::Client<Connector, Full<Bytes>>,
}

/// What a service said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

/// What a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// From name lookup to the body's last byte.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub body: usize,
}

/// A call that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Its time was up.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is longer than allowed.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The address may not be spoken to.
    #[error("the address may not be reached from here")]
    Forbidden,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Failed(String),
}

impl Client {
    /// A client that speaks to whom `reach` allows. `extra_roots` are trusted
    /// beside the system's certificates.
    pub fn new(reach: Reach, extra_roots: &[Vec<u8>], tasks: &Tasks) -> io::Result<Self> {
        let inner = client(reach, extra_roots, tasks)?;
        Ok(Self { inner })
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub async fn call(&self, request: Request<Bytes>, budget: Budget) -> Result<Answer, CallError> {
        let call = self.call_inner(request, budget.body);
        tokio::time::timeout(budget.time, call)
            .await
            .unwrap_or(Err(CallError::Timeout(budget.time)))
    }

    async fn call_inner(&self, request: Request<Bytes>, max: usize) -> Result<Answer, CallError> {
        let response = self.inner.request(request.map(Full::new)).await;
        let (parts, mut body) = response.map_err(|error| failed(&error))?.into_parts();
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > max {
            return Err(CallError::TooLarge(max));
        }
        let mut read = BytesMut::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| CallError::Failed(error.to_string()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if read.len() + data.len() > max {
                return Err(CallError::TooLarge(max));
            }
            read.extend_from_slice(&data);
        }
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: read.freeze(),
        })
    }
}

fn client<B>(
    reach: Reach,
    extra_roots: &[Vec<u8>],
    tasks: &Tasks,
) -> io::Result<legacy::Client<Connector, B>>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    let connector = Connector::new(reach, extra_roots)?;
    Ok(legacy::Client::builder(Spawn(tasks.clone()))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_timer(TokioTimer::new())
        .build(connector))
}

/// The innermost reason says most; addresses and paths are in none of them.
fn failed(error: &legacy::Error) -> CallError {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
        if let Some(io) = reason.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::PermissionDenied
        {
            return CallError::Forbidden;
        }
    }
    CallError::Failed(reason.to_string())
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

//! Requests and answers whose bodies stream, for services that the operator
//! names. Who calls bounds time and sizes.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use kernel::Tasks;

use crate::connect::Connector;
use crate::{Reach, client};

/// Calls HTTP services with bodies of type `B`. Cheap to clone; clones share
/// connections.
#[derive(Clone, Debug)]
pub struct Streams<B> {
    inner: legacy::Client<Connector, B>,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// Its head did not come in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection: nothing was asked.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke.
    #[error("the connection failed: {0}")]
    Broken(String),
}

impl<B> Streams<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// A client that speaks to whom `reach` allows. `extra_roots` are trusted
    /// beside the system's certificates.
    pub fn new(reach: Reach, extra_roots: &[Vec<u8>], tasks: &Tasks) -> io::Result<Self> {
        let inner = client(reach, extra_roots, tasks)?;
        Ok(Self { inner })
    }

    /// Sends a request and waits at most `time` until its body is sent and the
    /// answer's head is here.
    pub async fn call(
        &self,
        request: Request<B>,
        time: Duration,
    ) -> Result<Response<Incoming>, StreamError> {
        let call = self.inner.request(request);
        match tokio::time::timeout(time, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() => Err(StreamError::Connect(innermost(&error))),
            Ok(Err(error)) => Err(StreamError::Broken(innermost(&error))),
            Err(_) => Err(StreamError::Timeout(time)),
        }
    }
}

/// The innermost reason says most; addresses and paths are in none of them.
fn innermost(mut error: &dyn Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

//! The one HTTP client, as the object store's library wants one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::BodyExt as _;
use kernel::Tasks;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use outbound::{Reach, StreamError, Streams};

/// For a part to be sent and the answer to begin. A part is 8 MiB: slower than
/// this, and no upload would end in reasonable time.
const TIME: Duration = Duration::from_secs(60);

/// Makes what [`object_store`] calls a client.
#[derive(Clone, Debug)]
pub(super) struct Connector(Streams<HttpRequestBody>);

impl Connector {
    /// The operator names the endpoint: it may be next door.
    pub(super) fn new(tasks: &Tasks) -> io::Result<Self> {
        Streams::new(Reach::Configured, &[], tasks).map(Self)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Called<'c> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

impl HttpService for Connector {
    fn call<'s, 'c>(&'s self, request: HttpRequest) -> Called<'c>
    where
        's: 'c,
        Self: 'c,
    {
        Box::pin(async move {
            let answer = self.0.call(request, TIME).await.map_err(|error| {
                let kind = match &error {
                    StreamError::Timeout(_) => HttpErrorKind::Timeout,
                    StreamError::Connect(_) => HttpErrorKind::Connect,
                    StreamError::Broken(_) => HttpErrorKind::Interrupted,
                };
                HttpError::new(kind, error)
            })?;
            let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
            Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
        })
    }
}

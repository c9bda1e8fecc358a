//! One request to a server inside a sandbox, streamed both ways; or a socket
//! that both sides agree to speak another protocol on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kernel::Tasks;
use sessions::sandboxes::Live;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::{headers, say};

/// What listens inside takes a connection at once.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Until an answer begins. A bundler may transform a large module first.
const ANSWER_TIME: Duration = Duration::from_secs(120);
/// One answer or socket, all in all: streams of events go on for long.
const WHOLE_TIME: Duration = Duration::from_secs(4 * 3600);
/// Bytes of one answer; a page of an app under construction has megabytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// Bytes of one socket, in both directions together.
const SOCKET_BYTES_MAX: u64 = 1 << 30;
/// Between looks at what a socket has carried.
const PIECE: usize = 16 << 10;

pub(super) struct Given {
    pub(super) live: Arc<Live>,
    pub(super) port: u16,
    pub(super) place: OwnedSemaphorePermit,
    pub(super) body_bytes: u64,
    pub(super) tasks: Tasks,
}

pub(super) async fn forward(mut request: Request<Body>, given: Given) -> Response<Body> {
    let connecting = given.live.contained.connect(given.port);
    let Ok(Ok(stream)) = tokio::time::timeout(CONNECT_TIME, connecting).await else {
        return say(StatusCode::BAD_GATEWAY, "Nothing listens there (yet).");
    };
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = shaken else {
        return say(
            StatusCode::BAD_GATEWAY,
            "What listens there speaks no HTTP.",
        );
    };
    let stop = given.tasks.token();
    given.tasks.spawn("preview", async move {
        tokio::select! {
            // How it ended shows in the answer's body.
            _ = connection.with_upgrades() => {}
            () = stop.cancelled() => {}
        }
    });
    let upgrade = headers::of_connection(request.headers_mut());
    let ours = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let inner = inwards(request, &given, upgrade);
    let answer = match tokio::time::timeout(ANSWER_TIME, sender.send_request(inner)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => return say(StatusCode::BAD_GATEWAY, "The page's server gave no answer."),
        Err(_) => {
            return say(
                StatusCode::GATEWAY_TIMEOUT,
                "The page's server gave no answer in time.",
            );
        }
    };
    match ours {
        Some(ours) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            switched(answer, ours, given)
        }
        _ => {
            let mut answer = answer;
            headers::of_connection(answer.headers_mut());
            headers::outwards(answer.headers_mut());
            answer.map(|body| {
                let limits = Limits::new(ANSWER_BYTES_MAX);
                Body::new(Limited {
                    body,
                    limits,
                    _held: (sender, given.place),
                })
            })
        }
    }
}

/// The request as the page's server sees it.
fn inwards(request: Request<Body>, given: &Given, upgrade: Option<HeaderValue>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.uri = headers::target(&parts.uri);
    parts.version = Version::HTTP_11;
    headers::inwards(&mut parts.headers, given.port);
    if let Some(protocol) = upgrade {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    parts.extensions.clear();
    let limits = Limits::new(given.body_bytes);
    Request::from_parts(
        parts,
        Body::new(Limited {
            body,
            limits,
            _held: (),
        }),
    )
}

/// Both sides have agreed; from now on bytes are bytes.
fn switched(
    mut answer: Response<hyper::body::Incoming>,
    ours: OnUpgrade,
    given: Given,
) -> Response<Body> {
    let theirs = hyper::upgrade::on(&mut answer);
    let Given {
        live, place, tasks, ..
    } = given;
    let stop = tasks.token();
    tasks.spawn("preview-socket", async move {
        let carried = async {
            let (ours, theirs) = tokio::try_join!(ours, theirs).map_err(io::Error::other)?;
            carry(&live, TokioIo::new(ours), TokioIo::new(theirs)).await
        };
        tokio::select! {
            // Who closes which side first is their matter.
            _ = tokio::time::timeout(WHOLE_TIME, carried) => {}
            () = stop.cancelled() => {}
        }
        drop(place);
    });
    let protocol = answer.headers().get(UPGRADE).cloned();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    let to_client = response.headers_mut();
    headers::of_connection(to_client);
    headers::outwards(to_client);
    to_client.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        to_client.insert(UPGRADE, protocol);
    }
    response
}

/// Carries bytes both ways until one side has ended and the other has had all
/// of it, or until it was too much.
async fn carry<A, B>(live: &Live, ours: A, theirs: B) -> io::Result<()>
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let budget = std::sync::atomic::AtomicU64::new(SOCKET_BYTES_MAX);
    let (our_end, our_start) = tokio::io::split(ours);
    let (their_end, their_start) = tokio::io::split(theirs);
    let inwards = pipe(our_end, their_start, &budget, live);
    let outwards = pipe(their_end, our_start, &budget, live);
    tokio::try_join!(inwards, outwards).map(drop)
}

async fn pipe(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    budget: &std::sync::atomic::AtomicU64,
    live: &Live,
) -> io::Result<()> {
    use std::sync::atomic::Ordering;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else {
            return to.shutdown().await;
        };
        let count = count as u64;
        let take = |left: u64| left.checked_sub(count);
        if budget
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_err()
        {
            return Err(io::Error::other("too much was said"));
        }
        live.touch();
        to.write_all(read).await?;
        to.flush().await?;
    }
}

/// What one body may still be.
struct Limits {
    bytes: u64,
    until: Pin<Box<Sleep>>,
}

impl Limits {
    fn new(bytes: u64) -> Self {
        let until = Box::pin(tokio::time::sleep_until(Instant::now() + WHOLE_TIME));
        Self { bytes, until }
    }
}

/// A body that ends with an error when it is too much or too long.
struct Limited<B, H> {
    body: B,
    limits: Limits,
    /// Kept until the body is over.
    _held: H,
}

impl<B, H> hyper::body::Body for Limited<B, H>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
    H: Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.limits.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("it took too long".into())));
        }
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match this.limits.bytes.checked_sub(bytes) {
            Some(left) => this.limits.bytes = left,
            None => return Poll::Ready(Some(Err("it was too much".into()))),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

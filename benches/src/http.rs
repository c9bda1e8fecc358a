//! A load generator that costs little: keep-alive connections on one thread,
//! each sending the next prepared request when it has read the last answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a run measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Median latency in milliseconds.
    pub(crate) p50: f64,
    /// 99th percentile in milliseconds.
    pub(crate) p99: f64,
    /// The slowest in milliseconds.
    pub(crate) max: f64,
}

/// Sends requests for `seconds` over `connections`. `request` makes the bytes
/// of request number `n`.
pub(crate) fn run(
    address: &str,
    connections: usize,
    seconds: u32,
    request: impl Fn(u64) -> Vec<u8>,
) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Made beforehand, so that making them is not measured.
    let requests: Vec<Vec<u8>> = (0..4096).map(request).collect();
    let local = tokio::task::LocalSet::new();
    let requests = std::rc::Rc::new(requests);
    let length = Duration::from_secs(u64::from(seconds));
    let mut micros: Vec<u32> = local.block_on(&runtime, async {
        let mut tasks = Vec::new();
        for index in 0..connections {
            let stream = TcpStream::connect(address)
                .await
                .context("could not connect")?;
            stream.set_nodelay(true)?;
            let requests = std::rc::Rc::clone(&requests);
            tasks.push(tokio::task::spawn_local(connection(
                stream, requests, index, length,
            )));
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await??);
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    micros.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of a few million"
        )]
        let index = (micros.len() as f64 * share) as usize;
        micros.get(index).map_or(0.0, |us| f64::from(*us) / 1000.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of a few million")]
    let count = micros.len() as f64;
    Ok(Load {
        rate: count / f64::from(seconds),
        p50: at(0.5),
        p99: at(0.99),
        max: micros.last().map_or(0.0, |us| f64::from(*us) / 1000.0),
    })
}

async fn connection(
    mut stream: TcpStream,
    requests: std::rc::Rc<Vec<Vec<u8>>>,
    index: usize,
    length: Duration,
) -> Result<Vec<u32>> {
    let mut latencies = Vec::with_capacity(1 << 16);
    let mut buffer = Vec::with_capacity(1 << 16);
    let began = Instant::now();
    let mut next = index * 131;
    while began.elapsed() < length {
        let request = requests.get(next % requests.len()).context("no requests")?;
        next += 1;
        let sent = Instant::now();
        stream.write_all(request).await?;
        buffer.clear();
        while !complete(&buffer)? {
            if stream.read_buf(&mut buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

/// Whether a whole, successful answer has arrived.
pub(crate) fn complete(buffer: &[u8]) -> Result<bool> {
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(false);
    };
    let (head, rest) = buffer.split_at(end);
    if !head.starts_with(b"HTTP/1.1 20") {
        bail!("{}", String::from_utf8_lossy(buffer));
    }
    Ok(rest.len() >= 4 + content_length(head).unwrap_or(0))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let line = head.split(|byte| *byte == b'\n').find(|line| {
        line.get(..NAME.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })?;
    let digits = line.get(NAME.len()..)?.trim_ascii();
    std::str::from_utf8(digits).ok()?.parse().ok()
}

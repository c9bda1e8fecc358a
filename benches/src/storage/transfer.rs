//! Long bodies over one connection.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const CHUNK: usize = 256 << 10;

/// A server, and what it wants to be shown.
pub(super) struct Target {
    pub(super) address: String,
    pub(super) key: Option<String>,
}

/// Megabytes a second.
pub(super) fn rate(size: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few billion")]
    let size = size as f64;
    size / 1e6 / took.as_secs_f64()
}

fn head(target: &Target, method: &str, path: &str, size: u64) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", target.address);
    if let Some(key) = &target.key {
        let _ = write!(
            head,
            "apikey: {key}\r\nauthorization: Bearer {key}\r\nx-upsert: true\r\n"
        );
    }
    let kind = if path.ends_with("/bucket") {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let _ = write!(
        head,
        "content-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    );
    head
}

/// One request as bytes.
pub(super) fn bytes(target: &Target, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = head(target, method, path, body.len() as u64);
    [head.as_bytes(), body].concat()
}

/// The beginning of the answer.
pub(super) fn request(target: &Target, method: &str, path: &str, body: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(&target.address)?;
    stream.write_all(&bytes(target, method, path, body))?;
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> Result<String> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer)?;
    let text = buffer.get(..read).context("too much was read")?;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Sends a file that is made up on the way.
pub(super) fn upload(target: &Target, method: &str, path: &str, size: u64) -> Result<f64> {
    let mut stream = TcpStream::connect(&target.address)?;
    let began = Instant::now();
    stream.write_all(head(target, method, path, size).as_bytes())?;
    let chunk = vec![0x5a; CHUNK];
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        stream.write_all(chunk.get(..now).context("a chunk")?)?;
        left -= now as u64;
    }
    let said = answer(&mut stream)?;
    if !said.starts_with("HTTP/1.1 20") {
        bail!("{path}: {said}");
    }
    Ok(rate(size, began.elapsed()))
}

/// Reads a file and throws it away.
pub(super) fn download(target: &Target, path: &str, size: u64) -> Result<f64> {
    let stream = TcpStream::connect(&target.address)?;
    let began = Instant::now();
    (&stream).write_all(head(target, "GET", path, 0).as_bytes())?;
    let mut reader = BufReader::with_capacity(CHUNK, stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        bail!("{path}: {line}");
    }
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let mut left = size;
    while left > 0 {
        let read = reader.fill_buf()?.len();
        if read == 0 {
            bail!("{path}: {left} bytes are missing");
        }
        reader.consume(read);
        left = left.saturating_sub(read as u64);
    }
    Ok(rate(size, began.elapsed()))
}

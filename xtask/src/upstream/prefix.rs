//! A room at the root of a port of its own: every path gets a prefix on its way to our server.
//!
//! Suites that know a service without a gateway ask it at `/signup`, ours is asked at
//! `/auth/v1/signup`. One request a connection, a thread for each: enough for a suite, which asks
//! one thing after another.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

/// No request of a suite waits longer, and a thread must not outlive the chore.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A request's head beyond this is no suite's.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

/// Listens until dropped.
pub(super) struct Prefix {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Prefix {
    /// What is asked at `port` is asked at `behind`, below `prefix`.
    pub(super) fn start(port: u16, behind: u16, prefix: &'static str) -> Result<Self> {
        // `localhost` is both for Node and httpx; they try the other where one refuses.
        let listener = TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("could not listen on port {port}"))?;
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                // A client that left is the suite's affair: its test says so.
                std::thread::spawn(move || forward(client, behind, prefix));
            }
        });
        Ok(Self { port, over })
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Whoever waits for a connection gets one, and looks.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn forward(mut client: TcpStream, behind: u16, prefix: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(WAIT_MAX))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        let room = HEAD_BYTES_MAX.saturating_sub(head.len() as u64);
        let read = reader.by_ref().take(room).read_until(b'\n', &mut line)?;
        head.extend_from_slice(&line);
        if read == 0 {
            return Ok(());
        }
        if line == b"\r\n" {
            break;
        }
    }
    let (head, body_bytes) = rewrite(&String::from_utf8_lossy(&head), prefix);
    let mut server = TcpStream::connect(("localhost", behind))?;
    server.set_read_timeout(Some(WAIT_MAX))?;
    server.write_all(head.as_bytes())?;
    std::io::copy(&mut reader.take(body_bytes), &mut server)?;
    // The server closes behind its answer, because it was asked to.
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}

/// The head for our server, which closes after it, and how long its body is.
fn rewrite(head: &str, prefix: &str) -> (String, u64) {
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut out = first.replacen(" /", &format!(" {prefix}/"), 1);
    let mut body_bytes = 0;
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().unwrap_or(0);
        }
        if !name.eq_ignore_ascii_case("connection") {
            out.push_str("\r\n");
            out.push_str(line);
        }
    }
    out.push_str("\r\nconnection: close\r\n\r\n");
    (out, body_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gets_its_prefix_and_a_connection_its_end() {
        let head = "POST /token?a=/b HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\
            Content-Length: 7\r\n\r\n";
        let expected = "POST /auth/v1/token?a=/b HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\
            connection: close\r\n\r\n";
        assert_eq!(rewrite(head, "/auth/v1"), (expected.to_owned(), 7));
    }
}

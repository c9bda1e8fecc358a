//! A connection that is kept: many requests on one socket, as real clients
//! send them, and a socket that can be left in the middle of a request.
//!
//! [`Line::ask`] is one request with its answer. `support::request` is for
//! single requests and for bytes that are no HTTP.

use std::fmt::Write as _;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{ANSWER_WAIT, Answer, parse};

/// The server is on this machine: what takes longer is a full listen queue.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// No test asks for more; a larger answer is a fault.
const ANSWER_MAX: usize = 64 << 20;

/// A kept connection.
pub(crate) struct Line {
    stream: TcpStream,
    address: String,
    /// What was read beyond the last answer.
    rest: Vec<u8>,
}

impl Line {
    /// Connects.
    pub(crate) fn open(address: &str) -> Result<Self> {
        let parsed: SocketAddr = address.parse().map_err(Error::other)?;
        let stream = TcpStream::connect_timeout(&parsed, CONNECT_WAIT)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_write_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            address: address.to_owned(),
            rest: Vec::new(),
        })
    }

    /// One request and its answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        self.say(method, path, headers, body)?;
        self.hear(method == "HEAD")
    }

    /// Only the request.
    pub(crate) fn say(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
        self.write(&[head.as_bytes(), body].concat())
    }

    /// Bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Nothing more will be sent.
    pub(crate) fn done(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer; one to HEAD has no body, whatever its length says.
    pub(crate) fn hear(&mut self, headless: bool) -> Result<Answer> {
        let head = self.fill(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4))?;
        let text = String::from_utf8_lossy(self.rest.get(..head).unwrap_or_default());
        let text = text.to_ascii_lowercase();
        let status = text.split(' ').nth(1).unwrap_or_default();
        let length = text
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next()?.trim().parse::<usize>().ok());
        let end = if headless || status == "204" || status == "304" || status.starts_with('1') {
            head
        } else if let Some(length) = length {
            self.fill(|bytes| (bytes.len() >= head + length).then_some(head + length))?
        } else {
            let last = b"0\r\n\r\n";
            self.fill(|bytes| find(bytes.get(head..)?, last).map(|at| head + at + last.len()))?
        };
        let after = self.rest.split_off(end);
        let answer = std::mem::replace(&mut self.rest, after);
        Ok(parse(&answer))
    }

    /// Reads until `done` finds its end in what is there.
    fn fill(&mut self, done: impl Fn(&[u8]) -> Option<usize>) -> Result<usize> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            if let Some(end) = done(&self.rest) {
                return Ok(end);
            }
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.rest
                .extend_from_slice(chunk.get(..read).unwrap_or_default());
            if self.rest.len() > ANSWER_MAX {
                return Err(Error::other("the answer has no end"));
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// A generator of test choices: xorshift64*, so that a failing run can be
/// repeated from the seed it prints.
pub(crate) struct Dice(u64);

impl Dice {
    /// From a seed other than zero.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or(0) % end.max(1)
    }

    /// One of them.
    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

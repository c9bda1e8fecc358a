//! Connections that go on: server-sent events and web sockets, as plain as they
//! are on the wire.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::ANSWER_WAIT;

/// Bytes that come, and how to take them apart.
struct Incoming {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Incoming {
    /// Sends a head and reads the answer's; the status.
    fn open(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<(u16, Self)> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n");
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let mut incoming = Self {
            stream,
            bytes: Vec::new(),
        };
        let head = incoming.until(b"\r\n\r\n")?;
        let status = String::from_utf8_lossy(&head);
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.unwrap_or(0), incoming))
    }

    fn more(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.bytes.extend_from_slice(&chunk[..read]);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.bytes.len() < count {
            self.more()?;
        }
        let rest = self.bytes.split_off(count);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>> {
        loop {
            let found = self.bytes.windows(mark.len()).position(|at| at == mark);
            if let Some(at) = found {
                return self.take(at + mark.len());
            }
            self.more()?;
        }
    }
}

/// Server-sent events.
pub(crate) struct Sse {
    incoming: Incoming,
    text: String,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(crate) id: Option<i64>,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Sse {
    /// Opens a stream, or says with what status it was refused.
    pub(crate) fn open(address: &str, path: &str, token: &str, seen: i64) -> Result<Self> {
        let bearer = format!("Bearer {token}");
        let seen = seen.to_string();
        let headers = [
            ("accept", "text/event-stream"),
            ("authorization", bearer.as_str()),
            ("last-event-id", seen.as_str()),
        ];
        let (status, incoming) = Incoming::open(address, path, &headers)?;
        if status != 200 {
            return Err(Error::other(status.to_string()));
        }
        let text = String::new();
        Ok(Self { incoming, text })
    }

    /// The next event; comments and `retry:` alone are none.
    pub(crate) fn next(&mut self) -> Result<Event> {
        loop {
            let Some((block, rest)) = self.text.split_once("\n\n") else {
                let size = self.incoming.until(b"\r\n")?;
                let size = String::from_utf8_lossy(&size);
                let size = usize::from_str_radix(size.trim(), 16).map_err(Error::other)?;
                let chunk = self.incoming.take(size + 2)?;
                if size == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                self.text.push_str(&String::from_utf8_lossy(&chunk[..size]));
                continue;
            };
            let mut event = Event::default();
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => event.id = id.parse().ok(),
                    Some(("event", kind)) => kind.clone_into(&mut event.kind),
                    Some(("data", data)) => {
                        event.data = serde_json::from_str(data).unwrap_or_default();
                    }
                    _ => {}
                }
            }
            self.text = rest.to_owned();
            if !event.kind.is_empty() {
                return Ok(event);
            }
        }
    }
}

/// A web socket.
pub(crate) struct Socket(Incoming);

/// What comes over it.
#[derive(Debug, PartialEq)]
pub(crate) enum Said {
    Json(Value),
    Closed(u16),
}

impl Socket {
    /// Opens one, or says with what status it was refused.
    pub(crate) fn open(address: &str, path: &str, headers: &[(&str, &str)]) -> Result<Self> {
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let headers = [&handshake[..], headers].concat();
        let (status, incoming) = Incoming::open(address, path, &headers)?;
        if status != 101 {
            return Err(Error::other(status.to_string()));
        }
        Ok(Self(incoming))
    }

    /// Sends a text.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.send(1, text.as_bytes())
    }

    /// A frame under a mask of zeros, which leaves bytes as they are.
    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let length = u16::try_from(payload.len()).map_err(Error::other)?;
        let mut frame = vec![0x80 | opcode];
        if length < 126 {
            frame.push(0x80 | u8::try_from(length).map_err(Error::other)?);
        } else {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.0.stream.write_all(&frame)
    }

    /// The next message; pings are answered on the way.
    pub(crate) fn next(&mut self) -> Result<Said> {
        loop {
            let head = self.0.take(2)?;
            let length = match head[1] & 0x7f {
                126 => {
                    let length = self.0.take(2)?;
                    usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
                127 => return Err(Error::other("no message is as long")),
                length => usize::from(length),
            };
            let payload = self.0.take(length)?;
            match head[0] & 0x0f {
                1 => {
                    let value = serde_json::from_slice(&payload).map_err(Error::other)?;
                    return Ok(Said::Json(value));
                }
                8 => {
                    let code = payload.get(..2).unwrap_or(&[0, 0]);
                    return Ok(Said::Closed(u16::from_be_bytes([code[0], code[1]])));
                }
                9 => self.send(10, &payload)?,
                _ => {}
            }
        }
    }
}

//! The head of a proxy request: `CONNECT host:port`, or a plain request with
//! an absolute address.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Longer heads are refused; npm's are below one KiB.
const HEAD_MOST: usize = 16 * 1024;
/// A client that takes longer for its head is not one.
const HEAD_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
const HTTP: u16 = 80;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) host: String,
    pub(super) port: u16,
    /// The head to pass on, for a plain request.
    pub(super) forward: Option<Vec<u8>>,
    /// What had come behind the head already.
    pub(super) rest: Vec<u8>,
}

/// Reads a head.
pub(super) async fn read(client: &mut TcpStream) -> Result<Asked, &'static str> {
    let reading = async {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = bytes.split_off(end + 4);
                return parse(&bytes, rest);
            }
            if bytes.len() > HEAD_MOST {
                return Err("the request's head is too long");
            }
            if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return Err("the request ended in its head");
            }
        }
    };
    let read = tokio::time::timeout(HEAD_WITHIN, reading);
    read.await
        .unwrap_or(Err("the request's head took too long"))
}

fn parse(head: &[u8], rest: Vec<u8>) -> Result<Asked, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the request's head is no text")?;
    let (line, headers) = text.split_once("\r\n").ok_or("no request line")?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("not a request line");
    };
    if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        return Ok(Asked {
            host,
            port,
            forward: None,
            rest,
        });
    }
    let address = target
        .strip_prefix("http://")
        .ok_or("this is a proxy: CONNECT host:port, or an absolute http:// address")?;
    let (host, path) = match address.find(['/', '?']) {
        Some(at) => address.split_at(at),
        None => (address, "/"),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    // One request per connection: what follows it might name another host.
    let mut forward =
        format!("{method} {slash}{path} {version}\r\nhost: {host}\r\nconnection: close\r\n");
    let dropped = ["proxy-", "connection:", "host:", "keep-alive:"];
    for header in headers.split("\r\n").filter(|header| !header.is_empty()) {
        let lower = header.to_ascii_lowercase();
        if !dropped.iter().any(|name| lower.starts_with(name)) {
            forward.push_str(header);
            forward.push_str("\r\n");
        }
    }
    forward.push_str("\r\n");
    let (host, port) = authority(host, Some(HTTP))?;
    Ok(Asked {
        host,
        port,
        forward: Some(forward.into_bytes()),
        rest,
    })
}

/// `host:port`, `[v6]:port`.
fn authority(text: &str, default: Option<u16>) -> Result<(String, u16), &'static str> {
    const BAD: &str = "not a host and port";
    let bare = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match bare {
        Some((host, port)) => (host, port.parse().map_err(|_| BAD)?),
        None => (text, default.ok_or(BAD)?),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(allowed) {
        return Err(BAD);
    }
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(head: &str) -> Result<Asked, &'static str> {
        parse(head.as_bytes(), Vec::new())
    }

    #[test]
    fn connect_names_a_host_and_a_port() {
        let got = asked("CONNECT registry.example:443 HTTP/1.1\r\nhost: other\r\n\r\n")
            .expect("a request");
        assert_eq!(
            (got.host.as_str(), got.port, got.forward),
            ("registry.example", 443, None)
        );
        assert!(asked("CONNECT registry.example HTTP/1.1\r\n\r\n").is_err());
        assert!(asked("CONNECT user@host:443 HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn a_plain_request_goes_to_the_host_in_its_address_whatever_its_headers_say() {
        let head = "GET http://a.example:81/x?y HTTP/1.1\r\nHost: b.example\r\nProxy-Authorization: z\r\nAccept: */*\r\n\r\n";
        let got = asked(head).expect("a request");
        assert_eq!((got.host.as_str(), got.port), ("a.example", 81));
        let forward = String::from_utf8(got.forward.expect("a head")).expect("text");
        assert_eq!(
            forward,
            "GET /x?y HTTP/1.1\r\nhost: a.example:81\r\nconnection: close\r\nAccept: */*\r\n\r\n"
        );
        assert!(asked("GET /x HTTP/1.1\r\nhost: a.example\r\n\r\n").is_err());
    }
}

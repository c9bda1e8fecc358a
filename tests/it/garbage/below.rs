//! What is wrong below HTTP, or with its framing: sizes, slowness, smuggling.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use super::*;
use crate::wire::Line;

const HEAD: &str = "POST /rest/v1/items HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
const HUGE: usize = 100 << 20;

#[test]
fn framing_that_is_wrong_does_no_harm() {
    let target = Target::start();
    too_large(&target);
    too_many_headers(&target);
    smuggled(&target);
    slow(&target);
    target.finish();
}

/// Refused by its length before a byte of it was read, or in the middle.
fn too_large(target: &Target) {
    let before = resident_kib(target.server.pid());
    let declared = format!("{HEAD}connection: close\r\ncontent-length: {HUGE}\r\n\r\n");
    let answer = raw(target.address(), declared.as_bytes()).unwrap();
    target.check("a declared 100 MB", &answer, &[413]);

    let mut whole = declared.into_bytes();
    whole.resize(whole.len() + HUGE, b' ');
    // The server may close while we send; then the answer may be lost.
    if let Ok(answer) = raw(target.address(), &whole)
        && answer.status != 0
    {
        target.check("a sent 100 MB", &answer, &[413]);
    }
    let mut stream = TcpStream::connect(target.address()).unwrap();
    let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n", &vec![b' '; 1 << 20][..], b"\r\n"].concat();
    let mut sent = 0;
    while sent < HUGE && stream.write_all(&chunk).is_ok() {
        sent += 1 << 20;
    }
    assert!(sent < HUGE, "all of it was taken");
    let grown = resident_kib(target.server.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "grew by {grown} KiB");

    // One that stops to listen gets its answer.
    let mut polite = [head.as_bytes(), &chunk.repeat(11)].concat();
    polite.extend_from_slice(b"0\r\n\r\n");
    let mut line = Line::open(target.address()).unwrap();
    if line.write(&polite).is_ok()
        && let Ok(answer) = line.hear(false)
    {
        target.check("11 MB in chunks", &answer, &[413]);
    }
}

fn too_many_headers(target: &Target) {
    let mut head = "GET /rest/v1/items HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
    for n in 0..10_000 {
        let _ = write!(head, "x-{n}: y\r\n");
    }
    head.push_str("\r\n");
    refused_below(target, head.as_bytes());
    let long = format!(
        "GET /rest/v1/items?name=eq.{} HTTP/1.1\r\nhost: x\r\n\r\n",
        "a".repeat(1 << 20)
    );
    refused_below(target, long.as_bytes());
}

/// What HTTP itself forbids is refused before there is a dialect, with an
/// empty answer, or with the connection.
fn refused_below(target: &Target, bytes: &[u8]) {
    let mut line = Line::open(target.address()).unwrap();
    let _ = line.write(bytes);
    line.done();
    let Ok(answer) = line.hear(false) else {
        return;
    };
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
    if answer.status != 0 {
        target.check(&shown, &answer, &[400, 404, 405, 411, 414, 431, 505]);
    }
}

/// Two lengths, bad lengths, bad names: whatever is behind must never be
/// taken for a request of its own.
fn smuggled(target: &Target) {
    let inner = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for framing in [
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: -1\r\n",
        "content-length: +5\r\n",
        "content-length: 5 5\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: nonsense\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "content-length : 5\r\n",
        "\0: x\r\n",
        "x: \0\r\n",
        "transfer-encoding\r\n",
        " folded\r\n",
    ] {
        let bytes = format!("{HEAD}{framing}\r\n{inner}");
        let answers = count_answers(target, bytes.as_bytes());
        assert!(answers <= 1, "{framing:?}: {answers} answers");
    }
    // Chunked wins over a length (RFC 9112, 6.3), or both are refused.
    let both =
        format!("{HEAD}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}");
    assert!(count_answers(target, both.as_bytes()) <= 2);
    for chunks in [
        "zz\r\n",
        "5\r\nabc",
        "ffffffffffffffffff\r\n",
        "-1\r\n",
        "1;\u{0}\r\nx\r\n0\r\n\r\n",
    ] {
        let bytes = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunks}");
        refused_below(target, bytes.as_bytes());
    }
    for nonsense in [
        &b"\0\0\0\0"[..], b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n", b"GET /rest/v1/items\r\n\r\n",
        b"GET http://[::bad/rest/v1/items HTTP/1.1\r\n\r\n", b"GET * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense", b"GET /rest/v1/\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /rest/v1/items HTTP/1.1\r\nhost: x\r\nx: \xff\xfe\r\nauthorization: \xff\r\nprefer: \xff\r\nconnection: close\r\n\r\n",
    ] {
        let _ = raw(target.address(), nonsense).map(|answer| assert!(answer.status < 500, "{answer:?}"));
    }
    // An answer does not wait for the end of the next request.
    let mut line = Line::open(target.address()).unwrap();
    let and_a_half = "GET /rest/v1/items?limit=1 HTTP/1.1\r\nhost: x\r\n\r\nGET /re";
    line.write(and_a_half.as_bytes()).unwrap();
    assert_eq!(line.hear(false).unwrap().status, 200);
    // Requests one behind the other are answered one after the other.
    let ask = "GET /rest/v1/items?select=id&limit=1 HTTP/1.1\r\nhost: x\r\n\r\n".repeat(99);
    let last = "GET /rest/v1/nobody HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(
        count_answers(target, format!("{ask}{last}").as_bytes()),
        100
    );
}

fn count_answers(target: &Target, bytes: &[u8]) -> usize {
    let mut stream = TcpStream::connect(target.address()).unwrap();
    stream.set_read_timeout(Some(ANSWER_MAX)).unwrap();
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer)
        .matches("HTTP/1.1 ")
        .count()
}

/// A head or nothing at all, byte by byte: cut off at the header limit. A body
/// that never ends: at the request limit, and until then it costs one socket.
fn slow(target: &Target) {
    let open: Vec<_> = ["", "G", "GET /rest/v1/items HTTP/1.1\r\nx: "]
        .into_iter()
        .map(|start| {
            let mut stream = TcpStream::connect(target.address()).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            thread::spawn(move || dribble(stream, !start.is_empty()))
        })
        .collect();
    let mut hanging = Line::open(target.address()).unwrap();
    hanging
        .write(format!("{HEAD}content-length: 10\r\n\r\n{{").as_bytes())
        .unwrap();
    for one in open {
        assert!(
            one.join().unwrap() < Duration::from_secs(8),
            "a slow head was let in"
        );
    }
    let late = hanging.hear(false).unwrap();
    target.check("a body that never ends", &late, &[408, 504]);
    let answer = request(target.address(), "GET", "/rest/v1/items?limit=1", &[], b"").unwrap();
    assert_eq!(answer.status, 200);
}

/// How long the server listened.
fn dribble(mut stream: TcpStream, say: bool) -> Duration {
    let began = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut byte = [0];
    while began.elapsed() < ANSWER_MAX {
        if say && stream.write_all(b"x").is_err() {
            break;
        }
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => break,
        }
    }
    began.elapsed()
}

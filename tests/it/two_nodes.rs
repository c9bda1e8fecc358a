//! Two nodes of one project: one database, the same keys, and the same place for
//! bytes, a bucket or a folder that both see. What is begun at one goes on at the
//! other, and whoever serves at the same moment is not taken for dead.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::bucket::Bucket;
use crate::s3_client::S3Client;
use crate::support::{ANSWER_WAIT, Answer, Ferrobase, ONE_SECRET, parse, project, request, write};

const SIZE: usize = 3 << 20;
/// What S3's clients sign with at either node.
const KEY: &str = "both";
const SECRET: &str = "a secret of thirty-two characters or more";
const WAIT: Duration = Duration::from_secs(60);
const TUS: (&str, &str) = ("tus-resumable", "1.0.0");

/// The first looks after the database, the second is a plain `serve` on it.
struct Nodes {
    first: Ferrobase,
    second: Ferrobase,
    _folders: [tempfile::TempDir; 2],
}

impl Nodes {
    fn start(settings: &str) -> Self {
        let keys = format!("[storage.s3_protocol]\naccess_keys = [\"{KEY}:{SECRET}\"]\n");
        let settings = &[ONE_SECRET, settings, &keys].concat();
        let folders = [project(&[("ferrobase.toml", settings)]), project(&[])];
        let first = Ferrobase::dev(folders[0].path());
        let keys = std::fs::read(folders[0].path().join(".ferrobase/keys.json")).unwrap();
        let second = folders[1].path();
        write(second, "ferrobase.toml", settings);
        std::fs::create_dir_all(second.join(".ferrobase")).unwrap();
        std::fs::write(second.join(".ferrobase/keys.json"), keys).unwrap();
        let url = first.field("db_url").as_str().unwrap().to_owned();
        let arguments = [
            "serve",
            "--data-dir",
            ".ferrobase",
            "--json",
            "--port",
            "0",
            "--database-url",
            &url,
        ];
        let second = Ferrobase::start(second, &arguments, &[]);
        let second = second.unwrap_or_else(|done| panic!("it ended: {done:?}"));
        let second = second.known_from(&first.ready());
        let made = first.send(
            "POST",
            "/storage/v1/bucket",
            first.service_key(),
            r#"{"id":"b","name":"b"}"#,
        );
        assert_eq!(made.status, 200, "{made:?}");
        Self {
            first,
            second,
            _folders: folders,
        }
    }

    fn ask(&self, node: &Ferrobase, line: &str, head: &[(&str, &str)], body: &[u8]) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let bearer = format!("Bearer {}", self.first.service_key());
        // A node that others reach asks for a key as well.
        let own = [
            ("authorization", bearer.as_str()),
            ("apikey", self.first.service_key()),
        ];
        request(node.address(), method, path, &[&own, head].concat(), body).unwrap()
    }
}

/// Bytes that are the same nowhere.
fn noise(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        // Letters, so that an `Answer` can hold them.
        b'a' + ((state >> 33) % 26) as u8
    };
    (0..SIZE).map(|_| next()).collect()
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.into_iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no {name}: {answer:?}")).1
}

#[test]
fn with_one_bucket() {
    let bucket = Bucket::start();
    let nodes = Nodes::start(&bucket.storage());
    resumable(&nodes);
    cut_off(&nodes);
    addresses(&nodes);
    s3_parts(&nodes);
}

#[test]
fn with_one_folder() {
    let shared = tempfile::tempdir().unwrap();
    let settings = format!("[storage]\nurl = \"{}\"\n", shared.path().display());
    let nodes = Nodes::start(&settings);
    resumable(&nodes);
    cut_off(&nodes);
    addresses(&nodes);
    s3_parts(&nodes);
}

fn create(nodes: &Nodes, node: &Ferrobase, name: &str) -> String {
    let pair = |key, value: &str| format!("{key} {}", STANDARD.encode(value));
    let about = [pair("bucketName", "b"), pair("objectName", name)].join(",");
    let size = SIZE.to_string();
    let head = [
        TUS,
        ("upload-length", size.as_str()),
        ("upload-metadata", &about),
    ];
    let bearer = format!("Bearer {}", nodes.first.service_key());
    // Not as an `Answer`, whose head is in lower case: an address is not.
    let address = node.address();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut text = format!(
        "POST /storage/v1/upload/resumable HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         authorization: {bearer}\r\napikey: {}\r\ncontent-length: 0\r\n",
        nodes.first.service_key()
    );
    for (name, value) in head {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let location = format!("\r\nlocation: http://{address}");
    let (_, path) = answer.split_once(&location).expect(&answer);
    path.split_once("\r\n").unwrap().0.to_owned()
}

fn offset(nodes: &Nodes, node: &Ferrobase, path: &str) -> usize {
    let answer = nodes.ask(node, &format!("HEAD {path}"), &[TUS], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    header(&answer, "upload-offset").parse().unwrap()
}

fn patch(nodes: &Nodes, node: &Ferrobase, path: &str, at: usize, bytes: &[u8]) -> Answer {
    let at = at.to_string();
    let head = [
        TUS,
        ("upload-offset", at.as_str()),
        ("content-type", "application/offset+octet-stream"),
    ];
    nodes.ask(node, &format!("PATCH {path}"), &head, bytes)
}

fn is_there(nodes: &Nodes, name: &str, bytes: &[u8]) {
    for node in [&nodes.first, &nodes.second] {
        let path = format!("GET /storage/v1/object/authenticated/b/{name}");
        let answer = nodes.ask(node, &path, &[], b"");
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.body.as_bytes() == bytes, "{name} has other bytes");
    }
}

/// Piece by piece, each at the other node.
fn resumable(nodes: &Nodes) {
    let bytes = noise(1);
    let path = create(nodes, &nodes.first, "turns");
    let mut at = 0;
    for (number, piece) in bytes.chunks(SIZE / 5 + 1).enumerate() {
        let node = if number % 2 == 0 {
            &nodes.second
        } else {
            &nodes.first
        };
        assert_eq!(offset(nodes, node, &path), at);
        let done = patch(nodes, node, &path, at, piece);
        assert_eq!(done.status, 204, "{done:?}");
        at += piece.len();
    }
    is_there(nodes, "turns", &bytes);
}

/// A request is in the middle of its bytes at one node when the client comes to
/// the other one: the first lets go, and only what it had counts. Then a node
/// is killed in the middle.
fn cut_off(nodes: &Nodes) {
    let bytes = noise(2);
    let path = create(nodes, &nodes.first, "cut");
    for (busy, free) in [(&nodes.first, &nodes.second), (&nodes.second, &nodes.first)] {
        let at = offset(nodes, free, &path);
        let mut stream = TcpStream::connect(busy.address()).unwrap();
        stream.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\nauthorization: Bearer {0}\r\n\
             apikey: {0}\r\ntus-resumable: 1.0.0\r\nupload-offset: {at}\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: {1}\r\n\r\n",
            nodes.first.service_key(),
            SIZE - at
        );
        stream.write_all(head.as_bytes()).unwrap();
        let half = at + (SIZE - at) / 2;
        stream.write_all(&bytes[at..half]).unwrap();
        // It is held now; whoever comes to the other node waits for that one.
        let deadline = Instant::now() + WAIT;
        let counted = loop {
            let counted = offset(nodes, free, &path);
            if counted > at {
                break counted;
            }
            assert!(Instant::now() < deadline, "nothing is counted");
            thread::sleep(Duration::from_millis(20));
        };
        assert!(counted <= half, "{counted} of {half}");
        let mut answer = Vec::new();
        // The rest comes too late, and changes nothing.
        let _ = stream.write_all(&bytes[half..]);
        let _ = stream.read_to_end(&mut answer);
        let status = parse(&answer).status;
        assert!(matches!(status, 0 | 423), "{status}");
    }
    let at = offset(nodes, &nodes.first, &path);
    let done = patch(nodes, &nodes.second, &path, at, &bytes[at..]);
    assert_eq!(done.status, 204, "{done:?}");
    is_there(nodes, "cut", &bytes);
}

/// Signed at one node, used at the other.
fn addresses(nodes: &Nodes) {
    let sign = |node: &Ferrobase, what: &str, body: &str, field: &str| {
        let line = format!("POST /storage/v1/object/{what}");
        let answer = nodes.ask(
            node,
            &line,
            &[("content-type", "application/json")],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("/storage/v1{}", answer.json()[field].as_str().unwrap())
    };
    let up = sign(&nodes.first, "upload/sign/b/signed", "{}", "url");
    let kind = [("content-type", "text/plain")];
    let put = request(nodes.second.address(), "PUT", &up, &kind, b"by signature").unwrap();
    assert_eq!(put.status, 200, "{put:?}");
    let down = sign(
        &nodes.second,
        "sign/b/signed",
        &json!({"expiresIn": 60}).to_string(),
        "signedURL",
    );
    let got = request(nodes.first.address(), "GET", &down, &[], b"").unwrap();
    assert_eq!((got.status, got.body.as_str()), (200, "by signature"));
}

/// The S3 protocol's parts: begun at one, parts at both, put together at the
/// other.
fn s3_parts(nodes: &Nodes) {
    let client = S3Client::new(KEY, SECRET);
    let begun = client.ask(&nodes.first, ("POST", "b/parts"), "uploads=", b"");
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = between(&begun.body, "<UploadId>", "</UploadId>");
    // Parts but the last have five mebibytes or more.
    let bytes: Vec<Vec<u8>> = vec![
        [noise(3), noise(4)].concat(),
        [noise(5), noise(6)].concat(),
        noise(7),
    ];
    let mut list = String::new();
    for (part, number) in bytes.iter().zip(1..) {
        let node = if number % 2 == 1 {
            &nodes.second
        } else {
            &nodes.first
        };
        let query = format!("partNumber={number}&uploadId={id}");
        let put = client.ask(node, ("PUT", "b/parts"), &query, part);
        assert_eq!(put.status, 200, "{put:?}");
        let etag = header(&put, "etag");
        write!(
            list,
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        )
        .unwrap();
    }
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let query = format!("uploadId={id}");
    let done = client.ask(&nodes.second, ("POST", "b/parts"), &query, body.as_bytes());
    assert_eq!(done.status, 200, "{done:?}");
    is_there(nodes, "parts", &bytes.concat());
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("{text}")).1;
    rest.split_once(end).unwrap().0
}

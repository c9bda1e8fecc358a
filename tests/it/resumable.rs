//! Resumable uploads survive what happens to them: connections that break in
//! the middle of everything, and a server that is killed with SIGKILL while
//! they are on their way. What was counted stays, and in the end the bytes are
//! the ones that were sent.
//!
//! `FERROBASE_RESUMABLE_MIB` makes the uploads larger than what a test run
//! should wait for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use serde_json::json;

use crate::support::{ANSWER_WAIT, Answer, Ferrobase, parse, project, request};
use crate::wire::Dice;

const UPLOADS: usize = 10;
const CUTS: usize = 20;
const KILLS: usize = 5;
/// A client that cannot reach the server tries again after this.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// An upload that gets nowhere for so long never will.
const STUCK: Duration = Duration::from_secs(300);
const BUCKET: &str = "insert into storage.buckets (id, name) values ('files', 'files');\n\
     create policy writing on storage.objects to authenticated\n\
     using (owner_id = auth.uid()::text) with check (owner_id = auth.uid()::text);\n";
const ANN: &str = "00000000-0000-4000-8000-000000000001";
/// What is written at once. Odd, so that cuts fall between the pieces of
/// everything.
const PIECE: usize = 65_537;

/// What the uploads of a test share.
struct Load {
    address: Mutex<String>,
    token: String,
    size: usize,
    /// Bytes that were sent, by all of them: what kills and cuts wait for.
    sent: AtomicUsize,
}

impl Load {
    fn new(server: &Ferrobase) -> Arc<Self> {
        let mib = std::env::var("FERROBASE_RESUMABLE_MIB").ok();
        let mib: usize = mib.map_or(8, |mib| mib.parse().unwrap());
        Arc::new(Self {
            address: Mutex::new(server.address().to_owned()),
            token: format!("Bearer {}", server.token(ANN, &json!({}))),
            size: mib << 20,
            sent: AtomicUsize::new(0),
        })
    }

    fn ask(&self, method: &str, path: &str, head: &[(&str, &str)]) -> std::io::Result<Answer> {
        let address = self.address.lock().unwrap().clone();
        let own = [
            ("authorization", self.token.as_str()),
            ("tus-resumable", "1.0.0"),
        ];
        request(&address, method, path, &[&own, head].concat(), b"")
    }

    /// The path of a new upload.
    fn create(&self, name: &str) -> String {
        let pair = |key, value: &str| format!("{key} {}", STANDARD.encode(value));
        let about = [pair("bucketName", "files"), pair("objectName", name)].join(",");
        let length = self.size.to_string();
        let address = self.address.lock().unwrap().clone();
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /storage/v1/upload/resumable HTTP/1.1\r\nhost: {address}\r\n\
             connection: close\r\nauthorization: {}\r\ntus-resumable: 1.0.0\r\n\
             upload-length: {length}\r\nupload-metadata: {about}\r\ncontent-length: 0\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Not as an `Answer`, whose head is in lower case: an address is not.
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let location = format!("\r\nlocation: http://{address}");
        let (_, path) = answer.split_once(&location).expect(&answer);
        path.split_once("\r\n").unwrap().0.to_owned()
    }

    /// How far an upload is, once there is somebody to say it.
    fn offset(&self, path: &str) -> usize {
        let deadline = Instant::now() + STUCK;
        loop {
            match self.ask("HEAD", path, &[]) {
                Ok(answer) if answer.status == 200 => {
                    return header(&answer, "upload-offset").unwrap().parse().unwrap();
                }
                Ok(answer) => assert!(
                    matches!(answer.status, 0 | 423 | 502 | 503 | 504),
                    "{}: {}",
                    answer.status,
                    answer.body
                ),
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "nobody answers");
            thread::sleep(RETRY_PAUSE);
        }
    }

    /// Sends from `offset` on, at most so many bytes; the answer when all were
    /// sent and there was one.
    fn patch(&self, path: &str, offset: usize, seed: u64, most: usize) -> Option<Answer> {
        let address = self.address.lock().unwrap().clone();
        let left = self.size - offset;
        let mut stream = TcpStream::connect(&address).ok()?;
        stream.set_read_timeout(Some(ANSWER_WAIT)).ok()?;
        let head = format!(
            "PATCH {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             authorization: {}\r\ntus-resumable: 1.0.0\r\nupload-offset: {offset}\r\n\
             content-type: application/offset+octet-stream\r\ncontent-length: {left}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).ok()?;
        let end = offset + left.min(most);
        for at in (offset..end).step_by(PIECE) {
            let piece = noise(seed, at, PIECE.min(end - at));
            stream.write_all(&piece).ok()?;
            self.sent.fetch_add(piece.len(), Ordering::Relaxed);
        }
        if end < self.size {
            return None;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        (!answer.is_empty()).then(|| parse(&answer))
    }

    /// The object is what was sent.
    fn verify(&self, name: &str, seed: u64) {
        let path = format!("/storage/v1/object/authenticated/files/{name}");
        let address = self.address.lock().unwrap().clone();
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nauthorization: {}\r\n\r\n",
            self.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let (mut start, mut buffer) = (Vec::new(), [0; 1]);
        while !start.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut buffer).unwrap();
            start.extend(buffer);
        }
        assert_eq!(parse(&start).status, 200);
        let (mut got, mut want) = (Context::new(&SHA256), Context::new(&SHA256));
        let mut count = 0;
        let mut buffer = vec![0; PIECE];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            count += read;
            got.update(&buffer[..read]);
        }
        assert_eq!(count, self.size);
        for at in (0..self.size).step_by(PIECE) {
            want.update(&noise(seed, at, PIECE.min(self.size - at)));
        }
        assert_eq!(got.finish().as_ref(), want.finish().as_ref());
    }
}

/// Bytes that are the same whenever they are made, and like no others: eight at
/// a time, of their place.
fn noise(seed: u64, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 16);
    for n in at / 8..=(at + len) / 8 {
        let mut x = (n as u64 ^ seed.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bytes.extend_from_slice(&(x ^ (x >> 32)).to_le_bytes());
    }
    bytes.drain(..at % 8);
    bytes.truncate(len);
    bytes
}

/// A header's value, in lower case as [`Answer`] has it.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let lines = answer.head.lines();
    lines
        .filter_map(|line| line.split_once(": "))
        .find_map(|(known, value)| (known == name).then_some(value))
}

#[test]
fn ten_uploads_are_each_cut_off_twenty_times() {
    let folder = project(&[("supabase/migrations/20240101000000_files.sql", BUCKET)]);
    let server = start(folder.path());
    let load = Load::new(&server);
    let uploads: Vec<_> = (0..UPLOADS as u64)
        .map(|seed| {
            let load = Arc::clone(&load);
            thread::spawn(move || cut_and_resumed(&load, seed))
        })
        .collect();
    for upload in uploads {
        upload.join().unwrap();
    }
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

fn cut_and_resumed(load: &Load, seed: u64) {
    let name = format!("cut-{seed}");
    let path = load.create(&name);
    let mut dice = Dice::new(seed + 1);
    let share = load.size / (CUTS + 1);
    for _ in 0..CUTS {
        let offset = load.offset(&path);
        // Never its last byte.
        let most = (share / 2 + dice.below(share)).min(load.size - offset - 1);
        assert!(load.patch(&path, offset, seed, most).is_none());
    }
    finish(load, &path, seed);
    load.verify(&name, seed);
}

/// Until it is done, whatever comes in between. What was counted stays.
fn finish(load: &Load, path: &str, seed: u64) {
    let deadline = Instant::now() + STUCK;
    let mut counted = 0;
    loop {
        let offset = load.offset(path);
        assert!(offset >= counted, "{counted} were counted, {offset} are");
        counted = offset;
        if offset == load.size {
            return;
        }
        if let Some(answer) = load.patch(path, offset, seed, usize::MAX) {
            let told = matches!(answer.status, 204 | 409 | 423 | 500 | 503);
            assert!(told, "{}: {}", answer.status, answer.body);
        }
        assert!(Instant::now() < deadline, "stuck at {offset}");
    }
}

#[test]
fn uploads_go_on_after_the_server_was_killed() {
    let folder = project(&[("supabase/migrations/20240101000000_files.sql", BUCKET)]);
    let mut server = start(folder.path());
    let load = Load::new(&server);
    let mut dice = Dice::new(u64::from(std::process::id()));
    let uploads: Vec<_> = (0..UPLOADS as u64)
        .map(|seed| {
            let path = load.create(&format!("killed-{seed}"));
            let load = Arc::clone(&load);
            thread::spawn(move || finish(&load, &path, seed))
        })
        .collect();
    for _ in 0..KILLS {
        // In the middle of something, not after a while.
        let more = dice.below(load.size * UPLOADS / (KILLS + 1));
        let until = load.sent.load(Ordering::Relaxed) + more;
        while load.sent.load(Ordering::Relaxed) < until
            && !uploads.iter().all(thread::JoinHandle::is_finished)
        {
            thread::yield_now();
        }
        server.kill9();
        server = start(folder.path());
        server
            .address()
            .clone_into(&mut load.address.lock().unwrap());
    }
    for upload in uploads {
        upload.join().unwrap();
    }
    for seed in 0..UPLOADS as u64 {
        load.verify(&format!("killed-{seed}"), seed);
    }
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
}

fn start(folder: &std::path::Path) -> Ferrobase {
    let limit = [("FERROBASE__STORAGE__FILE_SIZE_LIMIT", "1GiB")];
    Ferrobase::dev_in(folder, &limit)
}

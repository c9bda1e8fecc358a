//! A backup that is taken while many write, overwrite, move and delete is one
//! moment: restored, every row has its file and every file its row, by hash, and
//! of each writer there is everything up to some point and nothing after it.
//!
//! Some hundred objects by default; `FERROBASE_BACKUP_FILES=100000` for as many
//! as it takes to believe it. What it took is printed (`--no-capture`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::backup::{scene_with, verb};
use crate::support::{ANSWER_WAIT, Ferrobase, command, project, run};
use crate::wire::Dice;

const OBJECTS: u64 = 600;
const WRITERS: u64 = 6;
/// One piece of work for the disk, and several chunks.
const SIZES: [usize; 4] = [0, 300, 4_096, 70_000];
/// One in so many is long.
const LONG_EVERY: u64 = 50;

struct Load {
    address: String,
    key: String,
    over: AtomicBool,
    done: AtomicU64,
}

/// One connection that stays.
struct Line<'l> {
    load: &'l Load,
    stream: BufReader<TcpStream>,
}

impl<'l> Line<'l> {
    fn new(load: &'l Load) -> Self {
        let stream = TcpStream::connect(&load.address).unwrap();
        stream.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Self { load, stream }
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let kind = if body.first() == Some(&b'{') {
            "application/json"
        } else {
            "text/plain"
        };
        let head = format!(
            "{method} /storage/v1/object{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             x-upsert: true\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            self.load.address,
            self.load.key,
            body.len()
        );
        let sent = [head.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&sent).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(
                self.stream.read_line(&mut line).unwrap() > 0,
                "{method} {path}: cut off"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).unwrap().parse().unwrap();
            } else if let Some(said) = line.strip_prefix("content-length: ") {
                length = said.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        (status, body)
    }

    fn ok(&mut self, method: &str, path: &str, body: &[u8]) {
        let (status, answer) = self.ask(method, path, body);
        assert_eq!(
            status,
            200,
            "{method} {path}: {}",
            String::from_utf8_lossy(&answer)
        );
        self.load.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// What says of itself what it is: a line again and again.
fn content(word: &str, number: u64) -> Vec<u8> {
    let size = match number % LONG_EVERY {
        7 => SIZES[3],
        rest => SIZES[usize::try_from(rest % 3).unwrap()],
    };
    let line = format!("{word}\n");
    line.repeat(1 + size / line.len()).into_bytes()
}

/// What is there before; nobody touches a third of it.
fn fill(load: &Load, objects: u64) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut line = Line::new(load);
                for number in (writer..objects).step_by(usize::try_from(WRITERS).unwrap()) {
                    let name = format!("w{writer}/{number}");
                    line.ok("POST", &format!("/b/{name}"), &content(&name, number));
                }
            });
        }
    });
}

/// One writer's work: log entries that only come, and files that come, change,
/// move and go. Says how many log entries there were.
fn write_on(load: &Load, writer: u64, objects: u64) -> u64 {
    let mut line = Line::new(load);
    let mut dice = Dice::new(writer + 1);
    let mine: Vec<u64> = (writer..objects)
        .step_by(usize::try_from(WRITERS).unwrap())
        .filter(|number| !(number / WRITERS).is_multiple_of(3))
        .collect();
    let mut entries = 0;
    let mut gone = std::collections::BTreeSet::new();
    while !load.over.load(Ordering::Relaxed) {
        line.ok(
            "POST",
            &format!("/b/log{writer}/{entries:07}"),
            &content("log", entries),
        );
        entries += 1;
        let number = mine[dice.below(mine.len())];
        let name = format!("w{writer}/{number}");
        match dice.below(4) {
            0 if !gone.contains(&number) => {
                line.ok("DELETE", &format!("/b/{name}"), b"");
                gone.insert(number);
            }
            1 if !gone.contains(&number) => {
                let to = format!("moved{writer}/{number}-{entries}");
                let body = json!({"bucketId": "b", "sourceKey": name, "destinationKey": to});
                line.ok("POST", "/move", body.to_string().as_bytes());
                gone.insert(number);
            }
            _ => {
                let word = format!("{name} again {entries}");
                line.ok(
                    "POST",
                    &format!("/b/{name}"),
                    &content(&word, number + entries),
                );
                gone.remove(&number);
            }
        }
    }
    entries
}

/// Runs `backup create` and says what it said and the most memory it had.
fn create(folder: &Path) -> (Value, u64) {
    let mut child = command(folder, &["--json", "backup", "create"]);
    let child = child.stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watched = thread::spawn(move || {
        let mut most = 0;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(peak) = text.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
                break;
            };
            most = peak.trim().trim_end_matches(" kB").parse().unwrap_or(most);
            thread::sleep(Duration::from_millis(20));
        }
        most
    });
    let done = child.wait_with_output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    (
        serde_json::from_slice(&done.stdout).unwrap(),
        watched.join().unwrap(),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story from writers to copies")]
fn a_backup_under_load_is_one_moment() {
    let objects = std::env::var_os("FERROBASE_BACKUP_FILES");
    let objects = objects.map_or(OBJECTS, |text| text.to_str().unwrap().parse().unwrap());
    let (folder, server) = scene_with("");
    let load = Load {
        address: server.address().to_owned(),
        key: server.service_key().to_owned(),
        over: AtomicBool::new(false),
        done: AtomicU64::new(0),
    };
    let began = Instant::now();
    fill(&load, objects);
    eprintln!(
        "{objects} objects written in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let before = load.done.swap(0, Ordering::Relaxed);
    assert_eq!(before, objects);
    let (backups, entries) = thread::scope(|scope| {
        let load = &load;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || write_on(load, writer, objects)))
            .collect();
        while load.done.load(Ordering::Relaxed) < WRITERS {
            thread::yield_now();
        }
        let mut backups = Vec::new();
        for which in ["first", "second"] {
            let (began, before) = (Instant::now(), load.done.load(Ordering::Relaxed));
            let (made, memory) = create(folder.path());
            let (took, during) = (began.elapsed(), load.done.load(Ordering::Relaxed) - before);
            eprintln!(
                "{which} backup: {:.1} s, {} new files of {} bytes, {memory} kB of memory, {during} writes meanwhile",
                took.as_secs_f64(),
                made["new_files"],
                made["new_bytes"]
            );
            assert!(during > 0, "nobody wrote meanwhile");
            assert_eq!(made["first_missing"], Value::Null, "{made}");
            backups.push(made["id"].as_str().unwrap().to_owned());
        }
        load.over.store(true, Ordering::Relaxed);
        let entries: Vec<u64> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();
        (backups, entries)
    });
    drop(server);
    for (number, id) in backups.iter().enumerate() {
        let elsewhere = project(&[]);
        let into = elsewhere.path().join("restored");
        let began = Instant::now();
        let restored = verb(
            folder.path(),
            &["restore", id, "--into", into.to_str().unwrap()],
        );
        eprintln!(
            "restored in {:.1} s: {} files, {} bytes on the disk",
            began.elapsed().as_secs_f64(),
            restored["files"],
            size_of(&into)
        );
        agree(&into, &restored, &entries);
        if number == 0 {
            let began = Instant::now();
            verb(folder.path(), &["verify", id]);
            eprintln!("verified in {:.1} s", began.elapsed().as_secs_f64());
        }
    }
    let list = verb(folder.path(), &["list"]);
    for one in list["backups"].as_array().unwrap() {
        eprintln!(
            "own {} bytes, {} files of {} bytes",
            one["own_bytes"], one["files"], one["file_bytes"]
        );
    }
}

/// Rows and files, by hash; and each writer's log has no hole and no tail.
fn agree(into: &Path, restored: &Value, entries: &[u64]) {
    let server = Ferrobase::dev(into);
    let done = run(into, &["storage", "fsck", "--json", "--verify"]);
    let found: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let report = &found["report"];
    assert_eq!(found["clean"], true, "{found}");
    for count in ["rows", "files", "verified"] {
        assert_eq!(report[count], restored["files"], "{count}: {found}");
    }
    let load = Load {
        address: server.address().to_owned(),
        key: server.service_key().to_owned(),
        over: AtomicBool::new(true),
        done: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        for (writer, entries) in entries.iter().enumerate() {
            let load = &load;
            scope.spawn(move || prefix(load, writer, *entries));
        }
    });
}

/// The log up to some point, as it was written, and nothing behind it.
fn prefix(load: &Load, writer: usize, entries: u64) {
    let mut line = Line::new(load);
    let mut ended = false;
    let mut seen = 0;
    for number in 0..entries {
        let path = format!("/authenticated/b/log{writer}/{number:07}");
        let (status, body) = line.ask("GET", &path, b"");
        if status == 200 {
            assert!(!ended, "{path} is there, and one before it is not");
            let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
            assert_eq!(hash(&body), hash(&content("log", number)), "{path}");
            seen += 1;
        } else {
            ended = true;
        }
    }
    assert!(seen > 0 && seen < entries, "{seen} of {entries}");
}

fn size_of(folder: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() {
            size_of(&entry.path())
        } else {
            meta.len()
        };
    }
    sum
}

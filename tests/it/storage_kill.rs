//! The server is killed with SIGKILL while files are uploaded, overwritten, moved
//! and deleted. Whatever was acknowledged must be there with its bytes, whatever
//! was not may have happened or not but never by half, and after the next start
//! files and rows agree.
//!
//! A few kills by default; `FERROBASE_KILLS=200` for as many as it takes to
//! believe it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bucket::Bucket;
use crate::support::{Answer, Ferrobase, project, request, run};

const KILLS: u64 = 4;
const CLIENTS: u64 = 6;
/// Names of one client: few, so that most are overwritten, moved and deleted.
const NAMES: u64 = 8;
/// One piece of work for the disk, one chunk, several chunks.
const SIZES: [usize; 4] = [0, 700, 20_000, 700_000];
const AGREE_WAIT: Duration = Duration::from_secs(120);

#[test]
fn whatever_is_killed_files_and_rows_agree() {
    let folder = project(&[]);
    work_and_kill(folder.path(), Bytes::Folder);
}

/// The same with the bytes in a bucket, where nothing can be renamed and nobody
/// knows who else is there.
#[test]
fn whatever_is_killed_a_bucket_and_rows_agree() {
    let bucket = Bucket::start();
    let folder = project(&[("ferrobase.toml", &bucket.storage())]);
    work_and_kill(folder.path(), Bytes::Bucket);
}

/// Where the bytes are. What a crash leaves in a folder goes at the next start.
/// Others may be at work on a bucket, so there it goes when it is an hour old.
#[derive(Clone, Copy, PartialEq)]
enum Bytes {
    Folder,
    Bucket,
}

impl Bytes {
    /// How many files there are beside those of rows.
    fn left(self, report: &Value) -> u64 {
        match self {
            Self::Folder => 0,
            Self::Bucket => report["young"].as_u64().unwrap(),
        }
    }
}

fn work_and_kill(folder: &Path, bytes: Bytes) {
    let kills = std::env::var_os("FERROBASE_KILLS");
    let kills = kills
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(KILLS);
    let server = Ferrobase::dev(folder);
    let made = server.send(
        "POST",
        "/storage/v1/bucket",
        server.service_key(),
        r#"{"id":"docs","name":"docs"}"#,
    );
    assert_eq!(made.status, 200, "{made:?}");
    let stage = Stage {
        address: Mutex::new(Some(server.address().to_owned())),
        key: server.service_key().to_owned(),
        done: AtomicU64::new(0),
        over: AtomicBool::new(false),
    };
    let mut random = Random(0x5eed);
    let (server, clients) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let stage = &stage;
                scope.spawn(move || Client::new(stage, number).work())
            })
            .collect();
        let mut server = server;
        for kill in 0..kills {
            let goal = stage.done.load(Ordering::Relaxed) + random.below(40);
            stage.await_done(goal);
            // Anywhere within whatever comes next.
            thread::sleep(Duration::from_micros(random.below(20_000)));
            *stage.address.lock().unwrap() = None;
            server.kill9();
            server = Ferrobase::dev(folder);
            let found = fsck(folder, &[]);
            assert_eq!(found["clean"], true, "after kill {kill}: {found}");
            *stage.address.lock().unwrap() = Some(server.address().to_owned());
        }
        let goal = stage.done.load(Ordering::Relaxed) + 40;
        stage.await_done(goal);
        stage.over.store(true, Ordering::Relaxed);
        let clients: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect();
        (server, clients)
    });
    let mut there = 0;
    for client in &clients {
        for (name, content) in &client.files {
            let found = stage.get(server.address(), name);
            assert!(
                found.as_ref() == Some(content),
                "{name}: {} bytes",
                content.len()
            );
            there += 1;
        }
    }
    agree(folder, there, bytes);
    assert!(server.stop().success());
    // The next start has the files to itself and nothing to find.
    let found = fsck(folder, &["--verify"]);
    let files = there + bytes.left(&found["report"]);
    assert_eq!(
        (&found["clean"], &found["report"]["files"]),
        (&json!(true), &json!(files)),
        "{found}"
    );
}

/// What is left of deleted files and of the last crash goes by itself.
fn agree(folder: &Path, rows: u64, bytes: Bytes) {
    let began = Instant::now();
    loop {
        let found = fsck(folder, &["--verify"]);
        assert_eq!(found["clean"], true, "{found}");
        let report = &found["report"];
        assert_eq!(report["rows"], rows, "{found}");
        if report["files"] == rows + bytes.left(report) && report["waiting"] == 0 {
            return;
        }
        assert!(began.elapsed() < AGREE_WAIT, "{found}");
    }
}

fn fsck(folder: &Path, more: &[&str]) -> Value {
    let began = Instant::now();
    loop {
        let done = run(folder, &[&["storage", "fsck", "--json"], more].concat());
        if let Ok(found) = serde_json::from_str(&done.stdout) {
            return found;
        }
        // The S3 server of these tests walks a folder to list it, and fails when
        // a file goes meanwhile. That is said, and it is looked again.
        let its_own = done.stderr.contains("<Code>InternalError</Code>");
        assert!(its_own && began.elapsed() < AGREE_WAIT, "{done:?}");
    }
}

struct Stage {
    /// None while nobody serves.
    address: Mutex<Option<String>>,
    key: String,
    done: AtomicU64,
    over: AtomicBool,
}

impl Stage {
    fn await_done(&self, goal: u64) {
        let began = Instant::now();
        while self.done.load(Ordering::Relaxed) < goal {
            assert!(began.elapsed() < AGREE_WAIT, "nothing gets done");
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn address(&self) -> String {
        loop {
            if let Some(address) = self.address.lock().unwrap().clone() {
                return address;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn send(&self, address: &str, method: &str, path: &str, body: &str) -> Option<Answer> {
        let bearer = format!("Bearer {}", self.key);
        let kind = if path.ends_with("/move") {
            "application/json"
        } else {
            "text/plain"
        };
        let headers = [
            ("apikey", self.key.as_str()),
            ("authorization", &bearer),
            ("content-type", kind),
            ("x-upsert", "true"),
        ];
        let path = format!("/storage/v1/object{path}");
        let answer = request(address, method, &path, &headers, body.as_bytes()).ok()?;
        // Cut off in the middle is no answer.
        let length = answer.head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .trim()
                .parse::<usize>()
                .ok()
        });
        (answer.status != 0 && length.is_none_or(|length| length == answer.body.len()))
            .then_some(answer)
    }

    /// What a name has; none if there is no such name.
    fn get(&self, address: &str, name: &str) -> Option<String> {
        let answer = self.send(address, "GET", &format!("/authenticated/docs/{name}"), "");
        let answer = answer.unwrap_or_else(|| panic!("no answer about {name}"));
        match answer.status {
            200 => Some(answer.body),
            400 | 404 => None,
            _ => panic!("{name}: {answer:?}"),
        }
    }
}

/// One that works on names of its own and knows what they must have.
struct Client<'s> {
    stage: &'s Stage,
    number: u64,
    random: Random,
    files: BTreeMap<String, String>,
    step: u64,
}

impl<'s> Client<'s> {
    fn new(stage: &'s Stage, number: u64) -> Self {
        Self {
            stage,
            number,
            random: Random(number + 1),
            files: BTreeMap::new(),
            step: 0,
        }
    }

    fn work(mut self) -> Self {
        while !self.stage.over.load(Ordering::Relaxed) {
            self.step += 1;
            let name = self.name();
            match self.random.below(10) {
                0 | 1 if self.files.contains_key(&name) => self.delete(&name),
                2 | 3 if self.files.contains_key(&name) => {
                    let to = self.name();
                    if !self.files.contains_key(&to) {
                        self.rename(&name, &to);
                    }
                }
                _ => self.upload(&name),
            }
        }
        self
    }

    fn name(&mut self) -> String {
        format!("{}/{}.txt", self.number, self.random.below(NAMES))
    }

    fn upload(&mut self, name: &str) {
        let size = SIZES[usize::try_from(self.random.below(4)).unwrap()];
        let line = format!("{} {} ", self.number, self.step);
        let content = line.repeat(size / line.len());
        let after = BTreeMap::from([(name.to_owned(), Some(content.clone()))]);
        self.attempt("POST", &format!("/docs/{name}"), &content, &after);
    }

    fn delete(&mut self, name: &str) {
        let after = BTreeMap::from([(name.to_owned(), None)]);
        self.attempt("DELETE", &format!("/docs/{name}"), "", &after);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let moved = self.files.get(from).cloned();
        let after = BTreeMap::from([(from.to_owned(), None), (to.to_owned(), moved)]);
        let body = json!({"bucketId": "docs", "sourceKey": from, "destinationKey": to});
        self.attempt("POST", "/move", &body.to_string(), &after);
    }

    /// Does it; when nobody answers, finds out after the next start which of
    /// the two it is, and that it is one of the two.
    fn attempt(
        &mut self,
        method: &str,
        path: &str,
        body: &str,
        after: &BTreeMap<String, Option<String>>,
    ) {
        let answer = self.stage.send(&self.stage.address(), method, path, body);
        match answer {
            Some(answer) if answer.status == 200 => {}
            // PostgreSQL dies with the server, sometimes a moment before it.
            Some(answer) if answer.status < 500 && !answer.body.contains("atabase") => {
                panic!("{method} {path}: {answer:?}")
            }
            _ => return self.find_out(after),
        }
        self.stage.done.fetch_add(1, Ordering::Relaxed);
        for (name, content) in after {
            self.becomes(name, content.clone());
        }
    }

    fn find_out(&mut self, after: &BTreeMap<String, Option<String>>) {
        let before: BTreeMap<String, Option<String>> = after
            .keys()
            .map(|name| (name.clone(), self.files.get(name).cloned()))
            .collect();
        let found = loop {
            // The next may be killed as well.
            let address = self.stage.address();
            let look = after.keys().map(|name| {
                let path = format!("/authenticated/docs/{name}");
                let answer = self.stage.send(&address, "GET", &path, "")?;
                match answer.status {
                    200 => Some((name.clone(), Some(answer.body))),
                    400 | 404 => Some((name.clone(), None)),
                    _ => None,
                }
            });
            if let Some(found) = look.collect::<Option<BTreeMap<_, _>>>() {
                break found;
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert!(
            found == before || found == *after,
            "neither one nor the other: {:?}",
            after.keys()
        );
        for (name, content) in found {
            self.becomes(&name, content);
        }
    }

    fn becomes(&mut self, name: &str, content: Option<String>) {
        match content {
            Some(content) => self.files.insert(name.to_owned(), content),
            None => self.files.remove(name),
        };
    }
}

/// `SplitMix64`: the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

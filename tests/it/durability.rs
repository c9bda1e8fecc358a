//! What was acknowledged stays, whatever is killed. Users write over HTTP
//! while Ferrobase, PostgreSQL, both, or one that is just starting are killed
//! with SIGKILL, fifty times; each next start must need no help, and in the
//! end every acknowledged row must be there and no process left.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Ferrobase, command, postmaster_file, project};
use crate::wire::{Dice, Line};

const KILLS: usize = 50;
const WRITERS: u64 = 4;
/// The supervisor gives PostgreSQL up after five restarts in a minute, which
/// is the right thing to do but no subject here.
const DATABASE_KILLS_MAX: usize = 4;
/// The longest that writes may stay away after a kill, on a busy machine.
const RECOVERY_MAX: Duration = Duration::from_secs(40);
/// The server's own limit for a request, and a little for a busy machine.
const REQUEST_MAX: Duration = Duration::from_secs(65);
/// A writer that was refused tries again after this, as a client would.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

const SCHEMA: &str = "create table public.notes (\
     id bigint primary key, owner uuid not null default auth.uid(), text text not null);\n\
     alter table public.notes enable row level security;\n\
     create policy own on public.notes to authenticated \
     using (owner = auth.uid()) with check (owner = auth.uid());\n";

/// What the writers share.
#[derive(Default)]
struct Load {
    address: Mutex<String>,
    over: AtomicBool,
    acknowledged: AtomicU64,
    slowest_ms: AtomicU64,
    /// Answers that are neither a success nor the dialect's "not now".
    odd: Mutex<Vec<String>>,
}

#[test]
fn every_acknowledged_write_survives_fifty_kills() {
    let folder = project(&[("supabase/migrations/20240101000000_notes.sql", SCHEMA)]);
    let load = Arc::new(Load::default());
    let mut server = Some(start(folder.path(), &load));
    let first = server.as_ref().unwrap();
    let writers: Vec<_> = (1..=WRITERS)
        .map(|number| {
            let sub = format!("00000000-0000-4000-8000-{number:012}");
            let token = first.token(&sub, &json!({}));
            let load = Arc::clone(&load);
            thread::spawn(move || write(&load, number, &token))
        })
        .collect();

    let seed = u64::from(std::process::id());
    eprintln!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut database_kills = 0;
    for _ in 0..KILLS {
        thread::sleep(Duration::from_millis(dice.below(350) as u64));
        let running = server.take().unwrap();
        if database_kills < DATABASE_KILLS_MAX && dice.below(2) == 0 {
            database_kills += 1;
            let database = postmaster(folder.path()).unwrap();
            // One of its processes makes it end all others and recover.
            let servants = children(database);
            let servant = (dice.below(2) == 0).then(|| servants.get(dice.below(servants.len())));
            kill(servant.flatten().copied().unwrap_or(database));
            await_progress(&load, &running);
            server = Some(running);
            continue;
        }
        let database = (dice.below(3) == 0).then(|| postmaster(folder.path()).unwrap());
        assert!(
            !running.stderr().contains("panicked"),
            "{}",
            running.stderr()
        );
        running.kill9();
        database.into_iter().for_each(kill);
        if dice.below(4) == 0 {
            kill_a_starting_one(folder.path(), &mut dice);
        }
        server = Some(start(folder.path(), &load));
        database_kills = 0;
    }
    let running = server.take().unwrap();
    await_progress(&load, &running);
    load.over.store(true, Ordering::Relaxed);
    let acknowledged: Vec<u64> = writers
        .into_iter()
        .flat_map(|writer| writer.join().unwrap())
        .collect();
    assert!(running.stop().success());
    verify(folder.path(), &load, &acknowledged);
}

/// Nothing lost, nothing odd, nothing left behind.
fn verify(folder: &Path, load: &Load, acknowledged: &[u64]) {
    assert_eq!(left(folder), Vec::<String>::new());
    let again = Ferrobase::dev(folder);
    let mut stored = stored(&again);
    stored.sort_unstable();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| stored.binary_search(id).is_err())
        .collect();
    eprintln!(
        "{} acknowledged, {} stored",
        acknowledged.len(),
        stored.len()
    );
    assert_eq!(lost, Vec::<&u64>::new());
    assert!(acknowledged.len() > KILLS, "{}", acknowledged.len());
    assert_eq!(*load.odd.lock().unwrap(), Vec::<String>::new());
    let slowest = load.slowest_ms.load(Ordering::Relaxed);
    assert!(
        u128::from(slowest) < REQUEST_MAX.as_millis(),
        "{slowest} ms"
    );
    assert!(again.stop().success());
    assert_eq!(left(folder), Vec::<String>::new());
}

fn start(folder: &Path, load: &Load) -> Ferrobase {
    let server = Ferrobase::dev(folder);
    server
        .address()
        .clone_into(&mut load.address.lock().unwrap());
    server
}

/// A start that is killed somewhere on its way.
fn kill_a_starting_one(folder: &Path, dice: &mut Dice) {
    let mut child = command(folder, &["dev", "--port", "0", "--db-port", "0"])
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(dice.below(600) as u64));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One user's loop; returns what was acknowledged to it.
fn write(load: &Load, number: u64, token: &str) -> Vec<u64> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("prefer", "return=minimal"),
    ];
    let mut acknowledged = Vec::new();
    let mut line: Option<Line> = None;
    let mut id = number << 32;
    while !load.over.load(Ordering::Relaxed) {
        // A refused id is never used again: it may have been stored.
        id += 1;
        if line.is_none() {
            let address = load.address.lock().unwrap().clone();
            line = Line::open(&address).ok();
        }
        let body = json!({"id": id, "text": "kept"}).to_string();
        let began = Instant::now();
        let answer = line.as_mut().and_then(|line| {
            line.ask("POST", "/rest/v1/notes", &headers, body.as_bytes())
                .ok()
        });
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        load.slowest_ms.fetch_max(took, Ordering::Relaxed);
        match answer {
            Some(answer) if answer.status == 201 => {
                acknowledged.push(id);
                load.acknowledged.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Some(answer) => {
                let shaped = answer.json().get("code").is_some_and(Value::is_string);
                if !matches!(answer.status, 503 | 504) || !shaped {
                    let text = format!("{} {}", answer.status, answer.body);
                    load.odd.lock().unwrap().push(text);
                }
            }
            None => line = None,
        }
        thread::sleep(RETRY_PAUSE);
    }
    acknowledged
}

/// Waits until every writer could have been served again.
fn await_progress(load: &Load, server: &Ferrobase) {
    let before = load.acknowledged.load(Ordering::Relaxed);
    let deadline = Instant::now() + RECOVERY_MAX;
    while load.acknowledged.load(Ordering::Relaxed) < before + WRITERS {
        assert!(
            Instant::now() < deadline,
            "no write came through: {}",
            server.stderr()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

fn stored(server: &Ferrobase) -> Vec<u64> {
    let mut ids: Vec<u64> = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or(0);
        let path = format!("/rest/v1/notes?select=id&order=id&limit=1000&id=gt.{after}");
        let page = server.get(&path, server.service_key());
        let rows = page.json();
        let rows = rows.as_array().unwrap_or_else(|| panic!("{page:?}"));
        if rows.is_empty() {
            return ids;
        }
        ids.extend(rows.iter().filter_map(|row| row["id"].as_u64()));
    }
}

fn kill(pid: Pid) {
    let _ = kill_process(pid, Signal::KILL);
}

/// PostgreSQL's processes: its backends, writers and so on.
fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may hold anything: state, parent.
            let (_, rest) = stat.rsplit_once(") ")?;
            (rest.split(' ').nth(1)? == parent).then_some(())?;
            Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)
        })
        .collect()
}

/// The running PostgreSQL, by the file that it keeps in its data folder.
fn postmaster(folder: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(postmaster_file(folder)?).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// Processes that work in the folder: PostgreSQL's, which stand in their data
/// folder, and our own.
fn left(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let at = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if at.starts_with(folder) {
            let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            found.push(line.replace('\0', " "));
        }
    }
    found
}

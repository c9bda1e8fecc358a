//! The event log from outside: many watchers of real servers, servers that die,
//! servers that stop, and strangers.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::live::{Said, Socket, Sse};
use crate::support::{ANSWER_WAIT, Answer, Ferrobase, project, request};
use crate::upgrade::Cluster;
use crate::wire::Dice;

const WATCHERS: usize = 500;
const STREAMS: usize = 50;
const EVENTS: i64 = 60;
/// With the one that every session begins with.
const ALL: i64 = EVENTS + 1;
/// What a watcher may cost.
const KIB_PER_WATCHER: u64 = 64;

/// Everything at one stream's address.
pub(crate) fn path(stream: &str) -> String {
    format!("/sessions/v1/streams/{stream}/events")
}

pub(crate) fn send(
    server: &Ferrobase,
    line: &str,
    token: &str,
    body: &Value,
) -> io::Result<Answer> {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("content-profile", "work"),
        ("accept-profile", "work"),
        ("prefer", "return=representation"),
    ];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    request(server.address(), method, path, &headers, body.as_bytes())
}

/// A new session of this user, whose stream has its id.
pub(crate) fn session(server: &Ferrobase, token: &str) -> String {
    let made = send(server, "POST /rest/v1/sessions", token, &json!({})).unwrap();
    let rows = made.json();
    let id = rows[0]["id"].as_str();
    id.unwrap_or_else(|| panic!("{made:?}")).to_owned()
}

/// The events `first..first + count` of producer `p`.
pub(crate) fn piece(first: i64, count: i64) -> Value {
    let events: Vec<_> = (first..first + count)
        .map(|n| json!({"kind": "note", "data": {"n": n}}))
        .collect();
    json!({"events": events, "producer": "p", "n": first})
}

/// Servers on one database, each with keys of its own.
pub(crate) fn nodes(count: usize, settings: &str) -> (Vec<(Ferrobase, TempDir)>, Cluster) {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database live template template0");
    let nodes = (0..count).map(|_| {
        let folder = project(&[("ferrobase.toml", settings)]);
        let url = cluster.url("live");
        let server = Ferrobase::dev_with(folder.path(), &["--database-url", &url]);
        (server, folder)
    });
    (nodes.collect(), cluster)
}

pub(crate) const EXPOSED: &str =
    "[db]\nschemas = [\"public\", \"work\"]\n[log]\nrequests = \"none\"\n";

fn resident_kib(server: &Ferrobase) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kib.unwrap()
}

/// A watcher's view; fails at the first event that is not the next.
fn take(event: &Value, last: &mut i64) {
    assert_eq!(event["seq"], json!(*last + 1), "once and in order: {event}");
    if *last == 0 {
        assert_eq!(event["kind"], "session.created", "{event}");
    } else {
        assert_eq!(event["data"]["n"], json!(*last - 1), "{event}");
    }
    *last += 1;
}

#[test]
fn five_hundred_watchers_see_everything_and_cost_little() {
    let folder = project(&[("ferrobase.toml", EXPOSED)]);
    let server = Ferrobase::dev(folder.path());
    let streams: Vec<_> = (0..STREAMS)
        .map(|number| {
            let token = server.token(&format!("user-{number}"), &json!({}));
            (session(&server, &token), token)
        })
        .collect();
    // What a first request makes is no watcher's.
    let (stream, token) = &streams[0];
    drop(Sse::open(server.address(), &path(stream), token, 0).unwrap());
    let before = resident_kib(&server);
    let (opened, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (server, streams, opened, done) = (&server, &streams, &opened, &done);
    thread::scope(|scope| {
        let watchers: Vec<_> = (0..WATCHERS)
            .map(|number| {
                let small = thread::Builder::new().stack_size(256 << 10);
                let watcher =
                    move || watch_sse(server, &streams[number % STREAMS], number, opened, done);
                small.spawn_scoped(scope, watcher).unwrap()
            })
            .collect();
        wait_for(opened, WATCHERS);
        let idle = resident_kib(server);
        for (stream, token) in streams {
            for first in (0..EVENTS).step_by(20) {
                let line = format!("POST {}", path(stream));
                let told = send(server, &line, token, &piece(first, 20)).unwrap();
                assert_eq!(told.status, 200, "{told:?}");
            }
        }
        // Everybody has everything and is still there.
        wait_for(done, WATCHERS);
        let after = resident_kib(server);
        let (idle, after) = (idle.saturating_sub(before), after.saturating_sub(before));
        let many = u64::try_from(WATCHERS).unwrap();
        eprintln!(
            "{WATCHERS} watchers on {STREAMS} streams: {} KiB each idle, {} KiB each after {EVENTS} events",
            idle / many,
            after / many
        );
        assert!(after / many < KIB_PER_WATCHER, "{after} KiB");
        done.fetch_add(1, Ordering::SeqCst);
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
}

fn wait_for(count: &AtomicUsize, enough: usize) {
    let deadline = Instant::now() + ANSWER_WAIT;
    while count.load(Ordering::SeqCst) < enough {
        let now = count.load(Ordering::SeqCst);
        assert!(Instant::now() < deadline, "{now} of {enough}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Comes back twice, and stays until all have everything and were counted.
fn watch_sse(
    server: &Ferrobase,
    (stream, token): &(String, String),
    number: usize,
    opened: &AtomicUsize,
    done: &AtomicUsize,
) {
    let mut dice = Dice::new(u64::try_from(number).unwrap() + 1);
    let mut points = [dice.below(60), dice.below(60)].map(|at| i64::try_from(at).unwrap());
    points.sort_unstable();
    let mut last = 0;
    let open = |last| Sse::open(server.address(), &path(stream), token, last).unwrap();
    let mut sse = open(0);
    opened.fetch_add(1, Ordering::SeqCst);
    for until in [points[0], points[1], ALL] {
        while last < until {
            let event = sse.next().unwrap();
            assert_eq!(event.id, event.data["seq"].as_i64());
            take(&event.data, &mut last);
        }
        if until < ALL {
            sse = open(last);
        }
    }
    done.fetch_add(1, Ordering::SeqCst);
    wait_for(done, WATCHERS + 1);
}

/// Watches on one of three wires, and goes to the next server when one is gone.
fn watch_any(servers: &[(String, String)], stream: &str, wire: usize) {
    let (mut last, mut at) = (0, wire);
    let deadline = Instant::now() + ANSWER_WAIT;
    while last < ALL {
        assert!(Instant::now() < deadline, "{last} of {ALL}");
        let (address, token) = &servers[at % servers.len()];
        let ended = match wire % 3 {
            0 => follow_sse(address, token, stream, &mut last),
            1 => follow_socket(address, token, stream, &mut last),
            _ => follow_polls(address, token, stream, &mut last),
        };
        if let Err(error) = ended {
            at += 1;
            // Refusals are no accident of the network.
            assert!(error.kind() != io::ErrorKind::Other, "{error}");
        }
    }
}

fn follow_sse(address: &str, token: &str, stream: &str, last: &mut i64) -> io::Result<()> {
    let mut sse = Sse::open(address, &path(stream), token, *last)?;
    while *last < ALL {
        take(&sse.next()?.data, last);
    }
    Ok(())
}

fn follow_socket(address: &str, token: &str, stream: &str, last: &mut i64) -> io::Result<()> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let mut socket = Socket::open(address, "/sessions/v1/streams", &headers)?;
    socket.say(&json!({"watch": stream, "after": *last}).to_string())?;
    while *last < ALL {
        match socket.next()? {
            Said::Json(said) if said.get("watching").is_some() => {}
            Said::Json(event) => take(&event, last),
            Said::Closed(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
    Ok(())
}

fn follow_polls(address: &str, token: &str, stream: &str, last: &mut i64) -> io::Result<()> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    while *last < ALL {
        let path = format!("{}?after={last}&wait_ms=2000", path(stream));
        let page = request(address, "GET", &path, &headers, b"")?;
        if page.status == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        assert_eq!(page.status, 200, "{page:?}");
        for event in page.json()["events"].as_array().into_iter().flatten() {
            take(event, last);
        }
    }
    Ok(())
}

/// Writes everything, a piece at a time, to whichever server answers.
fn write_all(servers: &[(String, String)], stream: &str, written: &AtomicUsize) {
    let (mut next, mut at) = (0, 0);
    while next < EVENTS {
        let (address, token) = &servers[at % servers.len()];
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let body = piece(next, 2.min(EVENTS - next)).to_string();
        match request(address, "POST", &path(stream), &headers, body.as_bytes()) {
            Ok(told) if told.status == 200 => {
                next = told.json()["next_n"].as_i64().unwrap();
                written.fetch_add(2, Ordering::SeqCst);
            }
            // Whether it was taken is unknown: it is sent again, elsewhere.
            Ok(told) => {
                assert!(matches!(told.status, 0 | 503), "{told:?}");
                at += 1;
            }
            Err(_) => at += 1,
        }
    }
}

#[test]
fn a_server_that_dies_loses_and_repeats_nothing() {
    let (mut nodes, _cluster) = nodes(2, EXPOSED);
    let streams: Vec<_> = (0..12)
        .map(|_| {
            let token = nodes[0].0.token("ann", &json!({}));
            session(&nodes[0].0, &token)
        })
        .collect();
    let servers: Vec<_> = nodes
        .iter()
        .map(|(node, _)| (node.address().to_owned(), node.token("ann", &json!({}))))
        .collect();
    let written = AtomicUsize::new(0);
    let (servers, streams, written) = (&servers, &streams, &written);
    let half = streams.len() * usize::try_from(EVENTS).unwrap() / 2;
    let doomed = nodes.remove(0).0;
    thread::scope(|scope| {
        let watchers: Vec<_> = (0..72)
            .map(|number| {
                scope.spawn(move || watch_any(servers, &streams[number % 12], number / 12))
            })
            .collect();
        let writers: Vec<_> = streams
            .iter()
            .map(|stream| scope.spawn(move || write_all(servers, stream, written)))
            .collect();
        wait_for(written, half);
        doomed.kill9();
        for writer in writers {
            writer.join().unwrap();
        }
        for watcher in watchers {
            watcher.join().unwrap();
        }
    });
}

#[test]
fn strangers_learn_nothing_on_any_wire() {
    let (nodes, _cluster) = nodes(1, EXPOSED);
    let server = &nodes[0].0;
    let (ann, ben) = (
        server.token("ann", &json!({})),
        server.token("ben", &json!({})),
    );
    let own = session(server, &ann);
    let line = format!("POST {}", path(&own));
    assert_eq!(send(server, &line, &ann, &piece(0, 3)).unwrap().status, 200);
    let unknown = "01890000-0000-7000-8000-000000000000";
    let mut answers = HashSet::new();
    for stream in [own.as_str(), unknown, "nothing"] {
        let sse = Sse::open(server.address(), &path(stream), &ben, 0).err();
        assert_eq!(sse.map(|error| error.to_string()), Some("404".to_owned()));
        let bearer = format!("Bearer {ben}");
        let headers = [("authorization", bearer.as_str())];
        let socket = Socket::open(server.address(), &path(stream), &headers).err();
        assert_eq!(
            socket.map(|error| error.to_string()),
            Some("404".to_owned())
        );
        let get = format!("GET {}?wait_ms=1000", path(stream));
        let post = format!("POST {}", path(stream));
        for (line, body) in [(get, Value::Null), (post, piece(0, 1))] {
            let answer = send(server, &line, &ben, &body).unwrap();
            assert_eq!(answer.status, 404);
            answers.insert(answer.body);
        }
        let mut many = Socket::open(server.address(), "/sessions/v1/streams", &headers).unwrap();
        many.say(&json!({"watch": stream}).to_string()).unwrap();
        let Said::Json(mut said) = many.next().unwrap() else {
            panic!("closed");
        };
        assert_eq!(said["stream_id"].take(), json!(stream));
        answers.insert(said["error"].to_string());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    for (token, count) in [(&ann, 4), (&ben, 0)] {
        let rows = send(
            server,
            "GET /rest/v1/events?select=seq",
            token,
            &Value::Null,
        )
        .unwrap();
        assert_eq!(
            rows.json().as_array().map(Vec::len),
            Some(count),
            "{rows:?}"
        );
        let rows = send(server, "GET /rest/v1/streams", token, &Value::Null).unwrap();
        assert_eq!(rows.json().as_array().map(Vec::len), Some(count.min(1)));
    }
    for name in ["append_batch", "append_as", "events_after", "tails"] {
        let rpc = format!("POST /rest/v1/rpc/{name}");
        assert_eq!(send(server, &rpc, &ben, &json!({})).unwrap().status, 404);
    }
    assert!(Sse::open(server.address(), &path(&own), server.anon_key(), 0).is_err());
}

#[test]
fn a_stop_sends_watchers_away_and_no_request_limit_does() {
    let settings = format!("{EXPOSED}[api]\nrequest_timeout = \"1s\"\n");
    let (mut nodes, _cluster) = nodes(1, &settings);
    let (mut server, _folder) = nodes.remove(0);
    let ann = server.token("ann", &json!({}));
    let stream = session(&server, &ann);
    let mut sse = Sse::open(server.address(), &path(&stream), &ann, 0).unwrap();
    let bearer = format!("Bearer {ann}");
    let headers = [("authorization", bearer.as_str())];
    let mut socket = Socket::open(server.address(), &path(&stream), &headers).unwrap();
    // What must be shown not to matter is that this time passes.
    thread::sleep(Duration::from_millis(1500));
    let line = format!("POST {}", path(&stream));
    assert_eq!(
        send(&server, &line, &ann, &piece(0, 1)).unwrap().status,
        200
    );
    let mut last = 0;
    for _ in 0..2 {
        take(&sse.next().unwrap().data, &mut last);
        assert!(matches!(socket.next().unwrap(), Said::Json(_)));
    }

    server.signal(rustix::process::Signal::TERM);
    let end = sse.next().unwrap();
    assert_eq!((end.id, end.kind.as_str()), (None, "end"));
    assert_eq!(end.data, json!({"code": "restarting", "reconnect": true}));
    assert_eq!(socket.next().unwrap(), Said::Closed(1012));
    assert!(server.wait().success());
}

/// Clients that take nothing.
const STALLED: usize = 20;
/// More than the system keeps for a socket on both sides.
const LARGE: i64 = 6000;

#[test]
fn who_takes_nothing_costs_nothing_and_misses_nothing() {
    let folder = project(&[("ferrobase.toml", EXPOSED)]);
    let server = Ferrobase::dev(folder.path());
    let ann = server.token("ann", &json!({}));
    let stream = session(&server, &ann);
    let line = format!("POST {}", path(&stream));
    let write = |first: i64, count: i64| {
        let events: Vec<_> = (first..first + count)
            .map(|n| json!({"kind": "note", "data": {"n": n, "more": "x".repeat(1000)}}))
            .collect();
        let body = json!({"events": events, "producer": "p", "n": first});
        let told = send(&server, &line, &ann, &body).unwrap();
        assert_eq!(told.status, 200, "{told:?}");
    };
    write(0, 1);
    let mut stalled: Vec<_> = (0..STALLED)
        .map(|_| Sse::open(server.address(), &path(&stream), &ann, 0).unwrap())
        .collect();
    // What writing costs by itself is no watcher's.
    write(1, 500);
    let before = resident_kib(&server);
    for first in (501..LARGE).step_by(500) {
        write(first, 500.min(LARGE - first));
    }
    let grown = resident_kib(&server).saturating_sub(before);
    let many = u64::try_from(STALLED).unwrap();
    eprintln!("{grown} KiB grown, with {STALLED} who take nothing");
    // A page, and what its connection buffers, beside what the allocator keeps of
    // writing; all of it would be 7 MiB each.
    assert!(grown / many < 3 * 1024, "{grown} KiB");
    for sse in &mut stalled {
        let mut last = 0;
        while last <= LARGE {
            take(&sse.next().unwrap().data, &mut last);
        }
    }
}

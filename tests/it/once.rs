//! Writes that happen once, and together, through the built binary: whoever
//! sends a write again with its idempotency key gets the answer of the first,
//! whatever was killed in between and however many come at once.
//!
//! Nothing in the tables here is unique, so that a write that happens twice
//! shows as two rows.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};
use crate::wire::Dice;

const SCHEMA: &str = "create table public.orders (\
    id bigint generated always as identity, owner uuid not null default auth.uid(), note text);
create table public.items (\
    id bigint generated always as identity, owner uuid not null default auth.uid(), order_id bigint, note text);
alter table public.orders enable row level security;
alter table public.items enable row level security;
create policy own on public.orders to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
create policy own on public.items to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
";

/// Duplicates, on connections, and so perhaps lanes, of their own.
const AT_ONCE: usize = 16;
const KILLS: usize = 10;
const WRITERS: u64 = 4;
/// Between two kills, so that every one hits work in progress.
const ACKNOWLEDGED_MIN: u64 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// A client that was refused tries again after this.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

fn ada(server: &Ferrobase) -> String {
    server.token("00000000-0000-4000-8000-00000000000a", &json!({}))
}

fn send(
    address: &str,
    token: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> std::io::Result<Answer> {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    request(address, "POST", path, &headers, body.to_string().as_bytes())
}

/// An order with two items, from one template.
fn order(note: &str) -> Value {
    let item =
        |name: &str| json!({"order_id": {"$ref": "order.0.id"}, "note": format!("{note} {name}")});
    json!([
        {"id": "order", "method": "POST", "path": "/orders", "body": {"note": note},
         "headers": {"Prefer": "return=representation"}},
        {"method": "POST", "path": "/items", "body": [item("a"), item("b")]},
        {"method": "GET", "path": "/orders?id=eq.{$ref:order.0.id}&select=note"},
    ])
}

fn replayed(answer: &Answer) -> bool {
    answer.head.contains("idempotency-replayed: true")
}

#[derive(Default)]
struct Load {
    address: Mutex<String>,
    over: AtomicBool,
    acknowledged: AtomicU64,
    /// Done before a kill, answered only after it.
    recovered: AtomicU64,
    odd: Mutex<Vec<String>>,
}

#[test]
fn a_retried_write_happens_once_whatever_is_killed() {
    let folder = project(&[("supabase/migrations/20240101000000_orders.sql", SCHEMA)]);
    let load = Arc::new(Load::default());
    let mut server = Ferrobase::dev(folder.path());
    server
        .address()
        .clone_into(&mut load.address.lock().unwrap());
    let token = ada(&server);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (load, token) = (Arc::clone(&load), token.clone());
            thread::spawn(move || write(&load, writer, &token))
        })
        .collect();
    let mut dice = Dice::new(u64::from(std::process::id()));
    for _ in 0..KILLS {
        await_acknowledged(&load, &server);
        thread::sleep(Duration::from_millis(dice.below(30) as u64));
        server.kill9();
        server = Ferrobase::dev(folder.path());
        server
            .address()
            .clone_into(&mut load.address.lock().unwrap());
    }
    await_acknowledged(&load, &server);
    load.over.store(true, Ordering::Relaxed);
    let answers: Vec<(String, Answer)> = writers
        .into_iter()
        .flat_map(|writer| writer.join().unwrap())
        .collect();
    assert_eq!(*load.odd.lock().unwrap(), Vec::<String>::new());
    eprintln!(
        "{} acknowledged, {} of them were done before a kill and answered after it",
        answers.len(),
        load.recovered.load(Ordering::Relaxed)
    );
    // Every one is there once, with its items, and is still answered alike.
    let rows = |path: &str| server.get(path, &token).json().as_array().unwrap().clone();
    let notes = |rows: &[Value]| {
        let mut notes: Vec<_> = rows.iter().map(|row| row["note"].to_string()).collect();
        notes.sort_unstable();
        notes
    };
    let orders = notes(&rows("/rest/v1/orders?select=note"));
    let mut expected: Vec<_> = answers
        .iter()
        .map(|(note, _)| json!(note).to_string())
        .collect();
    expected.sort_unstable();
    assert_eq!(orders, expected);
    let items = rows("/rest/v1/items?select=note,order_id");
    assert_eq!(items.len(), 2 * answers.len());
    let mut single = notes(&items);
    single.dedup();
    assert_eq!(single.len(), items.len());
    for (note, answer) in &answers {
        let again = send(server.address(), &token, "/rest/v1/tx", note, &order(note)).unwrap();
        assert_eq!((again.status, replayed(&again)), (200, true), "{again:?}");
        assert_eq!(again.body, answer.body);
    }
    assert!(server.stop().success());
}

/// Writes until it is over; each write again and again until it is answered.
fn write(load: &Load, writer: u64, token: &str) -> Vec<(String, Answer)> {
    let mut answers = Vec::new();
    while !load.over.load(Ordering::Relaxed) {
        let note = format!("{writer}-{}", answers.len());
        let body = order(&note);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let address = load.address.lock().unwrap().clone();
            let answer = send(&address, token, "/rest/v1/tx", &note, &body);
            match answer {
                Ok(answer) if answer.status == 200 && answer.head.contains("content-length") => {
                    if replayed(&answer) {
                        load.recovered.fetch_add(1, Ordering::Relaxed);
                    }
                    load.acknowledged.fetch_add(1, Ordering::Relaxed);
                    answers.push((note, answer));
                    break;
                }
                // Going down, not up yet, or the first is not over.
                Ok(answer) if matches!(answer.status, 0 | 409 | 503 | 504) => {}
                Ok(answer) => load.odd.lock().unwrap().push(format!("{answer:?}")),
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "no answer for {note}");
            thread::sleep(RETRY_PAUSE);
        }
    }
    answers
}

fn await_acknowledged(load: &Load, server: &Ferrobase) {
    let wanted = load.acknowledged.load(Ordering::Relaxed) + ACKNOWLEDGED_MIN;
    let deadline = Instant::now() + PATIENCE;
    while load.acknowledged.load(Ordering::Relaxed) < wanted {
        assert!(
            Instant::now() < deadline,
            "no progress: {}",
            server.stderr()
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn duplicates_at_once_are_one_write_and_belong_to_one_caller() {
    let folder = project(&[("supabase/migrations/20240101000000_orders.sql", SCHEMA)]);
    let server = Arc::new(Ferrobase::dev(folder.path()));
    let token = ada(&server);
    for (path, body) in [
        ("/rest/v1/orders", json!({"note": "single"})),
        ("/rest/v1/tx", order("together")),
    ] {
        let start = Arc::new(Barrier::new(AT_ONCE));
        let callers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (server, start) = (Arc::clone(&server), Arc::clone(&start));
                let (token, body) = (token.clone(), body.clone());
                thread::spawn(move || {
                    start.wait();
                    send(server.address(), &token, path, "at-once", &body).unwrap()
                })
            })
            .collect();
        let answers: Vec<_> = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        // The second path uses the first's key: that is another request.
        if path == "/rest/v1/tx" {
            assert!(
                answers.iter().all(|answer| answer.status == 422),
                "{answers:?}"
            );
            continue;
        }
        assert!(
            answers.iter().all(|answer| answer.status == 201),
            "{answers:?}"
        );
        assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    }
    let count = |token: &str| {
        server
            .get("/rest/v1/orders", token)
            .json()
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count(&token), 1);
    // The same request and key of somebody else is somebody else's.
    let bob = server.token("00000000-0000-4000-8000-00000000000b", &json!({}));
    let body = json!({"note": "single"});
    let other = send(server.address(), &bob, "/rest/v1/orders", "at-once", &body).unwrap();
    assert_eq!((other.status, replayed(&other)), (201, false));
    assert_eq!((count(&token), count(&bob)), (1, 1));
}

#[test]
fn a_policy_that_refuses_in_the_middle_undoes_everything() {
    let folder = project(&[("supabase/migrations/20240101000000_orders.sql", SCHEMA)]);
    let server = Ferrobase::dev(folder.path());
    let token = ada(&server);
    let mut requests = order("gone");
    let stolen = json!({"method": "POST", "path": "/items",
        "body": {"owner": "00000000-0000-4000-8000-00000000000b"}});
    requests.as_array_mut().unwrap().insert(2, stolen);
    let refused = send(server.address(), &token, "/rest/v1/tx", "k", &requests).unwrap();
    let error = refused.json();
    assert_eq!(
        (refused.status, &error["code"], &error["index"]),
        (403, &json!("42501"), &json!(2))
    );
    for table in ["orders", "items"] {
        let rows = server.get(&format!("/rest/v1/{table}"), server.service_key());
        assert_eq!(rows.json(), json!([]), "{table}");
    }
    // The key is as good as new.
    let better = send(server.address(), &token, "/rest/v1/tx", "k", &order("kept")).unwrap();
    assert_eq!(
        (better.status, replayed(&better)),
        (200, false),
        "{better:?}"
    );
}

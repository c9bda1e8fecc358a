//! The crash matrix. A graph of three levels is worked off while workers die
//! before, during and after every message, while they oversleep their leases,
//! and while the server and PostgreSQL are killed with SIGKILL at the same
//! points. Messages come twice and late. In the end the rows must be those of a
//! graph that nobody disturbed, and each paid step must have had one effect.

#[path = "crash/provider.rs"]
mod provider;
#[path = "crash/worker.rs"]
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Ferrobase, postmaster_file, project};
use crate::upgrade::psql;
use provider::Provider;
use worker::{Crew, Fault, Message, Moment, Point, leaves};

/// A graph with a death in every job waits for a lease on each level.
const GRAPH_WAIT: Duration = Duration::from_secs(240);
/// Workers of one graph: one may sleep while the other takes over.
const WORKERS: usize = 3;
/// Paid steps of one graph: two in each of nine leaves, one in the act that has
/// a handler.
const STEPS: usize = 19;

/// What must be the same whoever died: not claims and times, but all else.
const ROWS: &str = "select j.queue, coalesce(g.name || '/', '') || coalesce(p.name || '/', '') || j.name, \
    j.state, j.waiting_on, j.is_group, j.output, j.error, j.failures, j.children_total, j.children_open, \
    j.children_failed, j.deps_total, j.deps_open, j.deps_left, j.progress, \
    (select json_object_agg(s.key, json_build_array(s.kind, s.state, s.result) order by s.key) \
     from work.steps as s where s.job_id = j.id), \
    (select count(*) from work.events as e where e.job_id = j.id and e.kind = 'job.completed') \
    from work.jobs as j left join work.jobs as p on p.id = j.parent_id left join work.jobs as g on g.id = p.parent_id \
    order by 1, 2";
/// What nothing may be left of.
const WRONG: &str = "select problem || ' ' || id from work_engine.check() \
    union all select problem || ' ' || id from work_engine.check_waits() \
    union all select 'news ' || id from work_engine.arrivals \
    union all select 'event without a number ' || id from work_engine.unnumbered \
    union all select 'slot ' || job_id from work_engine.slots";

#[test]
fn workers_may_die_anywhere() {
    let folder = project(&[]);
    let server = Ferrobase::dev(folder.path());
    let address = Mutex::new(server.address().to_owned());
    let provider = Provider::start();
    let nobody = || {};
    let key = server.service_key().to_owned();
    let mut crews = vec![crew("calm", None, &address, (&key, &provider), &nobody)];
    for (number, point) in deaths().into_iter().enumerate() {
        let name = format!("death{number:02}");
        crews.push(crew(
            &name,
            Some(point),
            &address,
            (&key, &provider),
            &nobody,
        ));
    }
    let roots: Vec<String> = crews.iter().map(|crew| submit(&server, crew)).collect();
    thread::scope(|scope| {
        for crew in &crews {
            for worker in 0..WORKERS {
                scope.spawn(move || crew.work(&format!("w{worker}")));
            }
        }
        for (crew, root) in crews.iter().zip(&roots) {
            await_end(&server, root);
            crew.over.store(true, Ordering::Relaxed);
        }
    });
    for crew in crews.iter().filter(|crew| crew.point.is_some()) {
        assert!(crew.strikes() > 0, "{:?} never came", crew.point);
    }
    verify(folder.path(), &provider, crews.len());
    assert!(server.stop().success());
}

#[test]
fn servers_may_be_killed_anywhere() {
    let folder = project(&[]);
    let running = Mutex::new(Some(Ferrobase::dev(folder.path())));
    let key = running
        .lock()
        .unwrap()
        .as_ref()
        .unwrap()
        .service_key()
        .to_owned();
    let address = Mutex::new(
        running
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .address()
            .to_owned(),
    );
    let provider = Provider::start();
    let kills = AtomicUsize::new(0);
    let kill = || {
        let mut running = running.lock().unwrap();
        let database = postmaster(folder.path()).unwrap();
        // In turns: PostgreSQL alone, which its keeper starts again, and all.
        if kills.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            let _ = kill_process(database, Signal::KILL);
            return;
        }
        running.take().unwrap().kill9();
        let _ = kill_process(database, Signal::KILL);
        let again = Ferrobase::dev(folder.path());
        again.address().clone_into(&mut address.lock().unwrap());
        *running = Some(again);
    };
    let points = points(Fault::Kill);
    let graphs = points.len() + 1;
    for (number, point) in std::iter::once(None)
        .chain(points.into_iter().map(Some))
        .enumerate()
    {
        let name = point.map_or("calm".to_owned(), |_| format!("kill{number:02}"));
        let crew = crew(&name, point, &address, (&key, &provider), &kill);
        let root = submit(running.lock().unwrap().as_ref().unwrap(), &crew);
        thread::scope(|scope| {
            for worker in 0..WORKERS {
                let crew = &crew;
                scope.spawn(move || crew.work(&format!("w{worker}")));
            }
            await_end_of(&running, &root);
            crew.over.store(true, Ordering::Relaxed);
        });
        assert_eq!(crew.strikes(), usize::from(point.is_some()), "{point:?}");
    }
    assert_eq!(kills.load(Ordering::Relaxed), graphs - 1);
    verify(folder.path(), &provider, graphs);
    assert!(running.into_inner().unwrap().unwrap().stop().success());
}

fn crew<'a>(
    graph: &str,
    point: Option<Point>,
    address: &'a Mutex<String>,
    (key, provider): (&str, &'a Provider),
    kill: &'a (dyn Fn() + Sync),
) -> Crew<'a> {
    let key = format!("Bearer {key}");
    Crew::new(graph.to_owned(), point, address, (&key, provider), kill)
}

/// Every message and moment. A claim that is never sent is nothing.
fn points(fault: Fault) -> Vec<Point> {
    let mut points = Vec::new();
    for message in [
        Message::Claim,
        Message::Begin,
        Message::End,
        Message::Spawn,
        Message::Suspend,
        Message::Finish,
    ] {
        for moment in [Moment::Before, Moment::During, Moment::After] {
            if (message, moment) != (Message::Claim, Moment::Before) {
                points.push(Point {
                    message,
                    moment,
                    fault,
                });
            }
        }
    }
    points
}

/// Those, and sleepers: with the right to call, with what was bought, with an
/// end.
fn deaths() -> Vec<Point> {
    let mut points = points(Fault::Death);
    for (message, moment) in [
        (Message::Begin, Moment::After),
        (Message::End, Moment::Before),
        (Message::Spawn, Moment::Before),
        (Message::Finish, Moment::Before),
    ] {
        points.push(Point {
            message,
            moment,
            fault: Fault::Sleep,
        });
    }
    points
}

/// A root, three acts of which the last has a handler that makes its own
/// children, three jobs in each.
fn graph(name: &str) -> Value {
    let mut jobs =
        vec![json!({ "ref": "root", "name": "root", "group": true, "idempotency_key": name })];
    for act in ["a", "b"] {
        jobs.push(json!({ "ref": act, "name": act, "group": true, "parent_ref": "root" }));
        jobs.extend(leaves(act, Some(act)));
    }
    jobs.push(json!({
        "ref": "c", "name": "c", "type": "act", "parent_ref": "root", "input": { "label": "c" },
    }));
    for job in &mut jobs {
        job["queue"] = name.into();
    }
    json!({ "jobs": jobs })
}

fn submit(server: &Ferrobase, crew: &Crew<'_>) -> String {
    let body = graph(&crew.graph).to_string();
    let until = Instant::now() + GRAPH_WAIT;
    loop {
        let answer = server.send("POST", "/jobs/v1/jobs", server.service_key(), &body);
        if answer.status / 100 == 2 {
            return answer.json()["jobs"][0]["id"].as_str().unwrap().to_owned();
        }
        // PostgreSQL may have been killed just now.
        assert!(answer.status >= 500 && Instant::now() < until, "{answer:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn is_over(server: &Ferrobase, root: &str) -> bool {
    let answer = server.get(&format!("/jobs/v1/jobs/{root}"), server.service_key());
    let state = answer.json()["state"].clone();
    assert!(state != "failed" && state != "cancelled", "{answer:?}");
    state == "completed"
}

fn await_end(server: &Ferrobase, root: &str) {
    let until = Instant::now() + GRAPH_WAIT;
    while !is_over(server, root) {
        assert!(Instant::now() < until, "{root} never ends");
        thread::sleep(Duration::from_millis(50));
    }
}

fn await_end_of(running: &Mutex<Option<Ferrobase>>, root: &str) {
    let until = Instant::now() + GRAPH_WAIT;
    loop {
        let running = running.lock().unwrap();
        if running.as_ref().is_some_and(|server| is_over(server, root)) {
            return;
        }
        drop(running);
        assert!(Instant::now() < until, "{root} never ends");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The running PostgreSQL, by the file that it keeps in its data folder.
fn postmaster(folder: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(postmaster_file(folder)?).ok()?;
    Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// Statements as the superuser, over PostgreSQL's own socket.
fn sql(folder: &Path, statement: &str) -> String {
    let text = std::fs::read_to_string(postmaster_file(folder).unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let output = Command::new(psql())
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .args(["-p", lines[3], "-h", lines[4], "-U", "supabase_admin"])
        .args(["-d", "postgres", "-c", statement])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Nothing is wrong, every graph is as the calm one, everything was paid once.
fn verify(folder: &Path, provider: &Provider, graphs: usize) {
    // The duties of the last second may still be at it.
    let until = Instant::now() + GRAPH_WAIT;
    let mut wrong = sql(folder, WRONG);
    while !wrong.is_empty() && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
        wrong = sql(folder, WRONG);
    }
    assert_eq!(wrong, "");
    let rows = sql(folder, ROWS);
    let mut ends: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows.lines() {
        let (graph, rest) = row.split_once('|').unwrap();
        ends.entry(graph).or_default().push(rest);
    }
    assert_eq!(ends.len(), graphs);
    let calm = ends["calm"].clone();
    assert_eq!(calm.len(), 13, "{calm:#?}");
    for (graph, rows) in &ends {
        assert_eq!(*rows, calm, "{graph}");
    }
    let effects = provider.effects();
    let twice: BTreeSet<_> = effects.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(effects.len(), graphs * STEPS);
}

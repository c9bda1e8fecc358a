//! Jobs through the built binary: submitted by a user, run by workers over
//! HTTP and by functions, cancelled, killed in the middle, and hidden from
//! everybody else.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};
use crate::wire::Line;

const ADA: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
/// As many children as a submission may have, with their group.
const CHILDREN: usize = 9_999;
const QUIET: &str = "[log]\nrequests = \"errors\"\n";

fn start(folder: &std::path::Path) -> Ferrobase {
    Ferrobase::dev(folder)
}

fn post(server: &Ferrobase, path: &str, key: &str, body: &Value) -> Answer {
    server.send("POST", path, key, &body.to_string())
}

/// The answer's body; the request must have been granted.
fn granted(answer: &Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    let body = answer.json();
    assert_eq!(
        (answer.status, &body["code"]),
        (status, &json!(code)),
        "{answer:?}"
    );
}

/// A function of schema `work`, as `supabase.schema('work').rpc()` calls it.
fn rpc(server: &Ferrobase, name: &str, key: &str, body: &Value) -> Answer {
    work(
        server,
        "POST",
        &format!("/rest/v1/rpc/{name}"),
        key,
        &body.to_string(),
    )
}

fn work(server: &Ferrobase, method: &str, path: &str, key: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {key}");
    let headers = [
        ("apikey", server.anon_key()),
        ("authorization", &bearer),
        ("content-type", "application/json"),
        ("content-profile", "work"),
        ("accept-profile", "work"),
    ];
    request(server.address(), method, path, &headers, body.as_bytes()).unwrap()
}

fn submit(server: &Ferrobase, key: &str, body: &Value) -> Value {
    granted(&post(server, "/jobs/v1/jobs", key, body))
}

fn claim(server: &Ferrobase, key: &str, body: &Value) -> Value {
    granted(&post(server, "/jobs/v1/workers/w/claim", key, body))["jobs"].clone()
}

fn state(server: &Ferrobase, key: &str, id: &Value) -> Value {
    let path = format!("/jobs/v1/jobs/{}", id.as_str().unwrap());
    granted(&server.get(&path, key))["state"].clone()
}

/// Works off everything in `exchange`s until the job is over.
fn work_off(server: &Ferrobase, name: &str, root: &Value, slots: usize) -> usize {
    let mut line = Line::open(server.address()).unwrap();
    let bearer = format!("Bearer {}", server.service_key());
    let headers = [("apikey", server.anon_key()), ("authorization", &bearer)];
    let mut finish = Vec::new();
    let mut done = 0;
    loop {
        let body = json!({
            "slots": slots, "wait_ms": 200, "lease_ms": 60_000, "finish": finish,
        });
        let path = format!("/jobs/v1/workers/{name}/exchange");
        let answer = line.ask("POST", &path, &headers, body.to_string().as_bytes());
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{answer:?} {}", server.stderr());
        let answer = answer.json();
        for ended in answer["finished"].as_array().unwrap() {
            assert_eq!(ended["state"], "completed", "{ended}");
            done += 1;
        }
        let jobs = answer["jobs"].as_array().unwrap();
        finish = jobs
            .iter()
            .map(|job| json!({ "id": job["id"], "epoch": job["epoch"], "output": job["input"] }))
            .collect();
        if finish.is_empty() && state(server, server.service_key(), root) != "running" {
            return done;
        }
    }
}

#[test]
fn ten_thousand_children_are_worked_off_by_two_workers() {
    let folder = project(&[("ferrobase.toml", QUIET)]);
    let server = start(folder.path());
    let ada = server.token(ADA, &json!({}));
    let group = json!({ "ref": "all", "group": true, "events": false });
    let child = |n| json!({ "type": "one", "parent_ref": "all", "input": n, "events": false });
    let jobs: Vec<Value> = std::iter::once(group)
        .chain((0..CHILDREN).map(child))
        .collect();
    let made = submit(&server, &ada, &json!({ "jobs": jobs }));
    let root = made["jobs"][0]["id"].clone();
    let done: usize = thread::scope(|scope| {
        let work = |name| {
            let (server, root) = (&server, &root);
            scope.spawn(move || work_off(server, name, root, 250))
        };
        let workers = [work("one"), work("two")];
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    assert_eq!(done, CHILDREN);
    let path = format!("/jobs/v1/jobs/{}?tree=1", root.as_str().unwrap());
    let tree = server.get(&path, &ada);
    assert_eq!(tree.status, 200, "{}", server.stderr());
    let tree = tree.json();
    assert_eq!(tree["job"]["state"], "completed");
    assert_eq!(tree["job"]["progress"], 1);
    assert_eq!(tree["jobs"].as_array().unwrap().len(), CHILDREN + 1);
    drop(server);
}

#[test]
fn a_worker_hears_at_once_that_its_job_is_cancelled() {
    let folder = project(&[]);
    let server = start(folder.path());
    let ada = server.token(ADA, &json!({}));
    let job = submit(
        &server,
        &ada,
        &json!({ "type": "long", "input": { "n": 1 } }),
    );
    // A user's own worker may do the user's jobs.
    let claimed = claim(&server, &ada, &json!({ "wait_ms": 20_000 }));
    assert_eq!(
        (&claimed[0]["id"], &claimed[0]["epoch"]),
        (&job["id"], &json!(1))
    );
    let beat = json!({
        "jobs": [{ "id": job["id"], "epoch": 1, "progress": 0.25, "message": "a quarter" }],
        "wait_ms": 20_000, "lease_ms": 60_000,
    });
    let told = thread::scope(|scope| {
        let asking = scope.spawn(|| post(&server, "/jobs/v1/workers/w/heartbeat", &ada, &beat));
        let path = format!("/jobs/v1/jobs/{}/cancel", job["id"].as_str().unwrap());
        let changed = granted(&post(&server, &path, &ada, &json!({ "reason": "enough" })));
        assert_eq!(changed["changed"][0]["state"], "cancelled");
        granted(&asking.join().unwrap())
    });
    let expected = json!([{ "id": job["id"], "directive": "cancel" }]);
    assert_eq!(told["directives"], expected);
    let path = format!("/jobs/v1/jobs/{}/finish", job["id"].as_str().unwrap());
    refused(
        &post(&server, &path, &ada, &json!({ "epoch": 1 })),
        409,
        "stale",
    );
}

/// Ada's job, which a worker of hers holds, and Bob, who knows its number.
struct Stranger<'a> {
    server: &'a Ferrobase,
    bob: String,
    job: &'a str,
    session: Value,
}

impl Stranger<'_> {
    fn sees_nothing(&self) {
        let (server, bob, job) = (self.server, &self.bob, self.job);
        for table in ["jobs", "sessions", "events", "steps", "attempts", "streams"] {
            let path = format!("/rest/v1/{table}?select=*");
            let seen = work(server, "GET", &path, bob, "");
            assert_eq!((seen.status, &*seen.body), (200, "[]"), "{table}");
        }
        for path in ["", "/events", "/budgets"] {
            let path = format!("/jobs/v1/jobs/{job}{path}");
            refused(&server.get(&path, bob), 404, "not_found");
        }
    }

    fn changes_nothing(&self) {
        for (path, body) in [
            ("cancel", json!({})),
            ("pause", json!({})),
            ("resume", json!({})),
            ("retry", json!({})),
            ("signals/go", json!({})),
            ("finish", json!({ "epoch": 1 })),
            ("fail", json!({ "epoch": 1 })),
            ("log", json!({ "epoch": 1, "message": "x" })),
            ("suspend", json!({ "epoch": 1, "waits": [] })),
            ("spawn", json!({ "epoch": 1, "jobs": [{ "type": "t" }] })),
            ("steps/s/begin", json!({ "epoch": 1 })),
            ("steps/s/end", json!({ "epoch": 1, "result": 1 })),
        ] {
            let path = format!("/jobs/v1/jobs/{}/{path}", self.job);
            let answer = post(self.server, &path, &self.bob, &body);
            refused(&answer, 404, "not_found");
        }
        let beat = json!({ "jobs": [{ "id": self.job, "epoch": 1 }] });
        let path = "/jobs/v1/workers/w/heartbeat";
        refused(&post(self.server, path, &self.bob, &beat), 404, "not_found");
    }

    fn waits_for_nothing(&self) {
        for spec in [
            json!({ "type": "t", "depends_on": [{ "id": self.job, "when": "terminal" }] }),
            json!({ "type": "t", "parent_id": self.job }),
            json!({ "type": "t", "session_id": self.session }),
        ] {
            let answer = post(self.server, "/jobs/v1/jobs", &self.bob, &spec);
            refused(&answer, 404, "not_found");
            let answer = rpc(self.server, "submit", &self.bob, &json!({ "jobs": [spec] }));
            assert_eq!(answer.status, 404, "{answer:?}");
        }
    }

    fn calls_nothing(&self) {
        for (name, body) in [
            ("cancel", json!({ "job": self.job })),
            ("signal", json!({ "job": self.job, "name": "go" })),
            ("finish", json!({ "job": self.job, "epoch": 1 })),
            (
                "log",
                json!({ "job": self.job, "epoch": 1, "message": "x" }),
            ),
            (
                "step_begin",
                json!({ "job": self.job, "epoch": 1, "key": "s" }),
            ),
        ] {
            let answer = rpc(self.server, name, &self.bob, &body);
            let told = (answer.status, answer.json()["details"].clone());
            assert_eq!(told, (404, json!("not_found")), "{name} {answer:?}");
        }
    }

    /// Whoever he says that he is.
    fn claims_nothing(&self) {
        let claimed = claim(self.server, &self.bob, &json!({ "owner": ADA }));
        assert_eq!(claimed, json!([]));
        let body = json!({ "worker": "w", "owner": ADA });
        let claimed = granted(&rpc(self.server, "claim", &self.bob, &body));
        assert_eq!(claimed, json!([]));
        let body = json!({ "worker": "w", "jobs": [{ "id": self.job, "epoch": 1 }] });
        let told = granted(&rpc(self.server, "heartbeat", &self.bob, &body));
        assert_eq!(told, json!([]));
    }
}

#[test]
fn nobody_else_sees_waits_on_signals_or_claims_a_job() {
    let folder = project(&[]);
    let server = start(folder.path());
    let ada = server.token(ADA, &json!({}));
    let session = r#"{"title":"mine"}"#;
    let made = work(
        &server,
        "POST",
        "/rest/v1/sessions?select=id",
        &ada,
        session,
    );
    assert_eq!(made.status, 201, "{made:?}");
    let sessions = work(&server, "GET", "/rest/v1/sessions?select=id", &ada, "").json();
    let spec = json!({ "type": "t", "session_id": sessions[0]["id"] });
    let held = submit(&server, &ada, &spec);
    let claimed = claim(&server, &ada, &json!({ "wait_ms": 20_000 }));
    assert_eq!(claimed[0]["id"], held["id"]);
    let open = submit(&server, &ada, &json!({ "type": "t", "owner": BOB }));

    let stranger = Stranger {
        server: &server,
        bob: server.token(BOB, &json!({})),
        job: held["id"].as_str().unwrap(),
        session: sessions[0]["id"].clone(),
    };
    stranger.sees_nothing();
    stranger.changes_nothing();
    stranger.waits_for_nothing();
    stranger.calls_nothing();
    stranger.claims_nothing();

    let (anon, spec) = (server.anon_key(), json!({ "type": "t" }));
    refused(
        &post(&server, "/jobs/v1/jobs", anon, &spec),
        401,
        "forbidden",
    );
    let path = "/jobs/v1/workers/w/claim";
    refused(&post(&server, path, anon, &json!({})), 401, "forbidden");
    let answer = rpc(&server, "submit", anon, &json!({ "jobs": [spec] }));
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");

    // Nothing of that has changed anything.
    assert_eq!(state(&server, &ada, &held["id"]), "running");
    let mine = claim(&server, &ada, &json!({ "wait_ms": 20_000 }));
    assert_eq!(mine[0]["id"], open["id"]);
    assert_eq!(mine[0]["owner"], ADA);
}

#[test]
fn functions_do_what_the_routes_do() {
    let folder = project(&[]);
    let server = start(folder.path());
    let ada = server.token(ADA, &json!({}));
    let spec = json!({ "type": "t", "input": { "n": 1 }, "idempotency_key": "once" });
    let made = granted(&rpc(&server, "submit", &ada, &json!({ "jobs": [spec] })));
    let again = submit(&server, &ada, &spec);
    assert_eq!(
        (&again["id"], &again["is_new"]),
        (&made[0]["id"], &json!(false))
    );
    let id = &made[0]["id"];
    let jobs = granted(&rpc(&server, "claim", &ada, &json!({ "worker": "w" })));
    assert_eq!(
        (&jobs[0]["id"], &jobs[0]["input"]),
        (id, &json!({ "n": 1 }))
    );
    let begin = json!({ "job": id, "epoch": 1, "key": "pay" });
    let verdict = granted(&rpc(&server, "step_begin", &ada, &begin));
    assert_eq!(verdict["verdict"], "run");
    let end = json!({ "job": id, "epoch": 1, "key": "pay", "result": { "paid": true } });
    assert_eq!(
        granted(&rpc(&server, "step_end", &ada, &end))["outcome"],
        "kept"
    );
    // The other way in knows what this one did.
    let path = format!("/jobs/v1/jobs/{}/steps/pay/begin", id.as_str().unwrap());
    let hit = granted(&post(&server, &path, &ada, &json!({ "epoch": 1 })));
    assert_eq!(
        (&hit["verdict"], &hit["result"]),
        (&json!("hit"), &json!({ "paid": true }))
    );
    let waits = json!({ "job": id, "epoch": 1, "waits": [{ "key": "go", "kind": "signal" }] });
    assert_eq!(
        granted(&rpc(&server, "suspend", &ada, &waits))["state"],
        "suspended"
    );
    let sent = json!({ "job": id, "name": "go", "payload": { "go": 1 } });
    assert_eq!(
        granted(&rpc(&server, "signal", &ada, &sent))["is_new"],
        true
    );
    let woken = claim(&server, &ada, &json!({ "wait_ms": 20_000 }));
    assert_eq!((&woken[0]["id"], &woken[0]["epoch"]), (id, &json!(2)));
    assert_eq!(woken[0]["steps"]["go"]["result"], json!({ "go": 1 }));
    let finish = json!({ "job": id, "epoch": 2, "output": { "ok": true } });
    assert_eq!(granted(&rpc(&server, "finish", &ada, &finish)), "completed");
    let answer = rpc(&server, "finish", &ada, &finish);
    assert_eq!(
        (answer.status, &answer.json()["details"]),
        (409, &json!("stale"))
    );
    let service = server.service_key();
    let made = granted(&rpc(
        &server,
        "submit",
        service,
        &json!({ "jobs": { "type": "t", "owner": BOB } }),
    ));
    let seen = work(
        &server,
        "GET",
        "/rest/v1/jobs?select=id",
        &server.token(BOB, &json!({})),
        "",
    );
    assert_eq!(seen.json(), json!([{ "id": made[0]["id"] }]));
}

#[test]
fn what_was_accepted_is_done_although_everything_was_killed() {
    let folder = project(&[]);
    let server = start(folder.path());
    let service = server.service_key().to_owned();
    let group = json!({ "ref": "all", "group": true });
    let child = |n| json!({ "type": "one", "parent_ref": "all", "input": n });
    let jobs: Vec<Value> = std::iter::once(group).chain((0..200).map(child)).collect();
    let made = submit(&server, &service, &json!({ "jobs": jobs }));
    let root = made["jobs"][0]["id"].clone();
    let lost = claim(
        &server,
        &service,
        &json!({ "slots": 50, "lease_ms": 2000, "wait_ms": 20_000 }),
    );
    assert_eq!(lost.as_array().unwrap().len(), 50);
    server.kill9();
    let server = start(folder.path());
    let done = work_off(&server, "after", &root, 50);
    assert_eq!(done, 200);
    assert_eq!(state(&server, server.service_key(), &root), "completed");
    let twice = work(
        &server,
        "GET",
        "/rest/v1/jobs?select=id&crashes=eq.1",
        server.service_key(),
        "",
    );
    assert_eq!(twice.json().as_array().unwrap().len(), 50);
}

#[test]
fn a_user_takes_no_more_than_a_users_turn() {
    let folder = project(&[("ferrobase.toml", QUIET)]);
    let server = start(folder.path());
    let ada = server.token(ADA, &json!({}));
    let admin = "{\"name\":\"rebuild\",\"service_only\":true}";
    let made = work(
        &server,
        "POST",
        "/rest/v1/job_types",
        server.service_key(),
        admin,
    );
    assert_eq!(made.status, 201, "{made:?}");

    let asked = [
        json!({ "type": "t", "limit_keys": ["provider:x"] }),
        json!({ "type": "t", "priority": 1 }),
        json!({ "type": "t", "cost": 0.5 }),
        json!({ "type": "rebuild" }),
    ];
    for job in &asked {
        refused(&post(&server, "/jobs/v1/jobs", &ada, job), 403, "forbidden");
        let by_function = rpc(&server, "submit", &ada, &json!({ "jobs": [job] }));
        assert_eq!(by_function.status, 403, "{by_function:?}");
        let plan = json!({ "name": "p", "cron": "0 0 * * *", "job": job });
        refused(
            &post(&server, "/jobs/v1/schedules", &ada, &plan),
            403,
            "forbidden",
        );
        submit(&server, server.service_key(), job);
    }

    // A user's own worker may not hold up what others share.
    let shared = json!({ "type": "mine", "owner": ADA, "limit_keys": ["provider:x"] });
    submit(&server, server.service_key(), &shared);
    let held = claim(&server, &ada, &json!({ "types": ["mine"] }));
    let (id, epoch) = (held[0]["id"].as_str().unwrap(), &held[0]["epoch"]);
    let path = format!("/jobs/v1/jobs/{id}/limits/provider:x/pause");
    let pause = json!({ "epoch": epoch, "for_ms": 60_000 });
    refused(&post(&server, &path, &ada, &pause), 403, "forbidden");
    let pause = json!({ "job": id, "epoch": epoch, "key": "provider:x", "for_ms": 60_000 });
    assert_eq!(rpc(&server, "pause_limit", &ada, &pause).status, 403);
    // Its children neither.
    let child = json!({ "epoch": epoch, "jobs": [{ "type": "t", "priority": 9 }] });
    let path = format!("/jobs/v1/jobs/{id}/spawn");
    refused(&post(&server, &path, &ada, &child), 403, "forbidden");
}

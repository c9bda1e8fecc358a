//! Schedules, budgets and approvals over HTTP: what they do for their owner,
//! and that another tenant neither sees, changes nor answers any of it.

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};

const ADA: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
const CID: &str = "00000000-0000-4000-8000-00000000000c";
/// For what must come.
const WAIT_MS: u32 = 20_000;

/// A server, and who asks it things.
struct Scene {
    server: Ferrobase,
    ada: String,
    bob: String,
    cid: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = project(&[]);
        let server = Ferrobase::dev(folder.path());
        let token = |who| server.token(who, &json!({}));
        Self {
            ada: token(ADA),
            bob: token(BOB),
            cid: token(CID),
            server,
            _folder: folder,
        }
    }

    fn ask(&self, key: &str, what: &str, body: &Value) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.server
            .send(method, &format!("/jobs/v1{path}"), key, &body)
    }

    fn granted(&self, key: &str, what: &str, body: &Value) -> Value {
        let answer = self.ask(key, what, body);
        assert!(
            (200..300).contains(&answer.status),
            "{what}: {answer:?} {}",
            self.server.stderr()
        );
        answer.json()
    }

    fn refused(&self, key: &str, what: &str, body: &Value, status: u16) {
        let answer = self.ask(key, what, body);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
    }

    /// The one job that this user's worker gets.
    fn claim(&self, key: &str) -> Value {
        let body = json!({ "wait_ms": WAIT_MS, "slots": 1 });
        let jobs = self.granted(key, "POST /workers/w/claim", &body)["jobs"].clone();
        assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{jobs}");
        jobs[0].clone()
    }

    /// Rows of a table of schema `work` by the data API.
    fn rows(&self, key: &str, table: &str) -> Value {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("apikey", self.server.anon_key()),
            ("authorization", &bearer),
            ("accept-profile", "work"),
        ];
        let path = format!("/rest/v1/{table}?select=*");
        let answer = request(self.server.address(), "GET", &path, &headers, b"").unwrap();
        assert_eq!(answer.status, 200, "{table}: {answer:?}");
        answer.json()
    }

    /// A function of schema `work`.
    fn rpc(&self, key: &str, name: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("apikey", self.server.anon_key()),
            ("authorization", &bearer),
            ("content-type", "application/json"),
            ("content-profile", "work"),
        ];
        let path = format!("/rest/v1/rpc/{name}");
        let body = body.to_string();
        request(
            self.server.address(),
            "POST",
            &path,
            &headers,
            body.as_bytes(),
        )
        .unwrap()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn a_schedule_fires_for_its_owner_and_is_nobody_elses() {
    let scene = Scene::new();
    let (ada, bob) = (&*scene.ada, &*scene.bob);
    let nightly = json!({
        "name": "every second", "cron": "* * * * * *", "time_zone": "Europe/Berlin",
        "job": { "type": "report", "input": { "days": 1 } },
    });
    let made = scene.granted(ada, "POST /schedules", &nightly);
    let own = format!("/schedules/{}", text(&made["id"]));
    // The clock of the database fires it; the claim waits for that.
    let job = scene.claim(ada);
    assert_eq!(
        (&job["type"], &job["input"]),
        (&json!("report"), &json!({ "days": 1 }))
    );
    let end = format!("POST /jobs/{}/finish", text(&job["id"]));
    scene.granted(ada, &end, &json!({ "epoch": job["epoch"] }));
    let shown = scene.granted(ada, &format!("GET {own}"), &Value::Null);
    assert_eq!(shown["fires"][0]["outcome"], "submitted", "{shown}");

    assert_eq!(
        scene.granted(bob, "GET /schedules", &Value::Null),
        json!([])
    );
    assert_eq!(scene.rows(bob, "schedules"), json!([]));
    assert_eq!(scene.rows(bob, "schedule_fires"), json!([]));
    scene.refused(bob, &format!("GET {own}"), &Value::Null, 404);
    let pause = json!({ "paused": true });
    scene.refused(bob, &format!("PATCH {own}"), &pause, 404);
    scene.refused(bob, &format!("DELETE {own}"), &Value::Null, 404);
    let changes = json!({ "id": made["id"], "changes": pause });
    assert_eq!(scene.rpc(bob, "schedule_update", &changes).status, 404);
    let body = json!({ "id": made["id"] });
    assert_eq!(scene.rpc(bob, "schedule_delete", &body).status, 404);
    // A name that is taken by somebody else is free.
    let other = json!({ "name": "every second", "cron": "@daily", "job": { "type": "mine" } });
    scene.granted(bob, "POST /schedules", &other);
    let foreign =
        json!({ "name": "x", "cron": "@daily", "job": { "type": "t", "parent_id": job["id"] } });
    let refused = scene.ask(bob, "POST /schedules", &foreign);
    assert!((400..500).contains(&refused.status), "{refused:?}");

    let paused = scene.granted(ada, &format!("PATCH {own}"), &pause);
    assert_eq!(paused["paused"], true);
    scene.granted(ada, &format!("DELETE {own}"), &Value::Null);
    scene.refused(ada, &format!("GET {own}"), &Value::Null, 404);
    let left = scene.granted(scene.server.service_key(), "GET /schedules", &Value::Null);
    assert_eq!(left.as_array().unwrap().len(), 1, "Bob's is left");
}

#[test]
fn a_budget_stops_its_job_and_only_its_owner_is_asked() {
    let scene = Scene::new();
    let (ada, bob, service) = (&*scene.ada, &*scene.bob, scene.server.service_key());
    let film = json!({
        "type": "film", "budget": [{ "unit": "usd", "cap": 1, "on_exceed": "ask" }],
    });
    let made = scene.granted(ada, "POST /jobs", &film);
    let own = format!("/jobs/{}", text(&made["id"]));
    let claimed = scene.claim(ada);
    let begin = |epoch: &Value| json!({ "epoch": epoch, "unit": "usd", "estimate": 2 });
    let step = format!("POST {own}/steps/clip/begin");
    let said = scene.granted(ada, &step, &begin(&claimed["epoch"]));
    assert_eq!(said["verdict"], "over_budget", "{said}");
    let state = |key| scene.granted(key, &format!("GET {own}"), &Value::Null)["state"].clone();
    assert_eq!(state(ada), "paused");

    // Bob sees nothing of it, and cannot decide.
    let asked = scene.granted(ada, "GET /approvals", &Value::Null);
    let answer = format!("POST /approvals/{}", text(&asked[0]["id"]));
    let more = json!({ "answer": { "cap": 5 } });
    assert_eq!(
        scene.granted(bob, "GET /approvals", &Value::Null),
        json!([])
    );
    for table in ["budgets", "ledger", "approvals", "waiting"] {
        assert_eq!(scene.rows(bob, table), json!([]), "{table}");
    }
    scene.refused(bob, &format!("GET {own}/budgets"), &Value::Null, 404);
    scene.refused(bob, &answer, &more, 404);
    let body = json!({ "approval": asked[0]["id"], "answer": { "cap": 5 } });
    let stranger = scene.rpc(bob, "answer", &body);
    assert!((400..500).contains(&stranger.status), "{stranger:?}");
    let set = format!("PUT {own}/budgets/usd");
    for user in [ada, bob] {
        scene.refused(user, &set, &json!({ "cap": 100 }), 403);
    }
    assert_eq!(state(ada), "paused");

    // Ada decides, and the work goes on.
    scene.granted(ada, &answer, &more);
    let claimed = scene.claim(ada);
    assert_eq!(claimed["id"], made["id"]);
    let said = scene.granted(ada, &step, &begin(&claimed["epoch"]));
    assert_eq!(said["verdict"], "run", "{said}");
    let end = json!({ "epoch": claimed["epoch"], "result": 1, "cost": 1.5 });
    scene.granted(ada, &format!("POST {own}/steps/clip/end"), &end);
    let budgets = scene.granted(ada, &format!("GET {own}/budgets"), &Value::Null);
    assert_eq!(
        (
            budgets[0]["cap"].as_f64(),
            budgets[0]["spent"].as_f64(),
            budgets[0]["reserved"].as_f64()
        ),
        (Some(5.0), Some(1.5), Some(0.0)),
        "{budgets}"
    );
    scene.granted(service, &set, &json!({ "cap": 100 }));
    let budgets = scene.granted(ada, &format!("GET {own}/budgets"), &Value::Null);
    assert_eq!(budgets[0]["cap"].as_f64(), Some(100.0));
}

#[test]
fn an_approval_is_answered_by_whom_it_was_asked_of() {
    let scene = Scene::new();
    let (ada, bob, cid) = (&*scene.ada, &*scene.bob, &*scene.cid);
    let made = scene.granted(ada, "POST /jobs", &json!({ "type": "cut" }));
    let own = format!("/jobs/{}", text(&made["id"]));
    let claimed = scene.claim(ada);
    let form = json!({
        "type": "object", "required": ["ok"], "properties": { "ok": { "type": "boolean" } },
    });
    let wait = json!({ "key": "use?", "kind": "approval", "prompt": "Use it?", "assignee": CID, "form": form });
    let suspend = json!({ "epoch": claimed["epoch"], "waits": [wait] });
    let suspended = scene.granted(ada, &format!("POST {own}/suspend"), &suspend);
    assert_eq!(suspended["state"], "suspended");

    let listed = |key| scene.granted(key, "GET /approvals", &Value::Null);
    let asked = listed(cid);
    assert_eq!(
        (&asked, asked.as_array().map(Vec::len)),
        (&listed(ada), Some(1))
    );
    assert_eq!(
        (listed(bob), scene.rows(bob, "approvals")),
        (json!([]), json!([]))
    );
    let answer = format!("POST /approvals/{}", text(&asked[0]["id"]));
    let yes = json!({ "answer": { "ok": true } });
    scene.refused(bob, &answer, &yes, 404);
    // Who is asked has no other right on the job.
    scene.refused(cid, &format!("GET {own}"), &Value::Null, 404);
    scene.refused(cid, &format!("POST {own}/cancel"), &json!({}), 404);
    scene.refused(cid, &answer, &json!({ "answer": { "ok": "yes" } }), 422);
    scene.granted(cid, &answer, &yes);
    scene.granted(cid, &answer, &yes);
    scene.refused(ada, &answer, &json!({ "answer": { "ok": false } }), 409);
    assert_eq!((listed(ada), listed(cid)), (json!([]), json!([])));

    let claimed = scene.claim(ada);
    let came = &claimed["steps"]["use?"];
    assert_eq!(
        came["result"],
        json!({ "answer": { "ok": true }, "by": CID }),
        "{claimed}"
    );
}

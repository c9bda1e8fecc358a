//! Sandboxes of the built binary: real programs, a server that is killed,
//! other tenants, pages and what they may know, links that lead outside.

#[path = "boxes/pages.rs"]
mod pages;

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ANSWER_WAIT, Answer, Ferrobase, project, request};

const ADA: &str = "7d3c1f60-aaaa-4f5e-9a62-0f6a4f4b0a01";
const BOB: &str = "7d3c1f60-bbbb-4f5e-9a62-0f6a4f4b0a02";

/// A server and somebody with a session on it.
struct Stand {
    server: Ferrobase,
    token: String,
    session: String,
}

impl Stand {
    fn new(server: Ferrobase) -> Self {
        let token = server.token(ADA, &json!({}));
        let made = server.send("POST", "/sessions/v1/sessions", &token, "{}");
        let session = made.json()["id"].as_str().unwrap().to_owned();
        Self {
            server,
            token,
            session,
        }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/sessions/v1/sessions/{}{path}", self.session);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.server.send(method, &path, &self.token, &body)
    }

    fn make(&self, body: &Value) -> String {
        let made = self.ask("POST", "/sandboxes", body);
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["sandbox_id"].as_str().unwrap().to_owned()
    }

    fn run(&self, id: &str, command: &str) -> Value {
        let ran = self.ask(
            "POST",
            &format!("/sandboxes/{id}/exec"),
            &json!({"command": command}),
        );
        assert_eq!(ran.status, 200, "{}", ran.body);
        ran.json()
    }

    fn status(&self, id: &str) -> (String, String) {
        let row = self
            .ask("GET", &format!("/sandboxes/{id}"), &Value::Null)
            .json();
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    fn page(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        crate::support::raw(self.server.address(), format!("{head}\r\n").as_bytes()).unwrap()
    }
}

#[test]
fn a_program_is_heard_and_written_down() {
    let folder = project(&[]);
    let stand = Stand::new(Ferrobase::dev(folder.path()));
    let id = stand.make(&json!({"env": {"HUE": "teal"}}));
    let ran = stand.run(&id, "echo $HUE; echo bad >&2; exit 3");
    assert_eq!(ran["stdout"], "teal\n", "{ran}");
    assert_eq!(
        (&ran["stderr"], &ran["exit_code"]),
        (&json!("bad\n"), &json!(3))
    );
    // Live, for who asks for events.
    let path = format!(
        "/sessions/v1/sessions/{}/sandboxes/{id}/exec",
        stand.session
    );
    let bearer = format!("Bearer {}", stand.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("accept", "text/event-stream"),
    ];
    let body = json!({"command": ["printf", "%s", "a b"]}).to_string();
    let live = request(
        stand.server.address(),
        "POST",
        &path,
        &headers,
        body.as_bytes(),
    )
    .unwrap();
    assert!(
        live.body
            .contains("event: stdout\ndata: {\"text\":\"a b\"}\n\n"),
        "{}",
        live.body
    );
    assert!(live.body.contains("event: exit\n"), "{}", live.body);
    // In the log of the session, and as rows.
    let told = stand
        .ask("GET", "/timeline?limit=1000", &Value::Null)
        .json();
    let events = told["events"].as_array().unwrap();
    let first = events
        .iter()
        .find(|event| event["kind"] == "sandbox.output")
        .unwrap();
    assert_eq!(first["data"]["run"], ran["run"]);
    assert!(
        events
            .iter()
            .any(|event| event["kind"] == "sandbox.exit" && event["data"]["code"] == 3)
    );
    let runs = stand.ask("GET", "/tool_runs", &Value::Null).json();
    let failed: Vec<_> = runs["tool_runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|run| run["error"] == "exit status 3")
        .collect();
    assert_eq!(failed.len(), 1, "{runs}");
    assert_eq!(failed[0]["output"]["stderr"], "bad\n");
    // Limits are told as what they are.
    let slow = json!({"command": "sleep 60", "timeout": 1});
    let slow = stand
        .ask("POST", &format!("/sandboxes/{id}/exec"), &slow)
        .json();
    assert_eq!(slow["why"], "timeout", "{slow}");
}

#[test]
fn a_killed_server_loses_no_snapshot_and_gives_another_sandbox() {
    let folder = project(&[]);
    let mut stand = Stand::new(Ferrobase::dev(folder.path()));
    let id = stand.make(&json!({}));
    stand.run(&id, "mkdir -p src node_modules && echo kept > src/a.txt && printf '#!/bin/sh\\necho ran' > run.sh && chmod +x run.sh && echo x > node_modules/x");
    let kept = stand
        .ask("POST", &format!("/sandboxes/{id}/snapshot"), &json!({}))
        .json();
    assert_eq!(
        (&kept["written"], &kept["skipped"]),
        (&json!(2), &json!([])),
        "{kept}"
    );
    let again = stand
        .ask("POST", &format!("/sandboxes/{id}/snapshot"), &json!({}))
        .json();
    assert_eq!(
        (&again["written"], &again["same"]),
        (&json!(0), &json!(2)),
        "{again}"
    );
    stand.run(&id, "echo lost > src/b.txt");
    stand.server.kill9();
    stand.server = Ferrobase::dev(folder.path());
    stand.token = stand.server.token(ADA, &json!({}));
    let deadline = Instant::now() + ANSWER_WAIT;
    while stand.status(&id).0 != "stopped" {
        assert!(Instant::now() < deadline, "{:?}", stand.status(&id));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(
        stand
            .ask(
                "POST",
                &format!("/sandboxes/{id}/exec"),
                &json!({"command": "ls"})
            )
            .status,
        410
    );
    let next = stand.ask("POST", "/sandbox", &json!({}));
    assert_eq!(next.status, 201, "{}", next.body);
    let next_id = next.json()["sandbox_id"].as_str().unwrap().to_owned();
    assert_ne!(next_id, id);
    let there = stand.run(
        &next_id,
        "cat src/a.txt; ./run.sh; ls src node_modules 2>/dev/null",
    );
    assert_eq!(there["stdout"], "kept\nran\nsrc:\na.txt\n", "{there}");
    // Whoever asks again gets the same one.
    let same = stand.ask("POST", "/sandbox", &json!({}));
    assert_eq!(
        (same.status, &same.json()["sandbox_id"]),
        (200, &json!(next_id))
    );
    // The workspace moves on without it: going back is a difference.
    stand.run(
        &next_id,
        "rm -r src && mkdir -p src/a.txt && echo y > new.txt",
    );
    let back = stand
        .ask("POST", &format!("/sandboxes/{next_id}/restore"), &json!({}))
        .json();
    assert_eq!(
        (&back["written"], &back["removed"]),
        (&json!(1), &json!(1)),
        "{back}"
    );
    assert_eq!(
        stand.run(&next_id, "cat src/a.txt; ls")["stdout"],
        "kept\nrun.sh\nsrc\n"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "every route once")]
fn anothers_sandbox_does_not_exist_and_no_state_is_written_by_hand() {
    let folder = project(&[]);
    let stand = Stand::new(Ferrobase::dev(folder.path()));
    let id = stand.make(&json!({}));
    stand.run(&id, "echo secret > a.txt");
    let bob = stand.server.token(BOB, &json!({}));
    let own = stand
        .server
        .send("POST", "/sessions/v1/sessions", &bob, "{}")
        .json();
    let own = own["id"].as_str().unwrap();
    let nothing = "sb00000000000000000000000000000000";
    for (method, path, body) in [
        ("GET", "", ""),
        ("DELETE", "", ""),
        ("POST", "/exec", r#"{"command":"cat a.txt"}"#),
        ("POST", "/install", r#"{"packages":["left-pad"]}"#),
        ("POST", "/pause", ""),
        ("POST", "/resume", ""),
        ("POST", "/extend", r#"{"timeout":60}"#),
        ("POST", "/snapshot", ""),
        ("POST", "/restore", ""),
        ("POST", "/dev_server", ""),
        ("GET", "/health", ""),
        ("GET", "/logs", ""),
        ("GET", "/preview", ""),
        ("GET", "/files", ""),
        ("GET", "/files/a.txt", ""),
        ("PUT", "/files/a.txt", "x"),
        ("DELETE", "/files/a.txt", ""),
        (
            "POST",
            "/files",
            r#"{"changes":[{"path":"a","content":"x"}]}"#,
        ),
    ] {
        // In her session, and in one of his own.
        for session in [stand.session.as_str(), own] {
            let at = |id: &str| format!("/sessions/v1/sessions/{session}/sandboxes/{id}{path}");
            let hers = stand.server.send(method, &at(&id), &bob, body);
            let none = stand.server.send(method, &at(nothing), &bob, body);
            assert_eq!(
                (hers.status, &hers.body),
                (none.status, &none.body),
                "{method} {path}"
            );
            assert_eq!(hers.status, 404, "{method} {path}: {}", hers.body);
        }
    }
    let zip = format!("/sessions/v1/sessions/{}/zip", stand.session);
    assert_eq!(stand.server.send("GET", &zip, &bob, "").status, 404);
    // A note of hers in his session opens nothing.
    let note = format!("/sessions/v1/sessions/{own}/sandboxes");
    let noted = stand
        .server
        .send("PUT", &note, &bob, &json!({"sandbox_id": id}).to_string());
    assert_eq!(noted.status, 200, "{}", noted.body);
    let exec = format!("{note}/{id}/exec");
    assert_eq!(
        stand
            .server
            .send("POST", &exec, &bob, r#"{"command":"ls"}"#)
            .status,
        404
    );
    // Nobody says by hand that a sandbox runs, or where.
    let put = stand.ask(
        "PUT",
        "/sandboxes",
        &json!({"sandbox_id": id, "status": "stopped"}),
    );
    assert_eq!(put.status, 409, "{}", put.body);
    assert_eq!(stand.status(&id).0, "active");
    assert_eq!(stand.run(&id, "cat a.txt")["stdout"], "secret\n");
    // Nor has anyone a sandbox who has shown nothing.
    let anon = stand.server.anon_key();
    let path = format!("/sessions/v1/sessions/{}/sandboxes", stand.session);
    assert!(matches!(
        stand.server.send("POST", &path, anon, "{}").status,
        401 | 404
    ));
}

#[test]
fn links_lead_nowhere() {
    let folder = project(&[("secret.txt", "host secret")]);
    let stand = Stand::new(Ferrobase::dev(folder.path()));
    let id = stand.make(&json!({}));
    let secret = folder.path().join("secret.txt").display().to_string();
    stand.run(&id, &format!(
        "ln -s {secret} leak; ln -s /etc/passwd passwd; ln -s /etc etc; mkfifo pipe; echo fine > ok.txt; ln ok.txt hard"
    ));
    for path in [
        "leak",
        "passwd",
        "etc/passwd",
        "pipe",
        "..%2f..%2fetc%2fpasswd",
    ] {
        let read = stand.ask(
            "GET",
            &format!("/sandboxes/{id}/files/{path}"),
            &Value::Null,
        );
        assert!(
            (400..500).contains(&read.status),
            "{path}: {} {}",
            read.status,
            read.body
        );
        assert!(
            !read.body.contains("host secret") && !read.body.contains("root:"),
            "{path}"
        );
    }
    // Writing through one changes nothing outside, whatever it answers.
    stand.ask(
        "PUT",
        &format!("/sandboxes/{id}/files/leak"),
        &json!("changed"),
    );
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "host secret");
    stand.run(&id, &format!("rm -f leak; ln -s {secret} leak"));
    let kept = stand
        .ask("POST", &format!("/sandboxes/{id}/snapshot"), &json!({}))
        .json();
    let skipped: Vec<_> = kept["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skipped| {
            format!(
                "{} {}",
                skipped["path"].as_str().unwrap(),
                skipped["why"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        skipped,
        ["etc link", "leak link", "passwd link", "pipe special"],
        "{kept}"
    );
    let zip = stand.ask("GET", "/zip", &Value::Null);
    assert_eq!(zip.status, 200);
    assert!(
        zip.body.contains("ok.txt") && zip.body.starts_with("PK"),
        "{}",
        zip.body
    );
    assert!(!zip.body.contains("leak") && !zip.body.contains("host secret"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one life")]
fn a_sandbox_has_its_time_and_an_owner_so_many() {
    let folder = project(&[]);
    let limits = [
        ("FERROBASE__SANDBOX__PER_OWNER", "2"),
        ("FERROBASE__SANDBOX__LIVES_MAX", "1h"),
    ];
    let stand = Stand::new(Ferrobase::dev_in(folder.path(), &limits));
    let short = stand.make(&json!({"timeout": 1, "stays": false}));
    let long = stand.make(&json!({}));
    let third = stand.ask("POST", "/sandboxes", &json!({}));
    assert_eq!(
        (third.status, &third.json()["code"]),
        (429, &json!("over_limit")),
        "{}",
        third.body
    );
    for (body, code) in [
        (json!({"timeout": 7200}), "over_limit"),
        (json!({"timeout": 0}), "invalid"),
        (json!({"template": "none"}), "invalid"),
        (json!({"network": "all"}), "invalid"),
        (json!({"env": {"A=B": "c"}}), "invalid"),
        (json!({"cpus": 64}), "unknown_field"),
    ] {
        let refused = stand.ask("POST", "/sandboxes", &body);
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (400, &json!(code)),
            "{body}"
        );
    }
    let deadline = Instant::now() + ANSWER_WAIT;
    while stand.status(&short).0 != "stopped" {
        assert!(Instant::now() < deadline, "{:?}", stand.status(&short));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(stand.status(&short).1, "its time is over");
    assert_eq!(stand.status(&long).0, "active");
    // Paused, nothing moves; gone on with, it is where it was.
    stand.run(
        &long,
        "nohup sh -c 'while :; do date +%s%N > clock; sleep 0.05; done' >/dev/null 2>&1 &",
    );
    let act = |word: &str| stand.ask("POST", &format!("/sandboxes/{long}/{word}"), &json!({}));
    let clock = || {
        stand
            .ask(
                "GET",
                &format!("/sandboxes/{long}/files/clock"),
                &Value::Null,
            )
            .body
    };
    assert_eq!(act("pause").json()["status"], "paused");
    let (first, second) = (clock(), {
        thread::sleep(Duration::from_millis(400));
        clock()
    });
    assert_eq!(first, second);
    assert_eq!(act("resume").json()["status"], "active");
    let deadline = Instant::now() + ANSWER_WAIT;
    while clock() == second {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(50));
    }
    // What belongs to no session any more ends.
    let gone = format!("/sessions/v1/sessions/{}?hard=true", stand.session);
    assert_eq!(
        stand.server.send("DELETE", &gone, &stand.token, "").status,
        200
    );
    let host = format!("8080-{long}.localhost");
    let deadline = Instant::now() + ANSWER_WAIT;
    while stand.page(&host, "/", &[]).status != 404 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(100));
    }
}

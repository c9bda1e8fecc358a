//! Open Lovable's v2 API, sessions, and schema `work` by plain REST, through
//! the server: three doors to the same rows, each for its own tenant only.

use serde_json::{Value, json};

use crate::support::{Ferrobase, project, request};

const ANN: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const BEN: &str = "bbbbbbbb-0000-4000-8000-000000000002";
const SETTINGS: &str = "[db]\nschemas = [\"public\", \"work\"]\n";

/// A request as an app of the browser sends it: a bearer or nothing, no key.
fn ask(server: &Ferrobase, token: Option<&str>, line: &str, body: &Value) -> (u16, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![
        ("content-type", "application/json"),
        // Which schema of the data API is meant; other rooms do not look.
        ("accept-profile", "work"),
        ("content-profile", "work"),
        ("prefer", "return=representation"),
    ];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = request(server.address(), method, path, &headers, body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

fn ok(server: &Ferrobase, token: &str, line: &str, body: &Value) -> Value {
    let (status, answer) = ask(server, Some(token), line, body);
    assert!((200..300).contains(&status), "{line}: {status} {answer}");
    answer
}

fn text(value: &Value, path: &str) -> String {
    let found = value.pointer(path).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no text at {path} in {value}"))
        .to_owned()
}

#[test]
fn three_doors_lead_to_the_same_rows_of_one_tenant() {
    let folder = project(&[("ferrobase.toml", SETTINGS)]);
    let server = Ferrobase::dev_with(folder.path(), &["--app", "open_lovable"]);
    let (ann, ben) = (server.token(ANN, &json!({})), server.token(BEN, &json!({})));

    let made = ok(
        &server,
        &ann,
        "POST /api/v2/sessions",
        &json!({"title": "Shop"}),
    );
    let id = text(&made, "/session/id");
    // A message by plain REST, a file and a checkpoint by the room.
    let message = json!({"session_id": id, "role": "user", "content": "a blue button"});
    let row = ok(
        &server,
        &ann,
        "POST /rest/v1/messages?select=seq,role",
        &message,
    );
    assert_eq!(row, json!([{"seq": 1, "role": "user"}]));
    let put = format!("PUT /sessions/v1/sessions/{id}/files/src/App.tsx");
    assert_eq!(ok(&server, &ann, &put, &json!("code"))["change"], "added");
    let rpc = json!({"session_id": id, "label": "first"});
    let checkpoint = ok(&server, &ann, "POST /rest/v1/rpc/create_checkpoint", &rpc);
    let checkpoint = text(&checkpoint, "/id");
    let found = ok(
        &server,
        &ann,
        "POST /rest/v1/rpc/search_messages",
        &json!({"query": "blue"}),
    );
    assert!(text(&found, "/0/excerpt").contains("**blue**"), "{found}");
    let job = json!({"sessionId": id, "type": "generate", "input": {"prompt": "x"}});
    let job = text(&ok(&server, &ann, "POST /api/v2/jobs", &job), "/job/id");
    let patch = format!("PATCH /api/v2/jobs/{job}");
    assert_eq!(
        ok(&server, &ann, &patch, &json!({"state": "running"}))["job"]["state"],
        "running"
    );

    let details = format!("GET /api/v2/sessions/{id}?details=true");
    let shown = ok(&server, &ann, &details, &Value::Null);
    assert_eq!(shown["session"]["messages"][0]["content"], "a blue button");
    assert_eq!(shown["session"]["checkpoints"][0]["id"], json!(checkpoint));
    assert_eq!(shown["session"]["jobs"][0]["state"], "running");

    nothing_of_it_is_anothers(&server, &ben, &id, &checkpoint, &job);

    server.kill9();
    after_a_crash(folder.path(), &id, &job, &shown);
}

/// All of it is there, the job with whoever runs it.
fn after_a_crash(folder: &std::path::Path, id: &str, job: &str, shown: &Value) {
    let server = Ferrobase::dev_with(folder, &["--app", "open_lovable"]);
    let ann = server.token(ANN, &json!({}));
    let details = format!("GET /api/v2/sessions/{id}?details=true");
    let patch = format!("PATCH /api/v2/jobs/{job}");
    assert_eq!(&ok(&server, &ann, &details, &Value::Null), shown);
    let done = ok(
        &server,
        &ann,
        &patch,
        &json!({"state": "completed", "output": {"files": 1}}),
    );
    assert_eq!(done["job"]["output"], json!({"files": 1}));
    let timeline = format!("GET /sessions/v1/sessions/{id}/timeline");
    let events = ok(&server, &ann, &timeline, &Value::Null);
    let kinds: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "session.created",
            "session.message",
            "session.files",
            "session.checkpoint",
            "job.queued",
            "job.started",
            "job.completed"
        ]
    );
    let (status, refused) = ask(&server, Some(&ann), &patch, &json!({"state": "running"}));
    assert_eq!((status, &refused["success"]), (409, &json!(false)));
}

/// Every door is closed to Ben, and to nobody in particular.
fn nothing_of_it_is_anothers(server: &Ferrobase, ben: &str, id: &str, checkpoint: &str, job: &str) {
    for line in [
        format!("GET /api/v2/sessions/{id}"),
        format!("GET /api/v2/sessions/{id}/checkpoints"),
        format!("GET /api/v2/jobs/{job}"),
        format!("PATCH /api/v2/jobs/{job}"),
        format!("GET /sessions/v1/sessions/{id}"),
        format!("GET /sessions/v1/sessions/{id}/messages"),
        format!("GET /sessions/v1/sessions/{id}/files/src/App.tsx"),
        format!("GET /sessions/v1/sessions/{id}/timeline"),
        format!("GET /sessions/v1/checkpoints/{checkpoint}/diff"),
    ] {
        let body = if line.starts_with("PATCH") {
            json!({"state": "cancelled"})
        } else {
            Value::Null
        };
        let (status, answer) = ask(server, Some(ben), &line, &body);
        assert_eq!(status, 404, "{line}: {answer}");
        let (status, answer) = ask(server, None, &line, &body);
        assert_eq!(status, 401, "{line}: {answer}");
    }
    for table in [
        "sessions",
        "messages",
        "workspace_files",
        "blobs",
        "checkpoints",
        "jobs",
        "events",
    ] {
        let rows = ok(
            server,
            ben,
            &format!("GET /rest/v1/{table}?select=*"),
            &Value::Null,
        );
        assert_eq!(rows, json!([]), "{table}");
    }
    let rpc = json!({"checkpoint_id": checkpoint});
    let (status, _) = ask(
        server,
        Some(ben),
        "POST /rest/v1/rpc/restore_checkpoint",
        &rpc,
    );
    assert_eq!(status, 404);
    let message = json!({"session_id": id, "role": "user", "content": "x"});
    let (status, _) = ask(server, Some(ben), "POST /rest/v1/messages", &message);
    assert_eq!(status, 404);
    let list = ok(server, ben, "GET /api/v2/sessions", &Value::Null);
    assert_eq!(list["pagination"]["total"], 0);
    let bad = ask(
        server,
        Some("no.such.token"),
        "GET /api/v2/sessions",
        &Value::Null,
    );
    assert_eq!(
        bad,
        (401, json!({"success": false, "error": "Unauthorized"}))
    );
}

#[test]
fn an_open_app_is_said_to_be_open_and_an_absent_one_is_not_there() {
    let settings = "[apps]\nenabled = [\"open_lovable\"]\n[apps.open_lovable]\nopen = true\n";
    let folder = project(&[("ferrobase.toml", settings)]);
    let server = Ferrobase::dev(folder.path());
    let (status, made) = ask(&server, None, "POST /api/v2/sessions", &json!({}));
    assert_eq!(status, 201, "{made}");
    let state = format!(
        "GET /api/conversation-state-v2?sessionId={}",
        text(&made, "/session/id")
    );
    let (_, shown) = ask(&server, None, &state, &Value::Null);
    assert_eq!(shown["state"]["context"]["messages"], json!([]));
    server.stop();
    crate::support::write(
        folder.path(),
        "ferrobase.toml",
        "[apps]\nenabled = [\"closed_lovable\"]\n",
    );
    let done = Ferrobase::try_dev(folder.path(), &[]).err().unwrap();
    assert!(done.stderr.contains("apps.enabled"), "{done:?}");
    crate::support::write(folder.path(), "ferrobase.toml", "");
    let server = Ferrobase::dev(folder.path());
    let (status, _) = ask(&server, None, "GET /api/v2/sessions", &Value::Null);
    assert_eq!(status, 404);
}

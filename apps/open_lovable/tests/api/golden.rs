//! Every shape, byte for byte, but for ids and times. `UPDATE=1` writes the
//! file anew.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{App, JOBS, SESSIONS, STATE, text, user};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/shapes.txt");

/// Ids and times by their order of appearance.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn tame(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.name(text)),
            Value::Array(items) => items.iter().map(|item| self.tame(item)).collect(),
            Value::Object(object) => {
                let mut fields: Vec<_> = object.iter().collect();
                fields.sort_by(|a, b| a.0.cmp(b.0));
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.clone(), self.tame(value)));
                Value::Object(fields.collect())
            }
            // A time in milliseconds.
            Value::Number(number) if number.as_i64().is_some_and(|n| n > 1_750_000_000_000) => {
                json!("<ms>")
            }
            plain => plain.clone(),
        }
    }

    fn name(&mut self, text: &str) -> String {
        let number = self.0.len() + 1;
        if text.len() == 36 && text.matches('-').count() == 4 {
            return self
                .0
                .entry(text.to_owned())
                .or_insert_with(|| format!("<id {number}>"))
                .clone();
        }
        if text.starts_with("20") && text.contains('T') && text.ends_with("+00:00") {
            return "<time>".to_owned();
        }
        text.to_owned()
    }
}

struct Transcript<'a> {
    app: &'a App,
    names: Names,
    text: String,
}

impl Transcript<'_> {
    async fn ask(&mut self, what: &str, body: Value) -> Value {
        let (status, answer) = self.app.ask(&user("ann"), what, body.clone()).await;
        let mut address = what.to_owned();
        for (id, name) in &self.names.0 {
            address = address.replace(id, name);
        }
        let body = if body.is_null() {
            String::new()
        } else {
            format!(" {}", self.names.tame(&body))
        };
        writeln!(
            self.text,
            "{address}{body}\n{status} {}\n",
            self.names.tame(&answer)
        )
        .unwrap();
        answer
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "the shapes of every answer, one after the other"
)]
#[tokio::test]
async fn shapes_are_those_of_the_original() {
    let app = App::new(false).await;
    let mut t = Transcript {
        app: &app,
        names: Names::default(),
        text: String::new(),
    };
    let session = about_sessions(&mut t).await;
    about_jobs(&mut t, &session).await;
    about_states(&mut t, &session).await;
    about_nothing(&mut t).await;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &t.text).unwrap();
    }
    let expected = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(t.text, expected, "run with UPDATE=1 if this is meant");
}

async fn about_sessions(t: &mut Transcript<'_>) -> String {
    let made = t
        .ask(
            &format!("POST {SESSIONS}"),
            json!({"title": "Clone", "metadata": {"a": 1}}),
        )
        .await;
    let session = text(&made, "/session/id");
    let one = format!("{SESSIONS}/{session}");
    t.ask(&format!("GET {one}"), Value::Null).await;
    t.ask(&format!("PATCH {one}"), json!({"title": "Clone 2"}))
        .await;
    t.ask(&format!("PATCH {one}"), json!({"owner": "bob"}))
        .await;
    t.ask(
        &format!("POST {one}/checkpoints"),
        json!({"label": "v1", "snapshotRef": "snap"}),
    )
    .await;
    t.ask(&format!("POST {one}/checkpoints"), json!({"label": "v1"}))
        .await;
    t.ask(&format!("GET {one}/checkpoints"), Value::Null).await;
    session
}

async fn about_jobs(t: &mut Transcript<'_>, session: &str) {
    let job = t
        .ask(
            &format!("POST {JOBS}"),
            json!({"sessionId": session, "type": "generate", "input": {"prompt": "x"}}),
        )
        .await;
    let job = text(&job, "/job/id");
    t.ask(
        &format!("POST {JOBS}"),
        json!({"sessionId": session, "type": "apply", "input": {}, "parentJobId": job}),
    )
    .await;
    t.ask(
        &format!("POST {JOBS}"),
        json!({"sessionId": session, "type": "dance", "input": {}}),
    )
    .await;
    t.ask(&format!("POST {JOBS}"), json!({"type": "scrape"}))
        .await;
    t.ask(&format!("PATCH {JOBS}/{job}"), json!({"state": "running"}))
        .await;
    beside(t.app, session, &job).await;
    t.ask(&format!("GET {JOBS}/{job}?details=true"), Value::Null)
        .await;
    t.ask(
        &format!("PATCH {JOBS}/{job}"),
        json!({"state": "failed", "error": "no model"}),
    )
    .await;
    t.ask(&format!("PATCH {JOBS}/{job}"), json!({"state": "running"}))
        .await;
    t.ask(&format!("POST {JOBS}/{job}"), json!({"action": "cancel"}))
        .await;
    t.ask(&format!("POST {JOBS}/{job}"), json!({"action": "explode"}))
        .await;
    let one = format!("{SESSIONS}/{session}");
    t.ask(
        &format!("GET {JOBS}?sessionId={session}&limit=1"),
        Value::Null,
    )
    .await;
    t.ask(&format!("GET {JOBS}"), Value::Null).await;
    t.ask(&format!("GET {one}?details=true"), Value::Null).await;
}

/// What somebody else writes: workers and the app's own code.
async fn beside(app: &App, session: &str, job: &str) {
    let ann = user("ann");
    app.sql(
        &ann,
        "INSERT INTO work.artifacts (job_id, type, uri) VALUES ($1::uuid, 'code', 's3://a')",
        job,
    )
    .await;
    app.sql(
        &ann,
        "INSERT INTO work.tool_runs (job_id, tool, input) VALUES ($1::uuid, 'fs.write', '{}')",
        job,
    )
    .await;
    app.sql(
        &ann,
        "INSERT INTO work.messages (session_id, role, content) VALUES ($1::uuid, 'user', 'hello')",
        session,
    )
    .await;
    app.sql(&ann, "INSERT INTO work.sandboxes (session_id, sandbox_id, url) VALUES ($1::uuid, 'sb', 'https://s')", session).await;
}

async fn about_states(t: &mut Transcript<'_>, session: &str) {
    let one = format!("{SESSIONS}/{session}");
    t.ask(&format!("GET {STATE}?sessionId={session}"), Value::Null)
        .await;
    t.ask(&format!("GET {STATE}"), Value::Null).await;
    t.ask(
        &format!("POST {STATE}"),
        json!({"action": "reset", "data": {"title": "Fresh"}}),
    )
    .await;
    t.ask(&format!("POST {STATE}"), json!({"action": "update"}))
        .await;
    t.ask(
        &format!("POST {STATE}"),
        json!({"action": "sing", "sessionId": session}),
    )
    .await;
    t.ask(&format!("DELETE {STATE}?sessionId={session}"), Value::Null)
        .await;
    t.ask(&format!("DELETE {STATE}"), Value::Null).await;
    t.ask("POST /api/v2/migrate", json!({})).await;
    t.ask(&format!("DELETE {one}"), Value::Null).await;
    t.ask(&format!("GET {SESSIONS}?limit=1&offset=1"), Value::Null)
        .await;
}

async fn about_nothing(t: &mut Transcript<'_>) {
    t.ask(&format!("GET {SESSIONS}/not-a-uuid"), Value::Null)
        .await;
    t.ask(&format!("GET {JOBS}/not-a-uuid"), Value::Null).await;
    t.ask("PUT /api/v2/sessions", Value::Null).await;
    t.ask("GET /api/v2/nothing", Value::Null).await;
}

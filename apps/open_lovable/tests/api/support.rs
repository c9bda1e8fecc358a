//! The app on a database of its own, and people who ask it things.

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use kernel::{BadToken, Caller, Tasks};
use open_lovable::{OpenLovable, Parts};
use pg::testing::TestDb;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) const SESSIONS: &str = "/api/v2/sessions";
pub(crate) const JOBS: &str = "/api/v2/jobs";
pub(crate) const STATE: &str = "/api/conversation-state-v2";

pub(crate) struct App {
    pub(crate) db: TestDb,
    v2: Router,
    conversation: Router,
    _tasks: Tasks,
}

/// Somebody who is signed in.
pub(crate) fn user(name: &str) -> Caller {
    Caller {
        role: "authenticated".into(),
        claims: json!({"sub": name, "role": "authenticated"})
            .to_string()
            .into(),
        authenticated: true,
        read_only: false,
    }
}

pub(crate) fn nobody() -> Caller {
    Caller::anonymous("anon")
}

impl App {
    pub(crate) async fn new(open: bool) -> Self {
        let db = TestDb::new().await;
        let tasks = Tasks::new();
        let requests = db.pool(&tasks);
        let app = OpenLovable::new(Parts { requests, open });
        Self {
            db,
            v2: app.clone().v2_router(),
            conversation: app.conversation_router(),
            _tasks: tasks,
        }
    }

    /// Status and body of an answer. `what` is method and address.
    pub(crate) async fn ask(&self, who: &Caller, what: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        self.send(who, what, body, None).await
    }

    pub(crate) async fn send(
        &self,
        who: &Caller,
        what: &str,
        body: Body,
        bad: Option<BadToken>,
    ) -> (u16, Value) {
        let (method, address) = what.split_once(' ').unwrap();
        // As the gateway does: the prefix is gone.
        let (router, path) = match address.strip_prefix(STATE) {
            Some(rest) => (&self.conversation, format!("/{rest}")),
            None => (
                &self.v2,
                address.strip_prefix("/api/v2").unwrap().to_owned(),
            ),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        request.extensions_mut().insert(who.clone());
        if let Some(bad) = bad {
            request.extensions_mut().insert(bad);
        }
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// The body of an answer with this status.
    pub(crate) async fn ok(&self, who: &Caller, what: &str, body: Value, status: u16) -> Value {
        let (found, answer) = self.ask(who, what, body).await;
        assert_eq!(found, status, "{what}: {answer}");
        answer
    }

    /// A new session's id.
    pub(crate) async fn session(&self, who: &Caller) -> String {
        let made = self
            .ok(who, &format!("POST {SESSIONS}"), json!({"title": "T"}), 201)
            .await;
        text(&made, "/session/id")
    }

    /// A new job's id.
    pub(crate) async fn job(&self, who: &Caller, session: &str) -> String {
        let body = json!({"sessionId": session, "type": "scrape", "input": {"url": "x"}});
        let made = self.ok(who, &format!("POST {JOBS}"), body, 201).await;
        text(&made, "/job/id")
    }

    /// Runs SQL as this user, as supabase-js would through the data API.
    pub(crate) async fn sql(&self, who: &Caller, sql: &'static str, id: &str) {
        let mut session = self.db.session().await;
        let claims = String::from(&*who.claims);
        let act = "SELECT set_config('role', 'authenticated', false), set_config('request.jwt.claims', $1, false)";
        session.query(act, &[Some(&claims)]).await.unwrap();
        session.query(sql, &[Some(id)]).await.unwrap();
        session.close().await;
    }
}

pub(crate) fn text(value: &Value, path: &str) -> String {
    let found = value.pointer(path).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no text at {path} in {value}"))
        .to_owned()
}

/// One field of every object of an array.
pub(crate) fn list(value: &Value, field: &str) -> Vec<Value> {
    let items = value
        .as_array()
        .unwrap_or_else(|| panic!("no array: {value}"));
    items.iter().map(|item| item[field].clone()).collect()
}

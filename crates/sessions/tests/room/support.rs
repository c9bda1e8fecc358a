//! A room on a database of its own, and people who ask it things.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kernel::{Caller, Clock, Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};
use sessions::{Parts, Sessions};
use tower::ServiceExt as _;

/// A room and its database.
pub(crate) struct Room {
    pub(crate) db: TestDb,
    pub(crate) pool: Pool,
    router: axum::Router,
    _tasks: Tasks,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Status and word of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let code = self.body.get("code").and_then(Value::as_str);
        (self.status.as_u16(), code.unwrap_or("-"))
    }
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

/// A secret key.
pub(crate) fn service() -> Caller {
    Caller {
        authenticated: true,
        ..Caller::anonymous("service_role")
    }
}

impl Room {
    pub(crate) async fn new() -> Self {
        let db = TestDb::new().await;
        let tasks = Tasks::new();
        let target = db.target_as("ferrobase_work");
        let pool = Pool::new(&target, &PoolConfig::default(), &tasks);
        let room = Sessions::new(Parts {
            pool: pool.clone(),
            requests: db.pool(&tasks),
            leaving: tasks.token(),
            role: Arc::from("ferrobase_work"),
            tasks: tasks.clone(),
            clock: Clock::system(),
            rng: Rng::seeded(7),
            tell_others: Arc::new(|_| ()),
            keep_deleted: std::time::Duration::MAX,
            sandboxes: None,
        });
        Self {
            db,
            pool,
            router: room.router(),
            _tasks: tasks,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        }
    }

    /// A request with JSON, or without a body when that is null.
    pub(crate) async fn call(&self, who: &Caller, what: &str, body: Value) -> Reply {
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.bytes(who, what, &[], body).await
    }

    /// The same with bytes and headers. `what` is method and path.
    pub(crate) async fn bytes(
        &self,
        who: &Caller,
        what: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(who.clone());
        self.send(request).await
    }

    pub(crate) async fn get(&self, who: &Caller, path: &str) -> Value {
        let what = format!("GET {path}");
        self.call(who, &what, Value::Null).await.is(200)
    }

    /// A new session's id.
    pub(crate) async fn session(&self, who: &Caller) -> String {
        let made = self
            .call(who, "POST /sessions", json!({"title": "A session"}))
            .await;
        text(&made.is(201), "/id")
    }

    /// Appends messages that only have text.
    pub(crate) async fn say(&self, who: &Caller, session: &str, texts: &[&str]) {
        let messages: Vec<_> = texts
            .iter()
            .map(|text| json!({"role": "user", "content": text}))
            .collect();
        let what = format!("POST /sessions/{session}/messages");
        let body = json!({"messages": messages});
        self.call(who, &what, body).await.is(201);
    }

    /// The texts of the messages that are in force.
    pub(crate) async fn said(&self, who: &Caller, session: &str) -> Vec<String> {
        let listed = self
            .get(who, &format!("/sessions/{session}/messages?limit=1000"))
            .await;
        list(&listed["messages"], "content")
    }

    /// Changes files.
    pub(crate) async fn write(&self, who: &Caller, session: &str, changes: Value) -> Reply {
        let what = format!("POST /sessions/{session}/files");
        self.call(who, &what, json!({"changes": changes})).await
    }

    /// Paths of a session's files.
    pub(crate) async fn paths(&self, who: &Caller, session: &str) -> Vec<String> {
        let listed = self.get(who, &format!("/sessions/{session}/files")).await;
        list(&listed["files"], "path")
    }

    /// A checkpoint's id.
    pub(crate) async fn checkpoint(&self, who: &Caller, session: &str, body: Value) -> String {
        let what = format!("POST /sessions/{session}/checkpoints");
        text(&self.call(who, &what, body).await.is(201), "/id")
    }

    /// The kinds of everything that happened in a session.
    pub(crate) async fn kinds(&self, who: &Caller, session: &str) -> Vec<String> {
        let told = self
            .get(who, &format!("/sessions/{session}/timeline?limit=1000"))
            .await;
        let events = told["events"].as_array().unwrap();
        let numbers: Vec<_> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
        let expected: Vec<_> = (1..=numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "no gaps");
        list(&told["events"], "kind")
    }
}

pub(crate) fn text(value: &Value, path: &str) -> String {
    let found = value.pointer(path).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("no text at {path} in {value}"))
        .to_owned()
}

/// One field of every object of an array.
pub(crate) fn list(value: &Value, field: &str) -> Vec<String> {
    let items = value
        .as_array()
        .unwrap_or_else(|| panic!("no array: {value}"));
    items
        .iter()
        .map(|item| text(item, &format!("/{field}")))
        .collect()
}

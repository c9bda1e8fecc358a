//! Servers on a database of one's own, and people who ask them things.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use jobs::Jobs;
use kernel::{Caller, Clock, Rng, Tasks};
use lovable::{About, Lovable, Parts};
use pg::migrate::{MigrateOptions, migrate_app};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};
use sessions::Sessions;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::provider::{Client, Provider};

/// For what must come.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server in a runtime of its own, which can be made to stop between two
/// instructions.
pub(crate) struct Node {
    pub(crate) router: Router,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A database with the app's schema.
pub(crate) async fn database() -> TestDb {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    migrate_app(&mut session, &lovable::HISTORY, &MigrateOptions::default())
        .await
        .unwrap();
    session.close().await;
    db
}

impl Node {
    pub(crate) fn start(db: &TestDb, provider: &Provider) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let coder = Arc::new(Client(provider.address.clone()));
        let inside = runtime.enter();
        let tasks = Tasks::new();
        let few = PoolConfig {
            connections_max: 8,
            ..PoolConfig::default()
        };
        let pool = Pool::new(&db.target_as("ferrobase_work"), &few, &tasks);
        let requests = db.pool_with(&few, &tasks);
        let jobs = Jobs::new(jobs::Parts {
            pool: pool.clone(),
            role: "ferrobase_work".into(),
            config: jobs::Config {
                poll: Duration::from_millis(200),
                ..jobs::Config::default()
            },
            tasks: tasks.clone(),
            rng: Rng::system(),
        });
        let leaving = CancellationToken::new();
        let sessions = Sessions::new(sessions::Parts {
            pool,
            role: "ferrobase_work".into(),
            requests: requests.clone(),
            tasks: tasks.clone(),
            leaving: leaving.clone(),
            clock: Clock::system(),
            rng: Rng::system(),
            tell_others: Arc::new(|_| ()),
            keep_deleted: Duration::from_secs(3600),
            sandboxes: None,
        });
        let app = Lovable::start(Parts {
            requests,
            jobs,
            sessions,
            coder,
            boxes: None,
            tasks,
            leaving,
            open: false,
            clock: Clock::system(),
            rng: Rng::system(),
            about: About::default(),
            at_once: 4,
        });
        drop(inside);
        let router = app.router();
        Self {
            router,
            runtime: Some(runtime),
        }
    }

    /// As by `kill -9`: nothing of it runs any more, and nothing is said.
    pub(crate) fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) async fn ask(&self, who: &Caller, what: &str, body: Value) -> (u16, Value) {
        let (status, bytes) = self.bytes(who, what, body).await;
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(crate) async fn bytes(&self, who: &Caller, what: &str, body: Value) -> (u16, Vec<u8>) {
        let (method, path) = what.split_once(' ').unwrap();
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        request.extensions_mut().insert(who.clone());
        let router = self.router.clone();
        // In its own runtime, as requests are.
        let runtime = self.runtime.as_ref().unwrap().handle().clone();
        let answered = runtime.spawn(async move {
            let response = router.oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (
                status,
                response
                    .into_body()
                    .collect()
                    .await
                    .unwrap()
                    .to_bytes()
                    .to_vec(),
            )
        });
        tokio::time::timeout(PATIENCE, answered)
            .await
            .unwrap()
            .unwrap()
    }

    pub(crate) async fn ok(&self, who: &Caller, what: &str, body: Value) -> Value {
        let (status, answer) = self.ask(who, what, body).await;
        assert!(status < 300, "{what}: {status} {answer}");
        answer
    }

    pub(crate) async fn session(&self, who: &Caller) -> String {
        let made = self.ok(who, "POST /api/sessions", json!({})).await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn prompt(&self, who: &Caller, session: &str, text: &str) {
        let what = format!("POST /api/sessions/{session}/turns");
        self.ok(who, &what, json!({"text": text})).await;
    }

    pub(crate) async fn state(&self, who: &Caller, session: &str) -> Value {
        self.ok(who, &format!("GET /api/sessions/{session}"), Value::Null)
            .await
    }

    /// The session once this holds of it.
    pub(crate) async fn until(
        &self,
        who: &Caller,
        session: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let waiting = async {
            loop {
                let state = self.state(who, session).await;
                if holds(&state) {
                    return state;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(state) => state,
            Err(_) => panic!(
                "it does not come to that: {:#}",
                self.state(who, session).await
            ),
        }
    }

    /// The session once all of its turns are over.
    pub(crate) async fn settled(&self, who: &Caller, session: &str) -> Value {
        let over = |turn: &Value| {
            !["queued", "running", "paused"].contains(&turn["state"].as_str().unwrap())
        };
        self.until(who, session, |state| {
            let turns = state["turns"].as_array().unwrap();
            !turns.is_empty() && turns.iter().all(over)
        })
        .await
    }

    pub(crate) async fn file(&self, who: &Caller, session: &str, path: &str) -> Value {
        let what = format!("GET /api/sessions/{session}/file?path={path}");
        self.ask(who, &what, Value::Null).await.1["content"].clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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

/// One field of every object of an array.
pub(crate) fn list(value: &Value, field: &str) -> Vec<String> {
    let items = value.as_array().unwrap().iter();
    items
        .map(|item| item[field].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Runs SQL as this user, as supabase-js would through the data API; the first
/// value, or the SQLSTATE.
pub(crate) async fn sql(
    db: &TestDb,
    who: &Caller,
    text: &'static str,
    params: &[&str],
) -> Result<String, String> {
    let mut session = db.session().await;
    let claims = String::from(&*who.claims);
    let act = "SELECT set_config('role', 'authenticated', false), set_config('request.jwt.claims', $1, false)";
    session.query(act, &[Some(&claims)]).await.unwrap();
    let params: Vec<Option<&str>> = params.iter().map(|param| Some(*param)).collect();
    let said = session.query(text, &params).await;
    session.close().await;
    match said {
        Ok(rows) => Ok(rows.scalar().unwrap_or_default().to_owned()),
        Err(pg::Error::Db(error)) => Err(error.code.clone()),
        Err(other) => panic!("{other:?}"),
    }
}

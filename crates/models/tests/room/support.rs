//! A room with two providers on a database of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use kernel::{Caller, Clock, Rng, Secret, Tasks};
use models::{Asker, Config, Models, Parts, Raw, RawProvider, RawRole, WireKind};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig, RequestTx, SqlBuf};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::provider::Provider;

/// What providers are shown, and nobody else.
pub(crate) const KEY: &str = "sk-very-secret-0123456789";

pub(crate) struct Room {
    pub(crate) db: TestDb,
    pub(crate) models: Arc<Models>,
    pub(crate) first: Provider,
    pub(crate) second: Provider,
    pub(crate) pool: Pool,
    pub(crate) tasks: Tasks,
}

const PRICES: &str = r#"
    [[model]]
    name = "first/m"
    output = 100
    price = [{ from = "2020-01-01", input = 1000.0, output = 10000.0 }]
    [[model]]
    name = "second/m"
    output = 100
    price = [{ from = "2020-01-01", input = 2000.0, output = 20000.0 }]
    [[model]]
    name = "first/e"
    can = ["embed"]
    price = [{ from = "2020-01-01", input = 1000.0, output = 0.0 }]
"#;

pub(crate) fn user(name: &str) -> Caller {
    let claims = json!({"sub": name, "role": "authenticated"});
    Caller {
        role: "authenticated".into(),
        claims: claims.to_string().into(),
        authenticated: true,
        read_only: false,
    }
}

pub(crate) fn asker(name: &str) -> Asker {
    Asker::direct(user(name))
}

impl Room {
    pub(crate) async fn new() -> Self {
        let tasks = Tasks::new();
        let (first, second) = (Provider::start(&tasks).await, Provider::start(&tasks).await);
        let db = TestDb::new().await;
        let models = build(&db, &tasks, &first, &second);
        let pool = Pool::new(&db.target(), &PoolConfig::default(), &tasks);
        Self {
            db,
            models,
            first,
            second,
            pool,
            tasks,
        }
    }

    /// Another server on the same database.
    pub(crate) fn another(&self) -> Arc<Models> {
        build(&self.db, &self.tasks, &self.first, &self.second)
    }

    /// One value, as superuser.
    pub(crate) async fn one(&self, sql: &'static str) -> String {
        let mut session = self.db.session().await;
        let rows = session.query_buf(&SqlBuf::fixed(sql)).await.unwrap();
        rows.scalar().unwrap_or_default().to_owned()
    }

    /// A script, as superuser.
    pub(crate) async fn run(&self, sql: &str) {
        let mut session = self.db.session().await;
        session.script(sql).await.unwrap();
    }

    /// One value, as this caller.
    pub(crate) async fn as_caller(
        &self,
        caller: &Caller,
        sql: &'static str,
    ) -> Result<String, String> {
        let mut request = RequestTx::of(caller, &[]);
        request.push(SqlBuf::fixed(sql));
        let rows = request
            .run(&self.pool)
            .await
            .map_err(|error| error.to_string())?;
        Ok(rows[0].scalar().unwrap_or_default().to_owned())
    }

    /// Asks over HTTP.
    pub(crate) async fn http(
        &self,
        caller: &Caller,
        path: &str,
        body: &Value,
    ) -> (u16, HeaderMap, String) {
        let mut request = Request::post(path)
            .body(Body::from(body.to_string()))
            .unwrap();
        request.extensions_mut().insert(caller.clone());
        let router = Arc::clone(&self.models).router();
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            parts.status.as_u16(),
            parts.headers,
            String::from_utf8(bytes.to_vec()).unwrap(),
        )
    }
}

fn build(db: &TestDb, tasks: &Tasks, first: &Provider, second: &Provider) -> Arc<Models> {
    let provider = |provider: &Provider| RawProvider {
        kind: Some(WireKind::OpenaiChat),
        url: Some(provider.url.clone()),
        key: Some(Secret::new(KEY)),
        free: Some(false),
        ..RawProvider::default()
    };
    let role = |routes: &[&str], cache| RawRole {
        routes: routes.iter().map(|r| (*r).to_owned()).collect(),
        cache,
        ..RawRole::default()
    };
    let raw = Raw {
        providers: [("first", provider(first)), ("second", provider(second))]
            .map(|(name, provider)| (name.to_owned(), provider))
            .into(),
        roles: [
            ("coder", role(&["first/m", "second/m"], false)),
            ("kept", role(&["first/m"], true)),
            ("embed", role(&["first/e"], false)),
        ]
        .map(|(name, role)| (name.to_owned(), role))
        .into(),
        models_file: Some(PRICES.to_owned()),
        keep: Duration::from_secs(86_400),
        cache_for: Duration::from_secs(3600),
        ..Raw::default()
    };
    let target = db.target_as("ferrobase_ai");
    Models::new(Parts {
        pool: Pool::new(&target, &PoolConfig::default(), tasks),
        role: "ferrobase_ai".into(),
        requests: db.pool(tasks),
        config: Config::check(raw).unwrap(),
        tasks: tasks.clone(),
        clock: Clock::system(),
        rng: Rng::system(),
    })
    .unwrap()
}

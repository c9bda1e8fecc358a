//! A database, the room on it, and requests as anybody.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use kernel::{Caller, Tasks};
use pg::Session;
use pg::catalog::{LoadOptions, load};
use pg::testing::TestDb;
use rest::{Config, Rest};
use serde_json::{Value, json};

pub(crate) const ANA: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub(crate) const BEN: &str = "bbbbbbbb-0000-4000-8000-000000000002";

/// Two users' notes. The API roles have what Supabase's default privileges
/// give them; row level security is on and nothing permits anything yet.
pub(crate) const NOTES: &str = "
CREATE TABLE public.notes (
    id integer PRIMARY KEY,
    user_id uuid DEFAULT auth.uid(),
    title text NOT NULL DEFAULT 'untitled',
    secret text
);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
INSERT INTO public.notes VALUES
    (1, 'aaaaaaaa-0000-4000-8000-000000000001', 'of Ana', 's1'),
    (2, 'bbbbbbbb-0000-4000-8000-000000000002', 'of Ben', 's2');
GRANT ALL ON public.notes TO anon, authenticated, service_role;
";

/// Everybody reads what is theirs.
pub(crate) const OWN: &str = "
CREATE POLICY own ON public.notes FOR SELECT TO authenticated USING ((SELECT auth.uid()) = user_id);
";

pub(crate) struct Scene {
    pub(crate) db: TestDb,
    rest: Arc<Rest>,
    _tasks: Tasks,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn codes(&self) -> Vec<&str> {
        let reasons = self.body["reasons"].as_array();
        let reasons = reasons.unwrap_or_else(|| panic!("no explanation: {}", self.body));
        reasons
            .iter()
            .map(|reason| reason["code"].as_str().unwrap())
            .collect()
    }

    pub(crate) fn outcome(&self) -> &str {
        self.body["outcome"].as_str().unwrap()
    }

    /// The first statement that is suggested for a reason.
    pub(crate) fn sql(&self, code: &str) -> String {
        let reasons = self.body["reasons"].as_array().unwrap();
        let reason = reasons.iter().find(|reason| reason["code"] == code);
        let change = reason.unwrap_or_else(|| panic!("no {code}: {}", self.body))["change"].clone();
        let changes = change.as_array().unwrap().clone();
        let sql = changes.iter().find_map(|change| change["sql"].as_str());
        sql.unwrap_or_else(|| panic!("no SQL for {code}"))
            .to_owned()
    }
}

impl Scene {
    pub(crate) async fn new(scripts: &[&str]) -> Self {
        Self::with(scripts, |_| {}).await
    }

    pub(crate) async fn with(scripts: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        for script in scripts {
            session.script(script).await.unwrap();
        }
        let config = {
            let mut config = Config::default();
            change(&mut config);
            config
        };
        let catalog = Self::catalog(&mut session, &config).await;
        session.close().await;
        let tasks = Tasks::new();
        let pool = db.pool(&tasks);
        let catalog = Arc::new(ArcSwap::from_pointee(catalog));
        let rest = Rest::new(config, pool, catalog);
        Self {
            db,
            rest,
            _tasks: tasks,
        }
    }

    async fn catalog(session: &mut Session, config: &Config) -> pg::catalog::Catalog {
        let options = LoadOptions::for_schemas(config.schemas.clone());
        load(session, &options).await.unwrap()
    }

    pub(crate) async fn script(&self, sql: &str) {
        let mut session = self.db.session().await;
        session
            .script(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        session.close().await;
    }

    /// The first value of a query, as superuser.
    pub(crate) async fn value(&self, sql: &str) -> Option<String> {
        let mut session = self.db.session().await;
        let rows = session.script(sql).await.unwrap();
        session.close().await;
        rows.first()
            .and_then(|rows| rows.scalar().map(str::to_owned))
    }

    /// Sends `METHOD /path` with a body, as somebody.
    pub(crate) async fn send(
        &self,
        caller: &Caller,
        line: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(caller.clone());
        let response = Arc::clone(&self.rest).serve(request).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, body }
    }

    /// Why `who` fares as they do.
    pub(crate) async fn explain(&self, who: &str, line: &str, body: &str) -> Answer {
        self.explain_with(who, line, body, "explain=access").await
    }

    pub(crate) async fn explain_with(
        &self,
        who: &str,
        line: &str,
        body: &str,
        prefer: &str,
    ) -> Answer {
        let headers = [("prefer", prefer), ("explain-as", who)];
        let answer = self.send(&service(), line, body, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    /// The same request, carried out by the one it was explained for.
    pub(crate) async fn carry_out(&self, caller: &Caller, line: &str, body: &str) -> Answer {
        self.send(caller, line, body, &[]).await
    }
}

pub(crate) fn service() -> Caller {
    Caller {
        role: "service_role".into(),
        claims: r#"{"role":"service_role"}"#.into(),
        authenticated: true,
        read_only: false,
    }
}

pub(crate) fn user(id: &str) -> Caller {
    Caller {
        role: "authenticated".into(),
        claims: json!({"role": "authenticated", "sub": id})
            .to_string()
            .into(),
        authenticated: true,
        read_only: false,
    }
}

pub(crate) fn anon() -> Caller {
    Caller::anonymous("anon")
}

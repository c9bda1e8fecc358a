//! A room on a database of its own, spoken to as the gateway would: with the
//! verified claims of a token beside the request.

use std::sync::Arc;
use std::time::Duration;

use auth::hook::Hooks;
use auth::mail::{Library, Mailer, Sink};
use auth::password::{Breached, Passwords, PoolConfig as Threads};
use auth::ports::{Humans, Signer};
use auth::{Auth, AuthError, Config, Parts};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use kernel::{BadToken, Caller, Clock, Rng, Secret, Tasks};
use outbound::{Client, Reach};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use ring::hmac;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const SECRET: &[u8] = b"a secret of the tests, long enough for anybody";
pub(crate) const PASSWORD: &str = "correct horse";

/// Signs as a project with a shared secret does. May say that it has a key
/// pair: what it signs is read without being verified.
struct Hs256 {
    asymmetric: bool,
}

impl Signer for Hs256 {
    fn sign(&self, claims: &Value) -> Result<Secret, AuthError> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
        let mark = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
            signed.as_bytes(),
        );
        Ok(Secret::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(mark)
        )))
    }

    fn is_asymmetric(&self) -> bool {
        self.asymmetric
    }

    fn jwks(&self) -> String {
        json!({"keys": []}).to_string()
    }
}

/// The claims of a token.
pub(crate) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("a token has three parts");
    let bytes = URL_SAFE_NO_PAD.decode(body).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A room and its database.
pub(crate) struct Room {
    pub(crate) db: TestDb,
    pub(crate) clock: Clock,
    pub(crate) metadata: axum::Router,
    router: axum::Router,
    tasks: Tasks,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.body
    }

    /// The code of a refusal, in the words of the present version.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let code = self.body.get("code").and_then(Value::as_str);
        (self.status.as_u16(), code.unwrap_or("-"))
    }

    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        self.headers["location"].to_str().expect("text")
    }
}

pub(crate) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    let found = value.pointer(path).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {path} in {value}"))
}

/// Services outside of the room that a test brings.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) humans: Option<Arc<dyn Humans>>,
    pub(crate) breached: Option<Arc<dyn Breached>>,
}

impl Room {
    /// A room with these settings in `[auth]`.
    pub(crate) async fn with(section: Value) -> Self {
        Self::with_signer(section, false).await
    }

    /// The same, with a key pair or without.
    pub(crate) async fn with_signer(section: Value, asymmetric: bool) -> Self {
        Self::made(section, asymmetric, |_| Services::default()).await
    }

    /// A room that asks services.
    pub(crate) async fn beside(section: Value, services: impl FnOnce(Client) -> Services) -> Self {
        Self::made(section, false, services).await
    }

    async fn made(
        section: Value,
        asymmetric: bool,
        services: impl FnOnce(Client) -> Services,
    ) -> Self {
        let db = TestDb::new().await;
        let (tasks, rng) = (Tasks::new(), Rng::system());
        let clock = Clock::manual(Clock::system().now());
        let target = db.target_as("supabase_auth_admin");
        let pool = Pool::new(&target, &PoolConfig::default(), &tasks);
        let library = Library::load(
            std::path::Path::new("."),
            &std::collections::BTreeMap::new(),
        );
        let sink = Sink::Inbox {
            from_name: "Admin".to_owned(),
            from: "admin@email.com".to_owned(),
        };
        let library = Arc::new(library.expect("our own templates"));
        // The least cost: these tests are not about it.
        let passwords = Passwords::with_cost(Threads::default(), rng.clone(), 4);
        let config = Config::read(&section, "http://127.0.0.1:54321/auth/v1", &|_| None);
        let config = config.expect("settings of a test");
        let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
        let services = services(client.clone());
        let hooks = Hooks::new(
            &config.hooks.by_point(),
            client.clone(),
            pool.clone(),
            "supabase_auth_admin",
            (clock.clone(), rng.clone()),
        );
        let hooks = hooks.expect("hooks of a test");
        let parts = Parts {
            signer: Arc::new(Hs256 { asymmetric }),
            outbox: Arc::new(Mailer::new(library, sink, rng.clone())),
            passwords: passwords.expect("threads"),
            outside: client,
            messenger: Arc::new(hooks.clone()),
            humans: services.humans,
            breached: services.breached,
            hooks,
        };
        let room = Auth::new(config, pool, parts, clock.clone(), rng);
        Self {
            db,
            clock,
            metadata: Arc::clone(&room).metadata_router(),
            router: room.router(),
            tasks,
        }
    }

    /// Sign-ups count at once.
    pub(crate) async fn autoconfirm() -> Self {
        Self::with(json!({"enable_anonymous_sign_ins": true, "sms": {"enable_signup": true}})).await
    }

    /// Sign-ups are confirmed by mail.
    pub(crate) async fn confirmed() -> Self {
        Self::with(json!({"email": {"enable_confirmations": true}})).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// A request with a token, as the gateway passes it on.
    #[expect(clippy::unused_self, reason = "it reads as the others do")]
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-supabase-api-version", "2024-01-01");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let mut request = request.body(body).expect("a request");
        let caller = match token {
            Some("broken") => {
                let reason = "JWT expired".into();
                request.extensions_mut().insert(BadToken { reason });
                Caller::anonymous("anon")
            }
            Some(token) => Caller {
                role: text(&claims(token), "/role").into(),
                claims: claims(token).to_string().into(),
                authenticated: true,
                read_only: false,
            },
            None => Caller::anonymous("anon"),
        };
        request.extensions_mut().insert(caller);
        request
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> Reply {
        self.send(self.request(method, path, token, &body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, None, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None, Value::Null).await
    }

    pub(crate) async fn user(&self, token: &str) -> Reply {
        self.call("GET", "/user", Some(token), Value::Null).await
    }

    pub(crate) async fn sign_up(&self, email: &str) -> Reply {
        self.post("/signup", json!({"email": email, "password": PASSWORD}))
            .await
    }

    pub(crate) async fn sign_in(&self, email: &str) -> Reply {
        let body = json!({"email": email, "password": PASSWORD});
        self.post("/token?grant_type=password", body).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        let body = json!({"refresh_token": token});
        self.post("/token?grant_type=refresh_token", body).await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Reply {
        let signer = Hs256 { asymmetric: false };
        let token = signer
            .sign(&json!({"role": "service_role"}))
            .expect("a token");
        self.call(method, path, Some(token.expose()), body).await
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The first value of a question to the database.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let mut session = self.db.session().await;
        let rows = session.script(sql).await.expect("a question");
        let answer = rows
            .last()
            .and_then(|rows| rows.scalar().map(str::to_owned));
        session.close().await;
        answer.unwrap_or_default()
    }

    /// The link of the newest mail to an address, below the room's own path.
    pub(crate) async fn link(&self, to: &str) -> String {
        let sql = format!(
            "SELECT html FROM ferrobase.inbox WHERE recipient = '{to}' ORDER BY seq DESC LIMIT 1"
        );
        let html = self.ask(&sql).await.replace("&amp;", "&");
        let start = html
            .find("href=\"http://127.0.0.1:54321/auth/v1/")
            .expect("a link");
        let link = html.get(start + 6..).unwrap_or_default();
        let link = link.split('"').next().unwrap_or_default();
        link.replace("http://127.0.0.1:54321/auth/v1", "")
    }

    /// Closes what the room holds, so that its database can go.
    pub(crate) async fn end(self) {
        self.tasks.stop().await;
    }
}

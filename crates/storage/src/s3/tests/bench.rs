//! A room with a database and a folder of its own, and a client that signs.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::Request;
use jiff::Timestamp;
use kernel::{Caller, Clock, Rng, Secret, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::blobs::{Blobs, Given};
use crate::ports::{Signer, Tokens};
use crate::s3::encode;
use crate::s3::keys::{S3, secret_of};
use crate::{Bounds, Config, Parts, Storage};

pub(super) const KEY: &str = "0123456789abcdef";
pub(super) const ANON: &str = "the-anonymous-key";
const PROJECT: &str = "the secret of the project";
const LIMIT: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
struct Nobody;

impl Signer for Nobody {
    fn sign(&self, _: &Value) -> Option<String> {
        None
    }

    fn open(&self, _: &str) -> Result<Value, String> {
        Err("no token".to_owned())
    }
}

impl Tokens for Nobody {
    /// A token of the tests is `user-` and whose it is.
    fn caller<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, String>> {
        Box::pin(async move {
            let subject = token.strip_prefix("user-").ok_or("jwt malformed")?;
            let claims = serde_json::json!({"role": "authenticated", "sub": subject});
            Ok(Caller {
                claims: claims.to_string().into(),
                authenticated: true,
                ..Caller::anonymous("authenticated")
            })
        })
    }
}

pub(super) struct Bench {
    pub(super) db: TestDb,
    pub(super) room: Arc<Storage>,
    pub(super) blobs: Blobs,
    pub(super) clock: Clock,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn new(setup: &str) -> Self {
        let clock = Clock::manual("2026-11-21T22:00:00Z".parse().expect("a time"));
        Self::at(clock, setup).await
    }

    pub(super) async fn at(clock: Clock, setup: &str) -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        let key = format!(
            "INSERT INTO storage_engine.s3_keys (access_key, role) VALUES ('{KEY}', 'service_role');"
        );
        session.script(&key).await.expect("a key");
        session.script(setup).await.expect("the setup runs");
        session.close().await;
        let tasks = Tasks::new();
        let pool = |target| Pool::new(target, &PoolConfig::default(), &tasks);
        let rng = Rng::system();
        let folder = tempfile::tempdir().expect("a folder");
        let given = Given {
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
        };
        let blobs = Blobs::local(folder.path(), given).expect("a store");
        let room = Storage::new(Parts {
            config: Config {
                file_size_limit: LIMIT,
                url: "http://files.example/storage/v1".to_owned(),
                resumable_expire_after: std::time::Duration::from_secs(60),
                resumable_bounds: Bounds {
                    uploads: 100,
                    bytes: 1 << 40,
                },
            },
            requests: pool(&db.target_as("authenticator")),
            pool: pool(&db.target()),
            role: "supabase_storage_admin".into(),
            blobs: blobs.clone(),
            signer: Arc::new(Nobody),
            s3: S3 {
                region: "local".to_owned(),
                secret: Some(Secret::new(PROJECT)),
                anon_keys: vec![Secret::new(ANON)],
                fixed: Vec::new(),
                tokens: Arc::new(Nobody),
            },
            tasks: tasks.clone(),
            leaving: tokio_util::sync::CancellationToken::new(),
            clock: clock.clone(),
            rng,
        });
        Self {
            db,
            room,
            blobs,
            clock,
            tasks,
            _folder: folder,
        }
    }

    pub(super) async fn end(self) {
        self.tasks.stop().await;
    }
}

/// The secret of an access key of the tests.
pub(super) fn secret(access_key: &str) -> String {
    secret_of(&Secret::new(PROJECT), access_key)
        .expose()
        .to_owned()
}

/// A request before it is signed.
pub(super) struct Ask {
    pub(super) method: &'static str,
    /// Below `/s3`, encoded.
    pub(super) path: String,
    /// Encoded and in order.
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Sent, and not signed.
    pub(super) beside: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) key: String,
    pub(super) secret: String,
    pub(super) region: &'static str,
}

impl Ask {
    pub(super) fn new(method: &'static str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            beside: Vec::new(),
            body: Vec::new(),
            key: KEY.to_owned(),
            secret: secret(KEY),
            region: "local",
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// As a user with a token.
    pub(super) fn user(mut self, subject: &str) -> Self {
        self.key = "project".to_owned();
        self.secret = ANON.to_owned();
        self.header("x-amz-security-token", &format!("user-{subject}"))
    }

    /// Written anew from the specification, not with what is tested.
    pub(super) fn signed(&self, at: Timestamp) -> Request<Body> {
        let date = at.strftime("%Y%m%dT%H%M%SZ").to_string();
        let hash = encode::hex(digest(&SHA256, &self.body).as_ref());
        let mut headers = self.headers.clone();
        headers.push(("host", "files.example".to_owned()));
        headers.push(("x-amz-content-sha256", hash.clone()));
        headers.push(("x-amz-date", date.clone()));
        headers.sort();
        let mut lines = String::new();
        for (name, value) in &headers {
            lines.extend([*name, ":", value.as_str(), "\n"]);
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let canonical = format!(
            "{}\n/storage/v1/s3{}\n{}\n{lines}\n{names}\n{hash}",
            self.method, self.path, self.query
        );
        let day = date.get(..8).expect("a day");
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hash = encode::hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for step in [day, self.region, "s3", "aws4_request", &text] {
            let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&with, step.as_bytes()).as_ref().to_vec();
        }
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("/s3{}?{}", self.path, self.query))
            .header("content-length", self.body.len())
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
                    self.key,
                    encode::hex(&key)
                ),
            );
        for (name, value) in headers.iter().chain(&self.beside) {
            request = request.header(*name, value);
        }
        request
            .body(Body::from(self.body.clone()))
            .expect("a request")
    }
}

/// A status, and the body as text.
pub(super) type Told = (u16, String);

impl Bench {
    pub(super) async fn send(&self, request: Request<Body>) -> Told {
        let response = self.room.s3_router().oneshot(request).await;
        let response: Response = response.expect("an answer");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 24).await;
        let body = body.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    pub(super) async fn ask(&self, ask: Ask) -> Told {
        self.send(ask.signed(self.clock.now())).await
    }

    pub(super) async fn number(&self, sql: &'static str) -> String {
        let mut session = self.db.session().await;
        let rows = session.query(sql, &[]).await.expect("it reads");
        rows.scalar().unwrap_or_default().to_owned()
    }

    /// How many finished blobs there are.
    pub(super) async fn blobs(&self) -> usize {
        self.blobs.list(None).count().await
    }
}

/// The text of the first such element.
pub(super) fn element<'a>(told: &'a Told, name: &str) -> &'a str {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let rest = told.1.split_once(&open).map_or("", |(_, rest)| rest);
    rest.split_once(&close).map_or("", |(text, _)| text)
}

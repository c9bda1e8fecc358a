//! A room with a database and a folder of its own, and a client that signs.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::Request;
use jiff::Timestamp;
use kernel::{Caller, Clock, Rng, Secret, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::blobs::{Blobs, Given};
use crate::ports::{Signer, Tokens};
use crate::s3::encode;
use crate::s3::keys::{S3, secret_of};
use crate::{Config, Parts, Storage};

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
            },
            requests: pool(&db.target_as("authenticator")),
            pool: pool(&db.target()),
            role: "supabase_storage_admin".into(),
            blobs: blobs.clone(),
            signer: Arc::new(Nobody),
            s3: S3 {
                region: "local".to_owned(),
                secret: Secret::new(PROJECT),
                anon_keys: vec![Secret::new(ANON)],
                fixed: None,
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
    secret_of(&Secret::new(PROJECT), access_key).expose().to_owned()
}

//! A room behind a real socket, and a client that can break off.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use kernel::{Caller, Clock, Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::blobs::{BlobId, Blobs, Given};
use crate::ports::Signer;
use crate::room::{Bounds, Config, Parts, Storage};
use crate::tus::Tus;

/// The largest object.
pub(super) const LIMIT: u64 = 64 << 20;
/// What one owner may have open: enough for every other test.
pub(super) const BOUNDS: Bounds = Bounds {
    uploads: 12,
    bytes: 4 * LIMIT,
};
/// For how long uploads wait.
pub(super) const EXPIRE_AFTER: Duration = Duration::from_secs(24 * 3600);
const BUCKETS: &str = "
    INSERT INTO storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    VALUES ('photos', 'photos', false, NULL, NULL), ('small', 'small', false, 10, NULL),
        ('pictures', 'pictures', false, NULL, '{image/*}'), ('closed', 'closed', false, NULL, NULL);
    CREATE POLICY writing ON storage.objects FOR ALL TO authenticated
        USING (bucket_id <> 'closed') WITH CHECK (bucket_id <> 'closed');
";

/// A room, its database and its files.
pub(super) struct Bench {
    pub(super) db: TestDb,
    pub(super) room: Arc<Storage>,
    pub(super) tus: Arc<Tus>,
    pub(super) clock: Clock,
    pub(super) address: SocketAddr,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

/// Signs by writing `claims` behind a word that only tests know.
#[derive(Debug)]
struct TestSigner;

impl Signer for TestSigner {
    fn sign(&self, claims: &Value) -> Option<String> {
        let payload = super::super::URL_SAFE_NO_PAD.encode(claims.to_string());
        Some(format!("good.{payload}.good"))
    }

    fn open(&self, token: &str) -> Result<Value, String> {
        let payload = token
            .strip_prefix("good.")
            .and_then(|rest| rest.strip_suffix(".good"));
        let payload = payload.ok_or_else(|| "Invalid Compact JWS".to_owned())?;
        let bytes = super::super::URL_SAFE_NO_PAD.decode(payload).unwrap();
        Ok(serde_json::from_slice(&bytes).unwrap())
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        session.script(BUCKETS).await.unwrap();
        session.close().await;
        let tasks = Tasks::new();
        let clock = Clock::manual("2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap());
        let rng = Rng::system();
        let folder = tempfile::tempdir().unwrap();
        let given = Given {
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
        };
        let pool = |target| Pool::new(&target, &PoolConfig::default(), &tasks);
        let room = Storage::new(Parts {
            config: Config {
                file_size_limit: LIMIT,
                resumable_expire_after: EXPIRE_AFTER,
                resumable_bounds: BOUNDS,
                url: String::new(),
            },
            requests: pool(db.target_as("authenticator")),
            pool: pool(db.target()),
            role: "supabase_storage_admin".into(),
            blobs: Blobs::local(folder.path(), given).unwrap(),
            signer: Arc::new(TestSigner),
            s3: crate::s3::S3::closed(),
            tasks: tasks.clone(),
            leaving: tasks.token(),
            clock: clock.clone(),
            rng,
        });
        let tus = Tus::start(Arc::clone(&room), room.blobs.alone_since());
        let address = serve(Arc::clone(&tus).router(), &tasks).await;
        Self {
            db,
            room,
            tus,
            clock,
            address,
            tasks,
            _folder: folder,
        }
    }

    /// Makes this node one of two: the other one's address.
    pub(super) async fn second_node(&mut self) -> SocketAddr {
        let mut addresses = Vec::new();
        for _ in 0..2 {
            let node = Tus::start(Arc::clone(&self.room), None);
            addresses.push(serve(node.router(), &self.tasks).await);
        }
        self.address = addresses.remove(0);
        addresses.remove(0)
    }

    /// A request, its answer read to the end.
    pub(super) async fn ask(
        &self,
        who: &str,
        what: &str,
        head: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let length = body.len().to_string();
        let mut stream = self.start(who, what, head, &length).await;
        // Whoever refuses early does not read it to the end.
        let _ = stream.write_all(body).await;
        Reply::read(stream).await
    }

    /// A request whose body is still to be written.
    pub(super) async fn start(
        &self,
        who: &str,
        what: &str,
        head: &[(&str, &str)],
        length: &str,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!("{what} HTTP/1.1\r\nhost: files.test\r\nx-test: {who}\r\n");
        write!(text, "content-length: {length}\r\nconnection: close\r\n").unwrap();
        if !head.iter().any(|(name, _)| *name == "tus-resumable") {
            text += "tus-resumable: 1.0.0\r\n";
        }
        for (name, value) in head {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        text += "\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Begins an upload, and says where it is.
    pub(super) async fn create(&self, who: &str, to: &str, length: usize) -> String {
        let (metadata, length) = (metadata(to, &[]), length.to_string());
        let head = [
            ("upload-length", length.as_str()),
            ("upload-metadata", &metadata),
        ];
        let reply = self.ask(who, "POST /upload/resumable", &head, b"").await;
        reply.is(201).path()
    }

    pub(super) async fn patch(&self, who: &str, path: &str, offset: usize, bytes: &[u8]) -> Reply {
        self.patch_with(who, path, offset, &[], bytes).await
    }

    pub(super) async fn patch_with(
        &self,
        who: &str,
        path: &str,
        offset: usize,
        more: &[(&str, &str)],
        bytes: &[u8],
    ) -> Reply {
        let offset = offset.to_string();
        let mut head = vec![("upload-offset", offset.as_str()), OCTETS];
        head.extend_from_slice(more);
        self.ask(who, &format!("PATCH {path}"), &head, bytes).await
    }

    pub(super) async fn head(&self, who: &str, path: &str) -> Reply {
        self.ask(who, &format!("HEAD {path}"), &[], b"").await
    }

    /// How far an upload is, for its owner.
    pub(super) async fn offset(&self, who: &str, path: &str) -> usize {
        let reply = self.head(who, path).await.is(200);
        reply.header("upload-offset").parse().unwrap()
    }

    /// One value that the database says.
    pub(super) async fn value(&self, sql: &'static str) -> String {
        let rows = self.db.session().await.query(sql, &[]).await.unwrap();
        rows.scalar().unwrap_or("-").to_owned()
    }

    pub(super) async fn script(&self, sql: &str) {
        self.db.session().await.script(sql).await.unwrap();
    }

    /// The bytes of an object, through its row.
    pub(super) async fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let sql = "SELECT version FROM storage.objects WHERE name = $1";
        let params = [Some(name)];
        let rows = self.db.session().await.query(sql, &params).await.unwrap();
        let blob: BlobId = rows.scalar()?.parse().unwrap();
        let stream = self.room.blobs.read(blob, None).await.unwrap();
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        Some(pieces.concat())
    }

    pub(super) async fn end(self) {
        self.tasks.stop().await;
    }
}

pub(super) const OCTETS: (&str, &str) = ("content-type", "application/offset+octet-stream");

/// `Upload-Metadata` of an object `bucket/name`.
pub(super) fn metadata(to: &str, more: &[(&str, &str)]) -> String {
    let (bucket, name) = to.split_once('/').unwrap();
    let own = [("bucketName", bucket), ("objectName", name)];
    let pairs = own.iter().chain(more);
    let pairs: Vec<_> = pairs
        .map(|(name, value)| format!("{name} {}", STANDARD.encode(value)))
        .collect();
    pairs.join(",")
}

/// A token for an upload of `bucket/name`.
pub(super) fn token(url: &str, scope: &str, seconds: i64) -> String {
    let start: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let claims = json!({
        "url": url, "scope": scope, "owner": "ann", "upsert": false, "exp": start.as_second() + seconds,
    });
    TestSigner.sign(&claims).unwrap()
}

/// Bytes that are not the same anywhere.
pub(super) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let rng = Rng::seeded(seed);
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(64) {
        rng.fill(chunk);
    }
    bytes
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HashMap<String, String>,
    pub(super) body: String,
}

impl Reply {
    pub(super) async fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A server that refuses early may reset what it did not read.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.get(9..12)).unwrap_or("0");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(super) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", String::as_str)
    }

    /// Where the upload is, as this server has it.
    pub(super) fn path(&self) -> String {
        let prefix = "http://files.test/storage/v1";
        self.header("location")
            .strip_prefix(prefix)
            .unwrap()
            .to_owned()
    }
}

async fn serve(router: Router, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router.layer(middleware::from_fn(identify));
    let stop = tasks.token();
    tasks.spawn("serve", async move {
        tokio::select! {
            served = axum::serve(listener, router) => served.unwrap(),
            () = stop.cancelled() => {}
        }
    });
    address
}

/// What the gateway does: `x-test` is a user's name, `service`, `reader` or
/// nobody.
async fn identify(mut request: Request, next: Next) -> Response {
    let name = request.headers().get("x-test").unwrap();
    let name = name.to_str().unwrap().to_owned();
    let user = |read_only| Caller {
        role: "authenticated".into(),
        claims: json!({"sub": name, "role": "authenticated"})
            .to_string()
            .into(),
        authenticated: true,
        read_only,
    };
    let caller = match name.as_str() {
        "nobody" => Caller::anonymous("anon"),
        "service" => Caller {
            authenticated: true,
            ..Caller::anonymous("service_role")
        },
        "reader" => user(true),
        _ => user(false),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

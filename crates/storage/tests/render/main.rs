//! Pictures over the room's own routes: with PostgreSQL, real bytes, and people
//! who may and may not see them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use image::{DynamicImage, GenericImageView as _, ImageFormat, RgbImage};
use kernel::{Caller, Clock, Rng, Tasks};
use pg::testing::TestDb;
use pg::{Pool, PoolConfig};
use serde_json::{Value, json};
use storage::blobs::{Blobs, Given};
use storage::ports::Signer;
use storage::{Bounds, Config, Parts, Storage};
use tower::ServiceExt as _;

const ANN: &str = "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a01";
const BEN: &str = "0d8f0c0e-3c3b-4f5e-9d42-6c9f5d3f1a02";

/// Ann has a folder of her own in each bucket.
const SETUP: &str = "
    INSERT INTO storage.buckets (id, name, public) VALUES ('open', 'open', true), ('closed', 'closed', false);
    CREATE POLICY own ON storage.objects TO authenticated
        USING (owner_id = auth.uid()::text) WITH CHECK (owner_id = auth.uid()::text);";

/// Believes whatever is well formed: signatures are the server's matter.
#[derive(Debug)]
struct Trusting;

impl Signer for Trusting {
    fn sign(&self, claims: &Value) -> Option<String> {
        let mut token = String::new();
        for byte in claims.to_string().bytes() {
            write!(token, "{byte:02x}").ok()?;
        }
        Some(token)
    }

    fn open(&self, token: &str) -> Result<Value, String> {
        let bytes = (0..token.len() / 2)
            .map(|at| token.get(at * 2..at * 2 + 2))
            .map(|pair| u8::from_str_radix(pair?, 16).ok())
            .collect::<Option<Vec<u8>>>();
        let claims = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        claims.ok_or_else(|| "malformed".to_owned())
    }
}

struct Room {
    router: Router,
    tasks: Tasks,
    _db: TestDb,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Its size, when it is a picture of this type.
    fn picture(&self, mime: &str) -> (u32, u32) {
        let text = String::from_utf8_lossy(&self.bytes);
        assert_eq!(self.status, StatusCode::OK, "{text}");
        assert_eq!(self.header("content-type"), mime);
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        image::load_from_memory(&self.bytes).unwrap().dimensions()
    }

    fn refused(&self) -> (Value, Value) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST);
        let body = self.json();
        (body["statusCode"].clone(), body["message"].clone())
    }
}

impl Room {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let mut session = db.session().await;
        session.script(SETUP).await.unwrap();
        session.close().await;
        let tasks = Tasks::new();
        let pool = |user| Pool::new(&db.target_as(user), &PoolConfig::default(), &tasks);
        let (clock, rng) = (Clock::system(), Rng::seeded(7));
        let folder = tempfile::tempdir().unwrap();
        let given = Given {
            clock: clock.clone(),
            rng: rng.clone(),
            tasks: tasks.clone(),
        };
        let room = Storage::new(Parts {
            config: Config {
                file_size_limit: 64 << 20,
                resumable_expire_after: std::time::Duration::from_secs(60),
                resumable_bounds: Bounds {
                    uploads: 100,
                    bytes: 1 << 40,
                },
                url: "http://localhost/storage/v1".to_owned(),
            },
            requests: pool("authenticator"),
            pool: Pool::new(&db.target(), &PoolConfig::default(), &tasks),
            role: "supabase_storage_admin".into(),
            blobs: Blobs::local(folder.path(), given).unwrap(),
            signer: Arc::new(Trusting),
            s3: storage::S3::closed(),
            leaving: tasks.token(),
            tasks: tasks.clone(),
            clock,
            rng,
        });
        Self {
            router: room.router(),
            tasks,
            _db: db,
            _folder: folder,
        }
    }

    /// `what` is method and address; `headers` are name and value.
    async fn ask(
        &self,
        who: Option<&str>,
        what: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let (method, address) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let caller = match who {
            Some(user) => Caller {
                role: "authenticated".into(),
                claims: json!({"sub": user, "role": "authenticated"})
                    .to_string()
                    .into(),
                authenticated: true,
                read_only: false,
            },
            None => Caller::anonymous("anon"),
        };
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(caller);
        let (parts, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    async fn upload(&self, at: &str, mime: &str, bytes: Vec<u8>) {
        let what = format!("POST /object/{at}");
        let headers = [("content-type", mime), ("cache-control", "max-age=60")];
        let done = self
            .ask(Some(ANN), &what, &headers, Body::from(bytes))
            .await;
        let text = String::from_utf8_lossy(&done.bytes);
        assert_eq!(done.status, StatusCode::OK, "{text}");
    }

    async fn get(&self, who: Option<&str>, address: &str) -> Answer {
        self.ask(who, &format!("GET {address}"), &[], Body::empty())
            .await
    }

    async fn end(self) {
        drop(self.router);
        self.tasks.stop().await;
    }
}

fn file(format: ImageFormat) -> Vec<u8> {
    let image: DynamicImage = RgbImage::from_fn(80, 40, |x, y| {
        image::Rgb([
            u8::try_from(x * 3).unwrap(),
            u8::try_from(y * 6).unwrap(),
            90,
        ])
    })
    .into();
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

#[tokio::test]
async fn three_doors_show_pictures_to_those_who_may() {
    let room = Room::new().await;
    room.upload("open/a/cat.jpg", "image/jpeg", file(ImageFormat::Jpeg))
        .await;
    room.upload("closed/a/cat.png", "image/png", file(ImageFormat::Png))
        .await;

    let shown = room
        .get(
            None,
            "/render/image/public/open/a/cat.jpg?width=20&quality=60",
        )
        .await;
    assert_eq!(shown.picture("image/jpeg"), (20, 10));
    assert_eq!(
        shown.header("x-transformations"),
        "width:20,resizing_type:fill,quality:60"
    );
    assert_eq!(shown.header("cache-control"), "max-age=60");
    assert_eq!(shown.header("vary"), "Accept");

    // What is kept is not made again; another wish is another picture.
    let tag = shown.header("etag").to_owned();
    let again = |query: &'static str, accept: &'static str| {
        let (room, tag) = (&room, tag.clone());
        async move {
            let what = format!("GET /render/image/public/open/a/cat.jpg?{query}");
            let headers = [("if-none-match", tag.as_str()), ("accept", accept)];
            room.ask(None, &what, &headers, Body::empty()).await.status
        }
    };
    assert_eq!(
        again("width=20&quality=60", "*/*").await,
        StatusCode::NOT_MODIFIED
    );
    assert_eq!(again("width=21&quality=60", "*/*").await, StatusCode::OK);
    assert_eq!(
        again("width=20&quality=60", "image/webp").await,
        StatusCode::OK
    );
    // Other bytes under the same name, too.
    let what = "PUT /object/open/a/cat.jpg";
    let headers = [("content-type", "image/jpeg")];
    let body = Body::from(file(ImageFormat::Jpeg));
    assert_eq!(
        room.ask(Some(ANN), what, &headers, body).await.status,
        StatusCode::OK
    );
    assert_eq!(again("width=20&quality=60", "*/*").await, StatusCode::OK);

    let hers = "/render/image/authenticated/closed/a/cat.png?width=30&height=30&resize=contain";
    assert_eq!(
        room.get(Some(ANN), hers).await.picture("image/png"),
        (30, 15)
    );
    let refused = (json!("404"), json!("Object not found"));
    assert_eq!(room.get(Some(BEN), hers).await.refused(), refused);
    let refused = room.get(None, hers).await;
    assert!(refused.status.is_client_error() && refused.header("etag").is_empty());
    let closed = room
        .get(None, "/render/image/public/closed/a/cat.png")
        .await;
    assert_eq!(closed.refused(), (json!("404"), json!("Bucket not found")));
    room.end().await;
}

#[tokio::test]
async fn a_signed_address_shows_what_was_signed_and_no_more() {
    let room = Room::new().await;
    room.upload("closed/a/cat.png", "image/png", file(ImageFormat::Png))
        .await;
    room.upload("closed/a/dog.png", "image/png", file(ImageFormat::Png))
        .await;
    let sign = |body: Value| {
        let what = "POST /object/sign/closed/a/cat.png";
        let headers = [("content-type", "application/json")];
        let (room, body) = (&room, Body::from(body.to_string()));
        async move { room.ask(Some(ANN), what, &headers, body).await }
    };
    let wish = json!({"expiresIn": 60, "transform": {"width": 10, "height": 10, "format": "webp"}});
    let signed = sign(wish).await.json();
    let address = signed["signedURL"].as_str().unwrap();
    assert!(
        address.starts_with("/render/image/sign/closed/a/cat.png?token="),
        "{address}"
    );
    let shown = room.get(None, address).await;
    assert_eq!(shown.picture("image/webp"), (10, 10));
    assert!(shown.header("expires").ends_with("GMT"));
    // The query changes nothing.
    let larger = room
        .get(None, &format!("{address}&width=80&height=40"))
        .await;
    assert_eq!(larger.picture("image/webp"), (10, 10));
    // For another object it is good for nothing, and neither is none.
    let other = address.replace("cat.png?", "dog.png?");
    assert_eq!(room.get(None, &other).await.status, StatusCode::BAD_REQUEST);
    let bare = room
        .get(None, "/render/image/sign/closed/a/cat.png?width=1")
        .await;
    assert_eq!(bare.status, StatusCode::BAD_REQUEST);
    let bad = sign(json!({"expiresIn": 60, "transform": {"quality": 5}})).await;
    let sentence = json!("body/transform/quality must be >= 20");
    assert_eq!(bad.refused(), (json!("400"), sentence));
    room.end().await;
}

#[tokio::test]
async fn what_is_no_picture_is_refused_in_upstreams_shape() {
    let room = Room::new().await;
    room.upload("open/a/note.png", "image/png", b"not an image".to_vec())
        .await;
    let heif = b"\0\0\0\x10ftypmif1\0\0\0\0".to_vec();
    room.upload("open/a/photo.heic", "image/heic", heif).await;
    let svg =
        br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#.to_vec();
    room.upload("open/a/logo.svg", "image/svg+xml", svg.clone())
        .await;
    let page = b"<html><script>alert(1)</script></html>".to_vec();
    room.upload("open/a/page.html", "text/html", page).await;

    for name in ["note.png", "photo.heic", "page.html"] {
        let refused = room
            .get(None, &format!("/render/image/public/open/a/{name}"))
            .await;
        assert_eq!(refused.json()["error"], "InvalidRequest");
        let sentence = json!("The source image is invalid or unsupported for rendering");
        assert_eq!(refused.refused(), (json!("400"), sentence), "{name}");
    }
    let negative = room
        .get(None, "/render/image/public/open/a/note.png?width=-1")
        .await;
    assert_eq!(negative.refused().1, "querystring/width must be >= 0");

    // Drawings come as they are, to be kept and not to be opened.
    let drawing = room
        .get(None, "/render/image/public/open/a/logo.svg?width=10")
        .await;
    assert_eq!((drawing.status, &drawing.bytes), (StatusCode::OK, &svg));
    assert_eq!(drawing.header("content-disposition"), "attachment;");
    assert!(
        drawing
            .header("content-security-policy")
            .ends_with("sandbox")
    );
    room.end().await;
}

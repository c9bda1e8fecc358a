//! The inbox in a real database, asked as a test of somebody's project does.

use super::*;

use std::collections::BTreeMap;
use std::path::Path;

use axum::body::Body;
use http::Method;
use http_body_util::BodyExt as _;
use kernel::{Rng, Tasks};
use pg::testing::TestDb;
use pg::{PoolConfig, RequestTx};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use crate::mail::{Library, Mailer, Sink};

const ROLE: &str = "supabase_auth_admin";

struct Setup {
    db: TestDb,
    pool: Pool,
    mailer: Mailer,
    router: Router,
    tasks: Tasks,
}

impl Setup {
    async fn new(open: bool) -> Self {
        let db = TestDb::new().await;
        let tasks = Tasks::new();
        let pool = Pool::new(&db.target(), &PoolConfig::default(), &tasks);
        let library = Library::load(Path::new("/"), &BTreeMap::new()).expect("ours");
        let sink = Sink::Inbox {
            from_name: "Ann Admin".to_owned(),
            from: "admin@email.com".to_owned(),
        };
        let mailer = Mailer::new(Arc::new(library), sink, Rng::system());
        let role = ROLE.to_owned();
        let router = Inbox::new(pool.clone(), &InboxConfig { role, open }).router();
        Self {
            db,
            pool,
            mailer,
            router,
            tasks,
        }
    }

    async fn mail(&self, to: &str, token: &str) {
        let data = json!({ "Token": token, "ConfirmationURL": "https://api.test/v?a=b&c=d" });
        let data: Map<String, Value> = data.as_object().expect("an object").clone();
        let sql = self.mailer.enqueue("magic_link", to, data).expect("made");
        let mut tx = RequestTx::new(&Arc::from(ROLE), "{}", &[]);
        tx.push(sql);
        tx.run(&self.pool).await.expect("kept");
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, HeaderMap, String) {
        self.ask_as("localhost:54324", method, path, body).await
    }

    async fn ask_as(
        &self,
        host: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .body(Body::from(body.to_owned()))
            .expect("a request");
        let answer = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = String::from_utf8(body.to_vec()).expect("text");
        (parts.status, parts.headers, body)
    }

    async fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.ask(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).expect("json")
    }
}

fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).cloned().unwrap_or_default()
}

#[tokio::test]
async fn mails_are_found_as_in_mailpit() {
    let setup = Setup::new(false).await;
    for (to, token) in [
        ("a@x.test", "111111"),
        ("b@x.test", "222222"),
        ("a@x.test", "333333"),
    ] {
        setup.mail(to, token).await;
    }
    let list = setup.json("/api/v1/messages?limit=2").await;
    assert_eq!(
        (at(&list, "/total"), at(&list, "/unread")),
        (json!(3), json!(3))
    );
    assert_eq!(
        (at(&list, "/count"), at(&list, "/messages/2")),
        (json!(2), Value::Null)
    );
    let newest = at(&list, "/messages/0");
    assert_eq!(
        at(&newest, "/To"),
        json!([{"Name": "", "Address": "a@x.test"}])
    );
    assert_eq!(
        at(&newest, "/From"),
        json!({"Name": "Ann Admin", "Address": "admin@email.com"})
    );
    assert!(
        at(&newest, "/Snippet")
            .as_str()
            .is_some_and(|s| s.contains("333333"))
    );
    assert!(at(&newest, "/Size").as_u64().is_some_and(|size| size > 500));
    let found = setup
        .json("/api/v1/search?query=to%3Aa%40x.test+-333333")
        .await;
    assert_eq!(
        (at(&found, "/messages_count"), at(&found, "/total")),
        (json!(1), json!(3))
    );
    let id = at(&found, "/messages/0/ID");
    let id = id.as_str().expect("an id");
    let message = setup.json(&format!("/api/v1/message/{id}")).await;
    let text = at(&message, "/Text");
    assert!(
        text.as_str()
            .is_some_and(|t| t.contains("111111") && t.contains("https://api.test/v?a=b&c=d"))
    );
    assert!(
        at(&message, "/HTML")
            .as_str()
            .is_some_and(|h| h.contains("href=\"https://api.test/v?a=b&amp;c=d\""))
    );
    let unread = setup.json("/api/v1/search?query=is:unread").await;
    assert_eq!(at(&unread, "/messages_count"), json!(2));
    let latest = setup.json("/api/v1/message/latest?query=to:b@x.test").await;
    assert!(
        at(&latest, "/Text")
            .as_str()
            .is_some_and(|t| t.contains("222222"))
    );
    let headers = setup.json("/api/v1/message/latest/headers").await;
    assert_eq!(at(&headers, "/To"), json!(["a@x.test"]));
    let (_, _, raw) = setup
        .ask(Method::GET, "/api/v1/message/latest/raw", "")
        .await;
    assert!(raw.contains("multipart/alternative") && raw.contains("Message-ID: <"));
    setup.tasks.stop().await;
}

#[tokio::test]
async fn mails_are_marked_and_removed() {
    let setup = Setup::new(false).await;
    for token in ["1", "2", "3"] {
        setup.mail("a@x.test", token).await;
    }
    let first = setup.json("/api/v1/messages").await;
    let ids = json!({ "IDs": [at(&first, "/messages/0/ID")], "Read": true }).to_string();
    let (status, _, body) = setup.ask(Method::PUT, "/api/v1/messages", &ids).await;
    assert_eq!((status, &*body), (StatusCode::OK, "ok"));
    assert_eq!(at(&setup.json("/api/v1/info").await, "/Unread"), json!(2));
    setup.ask(Method::DELETE, "/api/v1/messages", &ids).await;
    assert_eq!(
        at(&setup.json("/api/v1/messages").await, "/total"),
        json!(2)
    );
    let (status, _, _) = setup
        .ask(Method::DELETE, "/api/v1/messages", "{\"IDs\":[\"x\"]}")
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    setup
        .ask(Method::DELETE, "/api/v1/search?query=nobody", "")
        .await;
    assert_eq!(
        at(&setup.json("/api/v1/messages").await, "/total"),
        json!(2)
    );
    setup.ask(Method::DELETE, "/api/v1/messages", "").await;
    assert_eq!(
        at(&setup.json("/api/v1/messages").await, "/total"),
        json!(0)
    );
    for missing in ["latest", "x", "00000000-0000-4000-8000-000000000000"] {
        let (status, _, _) = setup
            .ask(Method::GET, &format!("/api/v1/message/{missing}"), "")
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    setup.tasks.stop().await;
}

#[tokio::test]
async fn a_mail_is_shown_where_it_can_do_nothing() {
    let setup = Setup::new(false).await;
    setup.mail("a@x.test", "<script>1</script>").await;
    let (status, headers, _) = setup.ask(Method::GET, "/view/latest", "").await;
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
    let page = headers
        .get("location")
        .and_then(|v| v.to_str().ok())
        .expect("somewhere");
    let (_, headers, body) = setup.ask(Method::GET, page, "").await;
    let policy = |headers: &HeaderMap| headers.get(POLICY).cloned().expect("set");
    assert!(policy(&headers) == PAGE && body.contains("<iframe sandbox=\"allow-popups"));
    let (_, headers, body) = setup.ask(Method::GET, "/view/latest.html", "").await;
    let policy_text = policy(&headers);
    let policy_text = policy_text.to_str().expect("text");
    assert!(policy_text.starts_with("sandbox allow-popups") && !policy_text.contains("script"));
    assert!(!body.contains("<script>"), "{body}");
    let (_, headers, body) = setup.ask(Method::GET, "/", "").await;
    assert!(policy(&headers) == PAGE && body.contains("a@x.test"));
    for path in [
        "/api/v1/messages",
        "/view/latest.txt",
        "/api/v1/message/latest/raw",
    ] {
        let (_, headers, _) = setup.ask(Method::GET, path, "").await;
        assert!(
            policy(&headers)
                .to_str()
                .is_ok_and(|p| p.contains("sandbox")),
            "{path}"
        );
        assert_eq!(
            headers
                .get("x-content-type-options")
                .map(HeaderValue::as_bytes),
            Some(&b"nosniff"[..])
        );
    }
    let (_, _, body) = setup.ask(Method::GET, "/?query=%22%3E%3Cb%3E", "").await;
    assert!(!body.contains("\"><b>"), "{body}");
    setup.tasks.stop().await;
}

const PAGE: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[tokio::test]
async fn a_web_page_with_a_name_for_this_machine_gets_nothing() {
    let setup = Setup::new(false).await;
    for host in [
        "evil.test",
        "evil.test:54324",
        "localhost.evil.test",
        "",
        "127.0.0.1.evil.test",
    ] {
        let (status, _, _) = setup
            .ask_as(host, Method::GET, "/api/v1/messages", "")
            .await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{host}");
    }
    for host in [
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1:54324",
        "[::1]:54324",
        "app.localhost",
        "192.168.0.7",
    ] {
        let (status, _, _) = setup
            .ask_as(host, Method::GET, "/api/v1/messages", "")
            .await;
        assert_eq!(status, StatusCode::OK, "{host}");
    }
    let open = Setup::new(true).await;
    let (status, _, _) = open.ask_as("dev.example.com", Method::GET, "/", "").await;
    assert_eq!(status, StatusCode::OK);
    open.tasks.stop().await;
    setup.tasks.stop().await;
}

#[tokio::test]
async fn the_oldest_make_room() {
    let setup = Setup::new(false).await;
    let mut session = setup.db.session().await;
    session
        .script(
            "INSERT INTO ferrobase.inbox (id, sender_name, sender, recipient, subject, html, plain)
             SELECT gen_random_uuid(), '', 'a@b', 'old@x', n::text, '', '' FROM generate_series(1, 520) AS n",
        )
        .await
        .expect("filled");
    for n in 0..3 {
        setup.mail("new@x.test", &n.to_string()).await;
    }
    let list = setup.json("/api/v1/messages?limit=500").await;
    assert_eq!(at(&list, "/total"), json!(500));
    assert_eq!(at(&list, "/messages/0/To/0/Address"), "new@x.test");
    assert_eq!(at(&list, "/messages/499/To/0/Address"), "old@x");
    session.close().await;
    setup.tasks.stop().await;
}

#[tokio::test]
async fn the_callers_of_the_api_see_none_of_it() {
    let setup = Setup::new(false).await;
    setup.mail("a@x.test", "1").await;
    for role in ["anon", "authenticated", "service_role"] {
        for table in [
            "SELECT 1 FROM ferrobase.inbox",
            "SELECT 1 FROM ferrobase.mail_queue",
        ] {
            let mut tx = RequestTx::new(&Arc::from(role), "{}", &[]);
            tx.push(pg::SqlBuf::fixed(table));
            let refused = tx.run(&setup.pool).await.expect_err("refused");
            assert_eq!(refused.sqlstate(), Some("42501"), "{role}");
        }
    }
    setup.tasks.stop().await;
}

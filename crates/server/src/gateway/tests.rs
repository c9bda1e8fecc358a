//! The front door as clients meet it, with a room that tells what it was given.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod limits;

use std::net::Ipv4Addr;

use axum::routing::{any, post};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::request_id::REQUEST_ID_BYTES_MAX;
use super::*;
use crate::config::{Mode, Sources, load};
use crate::keys;

const ANON: &str = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH";
const SECRET: &str = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";

struct Door {
    gateway: Arc<Gateway>,
    anon_jwt: String,
    service_jwt: String,
    user_jwt: String,
}

/// A room with a mistake in it.
async fn boom() -> String {
    panic!("boom")
}

/// Tells role, claims, path and query.
async fn echo(request: Request<Body>) -> String {
    let (parts, body) = request.into_parts();
    let size = body
        .collect()
        .await
        .map_or_else(|_| -1, |body| i64::try_from(body.to_bytes().len()).unwrap());
    let caller = Caller::of(&parts).unwrap();
    json!({
        "role": &*caller.role,
        "claims": serde_json::from_str::<Value>(&caller.claims).unwrap(),
        "authenticated": caller.authenticated,
        "uri": parts.uri.to_string(),
        "size": size,
    })
    .to_string()
}

fn room(name: &'static str, prefix: &'static str, access: Access) -> Room {
    let router = Router::new()
        .route("/boom", any(boom))
        .route("/slow", any(std::future::pending::<String>))
        .route("/upload", post(echo))
        .fallback(echo);
    Room {
        name,
        prefix,
        dialect: Dialect::Rest,
        access,
        bodies: Bodies::Counted,
        service: routed(router),
    }
}

fn door(env: &[(&str, &str)]) -> Door {
    let rooms = vec![
        room("rest", "/rest/v1", Access::Checked),
        room("storage", "/storage/v1", Access::Open),
    ];
    door_to(rooms, env)
}

fn door_to(rooms: Vec<Room>, env: &[(&str, &str)]) -> Door {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let config = load(
        Mode::Dev,
        &Sources {
            env,
            ..Sources::default()
        },
    )
    .unwrap()
    .config;
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_second(1_760_000_000).unwrap());
    let rng = Rng::seeded(1);
    let keys = keys::resolve(&config, folder.path(), &clock, &rng).unwrap();
    let expose = |key: &Option<kernel::Secret>| {
        key.as_ref()
            .map(|key| key.expose().to_owned())
            .unwrap_or_default()
    };
    let user =
        json!({"sub": "u1", "role": "authenticated", "exp": 1_760_003_600, "aud": "authenticated"});
    let world = World {
        api_keys: ApiKeys::new(clock.clone()),
        clock,
        rng,
        health: Health::default(),
        metrics: Arc::new(Metrics::new(
            &rooms.iter().map(|room| room.name).collect::<Vec<_>>(),
        )),
        issuers: Issuers::default(),
        preview: None,
    };
    Door {
        anon_jwt: expose(&keys.anon_key),
        service_jwt: expose(&keys.service_role_key),
        user_jwt: keys.signing.sign(&user).unwrap().expose().to_owned(),
        gateway: Gateway::new(&config, keys, rooms, world),
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Door {
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .gateway
            .handle(request, Ipv4Addr::LOCALHOST.into())
            .await;
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&text)
            .unwrap_or_else(|_| String::from_utf8_lossy(&text).as_ref().into());
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(Request::get(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn role(&self, headers: &[(&str, &str)]) -> String {
        let answer = self.get("/rest/v1/items", headers).await;
        let role = answer.body["role"].as_str().map(str::to_owned);
        role.unwrap_or_else(|| {
            format!(
                "{} {}",
                answer.status,
                answer.body["code"]
                    .as_str()
                    .or(answer.body["message"].as_str())
                    .unwrap()
            )
        })
    }
}

#[tokio::test]
async fn only_issuers_that_are_named_are_believed() {
    let named = door(&[(
        "FERROBASE__AUTH__JWT_ISSUERS",
        "https://a.example,supabase-demo",
    )]);
    assert_eq!(named.role(&[("apikey", &named.anon_jwt)]).await, "anon");
    let user = format!("Bearer {}", named.user_jwt);
    assert_eq!(
        named.role(&[("authorization", &user)]).await,
        "401 PGRST303"
    );
}

#[tokio::test]
async fn the_trace_header_comes_back_unchanged() {
    for name in ["x-trace", "x-request-id"] {
        let door = door(&[("PGRST_SERVER_TRACE_HEADER", name)]);
        // Not fit for a request id of ours.
        let sent = "a b";
        for path in ["/health", "/rest/v1/items", "/nowhere"] {
            let answer = door.get(path, &[(name, sent)]).await;
            assert_eq!(answer.headers[name], sent, "{path}");
        }
        assert!(
            !door
                .get("/health", &[])
                .await
                .headers
                .contains_key("x-trace")
        );
    }
}

#[tokio::test]
async fn both_key_families_and_user_tokens_become_roles() {
    let door = door(&[]);
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(door.role(&[]).await, "anon");
    assert_eq!(door.role(&[("apikey", ANON)]).await, "anon");
    assert_eq!(door.role(&[("apikey", SECRET)]).await, "service_role");
    assert_eq!(door.role(&[("apikey", &door.anon_jwt)]).await, "anon");
    assert_eq!(
        door.role(&[("apikey", &door.service_jwt)]).await,
        "service_role"
    );
    assert_eq!(
        door.role(&[("apikey", ANON), ("authorization", &bearer(ANON))])
            .await,
        "anon"
    );
    assert_eq!(
        door.role(&[("apikey", ANON), ("authorization", &bearer(&door.user_jwt))])
            .await,
        "authenticated"
    );
    assert_eq!(
        door.role(&[
            ("apikey", SECRET),
            ("authorization", &bearer(&door.user_jwt))
        ])
        .await,
        "authenticated"
    );
    assert_eq!(
        door.role(&[("authorization", &bearer(&door.service_jwt))])
            .await,
        "service_role"
    );
    assert_eq!(
        door.role(&[("authorization", &format!("bEaReR {}", door.user_jwt))])
            .await,
        "authenticated"
    );
    assert_eq!(door.role(&[("authorization", "Basic eDp5")]).await, "anon");
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let door = door(&[]);
    let bearer_secret = format!("Bearer {SECRET}");
    assert_eq!(
        door.role(&[("authorization", &bearer_secret)]).await,
        "401 PGRST301"
    );
    assert_eq!(
        door.role(&[("apikey", ANON), ("authorization", &bearer_secret)])
            .await,
        "401 PGRST301"
    );
    assert_eq!(
        door.role(&[("apikey", "sb_secret_wrong")]).await,
        "401 Invalid API key"
    );
    assert_eq!(
        door.role(&[("apikey", "nonsense")]).await,
        "401 Invalid API key"
    );
    let browser = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
    assert_eq!(
        door.role(&[("apikey", SECRET), browser]).await,
        "401 Forbidden use of secret API key in browser"
    );
    assert_eq!(door.role(&[("apikey", ANON), browser]).await, "anon");
    let forged = door.user_jwt.replace("eyJ", "eyK");
    assert!(
        door.role(&[("authorization", &format!("Bearer {forged}"))])
            .await
            .starts_with("401 PGRST301")
    );
}

#[tokio::test]
async fn required_keys_are_required() {
    let door = door(&[("FERROBASE__API__REQUIRE_APIKEY", "true")]);
    let answer = door.get("/rest/v1/items", &[]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.body.to_string(),
        r#"{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}"#
    );
    let user = format!("Bearer {}", door.user_jwt);
    assert_eq!(
        door.role(&[("authorization", &user)]).await,
        "401 No API key found in request"
    );
    assert_eq!(
        door.role(&[("apikey", "sb_x"), ("authorization", &user)])
            .await,
        "401 Invalid API key"
    );
    assert_eq!(
        door.role(&[("apikey", ANON), ("authorization", &user)])
            .await,
        "authenticated"
    );
    let open = door.get("/storage/v1/object/public/x", &[]).await;
    assert_eq!(
        (open.status, open.body["role"].as_str()),
        (200, Some("anon"))
    );
}

#[tokio::test]
async fn token_errors_are_postgrests() {
    let door = door(&[]);
    let answer = door
        .get("/rest/v1/items", &[("authorization", "Bearer")])
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.body.to_string(),
        r#"{"code":"PGRST301","details":null,"hint":null,"message":"Empty JWT is sent in Authorization header"}"#
    );
    assert_eq!(
        answer.headers["www-authenticate"],
        "Bearer error=\"invalid_token\", error_description=\"Empty JWT is sent in Authorization header\""
    );
    let answer = door
        .get("/rest/v1/items", &[("authorization", "Bearer a.b")])
        .await;
    assert_eq!(answer.body["message"], "Expected 3 parts in JWT; got 2");

    let closed = self::door(&[("PGRST_DB_ANON_ROLE", "")]);
    let answer = closed.get("/rest/v1/items", &[]).await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (401, Some("PGRST302"))
    );
    assert_eq!(answer.headers["www-authenticate"], "Bearer");

    let keyless = self::door(&[("PGRST_JWT_SECRET", "")]);
    let answer = keyless
        .get("/rest/v1/items", &[("authorization", "Bearer a.b.c")])
        .await;
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (500, Some("PGRST300"))
    );
    assert_eq!(keyless.role(&[]).await, "anon");
}

#[tokio::test]
async fn a_room_at_the_root_takes_what_nobody_else_has() {
    let rooms = vec![
        room("storage", "/storage/v1", Access::Open),
        room("root", "", Access::Checked),
    ];
    let door = door_to(rooms, &[]);
    for (path, seen) in [
        ("/", "/"),
        ("/items?a=b", "/items?a=b"),
        ("/storage/v11", "/storage/v11"),
        ("/storage/v1/x", "/x"),
    ] {
        assert_eq!(door.get(path, &[]).await.body["uri"], seen, "{path}");
    }
    assert_eq!(door.get("/health", &[]).await.body["status"], "ok");
}

#[tokio::test]
async fn rooms_see_neither_prefix_nor_key() {
    let door = door(&[]);
    let uri = |answer: Answer| answer.body["uri"].as_str().unwrap().to_owned();
    assert_eq!(
        uri(door.get("/rest/v1/items?select=id", &[]).await),
        "/items?select=id"
    );
    assert_eq!(uri(door.get("/rest/v1", &[]).await), "/");
    assert_eq!(uri(door.get("/rest/v1?a=b", &[]).await), "/?a=b");
    let with_key = door
        .get(&format!("/rest/v1/items?a=b&apikey={SECRET}&c=d"), &[])
        .await;
    assert_eq!(with_key.body["role"], "service_role");
    assert_eq!(uri(with_key), "/items?a=b&c=d");
    assert_eq!(
        uri(door.get("/rest/v1/items?apikey=eq.5", &[]).await),
        "/items?apikey=eq.5"
    );
    let nowhere = door.get("/rest/v11/items", &[]).await;
    assert_eq!(
        (nowhere.status, nowhere.body.to_string()),
        (
            404,
            r#"{"message":"no Route matched with those values"}"#.into()
        )
    );
}

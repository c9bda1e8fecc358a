//! Tokens of an issuer that answers at a real address.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Tasks;
use outbound::Reach;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

use super::*;

struct Elsewhere {
    url: String,
    key: EcdsaKeyPair,
    clock: Clock,
    asked: Arc<AtomicUsize>,
    client: Client,
    tasks: Tasks,
}

impl Elsewhere {
    async fn start() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let point = key.public_key().as_ref();
        let part = |range| URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default());
        let jwks = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "k", "x": part(1..33), "y": part(33..65)},
            // Published by mistake; a secret that everybody knows.
            {"kty": "oct", "kid": "h", "k": "c2VjcmV0"},
        ]});
        let document = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(move || std::future::ready(document.to_string())),
            )
            .route(
                "/jwks",
                get(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    std::future::ready(jwks.to_string())
                }),
            );
        let tasks = Tasks::new();
        let stop = tasks.token();
        tasks.spawn("issuer", async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stop.cancelled() => {}
            }
        });
        Self {
            url,
            key,
            clock: Clock::manual(Clock::system().now()),
            asked,
            client: Client::new(Reach::Configured, &[], &tasks).expect("a client"),
            tasks,
        }
    }

    fn issuers(&self, section: Value) -> Issuers {
        let mut section = section;
        if let Some(section) = section.as_object_mut() {
            section.insert("issuer".to_owned(), self.url.as_str().into());
        }
        let all = json!({"corp": section});
        Issuers::read(Some(&all), &self.client, &self.clock).expect("settings of a test")
    }

    fn token(&self, kid: &str, change: &Value) -> String {
        let now = self.clock.now().as_second();
        let mut claims = json!({"iss": self.url, "sub": "x|1", "aud": "app", "exp": now + 60, "role": "authenticated"});
        for (name, value) in change.as_object().into_iter().flatten() {
            let claims = claims.as_object_mut().expect("an object");
            if value.is_null() {
                claims.remove(name);
            } else {
                claims.insert(name.clone(), value.clone());
            }
        }
        let header = json!({"alg": "ES256", "kid": kid});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mark = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let mark = URL_SAFE_NO_PAD.encode(mark.expect("signs").as_ref());
        format!("{signed}.{mark}")
    }

    async fn role(&self, issuers: &Issuers, token: &str) -> Result<String, TokenError> {
        issuers.prepare(token).await;
        let issuer = issuers.of(token).expect("the issuer is known");
        let now = self.clock.now().as_second();
        let anon: Arc<str> = "anon".into();
        let (caller, _) = issuer.caller(token, now, Some(&anon))?;
        Ok(caller.role.to_string())
    }
}

#[tokio::test]
async fn its_tokens_are_believed_by_its_keys_alone() {
    let other = Elsewhere::start().await;
    let issuers = other.issuers(json!({"audience": "app"}));
    let good = other.token("k", &json!({}));
    let role = other.role(&issuers, &good).await;
    assert_eq!(role.as_deref(), Ok("authenticated"));
    let nameless = other.token("k", &json!({"role": null}));
    assert_eq!(other.role(&issuers, &nameless).await.as_deref(), Ok("anon"));
    let now = other.clock.now().as_second();
    for bad in [
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"exp": now - 60}),
        json!({"exp": null}),
        json!({"nbf": now + 60}),
        json!({"role": "service_role"}),
        json!({"role": "supabase_admin"}),
        json!({"role": "postgres"}),
    ] {
        let token = other.token("k", &bad);
        assert!(other.role(&issuers, &token).await.is_err(), "{bad}");
    }
    let (signed, _) = good.rsplit_once('.').expect("three parts");
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    assert!(other.role(&issuers, &forged).await.is_err());
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"secret");
    let (_, body) = signed.split_once('.').expect("two parts");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","kid":"h"}"#);
    let signed = format!("{header}.{body}");
    let mark = ring::hmac::sign(&secret, signed.as_bytes());
    let confused = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark.as_ref()));
    assert!(other.role(&issuers, &confused).await.is_err());
    let stranger = other.token("k", &json!({"iss": "https://another.example"}));
    assert!(issuers.of(&stranger).is_none());
    other.tasks.stop().await;
}

#[tokio::test]
async fn claims_are_mapped() {
    let other = Elsewhere::start().await;
    let fixed = other.issuers(json!({"role": "authenticated"}));
    let token = other.token("k", &json!({"role": "service_role"}));
    let role = other.role(&fixed, &token).await;
    assert_eq!(role.as_deref(), Ok("authenticated"));
    let mapped = other.issuers(json!({"role_claim": ".app.role"}));
    let token = other.token("k", &json!({"app": {"role": "editor"}}));
    assert_eq!(other.role(&mapped, &token).await.as_deref(), Ok("editor"));
    let pool = other.issuers(json!({"audience": ["client"]}));
    let token = other.token("k", &json!({"aud": null, "client_id": "client"}));
    assert!(other.role(&pool, &token).await.is_ok());
    other.tasks.stop().await;
}

#[tokio::test]
async fn made_up_key_names_make_nobody_busy() {
    let other = Elsewhere::start().await;
    let issuers = other.issuers(json!({}));
    for n in 0..20 {
        let token = other.token(&format!("made up {n}"), &json!({}));
        assert!(other.role(&issuers, &token).await.is_err());
    }
    assert_eq!(other.asked.load(Ordering::SeqCst), 1);
    other.clock.advance(Duration::from_secs(31));
    let token = other.token("made up", &json!({}));
    assert!(other.role(&issuers, &token).await.is_err());
    assert_eq!(other.asked.load(Ordering::SeqCst), 2);
    // Keys that are known need nobody.
    let good = other.token("k", &json!({}));
    assert!(other.role(&issuers, &good).await.is_ok());
    assert_eq!(other.asked.load(Ordering::SeqCst), 2);
    other.tasks.stop().await;
}

#[tokio::test]
async fn the_official_names_are_known() {
    let tasks = Tasks::new();
    let client = Client::new(Reach::Configured, &[], &tasks).expect("a client");
    let section = json!({
        "firebase": {"enabled": true, "project_id": "p"},
        "auth0": {"enabled": "true", "tenant": "t", "tenant_region": "eu"},
        "aws_cognito": {"enabled": true, "user_pool_id": "eu_1", "user_pool_region": "eu"},
        "clerk": {"enabled": true, "domain": "c.example"},
        "workos": {"enabled": false},
    });
    let read = |section: &Value| Issuers::read(Some(section), &client, &Clock::system());
    let issuers = read(&section).expect("settings of a test");
    let mut named: Vec<&str> = issuers.0.iter().map(|one| one.iss.as_str()).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "https://c.example",
            "https://cognito-idp.eu.amazonaws.com/eu_1",
            "https://securetoken.google.com/p",
            "https://t.eu.auth0.com",
        ]
    );
    for (bad, expected) in [
        (json!({"firebase": {"enabled": true}}), "a project_id"),
        (json!({"corp": {}}), "an issuer"),
        (
            json!({"corp": {"issuer": "https://x", "role": "service_role"}}),
            "a role that is not an administrator's",
        ),
    ] {
        assert_eq!(read(&bad).err().map(|error| error.expected), Some(expected));
    }
    tasks.stop().await;
}

/// A gateway in front of two rooms that tell whom they met.
fn gateway(other: &Elsewhere, issuers: Issuers) -> Arc<crate::gateway::Gateway> {
    use crate::config::{Mode, Sources, load};
    use crate::gateway::{Access, Bodies, Dialect, Gateway, Room, World};
    let config = load(Mode::Dev, &Sources::default()).expect("settings");
    let folder = tempfile::tempdir().expect("a folder");
    let rng = kernel::Rng::seeded(1);
    let keys = crate::keys::resolve(&config.config, folder.path(), &other.clock, &rng);
    let room = |name, prefix, access| Room {
        name,
        prefix,
        dialect: Dialect::Rest,
        access,
        bodies: Bodies::Counted,
        service: crate::gateway::routed(Router::new().fallback(
            |request: http::Request<axum::body::Body>| async move {
                let (parts, _) = request.into_parts();
                let bad = parts.extensions.get::<kernel::BadToken>().is_some();
                let role = Caller::of(&parts).map(|caller| caller.role.to_string());
                format!("{} {bad}", role.unwrap_or_default())
            },
        )),
    };
    let rooms = vec![
        room("rest", "/rest/v1", Access::Checked),
        room("auth", "/auth/v1", Access::Keyed { open: &["/oauth"] }),
    ];
    let world = World {
        api_keys: crate::api_keys::ApiKeys::new(other.clock.clone()),
        clock: other.clock.clone(),
        rng,
        health: crate::health::Health::default(),
        metrics: Arc::new(crate::metrics::Metrics::new(&["rest", "auth"])),
        issuers,
        preview: None,
    };
    Gateway::new(&config.config, keys.expect("keys"), rooms, world)
}

#[tokio::test]
async fn rooms_meet_its_users_but_the_auth_room_does_not() {
    use http_body_util::BodyExt as _;
    let other = Elsewhere::start().await;
    let gateway = gateway(&other, other.issuers(json!({"audience": "app"})));
    let good = other.token("k", &json!({}));
    let foreign = other.token("k", &json!({"aud": "another"}));
    let admin = other.token("k", &json!({"role": "service_role"}));
    for (path, token, status, said) in [
        ("/rest/v1/", &good, 200, "authenticated false"),
        ("/rest/v1/", &good, 200, "authenticated false"),
        ("/rest/v1/", &foreign, 401, ""),
        ("/rest/v1/", &admin, 401, ""),
        ("/auth/v1/user", &good, 200, "anon true"),
        ("/auth/v1/oauth/x", &good, 200, "anon true"),
    ] {
        let request = http::Request::get(path)
            .header("authorization", format!("Bearer {token}"))
            .header("apikey", "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH")
            .body(axum::body::Body::empty())
            .expect("a request");
        let here = std::net::Ipv4Addr::LOCALHOST.into();
        let response = gateway.handle(request, here).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        assert!(status != 200 || text == said, "{path}: {text}");
    }
    assert_eq!(other.asked.load(Ordering::SeqCst), 1);
    other.tasks.stop().await;
}

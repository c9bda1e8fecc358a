//! An identity provider of the tests' own, at a real address: `OpenID` Connect
//! with discovery, keys, tokens and userinfo, and GitHub's dialect beside it.
//! It checks what a good one checks, and lies where a test tells it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use kernel::{Clock, Tasks};
use outbound::{Answer, Budget, Client, Reach};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const CLIENT: &str = "our-id";
pub(crate) const SECRET: &str = "our secret & more";
/// Where the room is for browsers.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:54321/auth/v1/callback";

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    Well,
    /// With a key that is in no set.
    OtherKey,
    /// With a key that came into the set just now.
    NewKey,
    /// `alg: none`.
    Not,
    /// The public key as a shared secret.
    PublicAsSecret,
}

/// What it does.
pub(crate) struct Behaviour {
    /// Who is at the browser.
    pub(crate) person: Value,
    /// What GitHub's `/user/emails` says.
    pub(crate) emails: Value,
    /// Claims that differ in ID tokens; `null` leaves one out.
    pub(crate) lie: Value,
    pub(crate) signing: Signing,
    /// Not every provider looks at verifiers.
    pub(crate) checks_pkce: bool,
    pub(crate) says_issuer: String,
    /// Requests for keys.
    pub(crate) keys_asked: usize,
    codes: HashMap<String, Asked>,
}

#[derive(Clone)]
struct Asked {
    redirect_uri: String,
    challenge: String,
    nonce: String,
    person: Value,
}

/// The provider.
pub(crate) struct Idp {
    pub(crate) url: String,
    pub(crate) does: Arc<Mutex<Behaviour>>,
    clock: Clock,
    client: Client,
    keys: Arc<[EcdsaKeyPair; 2]>,
    tasks: Tasks,
}

#[derive(Clone)]
struct Server {
    url: String,
    does: Arc<Mutex<Behaviour>>,
    clock: Clock,
    keys: Arc<[EcdsaKeyPair; 2]>,
}

fn key_pair() -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key")
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let tasks = Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let does = Arc::new(Mutex::new(Behaviour {
            person: json!({"sub": "1", "email": "ada@b.co", "email_verified": true, "name": "Ada"}),
            emails: json!([]),
            lie: json!({}),
            signing: Signing::Well,
            checks_pkce: true,
            says_issuer: String::new(),
            keys_asked: 0,
            codes: HashMap::new(),
        }));
        let clock = Clock::manual(Clock::system().now());
        let keys = Arc::new([key_pair(), key_pair()]);
        let server = Server {
            url: url.clone(),
            does: Arc::clone(&does),
            clock: clock.clone(),
            keys: Arc::clone(&keys),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .route("/userinfo", get(userinfo))
            .route("/login/oauth/authorize", get(authorize))
            .route("/login/oauth/access_token", post(token))
            .route("/api/v3/user", get(userinfo))
            .route("/api/v3/user/emails", get(emails))
            .with_state(server);
        let stop = tasks.token();
        tasks.spawn("provider", async move {
            tokio::select! {
                _ = axum::serve(listener, router) => {}
                () = stop.cancelled() => {}
            }
        });
        let client = Client::new(Reach::Configured, &[], &tasks).unwrap();
        Self {
            url,
            does,
            clock,
            client,
            keys,
            tasks,
        }
    }

    /// `[auth]` with this provider as an issuer, as Google and as GitHub.
    pub(crate) fn settings(&self) -> Value {
        let here = |kind: &str| {
            let mut all = json!({"enabled": true, "client_id": CLIENT, "secret": SECRET});
            all[kind] = self.url.as_str().into();
            all
        };
        json!({
            "enable_manual_linking": true,
            "enable_anonymous_sign_ins": true,
            "additional_redirect_urls": ["https://app.example/**"],
            "email": {"enable_confirmations": true},
            "external": {
                "corp": here("issuer"),
                "google": here("issuer"),
                "github": here("url"),
                "apple": {"enabled": false},
            },
        })
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.does.lock().unwrap());
    }

    pub(crate) fn person(&self, person: Value) {
        self.set(|does| does.person = person);
    }

    /// Follows an address as a browser does, without our pages' cookies.
    pub(crate) async fn visit(&self, address: &str) -> Answer {
        let request = Request::get(address).body(Bytes::new()).unwrap();
        let budget = Budget {
            time: std::time::Duration::from_secs(10),
            body: 1 << 20,
        };
        self.client.call(request, budget).await.unwrap()
    }

    /// Consents at the provider's page; the path and query that the browser
    /// comes back with, below the room's own.
    pub(crate) async fn consent(&self, address: &str) -> String {
        let answer = self.visit(address).await;
        let back = answer.headers.get("location").unwrap_or_else(|| {
            panic!(
                "{}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            )
        });
        let back = back.to_str().unwrap().to_owned();
        back.strip_prefix("http://127.0.0.1:54321/auth/v1")
            .unwrap()
            .to_owned()
    }

    /// An ID token as an application on a phone gets one.
    pub(crate) fn id_token(&self, nonce: &str) -> String {
        let does = self.does.lock().unwrap();
        let server = Server {
            url: self.url.clone(),
            does: Arc::clone(&self.does),
            clock: self.clock.clone(),
            keys: Arc::clone(&self.keys),
        };
        server.id_token(&does, &does.person, nonce, "an access token")
    }

    pub(crate) async fn end(self) {
        self.tasks.stop().await;
    }
}

impl Server {
    fn jwk(&self, index: usize) -> Value {
        let point = self.keys[index].public_key().as_ref();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": format!("k{index}"),
               "x": part(1..33), "y": part(33..65)})
    }

    fn id_token(&self, does: &Behaviour, person: &Value, nonce: &str, access: &str) -> String {
        let now = self.clock.now().as_second();
        let half = &Sha256::digest(access)[..16];
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 3600,
            "at_hash": URL_SAFE_NO_PAD.encode(half),
        });
        let all = claims.as_object_mut().unwrap();
        if !nonce.is_empty() {
            all.insert("nonce".to_owned(), nonce.into());
        }
        all.extend(person.as_object().unwrap().clone());
        for (name, value) in does.lie.as_object().unwrap() {
            if value.is_null() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        let (alg, key) = match does.signing {
            Signing::Well => ("ES256", 0),
            Signing::OtherKey | Signing::NewKey => ("ES256", 1),
            Signing::Not => ("none", 0),
            Signing::PublicAsSecret => ("HS256", 0),
        };
        let kid = match does.signing {
            Signing::OtherKey => "k0".to_owned(),
            _ => format!("k{key}"),
        };
        let header = json!({"alg": alg, "kid": kid, "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mark = match does.signing {
            Signing::Not => Vec::new(),
            Signing::PublicAsSecret => {
                let secret = self.keys[0].public_key().as_ref();
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
            _ => {
                let mark = self.keys[key].sign(&SystemRandom::new(), signed.as_bytes());
                mark.unwrap().as_ref().to_vec()
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mark))
    }
}

async fn discovery(State(server): State<Server>) -> Json {
    let url = &server.url;
    let said = server.does.lock().unwrap().says_issuer.clone();
    let issuer = if said.is_empty() { url } else { &said };
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "jwks_uri": format!("{url}/jwks"),
    }))
}

async fn jwks(State(server): State<Server>) -> Json {
    let mut does = server.does.lock().unwrap();
    does.keys_asked += 1;
    let mut keys = vec![server.jwk(0)];
    if does.signing == Signing::NewKey {
        keys.push(server.jwk(1));
    }
    Json(json!({"keys": keys}))
}

/// An answer in JSON.
struct Json(Value);

impl axum::response::IntoResponse for Json {
    fn into_response(self) -> Response {
        ([("content-type", "application/json")], self.0.to_string()).into_response()
    }
}

type Pairs = HashMap<String, String>;

async fn authorize(State(server): State<Server>, Query(asked): Query<Pairs>) -> Response {
    let get = |name: &str| asked.get(name).cloned().unwrap_or_default();
    let good = get("client_id") == CLIENT
        && get("redirect_uri") == CALLBACK
        && get("response_type") == "code"
        && get("code_challenge_method") == "S256"
        && get("code_challenge").len() == 43;
    if !good {
        return (StatusCode::BAD_REQUEST, format!("{asked:?}")).into_response();
    }
    let mut does = server.does.lock().unwrap();
    let code = format!("code-{}", does.codes.len());
    let trip = Asked {
        redirect_uri: get("redirect_uri"),
        challenge: get("code_challenge"),
        nonce: get("nonce"),
        person: does.person.clone(),
    };
    does.codes.insert(code.clone(), trip);
    let back = format!("{CALLBACK}?code={code}&state={}", get("state"));
    Redirect::to(&back).into_response()
}

async fn token(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
    let form: Pairs = url::form_urlencoded::parse(&body).into_owned().collect();
    let get = |name: &str| form.get(name).cloned().unwrap_or_default();
    let encoded: String = url_encoded(SECRET);
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{encoded}")));
    let by_header = headers.get("authorization").is_some_and(|it| *it == basic);
    let by_form = get("client_id") == CLIENT && get("client_secret") == SECRET;
    let mut does = server.does.lock().unwrap();
    let trip = does.codes.get(&get("code")).cloned();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(get("code_verifier")));
    let good = trip.filter(|trip| {
        (by_header || by_form)
            && trip.redirect_uri == get("redirect_uri")
            && (!does.checks_pkce || trip.challenge == challenge)
    });
    let Some(trip) = good else {
        let refusal = json!({"error": "invalid_grant"});
        return (StatusCode::BAD_REQUEST, Json(refusal)).into_response();
    };
    let code = get("code");
    does.codes.insert(
        code.clone(),
        Asked {
            challenge: "used".to_owned(),
            ..trip.clone()
        },
    );
    let access = format!("access-{code}");
    let id = server.id_token(&does, &trip.person, &trip.nonce, &access);
    let body = json!({"access_token": access, "refresh_token": "theirs", "token_type": "bearer", "id_token": id});
    Json(body).into_response()
}

fn url_encoded(text: &str) -> String {
    text.replace('&', "%26").replace(' ', "+")
}

async fn userinfo(State(server): State<Server>, headers: HeaderMap) -> Response {
    let shown = headers.get("authorization");
    if !shown.is_some_and(|it| it.to_str().unwrap().starts_with("Bearer access-")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let does = server.does.lock().unwrap();
    Json(does.person.clone()).into_response()
}

async fn emails(State(server): State<Server>) -> Json {
    Json(server.does.lock().unwrap().emails.clone())
}

//! What a project plugs in: its hooks, by HTTP and in the database, proofs of
//! being human, and the list of leaked passwords.

use std::sync::{Arc, Mutex};

use auth::captcha::{Captcha, Provider};
use auth::hook::HookSecret;
use auth::password::Pwned;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use kernel::{Secret, Tasks};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::idp::Idp;
use crate::support::{PASSWORD, Room, Services, claims, text};

const SECRET: &str = "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Until the test's runtime ends.
fn serve(listener: TcpListener, router: Router) {
    Tasks::new().spawn(
        "service",
        async move { axum::serve(listener, router).await },
    );
}

/// A service of the project's that remembers what it was told.
#[derive(Clone, Default)]
struct Service {
    told: Arc<Mutex<Vec<Value>>>,
}

impl Service {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new()
            .route("/hook", post(Self::answer))
            .with_state(self.clone());
        serve(listener, router);
        format!("http://{address}/hook")
    }

    /// Refuses what is not signed, and who is called as somebody unwanted.
    #[expect(clippy::unused_async, reason = "handlers are")]
    async fn answer(
        State(service): State<Self>,
        headers: HeaderMap,
        body: Bytes,
    ) -> (StatusCode, [(&'static str, &'static str); 1], String) {
        let kind = [("content-type", "application/json")];
        let part = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let signed = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(part);
        assert!(signed.iter().all(Option::is_some), "{headers:?}");
        let told: Value = serde_json::from_slice(&body).expect("JSON");
        let name = text(&told, "/metadata/name").to_owned();
        let answer = match name.as_str() {
            "before-user-created" if text(&told, "/user/email").starts_with("unwanted") => {
                json!({"error": {"http_code": 403, "message": "not you"}})
            }
            "customize-access-token" => {
                let mut claims = told["claims"].clone();
                claims["plan"] = "gold".into();
                json!({"claims": claims})
            }
            "password-verification" if told["valid"] == false => {
                json!({"decision": "reject", "message": "slow down", "should_logout_user": true})
            }
            _ => json!({}),
        };
        service.told.lock().expect("no panic").push(told);
        (StatusCode::OK, kind, answer.to_string())
    }

    fn told(&self, name: &str) -> Vec<Value> {
        let told = self.told.lock().expect("no panic");
        let named = told.iter().filter(|one| one["metadata"]["name"] == name);
        named.cloned().collect()
    }
}

fn hooks(uri: &str, names: &[&str]) -> Value {
    let hook = json!({"enabled": true, "uri": uri, "secrets": SECRET});
    let hooks = names.iter().map(|name| ((*name).to_owned(), hook.clone()));
    Value::Object(hooks.collect())
}

#[tokio::test]
async fn services_decide_about_users_tokens_and_passwords() {
    assert!(HookSecret::parse(SECRET).is_some());
    let service = Service::default();
    let uri = service.start().await;
    let points = [
        "before_user_created",
        "after_user_created",
        "custom_access_token",
        "password_verification_attempt",
    ];
    let room = Room::with(json!({"hook": hooks(&uri, &points)})).await;
    let unwanted = room.sign_up("unwanted@b.co").await;
    assert_eq!(unwanted.status, 403);
    assert_eq!(unwanted.body["message"], "not you");
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    assert!(service.told("after-user-created").is_empty());

    let session = room.sign_up("a@b.co").await.ok();
    assert_eq!(claims(text(&session, "/access_token"))["plan"], "gold");
    let after = service.told("after-user-created");
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["user"]["email"], "a@b.co");
    // Signing up once more makes nobody.
    room.sign_up("a@b.co").await;
    assert_eq!(service.told("after-user-created").len(), 1);
    assert_eq!(service.told("before-user-created").len(), 2);

    room.sign_in("a@b.co").await.ok();
    let wrong = json!({"email": "a@b.co", "password": "not this one"});
    let wrong = room.post("/token?grant_type=password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "invalid_credentials"));
    assert_eq!(wrong.body["message"], "slow down");
    // It asked for the end of the sessions.
    assert_eq!(room.ask("SELECT count(*) FROM auth.sessions").await, "0");
    let tried: Vec<_> = service
        .told("password-verification")
        .iter()
        .map(|told| told["valid"].clone())
        .collect();
    assert_eq!(tried, [json!(true), json!(false)]);
    room.end().await;
}

#[tokio::test]
async fn services_send_instead_of_us() {
    let service = Service::default();
    let uri = service.start().await;
    let room = Room::with(json!({
        "email": {"enable_confirmations": true},
        "sms": {"enable_signup": true},
        "hook": hooks(&uri, &["send_email", "send_sms"]),
    }))
    .await;
    room.sign_up("a@b.co").await.ok();
    assert_eq!(room.ask("SELECT count(*) FROM ferrobase.inbox").await, "0");
    let mails = service.told("send-email");
    assert_eq!(mails.len(), 1);
    let data = &mails[0]["email_data"];
    assert_eq!(text(&mails[0], "/user/email"), "a@b.co");
    assert_eq!(data["email_action_type"], "signup");
    let verify = json!({"type": "signup", "email": "a@b.co", "token": data["token"]});
    room.post("/verify", verify).await.ok();

    let body = json!({"phone": "+1 555 0100", "password": PASSWORD});
    room.post("/signup", body).await.ok();
    let messages = service.told("send-sms");
    assert_eq!(messages.len(), 1);
    let sms = &messages[0]["sms"];
    assert_eq!(sms["phone"], "15550100");
    let verify = json!({"type": "sms", "phone": "15550100", "token": sms["otp"]});
    room.post("/verify", verify).await.ok();
    room.end().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_lets_nobody_in() {
    // A port that was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/hook", gone.local_addr().expect("bound"));
    drop(gone);
    let room = Room::with(json!({"hook": hooks(&uri, &["before_user_created"])})).await;
    let refused = room.sign_up("a@b.co").await;
    assert!(refused.status.as_u16() >= 400, "{}", refused.body);
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    room.end().await;
}

#[tokio::test]
async fn a_function_of_the_database_sees_the_session_that_is_made() {
    let uri = "pg-functions://postgres/public/claims";
    let room = Room::with(json!({"hook": hooks(uri, &["custom_access_token"])})).await;
    room.ask(
        "CREATE FUNCTION public.claims(event jsonb) RETURNS jsonb LANGUAGE sql AS $$
            SELECT jsonb_set(event, '{claims,sessions}', to_jsonb((SELECT count(*) FROM auth.sessions)))
         $$;
         GRANT EXECUTE ON FUNCTION public.claims TO supabase_auth_admin",
    )
    .await;
    let session = room.sign_up("a@b.co").await.ok();
    assert_eq!(claims(text(&session, "/access_token"))["sessions"], 1);
    room.end().await;
}

/// Answers as hCaptcha and Turnstile do.
async fn siteverify(body: String) -> String {
    let good = body.contains("response=human&");
    json!({"success": good, "error-codes": ["invalid-input-response"]}).to_string()
}

fn captcha() -> Value {
    json!({
        "enable_anonymous_sign_ins": true,
        "captcha": {"enabled": true, "provider": "turnstile", "secret": "s"},
    })
}

#[tokio::test]
async fn proofs_of_being_human_are_asked_for_at_every_door() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("http://{}/", listener.local_addr().expect("bound"));
    let router = Router::new().route("/", post(siteverify));
    serve(listener, router);
    let room = Room::beside(captcha(), |client| {
        let provider = Provider::Compatible(uri.parse().expect("a uri"));
        let captcha = Captcha::new(provider, &Secret::new("s"), client);
        Services {
            humans: Some(Arc::new(captcha)),
            ..Services::default()
        }
    })
    .await;
    let with = |token: &str| {
        json!({
            "email": "a@b.co", "password": PASSWORD, "type": "signup",
            "gotrue_meta_security": {"captcha_token": token},
        })
    };
    let doors = [
        "/signup",
        "/token?grant_type=password",
        "/otp",
        "/magiclink",
        "/recover",
        "/resend",
    ];
    for door in doors {
        for token in ["", "robot"] {
            let refused = room.post(door, with(token)).await;
            assert_eq!(refused.refusal(), (400, "captcha_failed"), "{door}");
        }
    }
    let anonymous = room.post("/signup", json!({})).await;
    assert_eq!(anonymous.refusal(), (400, "captcha_failed"));
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    room.post("/signup", with("human")).await.ok();
    room.post("/token?grant_type=password", with("human"))
        .await
        .ok();
    room.end().await;
}

#[tokio::test]
async fn a_captcha_that_nobody_can_check_lets_nobody_in() {
    let room = Room::with(captcha()).await;
    let body = json!({
        "email": "a@b.co", "password": PASSWORD,
        "gotrue_meta_security": {"captcha_token": "human"},
    });
    assert_eq!(room.post("/signup", body).await.status, 500);
    room.end().await;
}

#[tokio::test]
async fn leaked_passwords_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    // SHA-1 of `password` is 5BAA6 1E4C9B93F3F0682250B6CF8331B7EE68FD8.
    let range = || async { "1E4C9B93F3F0682250B6CF8331B7EE68FD8:3" };
    let router = Router::new().route("/range/{prefix}", get(range));
    serve(listener, router);
    let room = Room::beside(json!({}), |client| Services {
        breached: Some(Arc::new(Pwned::at(&url, client))),
        ..Services::default()
    })
    .await;
    let body = json!({"email": "a@b.co", "password": "password"});
    let refused = room.post("/signup", body).await;
    assert_eq!(refused.refusal(), (422, "weak_password"));
    assert_eq!(refused.body["weak_password"]["reasons"], json!(["pwned"]));
    room.sign_up("a@b.co").await.ok();
    room.end().await;
}

#[tokio::test]
async fn services_are_asked_about_whoever_comes_from_a_provider() {
    let idp = Idp::start().await;
    let service = Service::default();
    let uri = service.start().await;
    let mut section = idp.settings();
    section["hook"] = hooks(&uri, &["before_user_created", "after_user_created"]);
    let room = Room::with(section).await;
    let come = async || {
        let body = json!({"provider": "google", "id_token": idp.id_token(""), "nonce": ""});
        room.post("/token?grant_type=id_token", body).await
    };
    idp.person(json!({"sub": "1", "email": "unwanted@b.co", "email_verified": true}));
    let refused = come().await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    assert!(service.told("after-user-created").is_empty());

    idp.person(json!({"sub": "2", "email": "a@b.co", "email_verified": true}));
    come().await.ok();
    let after = service.told("after-user-created");
    assert_eq!(after.len(), 1);
    assert_eq!(after[0]["user"]["email"], "a@b.co");
    // Who is here already is not asked about again.
    come().await.ok();
    assert_eq!(service.told("before-user-created").len(), 2);
    assert_eq!(service.told("after-user-created").len(), 1);
    room.end().await;
    idp.end().await;
}

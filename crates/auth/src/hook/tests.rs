//! Hooks in a real database and behind a real server.

use super::*;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use kernel::{Secret, Tasks};
use pg::testing::TestDb;
use pg::{PoolConfig, RequestTx, SqlBuf};
use serde_json::{Map, json};

use outbound::Reach;

const SECRET: &str = "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROLE: &str = "supabase_auth_admin";

struct Setup {
    _db: TestDb,
    pool: Pool,
    tasks: Tasks,
}

impl Setup {
    async fn new(sql: &str) -> Self {
        let db = TestDb::new().await;
        let tasks = Tasks::new();
        let pool = Pool::new(&db.target(), &PoolConfig::default(), &tasks);
        db.session()
            .await
            .script(sql)
            .await
            .expect("the functions are made");
        Self {
            _db: db,
            pool,
            tasks,
        }
    }

    fn hooks(&self, hooks: &[(Point, &str)]) -> Hooks {
        let client = Client::new(Reach::Configured, &[], &self.tasks).expect("a client");
        let hooks = hooks
            .iter()
            .map(|(point, uri)| {
                let secrets = Some(Secret::new(SECRET));
                let uri = (*uri).to_owned();
                (*point, Hook { uri, secrets })
            })
            .collect();
        let parts = (Clock::system(), Rng::system());
        Hooks::new(&hooks, client, self.pool.clone(), ROLE, parts).expect("hooks")
    }
}

fn claims() -> Map<String, Value> {
    let claims = json!({
        "aud": "authenticated", "exp": 2, "iat": 1, "sub": "u", "email": "a@x", "phone": "",
        "role": "authenticated", "aal": "aal1", "session_id": "s", "is_anonymous": false,
    });
    claims.as_object().expect("an object").clone()
}
#[tokio::test]
async fn a_function_of_the_database_makes_the_claims() {
    let setup = Setup::new(
        "CREATE FUNCTION public.add_plan(event jsonb) RETURNS jsonb LANGUAGE sql AS $$
            SELECT jsonb_set(event, '{claims,plan}', to_jsonb(current_user || ' ' || (event->'metadata'->>'name')))
         $$;
         CREATE FUNCTION public.no_claims(event json) RETURNS json LANGUAGE sql AS $$ SELECT '{}'::json $$;
         CREATE FUNCTION public.few_claims(event json) RETURNS json LANGUAGE sql AS $$ SELECT '{\"claims\":{\"sub\":1}}'::json $$;
         CREATE FUNCTION public.says_no(event json) RETURNS json LANGUAGE sql AS $$
            SELECT '{\"error\":{\"http_code\":403,\"message\":\"not today\"}}'::json $$;
         CREATE FUNCTION public.raises(event json) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE 'secret'; END $$;",
    )
    .await;
    let point = Point::CustomAccessToken;
    let ask = async |name: &str| {
        let uri = format!("pg-functions://postgres/public/{name}");
        let hooks = setup.hooks(&[(point, &uri)]);
        hooks
            .custom_access_token(None, "u", claims(), "password", "192.0.2.1")
            .await
    };
    let made = ask("add_plan").await.expect("claims");
    assert_eq!(
        made.get("plan"),
        Some(&json!("supabase_auth_admin customize-access-token"))
    );
    assert_eq!(made.get("sub"), Some(&json!("u")));
    let error = ask("no_claims").await.expect_err("refused");
    assert_eq!(
        (error.status, &*error.message),
        (500, "output claims field is missing")
    );
    let error = ask("few_claims").await.expect_err("refused");
    assert!(
        error.message.contains("- (root): email is required\n"),
        "{error}"
    );
    assert!(error.message.contains("- sub: Invalid type\n"), "{error}");
    let error = ask("says_no").await.expect_err("refused");
    assert_eq!((error.status, &*error.message), (403, "not today"));
    for broken in ["raises", "missing"] {
        let error = ask(broken).await.expect_err("refused");
        assert_eq!((error.status, &*error.message), (500, "Error running hook"));
    }
    // Without a hook nothing changes.
    let same = setup
        .hooks(&[])
        .custom_access_token(None, "u", claims(), "otp", "")
        .await;
    assert_eq!(same, Ok(claims()));
    setup.tasks.stop().await;
}

#[tokio::test]
async fn a_function_runs_inside_the_transaction_that_asks() {
    let setup = Setup::new(
        "CREATE TABLE public.seen (id text); GRANT ALL ON public.seen TO supabase_auth_admin;
         CREATE FUNCTION public.note(event jsonb) RETURNS void LANGUAGE sql AS $$
            INSERT INTO public.seen VALUES (event->'sms'->>'otp' || current_setting('statement_timeout')) $$;
         CREATE FUNCTION public.slow(event jsonb) RETURNS jsonb LANGUAGE sql AS $$
            SELECT '{}'::jsonb FROM pg_sleep(60) $$;",
    )
    .await;
    let hooks = setup.hooks(&[
        (Point::SendSms, "pg-functions://postgres/public/note"),
        (
            Point::PasswordVerification,
            "pg-functions://postgres/public/slow",
        ),
    ]);
    let sms = Sms {
        otp: "123".to_owned(),
        sms_type: String::new(),
        phone: "1".to_owned(),
    };
    let mut tx = RequestTx::new(&Arc::from(ROLE), "{}", &[]);
    tx.set("statement_timeout", "7s");
    let (tx, _) = tx.open(&setup.pool).await.expect("a transaction");
    hooks
        .send_sms(Some(&tx), &json!({}), &sms, "")
        .await
        .expect("sent");
    let inside = tx
        .query(&SqlBuf::fixed(
            "SELECT id || ' ' || current_setting('statement_timeout') FROM public.seen",
        ))
        .await
        .expect("rows");
    assert_eq!(inside.scalar(), Some("1232s 7s"));
    tx.rollback().await.expect("rolled back");
    let slow = hooks
        .password_verification("u", true, "")
        .await
        .expect_err("too slow");
    assert_eq!((slow.status, slow.code), (422, Some("hook_timeout")));
    setup.tasks.stop().await;
}

/// What came in, and what goes out: one answer for each request, in turn.
#[derive(Default)]
struct Seen {
    requests: Vec<(HeaderMap, Bytes)>,
    answers: Vec<(StatusCode, &'static str, &'static str)>,
}

async fn serve(setup: &Setup, seen: &Arc<Mutex<Seen>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let seen = Arc::clone(seen);
    let answer = move |headers: HeaderMap, body: Bytes| async move {
        let mut seen = seen.lock().expect("not poisoned");
        seen.requests.push((headers, body));
        let (status, header, body) = seen.answers.remove(0);
        let (name, value) = header.split_once(": ").expect("a header");
        (status, [(name, value)], body)
    };
    let router = Router::new().route("/hook", post(answer));
    let stop = setup.tasks.token();
    setup.tasks.spawn("server", async move {
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            () = stop.cancelled() => {}
        }
    });
    format!("http://127.0.0.1:{}/hook", address.port())
}

const JSON: &str = "content-type: application/json; charset=utf-8";

async fn asked(
    hooks: &Hooks,
    seen: &Arc<Mutex<Seen>>,
    answers: &[(StatusCode, &'static str, &'static str)],
) -> Result<Verdict, HookError> {
    seen.lock().expect("not poisoned").answers = answers.to_vec();
    hooks.password_verification("u", false, "192.0.2.1").await
}

#[tokio::test]
async fn a_service_is_asked_with_a_signature_and_decides() {
    let setup = Setup::new("").await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let uri = serve(&setup, &seen).await;
    let hooks = setup.hooks(&[(Point::PasswordVerification, &uri)]);
    let ok = StatusCode::OK;
    let reject = r#"{"decision":"reject","should_logout_user":true}"#;
    let rejected = asked(&hooks, &seen, &[(ok, JSON, reject)]).await;
    let message = "Further password verification attempts will be rejected.".to_owned();
    let sign_out = true;
    assert_eq!(
        rejected,
        Ok(Verdict::Reject(Decision { message, sign_out }))
    );
    for fine in [
        (ok, JSON, r#"{"decision":"continue"}"#),
        (ok, JSON, "{}"),
        (StatusCode::NO_CONTENT, "x: y", ""),
    ] {
        let answer = asked(&hooks, &seen, &[fine]).await;
        assert_eq!(answer, Ok(Verdict::Continue));
    }
    let requests = std::mem::take(&mut seen.lock().expect("not poisoned").requests);
    let (headers, body) = requests.first().expect("asked");
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .expect("set")
    };
    let secret = HookSecret::parse(SECRET).expect("a secret");
    let second = header("webhook-timestamp").parse().expect("a number");
    let expected = Signature::new(&[secret], header("webhook-id"), second, body);
    assert_eq!(header("webhook-signature"), expected.signatures);
    let sent: Value = serde_json::from_slice(body).expect("json");
    let at = |pointer: &str| sent.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(at("/metadata/name"), "password-verification");
    assert_eq!(at("/metadata/ip_address"), "192.0.2.1");
    assert_eq!((at("/user_id"), at("/valid")), (json!("u"), json!(false)));
    setup.tasks.stop().await;
}

#[tokio::test]
async fn answers_of_a_service_mean_what_they_do_upstream() {
    let setup = Setup::new("").await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let uri = serve(&setup, &seen).await;
    let hooks = setup.hooks(&[(Point::PasswordVerification, &uri)]);
    let ok = StatusCode::OK;
    // Asks to come back, and then answers.
    let busy = (StatusCode::SERVICE_UNAVAILABLE, "retry-after: true", "");
    let answer = asked(&hooks, &seen, &[busy, busy, (ok, JSON, "{}")]).await;
    assert_eq!(answer, Ok(Verdict::Continue));
    let failure = Some("unexpected_failure");
    let content_type = Some("hook_payload_invalid_content_type");
    let no = r#"{"error":{"http_code":418,"message":"no"}}"#;
    let odd = r#"{"error":{"http_code":200,"message":"no"}}"#;
    let inside = "location: http://169.254.169.254/";
    for (answers, status, code) in [
        (vec![(ok, JSON, no)], 418, None),
        (vec![(ok, JSON, odd)], 500, None),
        (vec![(ok, JSON, "not json")], 500, failure),
        (
            vec![(ok, "content-type: text/html", "{}")],
            400,
            content_type,
        ),
        (vec![busy, busy, busy], 500, failure),
        (
            vec![(StatusCode::TOO_MANY_REQUESTS, "x: y", "")],
            500,
            failure,
        ),
        (vec![(StatusCode::FOUND, inside, "")], 500, failure),
        (
            vec![(StatusCode::INTERNAL_SERVER_ERROR, JSON, "{}")],
            500,
            failure,
        ),
    ] {
        let error = asked(&hooks, &seen, &answers).await.expect_err("an error");
        assert_eq!(
            (error.status, error.code),
            (status, code),
            "{answers:?} {error}"
        );
        assert!(
            seen.lock().expect("not poisoned").answers.is_empty(),
            "{answers:?}"
        );
    }
    setup.tasks.stop().await;
}

#[tokio::test]
async fn a_service_that_says_too_much_or_is_not_there_is_an_error() {
    let setup = Setup::new("").await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let uri = serve(&setup, &seen).await;
    let long: &'static str = LONG;
    seen.lock().expect("not poisoned").answers = vec![(StatusCode::OK, JSON, long)];
    let hooks = setup.hooks(&[(Point::BeforeUserCreated, &uri)]);
    let error = hooks
        .before_user_created(&json!({}), "")
        .await
        .expect_err("too long");
    assert_eq!(
        (error.status, error.code),
        (422, Some("hook_payload_over_size_limit"))
    );
    let large = json!({ "x": "y".repeat(PAYLOAD_BYTES_MAX) });
    let error = hooks
        .before_user_created(&large, "")
        .await
        .expect_err("too long");
    assert_eq!(error.code, Some("hook_payload_over_size_limit"));
    // Bound and closed: nobody listens there.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let uri = format!("http://{}/hook", gone.local_addr().expect("bound"));
    drop(gone);
    let mut hooks = setup.hooks(&[(Point::BeforeUserCreated, &uri)]);
    // With the usual pauses a busy machine might run out of time before.
    hooks.pause = std::time::Duration::ZERO;
    let error = hooks
        .before_user_created(&json!({}), "")
        .await
        .expect_err("gone");
    assert_eq!(
        (error.status, error.code),
        (422, Some("hook_timeout_after_retry"))
    );
    setup.tasks.stop().await;
}

static LONG: &str = {
    const BYTES: &[u8] = &[b' '; PAYLOAD_BYTES_MAX + 1];
    match std::str::from_utf8(BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

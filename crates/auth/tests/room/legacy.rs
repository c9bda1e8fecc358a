//! Users of an old system, who arrive with their passwords.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use kernel::Tasks;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Room, text};

/// Both dialects of an old system that knows one person.
async fn old_system(tasks: &Tasks) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let hook = move |headers: HeaderMap, body: Bytes| async move {
        count.fetch_add(1, Ordering::SeqCst);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let good = headers
            .get("authorization")
            .is_some_and(|it| it == "Bearer ours")
            && body == json!({"email": "old@b.co", "password": PASSWORD});
        if !good {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let known = json!({"email_verified": true, "user_metadata": {"name": "Old"}});
        (StatusCode::OK, known.to_string())
    };
    let cognito = |headers: HeaderMap, body: Bytes| async move {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let refused = (
            StatusCode::BAD_REQUEST,
            json!({"__type": "NotAuthorizedException"}).to_string(),
        );
        let action = headers["x-amz-target"].to_str().unwrap().to_owned();
        let answer = match action.rsplit('.').next().unwrap() {
            "InitiateAuth" if body["AuthParameters"]["PASSWORD"] != PASSWORD => return refused,
            "InitiateAuth" => {
                assert_eq!(
                    (&body["AuthFlow"], &body["ClientId"]),
                    (&json!("USER_PASSWORD_AUTH"), &json!("pool"))
                );
                let name = body["AuthParameters"]["USERNAME"].as_str().unwrap();
                if name == "mfa@b.co" {
                    json!({"ChallengeName": "SMS_MFA", "Session": "x"})
                } else {
                    json!({"AuthenticationResult": {"AccessToken": name}})
                }
            }
            "GetUser" => {
                let name = body["AccessToken"].as_str().unwrap();
                let email = if name == "alias@b.co" {
                    "victim@b.co"
                } else {
                    name
                };
                json!({"UserAttributes": [
                    {"Name": "email", "Value": email},
                    {"Name": "email_verified", "Value": if name == "new@b.co" { "false" } else { "true" }},
                ]})
            }
            _ => return refused,
        };
        (StatusCode::OK, answer.to_string())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/hook", post(hook))
        .route("/cognito", post(cognito));
    let stop = tasks.token();
    tasks.spawn("old system", async move {
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            () = stop.cancelled() => {}
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_password_is_asked_for_once_and_kept() {
    let tasks = Tasks::new();
    let (url, asked) = old_system(&tasks).await;
    let legacy = json!({"hook_url": format!("{url}/hook"), "hook_secret": "ours"});
    let room = Room::with(json!({"legacy": legacy, "email": {"enable_confirmations": true}})).await;
    let wrong = json!({"email": "old@b.co", "password": "something else"});
    let wrong = room.post("/token?grant_type=password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "invalid_credentials"));
    assert_eq!(
        room.sign_in("nobody@b.co").await.refusal(),
        (400, "invalid_credentials")
    );
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    let session = room.sign_in("old@b.co").await.ok();
    assert_eq!(text(&session, "/user/user_metadata/name"), "Old");
    assert!(session["user"]["email_confirmed_at"].is_string());
    let before = asked.load(Ordering::SeqCst);
    room.sign_in("Old@b.co").await.ok();
    let wrong = json!({"email": "old@b.co", "password": "something else"});
    let wrong = room.post("/token?grant_type=password", wrong).await;
    assert_eq!(wrong.refusal(), (400, "invalid_credentials"));
    assert_eq!(asked.load(Ordering::SeqCst), before);
    room.end().await;
    tasks.stop().await;
}

#[tokio::test]
async fn cognito_is_spoken() {
    let tasks = Tasks::new();
    let (url, _) = old_system(&tasks).await;
    let legacy = json!({"cognito_client_id": "pool", "cognito_url": format!("{url}/cognito")});
    let room = Room::with(json!({"legacy": legacy, "email": {"enable_confirmations": true}})).await;
    room.sign_in("ada@b.co").await.ok();
    // As the old system says.
    assert_eq!(
        room.sign_in("new@b.co").await.refusal(),
        (400, "email_not_confirmed")
    );
    for email in ["alias@b.co", "mfa@b.co"] {
        assert_eq!(
            room.sign_in(email).await.refusal(),
            (400, "invalid_credentials"),
            "{email}"
        );
    }
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "2");
    room.end().await;
    tasks.stop().await;
}

#[tokio::test]
async fn a_function_may_refuse_who_arrives() {
    let tasks = Tasks::new();
    let (url, _) = old_system(&tasks).await;
    let hook = json!({"enabled": true, "uri": "pg-functions://postgres/public/closed"});
    let room = Room::with(json!({
        "legacy": {"hook_url": format!("{url}/hook"), "hook_secret": "ours"},
        "hook": {"before_user_created": hook},
    }))
    .await;
    room.ask(
        "CREATE FUNCTION public.closed(event jsonb) RETURNS jsonb LANGUAGE sql AS $$
            SELECT '{\"error\": {\"http_code\": 403, \"message\": \"closed\"}}'::jsonb
         $$;
         GRANT EXECUTE ON FUNCTION public.closed TO supabase_auth_admin",
    )
    .await;
    let refused = room.sign_in("old@b.co").await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    room.end().await;
    tasks.stop().await;
}

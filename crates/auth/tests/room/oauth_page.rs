//! The consent page that is built in: it asks for the password, for one
//! browser, in no frame, without a script.

use http::StatusCode;
use serde_json::json;

use crate::oauth_flow::{CALLBACK, said, settings, target};
use crate::support::{PASSWORD, Reply, Room, text};

const HOME: &str = "http://127.0.0.1:54321";

async fn room() -> Room {
    let mut settings = settings();
    settings["oauth_server"]["authorization_url_path"] = json!("");
    Room::with_signer(settings, true).await
}

struct Shown {
    id: String,
    cookie: String,
    mark: String,
    reply: Reply,
}

async fn show(room: &Room, client: &str) -> Shown {
    let to = target(&room.authorize(client, &[]).await);
    let page = to
        .strip_prefix("http://127.0.0.1:54321/auth/v1")
        .expect("our own page");
    let reply = room.get(page).await;
    let html = reply.body.as_str().unwrap_or_default();
    let (_, after) = html.split_once("name=\"mark\" value=\"").expect("a mark");
    let mark = after.split('"').next().unwrap().to_owned();
    let cookie = reply.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Shown {
        id: said(&to, "authorization_id"),
        cookie,
        mark,
        reply,
    }
}

async fn answer(room: &Room, shown: &Shown, password: &str, headers: &[(&str, &str)]) -> Reply {
    let fields = [
        ("authorization_id", shown.id.as_str()),
        ("mark", &shown.mark),
        ("email", "ann@example.com"),
        ("password", password),
        ("action", "approve"),
    ];
    room.form("/oauth/consent", &fields, headers).await
}

#[tokio::test]
async fn a_user_allows_a_client_with_the_password() {
    let room = room().await;
    room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let shown = show(&room, &client).await;
    let headers = [("cookie", shown.cookie.as_str()), ("origin", HOME)];
    let wrong = answer(&room, &shown, "guessed", &headers).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong
            .body
            .as_str()
            .unwrap()
            .contains("Invalid login credentials")
    );
    let back = answer(&room, &shown, PASSWORD, &headers).await;
    let back = back.location();
    assert!(back.starts_with(CALLBACK));
    let code = said(back, "code");
    room.exchange(&client, &code, &[]).await.ok();
    // It was answered: there is nothing left to answer.
    let again = answer(&room, &shown, PASSWORD, &headers).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    room.end().await;
}

#[tokio::test]
async fn a_user_denies() {
    let room = room().await;
    let client = room.public_client().await;
    let shown = show(&room, &client).await;
    let fields = [
        ("authorization_id", shown.id.as_str()),
        ("mark", &shown.mark),
        ("action", "deny"),
    ];
    let reply = room
        .form("/oauth/consent", &fields, &[("cookie", &shown.cookie)])
        .await;
    assert_eq!(said(reply.location(), "error"), "access_denied");
    room.end().await;
}

#[tokio::test]
async fn the_page_stands_alone() {
    let room = room().await;
    let body = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none",
        "client_name": "<script>alert(1)</script>\" onload='x",
    });
    let reply = room.post("/oauth/clients/register", body).await;
    let shown = show(&room, text(&reply.body, "/client_id")).await;
    let html = shown.reply.body.as_str().unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(html.contains("&lt;script&gt;"));
    assert!(html.contains("client.example"), "where it leads is said");
    let headers = &shown.reply.headers;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' https://client.example;",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(headers["x-frame-options"], "DENY");
    assert_eq!(headers["cache-control"], "no-store");
    room.end().await;
}

#[tokio::test]
async fn another_page_cannot_send_the_form() {
    let room = room().await;
    room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let shown = show(&room, &client).await;
    let other = show(&room, &client).await;
    let cookie = shown.cookie.as_str();
    for (why, headers) in [
        (
            "another origin",
            vec![("cookie", cookie), ("origin", "https://evil.example")],
        ),
        (
            "no origin worth the name",
            vec![("cookie", cookie), ("origin", "null")],
        ),
        ("no cookie", vec![("origin", HOME)]),
        (
            "somebody else's cookie",
            vec![("cookie", other.cookie.as_str()), ("origin", HOME)],
        ),
        (
            "an empty cookie",
            vec![("cookie", "ferrobase-consent="), ("origin", HOME)],
        ),
    ] {
        let reply = answer(&room, &shown, PASSWORD, &headers).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{why}");
    }
    assert_eq!(
        room.ask("SELECT count(*) FROM auth.oauth_consents").await,
        "0"
    );
    room.end().await;
}

#[tokio::test]
async fn passwords_cannot_be_tried_without_end() {
    let room = room().await;
    room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let shown = show(&room, &client).await;
    let headers = [("cookie", shown.cookie.as_str())];
    let mut last = StatusCode::OK;
    for _ in 0..200 {
        last = answer(&room, &shown, "guessed", &headers).await.status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    room.end().await;
}

#[tokio::test]
async fn an_application_with_a_page_of_its_own_is_not_asked_past() {
    let room = Room::with_signer(settings(), true).await;
    let client = room.public_client().await;
    let id = room.asked(&client, &[]).await;
    let reply = room
        .get(&format!("/oauth/consent?authorization_id={id}"))
        .await;
    assert_eq!(reply.refusal(), (404, "feature_disabled"));
    room.end().await;
}

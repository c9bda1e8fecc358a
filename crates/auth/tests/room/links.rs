//! Codes and links by mail.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{PASSWORD, Room, claims, text};

const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-1234567";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

async fn code(room: &Room, to: &str) -> String {
    let link = room.link(to).await;
    let hash = link
        .split("token=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    hash.to_owned()
}

#[tokio::test]
async fn a_link_is_used_once_and_only_by_following_it() {
    let room = Room::confirmed().await;
    room.sign_up("a@b.co").await.ok();
    let link = room.link("a@b.co").await;
    let looked = room.call("HEAD", &link, None, Value::Null).await;
    assert_eq!(looked.status.as_u16(), 200);
    let ahead = http::Request::get(&link).header("sec-purpose", "prefetch");
    let ahead = room
        .send(ahead.body(axum::body::Body::empty()).unwrap())
        .await;
    assert_eq!(ahead.status.as_u16(), 503);
    let (one, two) = tokio::join!(room.get(&link), room.get(&link));
    let mut ends = [one.location().to_owned(), two.location().to_owned()];
    ends.sort();
    assert!(
        ends[0].starts_with("http://127.0.0.1:3000#access_token="),
        "{ends:?}"
    );
    assert_eq!(
        ends[1],
        "http://127.0.0.1:3000#error=access_denied&error_code=otp_expired&error_description=Email+link+is+invalid+or+has+expired&sb="
    );
    room.sign_in("a@b.co").await.ok();
    room.end().await;
}

#[tokio::test]
async fn codes_are_stored_as_hashes_and_end() {
    let room = Room::confirmed().await;
    room.sign_up("a@b.co").await.ok();
    let stored = room
        .ask("SELECT token_hash FROM auth.one_time_tokens")
        .await;
    assert_eq!(stored.len(), 56);
    assert_eq!(
        room.ask("SELECT confirmation_token FROM auth.users").await,
        stored
    );
    room.wait(3601);
    let link = room.link("a@b.co").await;
    assert!(room.get(&link).await.location().contains("otp_expired"));
    let hash = json!({"type": "signup", "token_hash": stored});
    assert_eq!(
        room.post("/verify", hash).await.refusal(),
        (403, "otp_expired")
    );
    room.end().await;
}

#[tokio::test]
async fn a_flow_with_a_challenge_ends_in_a_code_for_its_verifier() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    let body =
        json!({"email": "a@b.co", "code_challenge": challenge(), "code_challenge_method": "s256"});
    room.post("/recover?redirect_to=http://127.0.0.1:3000/reset", body)
        .await
        .ok();
    let link = room.link("a@b.co").await;
    assert!(link.contains("token=pkce_"), "{link}");
    // Without its mark the link would hand out tokens to whoever has it.
    let downgraded = room.get(&link.replace("pkce_", "")).await;
    assert!(
        downgraded.location().contains("otp_expired"),
        "{}",
        downgraded.location()
    );
    let reply = room.get(&link).await;
    let code = reply
        .location()
        .strip_prefix("http://127.0.0.1:3000/reset?code=")
        .unwrap();
    let wrong = json!({"auth_code": code, "code_verifier": "something else"});
    let wrong = room.post("/token?grant_type=pkce", wrong).await;
    assert_eq!(wrong.refusal(), (400, "bad_code_verifier"));
    let right = json!({"auth_code": code, "code_verifier": VERIFIER});
    let session = room
        .post("/token?grant_type=pkce", right.clone())
        .await
        .ok();
    assert_eq!(
        claims(text(&session, "/access_token"))["amr"][0]["method"],
        "recovery"
    );
    let again = room.post("/token?grant_type=pkce", right).await;
    assert_eq!(again.refusal(), (404, "flow_state_not_found"));
    room.end().await;
}

#[tokio::test]
async fn links_lead_only_where_the_operator_allows() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    let evil = "/recover?redirect_to=https://evil.example/";
    let request = http::Request::post(evil)
        .header("host", "evil.example")
        .header("x-forwarded-host", "evil.example")
        .body(axum::body::Body::from(
            json!({"email": "a@b.co"}).to_string(),
        ));
    room.send(request.unwrap()).await.ok();
    let html = room.ask("SELECT html FROM ferrobase.inbox").await;
    assert!(
        !html.contains("evil") && html.contains("http://127.0.0.1:54321/auth/v1/verify?"),
        "{html}"
    );
    let link = room.link("a@b.co").await;
    let bent = format!("{link}&redirect_to=https://evil.example/");
    let bent = bent.replace("redirect_to=http%3A%2F%2F127.0.0.1%3A3000&", "");
    assert!(
        room.get(&bent)
            .await
            .location()
            .starts_with("http://127.0.0.1:3000#")
    );
    room.end().await;
}

#[tokio::test]
async fn who_asks_for_codes_learns_nothing() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    for path in ["/recover", "/magiclink", "/otp"] {
        room.wait(120);
        let known = room.post(path, json!({"email": "a@b.co"})).await;
        let unknown = room.post(path, json!({"email": "nobody@b.co"})).await;
        assert_eq!(
            (known.status, &known.body),
            (unknown.status, &unknown.body),
            "{path}"
        );
    }
    let strict = json!({"email": "other@b.co", "create_user": false});
    assert_eq!(
        room.post("/otp", strict).await.refusal(),
        (422, "otp_disabled")
    );
    let soon = room.post("/recover", json!({"email": "a@b.co"})).await;
    assert_eq!(soon.refusal(), (429, "over_email_send_rate_limit"));
    room.end().await;
}

#[tokio::test]
async fn a_magic_link_signs_in_by_code_or_hash() {
    let room = Room::confirmed().await;
    room.post("/otp", json!({"email": "new@b.co"})).await.ok();
    let hash = code(&room, "new@b.co").await;
    let session = room
        .post("/verify", json!({"type": "email", "token_hash": hash}))
        .await
        .ok();
    assert_eq!(session["user"]["user_metadata"]["email_verified"], true);
    room.wait(60);
    room.post("/otp", json!({"email": "new@b.co"})).await.ok();
    let otp = room
        .ask("SELECT token_hash FROM auth.one_time_tokens WHERE token_type = 'recovery_token'")
        .await;
    assert_eq!(code(&room, "new@b.co").await, otp);
    let wrong = json!({"type": "magiclink", "email": "new@b.co", "token": "000000x"});
    assert_eq!(
        room.post("/verify", wrong).await.refusal(),
        (403, "otp_expired")
    );
    room.post("/verify", json!({"type": "magiclink", "token_hash": otp}))
        .await
        .ok();
    room.end().await;
}

#[tokio::test]
async fn a_new_address_is_confirmed_at_both() {
    let room = Room::confirmed().await;
    room.sign_up("old@b.co").await.ok();
    room.get(&room.link("old@b.co").await).await.location();
    let session = room.sign_in("old@b.co").await.ok();
    let token = text(&session, "/access_token");
    let user = room
        .call("PUT", "/user", Some(token), json!({"email": "new@b.co"}))
        .await
        .ok();
    assert_eq!(
        (&user["email"], &user["new_email"]),
        (&json!("old@b.co"), &json!("new@b.co"))
    );
    let (first, second) = (room.link("new@b.co").await, room.link("old@b.co").await);
    let half = room.get(&first).await;
    assert!(
        half.location().contains("Confirmation+link+accepted"),
        "{}",
        half.location()
    );
    assert!(room.get(&first).await.location().contains("otp_expired"));
    assert_eq!(room.ask("SELECT email FROM auth.users").await, "old@b.co");
    assert!(room.get(&second).await.location().contains("access_token="));
    assert_eq!(room.ask("SELECT email FROM auth.users").await, "new@b.co");
    assert_eq!(
        room.ask("SELECT email FROM auth.identities").await,
        "new@b.co"
    );
    let body = json!({"email": "new@b.co", "password": PASSWORD});
    room.post("/token?grant_type=password", body).await.ok();
    room.end().await;
}

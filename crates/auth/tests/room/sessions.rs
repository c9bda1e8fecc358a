//! Sessions: won, kept alive, ended, stolen.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Room, text};

#[tokio::test]
async fn a_wrong_password_and_nobody_get_the_same_answer() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    let wrong = json!({"email": "a@b.co", "password": "not this one"});
    let wrong = room.post("/token?grant_type=password", wrong).await;
    let nobody = room.sign_in("nobody@b.co").await;
    assert_eq!(wrong.refusal(), (400, "invalid_credentials"));
    assert_eq!(wrong.body["message"], "Invalid login credentials");
    assert_eq!((wrong.status, wrong.body), (nobody.status, nobody.body));
    room.end().await;
}

#[tokio::test]
async fn refresh_tokens_rotate_and_theft_ends_the_session() {
    let room = Room::autoconfirm().await;
    let first = room.sign_up("a@b.co").await.ok();
    let first_token = text(&first, "/refresh_token").to_owned();
    let second = room.refresh(&first_token).await.ok();
    let second_token = text(&second, "/refresh_token").to_owned();
    assert_ne!(first_token, second_token);
    // The answer was not received: the same successor, however late.
    room.wait(3600);
    let again = room.refresh(&first_token).await.ok();
    assert_eq!(text(&again, "/refresh_token"), second_token);
    let third = room.refresh(&second_token).await.ok();
    // Within the window an older one may still come.
    room.refresh(&first_token).await;
    room.wait(11);
    let stolen = room.refresh(&first_token).await;
    assert_eq!(stolen.refusal(), (400, "refresh_token_already_used"));
    assert_eq!(
        stolen.body["message"],
        "Invalid Refresh Token: Already Used"
    );
    let family = room.refresh(text(&third, "/refresh_token")).await;
    assert_eq!(family.refusal(), (400, "refresh_token_already_used"));
    assert_eq!(
        room.ask("SELECT count(*) FROM auth.refresh_tokens WHERE NOT revoked")
            .await,
        "0"
    );
    let unknown = room.refresh("aaaaaaaaaaaa").await;
    assert_eq!(unknown.refusal(), (400, "refresh_token_not_found"));
    assert_eq!(
        room.refresh("short").await.refusal(),
        (400, "validation_failed")
    );
    room.end().await;
}

#[tokio::test]
async fn signing_out_ends_what_it_says() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(room.sign_in("a@b.co").await.ok());
    }
    let access = |n: usize| text(&sessions[n], "/access_token").to_owned();
    let out = |n, scope: &'static str| {
        let (room, token) = (&room, access(n));
        async move {
            let path = format!("/logout?scope={scope}");
            room.call("POST", &path, Some(&token), Value::Null)
                .await
                .status
                .as_u16()
        }
    };
    assert_eq!(out(0, "local").await, 204);
    let gone = room.user(&access(0)).await;
    assert_eq!(gone.refusal(), (403, "session_not_found"));
    assert_eq!(
        gone.body["message"],
        "Session from session_id claim in JWT does not exist"
    );
    room.user(&access(1)).await.ok();
    assert_eq!(out(1, "others").await, 204);
    room.user(&access(1)).await.ok();
    assert_eq!(
        room.user(&access(2)).await.refusal(),
        (403, "session_not_found")
    );
    let refresh = room.refresh(text(&sessions[2], "/refresh_token")).await;
    assert_eq!(refresh.refusal(), (400, "refresh_token_not_found"));
    assert_eq!(out(1, "elsewhere").await, 400);
    assert_eq!(out(1, "global").await, 204);
    assert_eq!(
        room.user(&access(1)).await.refusal(),
        (403, "session_not_found")
    );
    assert_eq!(room.ask("SELECT count(*) FROM auth.sessions").await, "0");
    room.end().await;
}

#[tokio::test]
async fn tokens_that_are_none_are_refused_in_gotrues_words() {
    let room = Room::autoconfirm().await;
    assert_eq!(room.get("/user").await.refusal(), (401, "no_authorization"));
    let bad = room.user("broken").await;
    assert_eq!(bad.refusal(), (403, "bad_jwt"));
    assert_eq!(
        bad.body["message"],
        "invalid JWT: unable to parse or verify signature, JWT expired"
    );
    let keyed = room.admin("GET", "/user", Value::Null).await;
    assert_eq!(keyed.refusal(), (403, "bad_jwt"));
    assert_eq!(keyed.body["message"], "invalid claim: missing sub claim");
    room.end().await;
}

#[tokio::test]
async fn a_new_password_ends_other_sessions() {
    let room = Room::autoconfirm().await;
    room.sign_up("a@b.co").await.ok();
    let mine = room.sign_in("a@b.co").await.ok();
    let other = room.sign_in("a@b.co").await.ok();
    let token = text(&mine, "/access_token");
    let same = room
        .call("PUT", "/user", Some(token), json!({"password": PASSWORD}))
        .await;
    assert_eq!(same.refusal(), (422, "same_password"));
    let change = json!({"password": "something else"});
    room.call("PUT", "/user", Some(token), change).await.ok();
    room.user(token).await.ok();
    let gone = room.user(text(&other, "/access_token")).await;
    assert_eq!(gone.refusal(), (403, "session_not_found"));
    assert_eq!(
        room.sign_in("a@b.co").await.refusal(),
        (400, "invalid_credentials")
    );
    room.end().await;
}

#[tokio::test]
async fn an_old_session_needs_a_code_for_a_new_password() {
    let room = Room::with(json!({"email": {"secure_password_change": true}})).await;
    let session = room.sign_up("a@b.co").await.ok();
    let token = text(&session, "/access_token");
    room.wait(25 * 3600);
    let change = json!({"password": "something else"});
    let asked = room.call("PUT", "/user", Some(token), change).await;
    assert_eq!(asked.refusal(), (400, "reauthentication_needed"));
    room.call("GET", "/reauthenticate", Some(token), Value::Null)
        .await
        .ok();
    let wrong = json!({"password": "something else", "nonce": "000000x"});
    let wrong = room.call("PUT", "/user", Some(token), wrong).await;
    assert_eq!(wrong.refusal(), (422, "reauthentication_not_valid"));
    let code = room
        .ask("SELECT (regexp_match(plain, '\\d{6}'))[1] FROM ferrobase.inbox ORDER BY seq DESC LIMIT 1")
        .await;
    let right = json!({"password": "something else", "nonce": code});
    room.call("PUT", "/user", Some(token), right).await.ok();
    room.end().await;
}

#[tokio::test]
async fn sessions_end_by_themselves() {
    let room =
        Room::with(json!({"sessions": {"timebox": "24h", "inactivity_timeout": "8h"}})).await;
    let session = room.sign_up("a@b.co").await.ok();
    room.wait(7 * 3600);
    let session = room.refresh(text(&session, "/refresh_token")).await.ok();
    room.wait(9 * 3600);
    let idle = room.refresh(text(&session, "/refresh_token")).await;
    assert_eq!(idle.refusal(), (400, "session_expired"));
    assert_eq!(
        idle.body["message"],
        "Invalid Refresh Token: Session Expired (Inactivity)"
    );
    room.end().await;
}

#[tokio::test]
async fn two_who_come_with_one_refresh_token_get_one_successor() {
    let room = Room::autoconfirm().await;
    let session = room.sign_up("a@b.co").await.ok();
    let token = text(&session, "/refresh_token");
    let (one, two) = tokio::join!(room.refresh(token), room.refresh(token));
    assert_eq!(
        text(&one.ok(), "/refresh_token"),
        text(&two.ok(), "/refresh_token")
    );
    room.end().await;
}

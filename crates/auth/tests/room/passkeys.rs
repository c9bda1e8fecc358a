//! Passkeys: signing in without a password, and nobody else doing so.

use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::factors::{protected, room, token};
use crate::support::{Reply, Room, claims, text};

async fn register(room: &Room, token: &str, key: &mut Authenticator) -> Reply {
    let path = "/passkeys/registration/options";
    let asked = room.call("POST", path, Some(token), json!({})).await.ok();
    let credential = key.create(&asked["options"]);
    let body = json!({"challenge_id": asked["challenge_id"], "credential": credential});
    room.call("POST", "/passkeys/registration/verify", Some(token), body)
        .await
}

async fn ask(room: &Room) -> Value {
    room.post("/passkeys/authentication/options", json!({}))
        .await
        .ok()
}

async fn show(room: &Room, asked: &Value, credential: &Value) -> Reply {
    let body = json!({"challenge_id": asked["challenge_id"], "credential": credential});
    room.post("/passkeys/authentication/verify", body).await
}

async fn sign_in(room: &Room, key: &mut Authenticator) -> Reply {
    let asked = ask(room).await;
    let credential = key.get(&asked["options"]);
    show(room, &asked, &credential).await
}

#[tokio::test]
async fn a_passkey_signs_its_owner_in() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let mut key = Authenticator::new();
    let made = register(&room, &token(&first), &mut key).await.ok();
    assert_eq!(made["friendly_name"], "Passkey");
    let entered = sign_in(&room, &mut key).await.ok();
    assert_eq!(entered["user"]["id"], first["user"]["id"]);
    let now = claims(&token(&entered));
    assert_eq!(
        (text(&now, "/aal"), text(&now, "/amr/0/method")),
        ("aal1", "passkey")
    );
    let listed = room
        .call("GET", "/passkeys", Some(&token(&entered)), Value::Null)
        .await
        .ok();
    assert_eq!(listed[0]["id"], made["id"]);
    assert!(listed[0]["last_used_at"].is_string());
    let path = format!("/passkeys/{}", text(&made, "/id"));
    let renamed = room
        .call(
            "PATCH",
            &path,
            Some(&token(&first)),
            json!({"friendly_name": "key"}),
        )
        .await;
    assert_eq!(renamed.ok()["friendly_name"], "key");
    // A copy is behind.
    let count = key.count;
    key.count = 0;
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (400, "webauthn_verification_failed")
    );
    key.count = count;
    let gone = room
        .call("DELETE", &path, Some(&token(&first)), Value::Null)
        .await;
    assert_eq!(gone.status.as_u16(), 204);
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (400, "webauthn_verification_failed")
    );
    room.end().await;
}

#[tokio::test]
async fn a_question_is_answered_once_in_time_and_by_whom_it_was_put_to() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let other = room.sign_up("c@d.co").await.ok();
    let mut key = Authenticator::new();
    register(&room, &token(&first), &mut key).await.ok();
    let asked = ask(&room).await;
    let credential = key.get(&asked["options"]);
    show(&room, &asked, &credential).await.ok();
    let again = show(&room, &asked, &credential).await;
    assert_eq!(again.refusal(), (400, "webauthn_challenge_not_found"));
    // A wrong answer uses the question up.
    let asked = ask(&room).await;
    let mut wrong = Authenticator::new();
    wrong.handle.clone_from(&key.handle);
    let refused = show(&room, &asked, &wrong.get(&asked["options"])).await;
    assert_eq!(refused.refusal(), (400, "webauthn_verification_failed"));
    let right = key.get(&asked["options"]);
    let late = show(&room, &asked, &right).await;
    assert_eq!(late.refusal(), (400, "webauthn_challenge_not_found"));
    let asked = ask(&room).await;
    let credential = key.get(&asked["options"]);
    room.wait(301);
    let late = show(&room, &asked, &credential).await;
    assert_eq!(late.refusal(), (400, "webauthn_challenge_expired"));
    // Those that nobody answers do not pile up.
    ask(&room).await;
    room.wait(301);
    ask(&room).await;
    assert_eq!(
        room.ask("SELECT count(*) FROM auth.webauthn_challenges")
            .await,
        "1"
    );
    // A question to one user is none to another, nor one of another kind.
    let path = "/passkeys/registration/options";
    let asked = room
        .call("POST", path, Some(&token(&first)), json!({}))
        .await
        .ok();
    let credential = Authenticator::new().create(&asked["options"]);
    let body = json!({"challenge_id": asked["challenge_id"], "credential": credential});
    let path = "/passkeys/registration/verify";
    let stolen = room
        .call("POST", path, Some(&token(&other)), body.clone())
        .await;
    assert_eq!(stolen.refusal(), (400, "webauthn_challenge_not_found"));
    let crossed = room
        .post("/passkeys/authentication/verify", body.clone())
        .await;
    assert_eq!(crossed.refusal(), (400, "webauthn_challenge_not_found"));
    room.call("POST", path, Some(&token(&first)), body)
        .await
        .ok();
    room.end().await;
}

#[tokio::test]
async fn a_passkey_is_one_users_and_they_have_few() {
    let room = room(json!({"passkey": {"enabled": true, "max_passkeys_per_user": 2}})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let other = room.sign_up("c@d.co").await.ok();
    let mut key = Authenticator::new();
    let made = register(&room, &token(&first), &mut key).await.ok();
    let handle = key.handle.clone();
    let twice = register(&room, &token(&other), &mut key).await;
    assert_eq!(twice.refusal(), (422, "webauthn_credential_exists"));
    // The other user's name on it opens nothing of theirs.
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (400, "webauthn_verification_failed")
    );
    key.handle = handle;
    sign_in(&room, &mut key).await.ok();
    let path = format!("/passkeys/{}", text(&made, "/id"));
    for (method, body) in [
        ("PATCH", json!({"friendly_name": "mine"})),
        ("DELETE", Value::Null),
    ] {
        let stranger = room.call(method, &path, Some(&token(&other)), body).await;
        assert_eq!(stranger.refusal(), (404, "validation_failed"));
    }
    register(&room, &token(&first), &mut Authenticator::new())
        .await
        .ok();
    let path = "/passkeys/registration/options";
    let full = room
        .call("POST", path, Some(&token(&first)), json!({}))
        .await;
    assert_eq!(full.refusal(), (422, "too_many_passkeys"));
    let user = text(&first, "/user/id");
    let path = format!("/admin/users/{user}/passkeys");
    let listed = room.admin("GET", &path, Value::Null).await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let one = format!("{path}/{}", text(&made, "/id"));
    let gone = room.admin("DELETE", &one, Value::Null).await;
    assert_eq!(gone.status.as_u16(), 204);
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (400, "webauthn_verification_failed")
    );
    room.end().await;
}

#[tokio::test]
async fn a_passkey_is_one_factor_and_opens_no_closed_account() {
    let room = room(json!({})).await;
    let (app, raised) = protected(&room, "a@b.co").await;
    let mut key = Authenticator::new();
    let made = register(&room, &token(&raised), &mut key).await.ok();
    let low = token(&sign_in(&room, &mut key).await.ok());
    assert_eq!(claims(&low)["aal"], "aal1");
    let path = format!("/passkeys/{}", text(&made, "/id"));
    let refused = room.call("DELETE", &path, Some(&low), Value::Null).await;
    assert_eq!(refused.refusal(), (403, "insufficient_aal"));
    let again = app.show(&room, &low).await.ok();
    assert_eq!(claims(&token(&again))["aal"], "aal2");
    let user = format!("/admin/users/{}", text(&raised, "/user/id"));
    room.admin("PUT", &user, json!({"ban_duration": "1h"}))
        .await
        .ok();
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (403, "user_banned")
    );
    room.admin("PUT", &user, json!({"ban_duration": "none"}))
        .await
        .ok();
    room.ask("UPDATE auth.users SET email_confirmed_at = NULL")
        .await;
    assert_eq!(
        sign_in(&room, &mut key).await.refusal(),
        (403, "email_not_confirmed")
    );
    let anonymous = token(&room.post("/signup", json!({})).await.ok());
    let path = "/passkeys/registration/options";
    let refused = room.call("POST", path, Some(&anonymous), json!({})).await;
    assert_eq!(refused.refusal(), (403, "no_authorization"));
    room.end().await;
    let off = Room::autoconfirm().await;
    let refused = off
        .post("/passkeys/authentication/options", json!({}))
        .await;
    assert_eq!(refused.refusal(), (404, "passkey_disabled"));
    off.end().await;
}

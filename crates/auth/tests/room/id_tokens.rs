//! ID tokens that applications bring along.

use serde_json::{Value, json};

use crate::idp::{Idp, Signing};
use crate::support::{Reply, Room, text};

async fn grant(room: &Room, body: Value) -> Reply {
    room.post("/token?grant_type=id_token", body).await
}

/// The nonce's hash, as the provider sees it.
fn hashed(nonce: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(nonce);
    hash.iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[tokio::test]
async fn a_token_with_its_nonce_signs_in() {
    let idp = Idp::start().await;
    let room = Room::with(idp.settings()).await;
    let token = idp.id_token(&hashed("mine"));
    let body = json!({"provider": "google", "id_token": token, "nonce": "mine", "access_token": "an access token"});
    let session = grant(&room, body).await.ok();
    assert_eq!(session["user"]["email"], "ada@b.co");
    // By its issuer as well.
    let body =
        json!({"issuer": idp.url, "client_id": "our-id", "id_token": token, "nonce": "mine"});
    grant(&room, body).await.ok();
    for (change, error) in [
        (json!({"nonce": "yours"}), "invalid nonce"),
        (json!({"nonce": ""}), "invalid request"),
        (json!({"access_token": "another"}), "invalid request"),
        (json!({"id_token": ""}), "invalid request"),
        (json!({"id_token": "a.b.c"}), "invalid request"),
        (json!({"provider": ""}), "invalid request"),
    ] {
        let mut body = json!({"provider": "google", "id_token": token, "nonce": "mine"});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let reply = grant(&room, body).await;
        assert_eq!(
            (reply.status.as_u16(), text(&reply.body, "/error")),
            (400, error),
            "{change}"
        );
    }
    let disabled = grant(&room, json!({"provider": "apple", "id_token": token})).await;
    assert_eq!(disabled.refusal(), (400, "provider_disabled"));
    let unknown = grant(&room, json!({"provider": "nobody", "id_token": token})).await;
    assert_eq!(unknown.refusal(), (400, "validation_failed"));
    room.end().await;
    idp.end().await;
}

#[tokio::test]
async fn tokens_of_and_for_others_are_refused() {
    let idp = Idp::start().await;
    let room = Room::with(idp.settings()).await;
    for lie in [
        json!({"aud": "somebody else"}),
        json!({"aud": ""}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": 1000}),
        json!({"sub": ""}),
    ] {
        idp.set(|does| does.lie = lie.clone());
        let reply = grant(
            &room,
            json!({"provider": "corp", "id_token": idp.id_token("")}),
        )
        .await;
        assert_eq!(text(&reply.body, "/error"), "invalid request", "{lie}");
    }
    idp.set(|does| does.lie = json!({}));
    for signing in [Signing::Not, Signing::PublicAsSecret, Signing::OtherKey] {
        idp.set(|does| does.signing = signing);
        let reply = grant(
            &room,
            json!({"provider": "corp", "id_token": idp.id_token("")}),
        )
        .await;
        assert_eq!(
            text(&reply.body, "/error_description"),
            "Bad ID token",
            "{signing:?}"
        );
    }
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    room.end().await;
    idp.end().await;
}

#[tokio::test]
async fn new_keys_are_found_without_being_asked_for_each_time() {
    let idp = Idp::start().await;
    let room = Room::with(idp.settings()).await;
    let token = idp.id_token("");
    let body = |token: String| json!({"provider": "corp", "id_token": token});
    grant(&room, body(token)).await.ok();
    idp.set(|does| does.signing = Signing::NewKey);
    let token = idp.id_token("");
    for _ in 0..3 {
        let soon = grant(&room, body(token.clone())).await;
        assert_eq!(soon.status.as_u16(), 400);
    }
    assert_eq!(idp.does.lock().unwrap().keys_asked, 1);
    room.wait(31);
    grant(&room, body(token)).await.ok();
    assert_eq!(idp.does.lock().unwrap().keys_asked, 2);
    room.end().await;
    idp.end().await;
}

#[tokio::test]
async fn an_account_is_linked_by_its_token() {
    let idp = Idp::start().await;
    let room = Room::with(idp.settings()).await;
    let session = room.post("/signup", json!({})).await.ok();
    let body = json!({"provider": "corp", "id_token": idp.id_token(""), "link_identity": true});
    let nobody = grant(&room, body.clone()).await;
    assert_eq!(text(&nobody.body, "/error"), "invalid request");
    let token = Some(text(&session, "/access_token"));
    let linked = room
        .call("POST", "/token?grant_type=id_token", token, body)
        .await
        .ok();
    assert_eq!(linked["user"]["id"], session["user"]["id"]);
    assert_eq!(linked["user"]["is_anonymous"], false);
    room.end().await;
    idp.end().await;
}

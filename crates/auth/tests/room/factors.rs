//! Second factors: what they win, and every way around them that is closed.

use std::net::IpAddr;

use axum::body::Body;
use http::Request;
use kernel::{Caller, ClientAddress};
use ring::hmac;
use serde_json::{Value, json};

use crate::authenticator::{Authenticator, ORIGIN};
use crate::support::{Reply, Room, claims, text};

pub(crate) async fn room(more: Value) -> Room {
    let mut section = json!({
        "mfa": {
            "totp": {"enroll_enabled": true, "verify_enabled": true},
            "phone": {"enroll_enabled": true, "verify_enabled": true},
            "web_authn": {"enroll_enabled": true, "verify_enabled": true},
            "max_enrolled_factors": 3,
        },
        "passkey": {"enabled": true},
        "webauthn": {"rp_id": "localhost", "rp_display_name": "T", "rp_origins": [ORIGIN]},
        "enable_anonymous_sign_ins": true,
    });
    section
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Room::with(section).await
}

pub(crate) fn token(body: &Value) -> String {
    text(body, "/access_token").to_owned()
}

pub(crate) async fn enroll(room: &Room, token: &str, body: Value) -> Reply {
    room.call("POST", "/factors", Some(token), body).await
}

pub(crate) async fn challenge(room: &Room, token: &str, factor: &str) -> Reply {
    // Two challenges of one moment are told apart by the database; two of one
    // phone need some time between them.
    room.wait(1);
    let path = format!("/factors/{factor}/challenge");
    room.call("POST", &path, Some(token), json!({})).await
}

pub(crate) async fn verify(
    room: &Room,
    token: &str,
    factor: &str,
    challenge: &Value,
    code: &str,
) -> Reply {
    let path = format!("/factors/{factor}/verify");
    let body = json!({"challenge_id": challenge["id"], "code": code});
    room.call("POST", &path, Some(token), body).await
}

/// An authenticator app.
pub(crate) struct App {
    pub(crate) factor: String,
    secret: Vec<u8>,
}

impl App {
    pub(crate) async fn enroll(room: &Room, token: &str, name: &str) -> Self {
        let body = json!({"factor_type": "totp", "friendly_name": name});
        let body = enroll(room, token, body).await.ok();
        let mut secret = Vec::new();
        let (mut bits, mut buffer) = (0, 0_u32);
        for c in text(&body, "/totp/secret").bytes() {
            let value = if c < b'A' { c - b'2' + 26 } else { c - b'A' };
            buffer = buffer << 5 | u32::from(value);
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                secret.push(u8::try_from(buffer >> bits).unwrap());
                buffer &= (1 << bits) - 1;
            }
        }
        Self {
            factor: text(&body, "/id").to_owned(),
            secret,
        }
    }

    /// What the app shows now.
    pub(crate) fn code(&self, room: &Room) -> String {
        let step = room.clock.now().as_second() / 30;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[19] & 15);
        let word = u32::from_be_bytes(tag[at..at + 4].try_into().unwrap()) & 0x7FFF_FFFF;
        format!("{:06}", word % 1_000_000)
    }

    /// Challenge and right answer.
    pub(crate) async fn show(&self, room: &Room, token: &str) -> Reply {
        let asked = challenge(room, token, &self.factor).await.ok();
        verify(room, token, &self.factor, &asked, &self.code(room)).await
    }
}

/// A person with an app, and their session of level two.
pub(crate) async fn protected(room: &Room, email: &str) -> (App, Value) {
    let first = room.sign_up(email).await.ok();
    let app = App::enroll(room, &token(&first), "app").await;
    let raised = app.show(room, &token(&first)).await.ok();
    room.wait(31);
    (app, raised)
}

#[tokio::test]
async fn a_code_raises_the_session_and_ends_the_lower_ones() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let other = room.sign_in("a@b.co").await.ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    assert_eq!(claims(&token(&first))["aal"], "aal1");
    let raised = app.show(&room, &token(&first)).await.ok();
    let now = claims(&token(&raised));
    assert_eq!(now["aal"], "aal2");
    assert_eq!(now["session_id"], claims(&token(&first))["session_id"]);
    let methods: Vec<&str> = now["amr"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(one, "/method"))
        .collect();
    assert_eq!(methods, ["totp", "password"]);
    assert_eq!(raised["user"]["factors"][0]["status"], "verified");
    assert_eq!(
        room.user(&token(&other)).await.refusal(),
        (403, "session_not_found")
    );
    let kept = room.refresh(text(&raised, "/refresh_token")).await.ok();
    assert_eq!(claims(&token(&kept))["aal"], "aal2");
    room.end().await;
}

#[tokio::test]
async fn tokens_of_before_gain_nothing() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let second = room.refresh(text(&first, "/refresh_token")).await.ok();
    let app = App::enroll(&room, &token(&second), "app").await;
    let raised = app.show(&room, &token(&second)).await.ok();
    // Within the window for reuse, which would give the successor away.
    for old in [&first, &second] {
        let refused = room.refresh(text(old, "/refresh_token")).await;
        assert_eq!(refused.refusal(), (400, "refresh_token_not_found"));
    }
    // The session is of level two, but this token was made before it was.
    let path = format!("/factors/{}", app.factor);
    let old = room
        .call("DELETE", &path, Some(&token(&second)), Value::Null)
        .await;
    assert_eq!(old.refusal(), (422, "insufficient_aal"));
    let new = json!({"password": "something else"});
    let old = room
        .call("PUT", "/user", Some(&token(&second)), new.clone())
        .await;
    assert_eq!(old.refusal(), (401, "insufficient_aal"));
    room.call("PUT", "/user", Some(&token(&raised)), new)
        .await
        .ok();
    room.end().await;
}

#[tokio::test]
async fn a_session_without_the_factor_can_change_nothing() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    // A weaker door, prepared before there was a lock.
    let body = json!({"factor_type": "webauthn", "friendly_name": "theirs"});
    let theirs = enroll(&room, &token(&first), body).await.ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    app.show(&room, &token(&first)).await.ok();
    let low = token(&room.sign_in("a@b.co").await.ok());
    assert_eq!(claims(&low)["aal"], "aal1");
    let asked = challenge(&room, &low, text(&theirs, "/id")).await;
    assert_eq!(asked.refusal(), (403, "insufficient_aal"));
    let more = json!({"factor_type": "totp", "friendly_name": "more"});
    assert_eq!(
        enroll(&room, &low, more).await.refusal(),
        (403, "insufficient_aal")
    );
    let path = format!("/factors/{}", app.factor);
    let gone = room.call("DELETE", &path, Some(&low), Value::Null).await;
    assert_eq!(gone.refusal(), (422, "insufficient_aal"));
    for body in [
        json!({"password": "another one"}),
        json!({"email": "c@d.co"}),
    ] {
        let changed = room.call("PUT", "/user", Some(&low), body).await;
        assert_eq!(changed.refusal(), (401, "insufficient_aal"));
    }
    let passkey = room
        .call(
            "POST",
            "/passkeys/registration/options",
            Some(&low),
            json!({}),
        )
        .await;
    assert_eq!(passkey.refusal(), (403, "insufficient_aal"));
    // The mailbox alone is one factor, too.
    room.wait(120);
    room.post("/recover", json!({"email": "a@b.co"})).await.ok();
    let link = room.link("a@b.co").await;
    let reply = room.get(&link).await;
    let location = reply.location().to_owned();
    let recovered = location
        .split(['#', '&'])
        .find_map(|part| part.strip_prefix("access_token="))
        .unwrap();
    let reset = room
        .call(
            "PUT",
            "/user",
            Some(recovered),
            json!({"password": "another one"}),
        )
        .await;
    assert_eq!(reset.refusal(), (401, "insufficient_aal"));
    // With the code it is somebody.
    let raised = app.show(&room, recovered).await.ok();
    room.call("DELETE", &path, Some(&token(&raised)), Value::Null)
        .await
        .ok();
    room.end().await;
}

#[tokio::test]
async fn a_factor_prepared_before_the_first_is_not_verified_by_a_low_session() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let body = json!({"factor_type": "webauthn", "friendly_name": "theirs"});
    let theirs = enroll(&room, &token(&first), body).await.ok();
    let asked = challenge(&room, &token(&first), text(&theirs, "/id"))
        .await
        .ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    app.show(&room, &token(&first)).await.ok();
    let low = token(&room.sign_in("a@b.co").await.ok());
    let answer = Authenticator::new().create(&asked["webauthn"]["credential_options"]["publicKey"]);
    let path = format!("/factors/{}/verify", text(&theirs, "/id"));
    let shown = json!({"challenge_id": asked["id"], "webauthn": {"type": "create", "credential_response": answer}});
    let refused = room.call("POST", &path, Some(&low), shown).await;
    assert_eq!(refused.refusal(), (403, "insufficient_aal"));
    room.end().await;
}

#[tokio::test]
async fn a_code_counts_once() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    let asked = challenge(&room, &token(&first), &app.factor).await.ok();
    let code = app.code(&room);
    let raised = verify(&room, &token(&first), &app.factor, &asked, &code)
        .await
        .ok();
    let met = verify(&room, &token(&raised), &app.factor, &asked, &code).await;
    assert_eq!(met.refusal(), (422, "mfa_ip_address_mismatch"));
    let again = challenge(&room, &token(&raised), &app.factor).await.ok();
    let replayed = verify(&room, &token(&raised), &app.factor, &again, &code).await;
    assert_eq!(replayed.refusal(), (422, "mfa_verification_failed"));
    assert_eq!(replayed.body["message"], "Invalid TOTP code entered");
    room.wait(60);
    // Two at once: one of them is honoured.
    let (one, two) = (
        challenge(&room, &token(&raised), &app.factor).await.ok(),
        challenge(&room, &token(&raised), &app.factor).await.ok(),
    );
    let (raised, code) = (token(&raised), app.code(&room));
    let replies = tokio::join!(
        verify(&room, &raised, &app.factor, &one, &code),
        verify(&room, &raised, &app.factor, &two, &code),
    );
    let mut statuses = [replies.0.status.as_u16(), replies.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422]);
    room.end().await;
}

/// As [`Room::call`], from an address.
async fn from(room: &Room, address: &str, path: &str, token: &str, body: Value) -> Reply {
    let mut request = Request::builder()
        .method("POST")
        .uri(path)
        .header("x-supabase-api-version", "2024-01-01")
        .header("authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_string()))
        .unwrap();
    let caller = Caller {
        role: "authenticated".into(),
        claims: claims(token).to_string().into(),
        authenticated: true,
        read_only: false,
    };
    request.extensions_mut().insert(caller);
    request
        .extensions_mut()
        .insert(ClientAddress(address.parse::<IpAddr>().unwrap()));
    room.send(request).await
}

#[tokio::test]
async fn a_challenge_is_met_by_whom_it_was_put_to() {
    let room = room(json!({})).await;
    let mine = room.sign_up("a@b.co").await.ok();
    let app = App::enroll(&room, &token(&mine), "app").await;
    let other = App::enroll(&room, &token(&mine), "other").await;
    let asked = challenge(&room, &token(&mine), &app.factor).await.ok();
    // Somebody else's factor does not exist, however right the code.
    let theirs = room.sign_up("c@d.co").await.ok();
    let code = app.code(&room);
    let stranger = verify(&room, &token(&theirs), &app.factor, &asked, &code).await;
    assert_eq!(stranger.refusal(), (404, "mfa_factor_not_found"));
    let stranger = challenge(&room, &token(&theirs), &app.factor).await;
    assert_eq!(stranger.refusal(), (404, "mfa_factor_not_found"));
    let path = format!("/factors/{}", app.factor);
    let stranger = room
        .call("DELETE", &path, Some(&token(&theirs)), Value::Null)
        .await;
    assert_eq!(stranger.refusal(), (404, "mfa_factor_not_found"));
    // Another factor's challenge is none.
    let crossed = verify(
        &room,
        &token(&mine),
        &other.factor,
        &asked,
        &other.code(&room),
    )
    .await;
    assert_eq!(crossed.refusal(), (422, "mfa_factor_not_found"));
    // From somewhere else.
    let path = format!("/factors/{}/verify", app.factor);
    let body = json!({"challenge_id": asked["id"], "code": app.code(&room)});
    let elsewhere = from(&room, "203.0.113.9", &path, &token(&mine), body).await;
    assert_eq!(elsewhere.refusal(), (422, "mfa_ip_address_mismatch"));
    // Too late.
    let late = challenge(&room, &token(&mine), &app.factor).await.ok();
    room.wait(301);
    let late = verify(&room, &token(&mine), &app.factor, &late, &app.code(&room)).await;
    assert_eq!(late.refusal(), (422, "mfa_challenge_expired"));
    app.show(&room, &token(&mine)).await.ok();
    room.end().await;
}

#[tokio::test]
async fn guessing_is_hopeless() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    let asked = challenge(&room, &token(&first), &app.factor).await.ok();
    let right = app.code(&room);
    let wrong = if right == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..10 {
        let refused = verify(&room, &token(&first), &app.factor, &asked, wrong).await;
        assert_eq!(refused.refusal(), (422, "mfa_verification_failed"));
    }
    for code in [wrong, &right] {
        let refused = verify(&room, &token(&first), &app.factor, &asked, code).await;
        assert_eq!(refused.refusal(), (429, "over_request_rate_limit"));
    }
    // And not by asking for ever more challenges either.
    let path = format!("/factors/{}/challenge", app.factor);
    let mut last = 200;
    for _ in 0..31 {
        last = from(&room, "203.0.113.9", &path, &token(&first), json!({}))
            .await
            .status
            .as_u16();
    }
    assert_eq!(last, 429);
    room.end().await;
}

#[tokio::test]
async fn factors_are_few_and_named_and_forgotten_when_given_up() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let low = token(&first);
    for name in ["one", "two", "three"] {
        App::enroll(&room, &low, name).await;
    }
    let same = json!({"factor_type": "totp", "friendly_name": "one"});
    let fourth = json!({"factor_type": "totp", "friendly_name": "four"});
    assert_eq!(
        enroll(&room, &low, same).await.refusal(),
        (422, "mfa_factor_name_conflict")
    );
    assert_eq!(
        enroll(&room, &low, fourth.clone()).await.refusal(),
        (422, "too_many_enrolled_mfa_factors")
    );
    room.wait(301);
    enroll(&room, &low, fourth).await.ok();
    assert_eq!(room.ask("SELECT count(*) FROM auth.mfa_factors").await, "1");
    for (body, code) in [
        (json!({"factor_type": "nose"}), "validation_failed"),
        (json!({"factor_type": "phone"}), "validation_failed"),
        (
            json!({"factor_type": "phone", "phone": "x"}),
            "validation_failed",
        ),
        (
            json!({"factor_type": "totp", "friendly_name": "x".repeat(121)}),
            "validation_failed",
        ),
    ] {
        assert_eq!(enroll(&room, &low, body).await.refusal(), (400, code));
    }
    let anonymous = token(&room.post("/signup", json!({})).await.ok());
    let refused = enroll(&room, &anonymous, json!({"factor_type": "totp"})).await;
    assert_eq!(refused.refusal(), (403, "no_authorization"));
    let nobody = room.post("/factors", json!({"factor_type": "totp"})).await;
    assert_eq!(nobody.refusal(), (401, "no_authorization"));
    room.end().await;
    let off = Room::with(json!({"mfa": {"totp": {"enroll_enabled": false}}})).await;
    let someone = token(&off.sign_up("a@b.co").await.ok());
    for (kind, code) in [
        ("totp", "mfa_totp_enroll_not_enabled"),
        ("phone", "mfa_phone_enroll_not_enabled"),
        ("webauthn", "mfa_webauthn_enroll_not_enabled"),
    ] {
        let refused = enroll(&off, &someone, json!({"factor_type": kind})).await;
        assert_eq!(refused.refusal(), (422, code));
    }
    off.end().await;
}

//! Second factors of each kind, the project's hook, and the operator's help.

use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::factors::{App, challenge, enroll, protected, room, token, verify};
use crate::support::{claims, text};

const HOOKS: &str = "
    CREATE TABLE public.heard (at bigint GENERATED ALWAYS AS IDENTITY, event jsonb);
    GRANT ALL ON public.heard TO supabase_auth_admin;
    CREATE FUNCTION public.hear(event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.heard (event) VALUES (event);
        IF (SELECT count(*) FROM public.heard WHERE heard.event ->> 'valid' = 'false') > 1 THEN
            RETURN '{\"decision\": \"reject\", \"message\": \"enough\"}';
        END IF;
        RETURN '{\"decision\": \"continue\"}';
    END $$;
    GRANT EXECUTE ON FUNCTION public.hear(jsonb) TO supabase_auth_admin;";

#[tokio::test]
async fn the_projects_hook_hears_of_each_attempt_and_may_end_it() {
    let uri = "pg-functions://postgres/public/hear";
    let hook = json!({"mfa_verification_attempt": {"enabled": true, "uri": uri}});
    let room = room(json!({"hook": hook})).await;
    room.ask(HOOKS).await;
    let first = room.sign_up("a@b.co").await.ok();
    let app = App::enroll(&room, &token(&first), "app").await;
    let asked = challenge(&room, &token(&first), &app.factor).await.ok();
    let wrong = verify(&room, &token(&first), &app.factor, &asked, "abcdef").await;
    assert_eq!(wrong.refusal(), (422, "mfa_verification_failed"));
    let raised = app.show(&room, &token(&first)).await.ok();
    let heard = room
        .ask("SELECT string_agg(event ->> 'valid', ' ' ORDER BY at) FROM public.heard")
        .await;
    assert_eq!(heard, "false true");
    let asked = challenge(&room, &token(&raised), &app.factor).await.ok();
    let refused = verify(&room, &token(&raised), &app.factor, &asked, "abcdef").await;
    assert_eq!(refused.refusal(), (403, "mfa_verification_rejected"));
    assert_eq!(refused.body["message"], "enough");
    assert_eq!(
        room.user(&token(&raised)).await.refusal(),
        (403, "session_not_found")
    );
    assert_eq!(room.ask("SELECT count(*) FROM public.heard").await, "3");
    room.end().await;
}

#[tokio::test]
async fn a_phone_is_sent_a_code_that_is_kept_as_a_hash() {
    let uri = "pg-functions://postgres/public/hear";
    let hook = json!({"send_sms": {"enabled": true, "uri": uri}});
    let room = room(json!({"hook": hook})).await;
    room.ask(HOOKS).await;
    let first = room.sign_up("a@b.co").await.ok();
    let body = json!({"factor_type": "phone", "phone": "+15551234567", "friendly_name": "p"});
    let factor = enroll(&room, &token(&first), body.clone()).await.ok();
    assert_eq!(
        (text(&factor, "/type"), text(&factor, "/phone")),
        ("phone", "+15551234567")
    );
    let factor = text(&factor, "/id");
    let asked = challenge(&room, &token(&first), factor).await.ok();
    let path = format!("/factors/{factor}/challenge");
    let soon = room
        .call("POST", &path, Some(&token(&first)), json!({}))
        .await;
    assert_eq!(soon.refusal(), (429, "over_sms_send_rate_limit"));
    let sms = room.ask("SELECT event -> 'sms' FROM public.heard").await;
    let sms: Value = serde_json::from_str(&sms).unwrap();
    assert_eq!(
        (text(&sms, "/phone"), text(&sms, "/sms_type")),
        ("15551234567", "mfa")
    );
    let code = text(&sms, "/otp");
    let stored = room.ask("SELECT otp_code FROM auth.mfa_challenges").await;
    assert!(!stored.is_empty() && !stored.contains(code));
    let wrong = verify(&room, &token(&first), factor, &asked, &stored).await;
    assert_eq!(wrong.refusal(), (422, "mfa_verification_failed"));
    let raised = verify(&room, &token(&first), factor, &asked, code)
        .await
        .ok();
    assert_eq!(claims(&token(&raised))["amr"][0]["method"], "mfa/phone");
    let again = enroll(&room, &token(&raised), body).await;
    assert_eq!(again.refusal(), (422, "mfa_verified_factor_exists"));
    room.end().await;
}

#[tokio::test]
async fn an_authenticator_proves_what_it_was_enrolled_with() {
    let room = room(json!({})).await;
    let first = room.sign_up("a@b.co").await.ok();
    let body = json!({"factor_type": "webauthn", "friendly_name": "key"});
    let factor = enroll(&room, &token(&first), body).await.ok();
    let factor = text(&factor, "/id").to_owned();
    let show = |token: String, asked: Value, kind: &'static str, answer: Value| {
        let (room, path) = (&room, format!("/factors/{factor}/verify"));
        let shown = json!({"type": kind, "credential_response": answer});
        let body = json!({"challenge_id": asked["id"], "webauthn": shown});
        async move { room.call("POST", &path, Some(&token), body).await }
    };
    let options = |asked: &Value| asked["webauthn"]["credential_options"]["publicKey"].clone();
    let mut key = Authenticator::new();
    let asked = challenge(&room, &token(&first), &factor).await.ok();
    assert_eq!(asked["webauthn"]["type"], "create");
    let made = key.create(&options(&asked));
    let raised = show(token(&first), asked.clone(), "create", made.clone())
        .await
        .ok();
    assert_eq!(claims(&token(&raised))["amr"][0]["method"], "mfa/webauthn");
    let again = show(token(&raised), asked, "create", made).await;
    assert_eq!(again.status.as_u16(), 422, "a question is answered once");
    // Somebody with the password, and an authenticator of their own.
    let low = token(&room.sign_in("a@b.co").await.ok());
    let asked = challenge(&room, &low, &factor).await.ok();
    assert_eq!(asked["webauthn"]["type"], "request");
    let mut own = Authenticator::new();
    let mut as_if = options(&asked);
    as_if["user"] = json!({"id": key.handle});
    let made = own.create(&as_if);
    let refused = show(low.clone(), asked.clone(), "create", made.clone()).await;
    assert_eq!(refused.refusal(), (400, "validation_failed"));
    let refused = show(low.clone(), asked.clone(), "request", made).await;
    assert_eq!(refused.refusal(), (400, "validation_failed"));
    let refused = show(
        low.clone(),
        asked.clone(),
        "request",
        own.get(&options(&asked)),
    )
    .await;
    assert_eq!(refused.refusal(), (422, "mfa_verification_failed"));
    let right = key.get(&options(&asked));
    let raised = show(low, asked, "request", right).await.ok();
    assert_eq!(claims(&token(&raised))["aal"], "aal2");
    let count = "SELECT web_authn_credential #>> '{authenticator,signCount}' FROM auth.mfa_factors";
    assert_eq!(room.ask(count).await, "1");
    // A copy is behind.
    key.count = 0;
    let asked = challenge(&room, &token(&raised), &factor).await.ok();
    let refused = show(
        token(&raised),
        asked.clone(),
        "request",
        key.get(&options(&asked)),
    )
    .await;
    assert_eq!(refused.refusal(), (422, "mfa_verification_failed"));
    room.end().await;
}

#[tokio::test]
async fn the_operator_helps_those_who_lost_theirs() {
    let room = room(json!({})).await;
    let (app, raised) = protected(&room, "a@b.co").await;
    let user = text(&raised, "/user/id");
    let path = format!("/admin/users/{user}/factors");
    let listed = room.admin("GET", &path, Value::Null).await.ok();
    assert_eq!(listed[0]["id"], app.factor.as_str());
    assert_eq!(listed[0].get("secret"), None);
    let one = format!("{path}/{}", app.factor);
    let renamed = room
        .admin("PUT", &one, json!({"friendly_name": "old phone"}))
        .await
        .ok();
    assert_eq!(renamed["friendly_name"], "old phone");
    let not_theirs = room
        .call("DELETE", &one, Some(&token(&raised)), Value::Null)
        .await;
    assert_eq!(not_theirs.refusal(), (403, "not_admin"));
    let stranger = room.sign_up("c@d.co").await.ok();
    let crossed = format!(
        "/admin/users/{}/factors/{}",
        text(&stranger, "/user/id"),
        app.factor
    );
    let crossed = room.admin("DELETE", &crossed, Value::Null).await;
    assert_eq!(crossed.refusal(), (404, "mfa_factor_not_found"));
    room.admin("DELETE", &one, Value::Null).await.ok();
    // What the factor proved is proved no more.
    let kept = room.refresh(text(&raised, "/refresh_token")).await.ok();
    assert_eq!(claims(&token(&kept))["aal"], "aal1");
    let body = json!({"password": "something else"});
    room.call("PUT", "/user", Some(&token(&kept)), body)
        .await
        .ok();
    room.end().await;
}

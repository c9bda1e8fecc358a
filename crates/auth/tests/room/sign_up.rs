//! Signing up.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Room, claims, text};

#[tokio::test]
async fn a_confirmed_sign_up_is_a_session_with_gotrues_claims() {
    let room = Room::autoconfirm().await;
    let body = json!({"email": "Ada@Example.com", "password": PASSWORD, "data": {"name": "Ada"}});
    let reply = room.post("/signup", body).await.ok();
    let claims = claims(text(&reply, "/access_token"));
    let names: Vec<&str> = claims
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "email",
            "phone",
            "app_metadata",
            "user_metadata",
            "role",
            "aal",
            "amr",
            "session_id",
            "is_anonymous"
        ]
    );
    assert_eq!(claims["iss"], "http://127.0.0.1:54321/auth/v1");
    assert_eq!(claims["aud"], "authenticated");
    assert_eq!(claims["email"], "ada@example.com");
    assert_eq!(claims["aal"], "aal1");
    assert_eq!(claims["amr"][0]["method"], "password");
    assert_eq!(
        claims["app_metadata"],
        json!({"provider": "email", "providers": ["email"]})
    );
    assert_eq!(claims["user_metadata"]["name"], "Ada");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        3600
    );
    assert_eq!(reply["user"]["identities"][0]["provider"], "email");
    let again = room.sign_up("ada@example.com").await;
    assert_eq!(again.refusal(), (422, "user_already_exists"));
    assert_eq!(again.body["message"], "User already registered");
    room.end().await;
}

#[tokio::test]
async fn a_taken_address_looks_like_a_free_one() {
    let room = Room::confirmed().await;
    let new = room.sign_up("a@b.co").await.ok();
    assert_eq!(
        room.sign_in("a@b.co").await.refusal(),
        (400, "email_not_confirmed")
    );
    let link = room.link("a@b.co").await;
    assert!(
        room.get(&link)
            .await
            .location()
            .starts_with("http://127.0.0.1:3000#access_token=")
    );
    let taken = room.sign_up("a@b.co").await.ok();
    assert_ne!(taken["id"], new["id"]);
    assert_eq!(taken["identities"], json!([]));
    let shape = |value: &Value| {
        let keys = value.as_object().unwrap().keys().cloned();
        keys.filter(|key| key != "identities")
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(shape(&taken), shape(&new));
    let mails = room.ask("SELECT count(*) FROM ferrobase.inbox").await;
    assert_eq!(mails, "1");
    room.end().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_reasons() {
    let room = Room::autoconfirm().await;
    let short = room
        .post("/signup", json!({"email": "a@b.co", "password": "short"}))
        .await;
    assert_eq!(short.refusal(), (422, "weak_password"));
    assert_eq!(short.body["weak_password"]["reasons"], json!(["length"]));
    assert_eq!(
        short.body["message"],
        "Password should be at least 6 characters."
    );
    for (body, code, message) in [
        (
            json!({"email": "nobody", "password": PASSWORD}),
            "validation_failed",
            "Unable to validate email address: invalid format",
        ),
        (
            json!({"phone": "012", "password": PASSWORD}),
            "validation_failed",
            "Invalid phone number format (E.164 required)",
        ),
        (
            json!({"email": "a@b.co"}),
            "validation_failed",
            "Signup requires a valid password",
        ),
        (
            json!({"email": "a@b.co", "phone": "123456", "password": PASSWORD}),
            "validation_failed",
            "Only an email address or phone number should be provided on signup.",
        ),
        (
            json!({"email": "a@b.co", "password": PASSWORD, "code_challenge": "x"}),
            "validation_failed",
            "PKCE flow requires code_challenge_method and code_challenge",
        ),
    ] {
        let reply = room.post("/signup", body).await;
        assert_eq!(reply.refusal(), (400, code));
        assert_eq!(reply.body["message"], message);
    }
    let broken = room.post("/signup", json!("no object")).await;
    assert_eq!(broken.refusal(), (400, "bad_json"));
    room.end().await;
}

#[tokio::test]
async fn anonymous_users_become_somebody() {
    let room = Room::autoconfirm().await;
    let reply = room
        .post("/signup", json!({"data": {"theme": "dark"}}))
        .await
        .ok();
    let token = text(&reply, "/access_token").to_owned();
    assert_eq!(claims(&token)["is_anonymous"], true);
    assert_eq!(reply["user"]["email"], "");
    let change = json!({"email": "late@b.co", "password": PASSWORD});
    let user = room.call("PUT", "/user", Some(&token), change).await.ok();
    assert_eq!(
        (&user["email"], &user["is_anonymous"]),
        (&json!("late@b.co"), &json!(false))
    );
    assert_eq!(user["app_metadata"]["providers"], json!(["email"]));
    let signed_in = room.sign_in("late@b.co").await.ok();
    assert_eq!(signed_in["user"]["id"], reply["user"]["id"]);
    room.end().await;
}

#[tokio::test]
async fn phones_sign_up_and_in() {
    let room = Room::with(
        json!({"sms": {"enable_signup": true, "enable_confirmations": true,
        "test_otp": {"15550100": "424242"}}}),
    )
    .await;
    let body = json!({"phone": "+1 555 0100", "password": PASSWORD});
    let user = room.post("/signup", body).await.ok();
    assert_eq!(user["phone"], "15550100");
    let wrong = json!({"type": "sms", "phone": "15550100", "token": "000000"});
    assert_eq!(
        room.post("/verify", wrong).await.refusal(),
        (403, "otp_expired")
    );
    let right = json!({"type": "sms", "phone": "+15550100", "token": "424242"});
    let session = room.post("/verify", right).await.ok();
    assert_eq!(claims(text(&session, "/access_token"))["phone"], "15550100");
    let body = json!({"phone": "15550100", "password": PASSWORD});
    room.post("/token?grant_type=password", body).await.ok();
    room.end().await;
}

#[tokio::test]
async fn a_trigger_makes_the_profile_and_may_refuse() {
    let room = Room::autoconfirm().await;
    room.ask(
        "GRANT CREATE ON SCHEMA public TO postgres; SET ROLE postgres;
         CREATE TABLE public.profiles (id uuid PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE, name text NOT NULL);
         ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
         CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
         BEGIN
             IF new.raw_user_meta_data->>'name' IS NULL THEN RAISE EXCEPTION 'a name, please'; END IF;
             INSERT INTO public.profiles (id, name) VALUES (new.id, new.raw_user_meta_data->>'name');
             RETURN new;
         END $$;
         CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
             FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();",
    )
    .await;
    let body = json!({"email": "a@b.co", "password": PASSWORD, "data": {"name": "Ada"}});
    let reply = room.post("/signup", body).await.ok();
    let profile = room
        .ask("SELECT id || ' ' || name FROM public.profiles")
        .await;
    assert_eq!(profile, format!("{} Ada", text(&reply, "/user/id")));
    let refused = room.sign_up("nameless@b.co").await;
    assert_eq!(refused.refusal(), (500, "unexpected_failure"));
    assert_eq!(refused.body["message"], "Database error saving new user");
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "1");
    room.end().await;
}

#[tokio::test]
async fn nobody_makes_themselves_an_operator() {
    let room = Room::autoconfirm().await;
    let body = json!({"email": "a@b.co", "password": PASSWORD, "role": "service_role", "aud": "x",
        "app_metadata": {"admin": true}, "data": {"role": "service_role"}});
    let reply = room.post("/signup", body).await.ok();
    let token = text(&reply, "/access_token");
    assert_eq!(claims(token)["role"], "authenticated");
    assert_eq!(claims(token)["app_metadata"]["admin"], Value::Null);
    let change = json!({"role": "service_role", "data": {"x": 1}});
    room.call("PUT", "/user", Some(token), change).await.ok();
    let change = json!({"app_metadata": {"admin": true}});
    let refused = room.call("PUT", "/user", Some(token), change).await;
    assert_eq!(refused.refusal(), (403, "not_admin"));
    let admin = room
        .call("GET", "/admin/users", Some(token), Value::Null)
        .await;
    assert_eq!(admin.refusal(), (403, "not_admin"));
    assert_eq!(
        room.ask("SELECT role FROM auth.users").await,
        "authenticated"
    );
    room.end().await;
}

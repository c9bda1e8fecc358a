//! Being an OAuth server: registration, the flow, what tokens say, what users
//! take back. Attacks are in `oauth_attacks`.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::oauth_flow::{CALLBACK, VERIFIER, room, said, settings, target};
use crate::support::{Room, claims, text};

#[tokio::test]
async fn a_client_registers_and_acts_for_a_user_who_allows_it() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let reply = room.authorize(&client, &[("nonce", "n-1")]).await;
    let page = target(&reply);
    assert!(
        page.starts_with("https://app.example/oauth/consent?authorization_id="),
        "{page}"
    );
    let id = said(&page, "authorization_id");

    let seen = room.look(&id, &user).await.ok();
    assert_eq!(text(&seen, "/client/id"), client);
    assert_eq!(text(&seen, "/client/name"), "Tool");
    assert_eq!(text(&seen, "/user/email"), "ann@example.com");
    assert_eq!(text(&seen, "/scope"), "openid email");
    assert_eq!(text(&seen, "/redirect_uri"), CALLBACK);

    let answer = room.decide(&id, &user, "approve").await.ok();
    let back = text(&answer, "/redirect_url").to_owned();
    assert!(back.starts_with(&format!("{CALLBACK}?")), "{back}");
    assert_eq!(said(&back, "state"), "st&te");
    assert_eq!(said(&back, "iss"), "http://127.0.0.1:54321/auth/v1");
    let code = said(&back, "code");
    let stored = room
        .ask("SELECT authorization_code FROM auth.oauth_authorizations")
        .await;
    assert!(
        !stored.is_empty() && stored != code,
        "codes are stored as hashes"
    );

    let reply = room.exchange(&client, &code, &[]).await;
    assert_eq!(reply.headers["cache-control"], "no-store");
    let tokens = reply.ok();
    assert_eq!(text(&tokens, "/scope"), "openid email");
    assert!(tokens.get("user").is_none());
    let access = claims(text(&tokens, "/access_token"));
    assert_eq!(text(&access, "/client_id"), client);
    assert_eq!(text(&access, "/scope"), "openid email");
    assert_eq!(text(&access, "/role"), "authenticated");
    let id_token = claims(text(&tokens, "/id_token"));
    assert_eq!(id_token["aud"], json!([client]));
    assert_eq!(text(&id_token, "/nonce"), "n-1");
    assert_eq!(text(&id_token, "/email"), "ann@example.com");
    assert!(id_token.get("name").is_none(), "profile was not asked for");

    let token = text(&tokens, "/access_token");
    let info = room
        .call("GET", "/oauth/userinfo", Some(token), Value::Null)
        .await
        .ok();
    assert_eq!(info["email_verified"], json!(true));
    assert!(info.get("user_metadata").is_none());
    let user = room.user(token).await.ok();
    assert_eq!(text(&user, "/email"), "ann@example.com");

    let renewed = room
        .renew(&client, text(&tokens, "/refresh_token"))
        .await
        .ok();
    assert_ne!(renewed["refresh_token"], tokens["refresh_token"]);
    assert_eq!(
        text(&claims(text(&renewed, "/access_token")), "/client_id"),
        client
    );
    room.end().await;
}

#[tokio::test]
async fn who_allowed_it_once_is_not_asked_again_for_as_much() {
    let room = room().await;
    let (user, client, _) = room.granted().await;
    let again = room.asked(&client, &[("scope", "email")]).await;
    let seen = room.look(&again, &user).await.ok();
    assert!(!said(text(&seen, "/redirect_url"), "code").is_empty());
    // More than was granted is asked.
    let more = room.asked(&client, &[("scope", "email profile")]).await;
    let seen = room.look(&more, &user).await.ok();
    assert_eq!(text(&seen, "/scope"), "email profile");
    // And so is somebody else.
    let other = room.somebody("bob@example.com").await;
    let asked = room.asked(&client, &[]).await;
    assert!(
        room.look(&asked, &other)
            .await
            .ok()
            .get("redirect_url")
            .is_none()
    );
    room.end().await;
}

#[tokio::test]
async fn a_denial_is_told_and_final() {
    let room = room().await;
    let (user, client) = (
        room.somebody("ann@example.com").await,
        room.public_client().await,
    );
    let id = room.asked(&client, &[]).await;
    room.look(&id, &user).await.ok();
    let answer = room.decide(&id, &user, "deny").await.ok();
    let back = text(&answer, "/redirect_url");
    assert_eq!(said(back, "error"), "access_denied");
    assert_eq!(said(back, "state"), "st&te");
    assert_eq!(said(back, "code"), "");
    assert_eq!(
        room.decide(&id, &user, "approve").await.refusal(),
        (400, "validation_failed")
    );
    room.end().await;
}

#[tokio::test]
async fn a_user_sees_and_takes_back_what_they_granted() {
    let room = room().await;
    let (user, client, tokens) = room.granted().await;
    let pending = room.code(&client, &user, &[]).await;
    let list = room
        .call("GET", "/user/oauth/grants", Some(&user), Value::Null)
        .await
        .ok();
    assert_eq!(text(&list, "/0/client/id"), client);
    assert_eq!(list[0]["scopes"], json!(["openid", "email"]));
    let path = format!("/user/oauth/grants?client_id={client}");
    let gone = room.call("DELETE", &path, Some(&user), Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    // Sessions, refresh tokens and codes on their way end with it.
    let token = text(&tokens, "/access_token");
    assert_eq!(room.user(token).await.refusal(), (403, "session_not_found"));
    let renewed = room.renew(&client, text(&tokens, "/refresh_token")).await;
    assert_eq!(text(&renewed.body, "/error"), "invalid_grant");
    let late = room.exchange(&client, &pending, &[]).await;
    assert_eq!(text(&late.body, "/error"), "invalid_grant");
    let list = room
        .call("GET", "/user/oauth/grants", Some(&user), Value::Null)
        .await
        .ok();
    assert_eq!(list, json!([]));
    let twice = room.call("DELETE", &path, Some(&user), Value::Null).await;
    assert_eq!(twice.refusal(), (404, "oauth_consent_not_found"));
    // The user's own session is not the client's.
    room.user(&user).await.ok();
    let id = room.asked(&client, &[]).await;
    assert!(
        room.look(&id, &user)
            .await
            .ok()
            .get("redirect_url")
            .is_none(),
        "asked again"
    );
    room.end().await;
}

#[tokio::test]
async fn operators_manage_clients() {
    let room = room().await;
    let body =
        json!({"client_name": "App", "redirect_uris": [CALLBACK, "http://localhost:3000/cb"]});
    let reply = room.admin("POST", "/admin/oauth/clients", body).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
    let client = reply.body;
    let (id, secret) = (text(&client, "/client_id"), text(&client, "/client_secret"));
    assert_eq!(text(&client, "/client_type"), "confidential");
    assert_eq!(text(&client, "/registration_type"), "manual");
    assert_eq!(
        client["grant_types"],
        json!(["authorization_code", "refresh_token"])
    );
    let stored = room
        .ask("SELECT client_secret_hash FROM auth.oauth_clients")
        .await;
    assert!(
        !stored.is_empty() && !stored.contains(secret),
        "secrets are stored as hashes"
    );
    let path = format!("/admin/oauth/clients/{id}");
    let got = room.admin("GET", &path, Value::Null).await.ok();
    assert!(got.get("client_secret").is_none());
    let list = room
        .admin("GET", "/admin/oauth/clients?page=1&per_page=2", Value::Null)
        .await;
    assert_eq!(list.headers["x-total-count"], "1");
    assert_eq!(text(&list.ok(), "/clients/0/client_id"), id);
    let changed = room
        .admin("PUT", &path, json!({"logo_uri": "https://a.b/l.png"}))
        .await
        .ok();
    assert_eq!(text(&changed, "/logo_uri"), "https://a.b/l.png");
    assert_eq!(text(&changed, "/client_name"), "App");
    for wrong in [
        json!({}),
        json!({"redirect_uris": []}),
        json!({"redirect_uris": ["javascript:alert(1)"]}),
        json!({"token_endpoint_auth_method": "none"}),
        json!({"grant_types": ["password"]}),
    ] {
        let reply = room.admin("PUT", &path, wrong.clone()).await;
        assert_eq!(reply.refusal(), (400, "validation_failed"), "{wrong}");
    }
    let fresh = room
        .admin("POST", &format!("{path}/regenerate_secret"), Value::Null)
        .await
        .ok();
    assert_ne!(text(&fresh, "/client_secret"), secret);
    assert_eq!(
        room.post("/admin/oauth/clients", json!({})).await.refusal(),
        (401, "no_authorization")
    );
    let user = room.somebody("ann@example.com").await;
    let reply = room.call("GET", &path, Some(&user), Value::Null).await;
    assert_eq!(reply.refusal(), (403, "not_admin"));
    let gone = room.admin("DELETE", &path, Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        room.admin("GET", &path, Value::Null).await.refusal(),
        (404, "oauth_client_not_found")
    );
    room.end().await;
}

#[tokio::test]
async fn a_client_shows_its_secret_the_way_it_registered() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    for method in ["client_secret_basic", "client_secret_post"] {
        let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": method});
        let reply = room.post("/oauth/clients/register", body).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{}", reply.body);
        assert_eq!(reply.body["client_secret_expires_at"], json!(0));
        let (id, secret) = (
            text(&reply.body, "/client_id"),
            text(&reply.body, "/client_secret"),
        );
        let code = room.code(id, &user, &[]).await;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("code_verifier", VERIFIER),
        ];
        let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let (good, bad) = (basic(secret), basic("guessed"));
        let mut posted = fields.to_vec();
        posted.extend([("client_id", id), ("client_secret", secret)]);
        let mut guessed = fields.to_vec();
        guessed.extend([("client_id", id), ("client_secret", "guessed")]);
        let mut public = fields.to_vec();
        public.push(("client_id", id));
        let by_header = room
            .form("/oauth/token", &fields, &[("authorization", &bad)])
            .await;
        assert_eq!(by_header.status, StatusCode::UNAUTHORIZED);
        assert_eq!(text(&by_header.body, "/error"), "invalid_client");
        for wrong in [&guessed, &public] {
            let reply = room.form("/oauth/token", wrong, &[]).await;
            assert_eq!(text(&reply.body, "/error"), "invalid_client", "{method}");
        }
        let both = room
            .form("/oauth/token", &posted, &[("authorization", &good)])
            .await;
        assert_eq!(text(&both.body, "/error"), "invalid_request", "{method}");
        let other = if method == "client_secret_basic" {
            room.form("/oauth/token", &posted, &[]).await
        } else {
            room.form("/oauth/token", &fields, &[("authorization", &good)])
                .await
        };
        assert_eq!(text(&other.body, "/error"), "invalid_client", "{method}");
        let right = if method == "client_secret_basic" {
            room.form("/oauth/token", &fields, &[("authorization", &good)])
                .await
        } else {
            room.form("/oauth/token", &posted, &[]).await
        };
        right.ok();
    }
    room.end().await;
}

#[tokio::test]
async fn clients_find_the_server_and_its_switches_hold() {
    let room = room().await;
    let path = "/.well-known/oauth-authorization-server";
    let found = room.get(path).await.ok();
    assert_eq!(
        text(&found, "/registration_endpoint"),
        "http://127.0.0.1:54321/auth/v1/oauth/clients/register"
    );
    assert_eq!(found["code_challenge_methods_supported"], json!(["S256"]));
    for (path, status) in [("/auth/v1", 200), ("/elsewhere", 404)] {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = room.metadata.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Option<Value> = serde_json::from_slice(&body).ok();
        assert_eq!(body.is_some_and(|body| body == found), status == 200);
    }
    room.end().await;

    let mut closed = settings();
    closed["oauth_server"]["allow_dynamic_registration"] = json!(false);
    let room = Room::with(closed).await;
    let body = json!({"redirect_uris": [CALLBACK]});
    let reply = room.post("/oauth/clients/register", body.clone()).await;
    assert_eq!(
        reply.refusal(),
        (403, "oauth_dynamic_client_registration_disabled")
    );
    assert!(
        room.get(path)
            .await
            .ok()
            .get("registration_endpoint")
            .is_none()
    );
    // Without a key pair nobody could verify an ID token.
    let client = room.admin("POST", "/admin/oauth/clients", body).await;
    let reply = room.authorize(text(&client.body, "/client_id"), &[]).await;
    assert_eq!(said(&target(&reply), "error"), "invalid_scope");
    room.end().await;

    let room = Room::with(json!({})).await;
    let user = room.somebody("ann@example.com").await;
    for (method, path) in [
        ("POST", "/oauth/clients/register"),
        ("GET", "/oauth/authorize"),
        ("GET", "/oauth/authorizations/x"),
        ("POST", "/oauth/authorizations/x/consent"),
        ("GET", "/oauth/consent"),
        ("POST", "/oauth/consent"),
        ("POST", "/oauth/token"),
        ("GET", "/oauth/userinfo"),
        ("GET", "/user/oauth/grants"),
        ("GET", "/.well-known/oauth-authorization-server"),
    ] {
        let reply = room.call(method, path, Some(&user), Value::Null).await;
        assert_eq!(reply.refusal(), (404, "feature_disabled"), "{path}");
    }
    let reply = room.admin("GET", "/admin/oauth/clients", Value::Null).await;
    assert_eq!(reply.refusal(), (404, "feature_disabled"));
    room.end().await;
}

//! What somebody does who wants in through the OAuth server. Each test fails
//! when its defence is removed.

use http::StatusCode;
use serde_json::{Value, json};

use crate::oauth_flow::{CALLBACK, CHALLENGE, VERIFIER, room, said, target};
use crate::support::{Reply, text};

fn error(reply: &Reply) -> &str {
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
    text(&reply.body, "/error")
}

#[tokio::test]
async fn a_code_that_comes_twice_ends_what_it_won() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let code = room.code(&client, &user, &[]).await;
    let tokens = room.exchange(&client, &code, &[]).await.ok();
    room.user(text(&tokens, "/access_token")).await.ok();
    assert_eq!(
        error(&room.exchange(&client, &code, &[]).await),
        "invalid_grant"
    );
    let after = room.user(text(&tokens, "/access_token")).await;
    assert_eq!(after.refusal(), (403, "session_not_found"));
    let renewed = room.renew(&client, text(&tokens, "/refresh_token")).await;
    assert_eq!(error(&renewed), "invalid_grant");
    // The user's own session lives on.
    room.user(&user).await.ok();
    room.end().await;
}

#[tokio::test]
async fn two_exchanges_at_once_win_one_session_at_most() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let code = room.code(&client, &user, &[]).await;
    let (a, b) = tokio::join!(
        room.exchange(&client, &code, &[]),
        room.exchange(&client, &code, &[])
    );
    let (won, lost) = if a.status == StatusCode::OK {
        (a, b)
    } else {
        (b, a)
    };
    won.ok();
    assert_eq!(error(&lost), "invalid_grant");
    assert_eq!(
        room.ask("SELECT count(*) FROM auth.sessions WHERE oauth_client_id IS NOT NULL")
            .await,
        "0"
    );
    room.end().await;
}

#[tokio::test]
async fn a_code_is_for_its_client_its_address_and_its_time() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    let (client, other) = (room.public_client().await, room.public_client().await);
    let code = room
        .code(&client, &user, &[("resource", "https://mcp.example/a")])
        .await;
    assert_eq!(
        error(&room.exchange(&other, &code, &[]).await),
        "invalid_grant"
    );
    for address in ["https://client.example/callback/", "https://evil.example/"] {
        let reply = room
            .exchange(&client, &code, &[("redirect_uri", address)])
            .await;
        assert_eq!(error(&reply), "invalid_grant", "{address}");
    }
    let reply = room
        .exchange(&client, &code, &[("resource", "https://mcp.example/b")])
        .await;
    assert_eq!(error(&reply), "invalid_target");
    room.wait(61);
    assert_eq!(
        error(&room.exchange(&client, &code, &[]).await),
        "invalid_grant"
    );
    // None of this was a second use: the next code is exchanged.
    let code = room.code(&client, &user, &[]).await;
    room.exchange(&client, &code, &[]).await.ok();
    room.end().await;
}

#[tokio::test]
async fn the_challenge_cannot_be_left_out_weakened_or_guessed() {
    let room = room().await;
    let user = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    for weak in [
        [("code_challenge", ""), ("code_challenge_method", "S256")],
        [("code_challenge", ""), ("code_challenge_method", "")],
        [("code_challenge", CHALLENGE), ("code_challenge_method", "")],
        [
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "plain"),
        ],
        [
            ("code_challenge", "short"),
            ("code_challenge_method", "S256"),
        ],
    ] {
        let to = target(&room.authorize(&client, &weak).await);
        assert!(to.starts_with(CALLBACK), "{weak:?}");
        assert_eq!(said(&to, "error"), "invalid_request", "{weak:?}");
    }
    let code = room.code(&client, &user, &[]).await;
    for verifier in [
        "",
        CHALLENGE,
        "guessed-guessed-guessed-guessed-guessed-guessed",
    ] {
        let reply = room
            .exchange(&client, &code, &[("code_verifier", verifier)])
            .await;
        assert_eq!(error(&reply), "invalid_grant", "{verifier}");
    }
    // A row of another server's making that has less.
    for weaker in [
        "code_challenge_method = 'plain', code_challenge = ",
        "code_challenge_method = NULL, code_challenge = ",
    ] {
        room.ask(&format!(
            "UPDATE auth.oauth_authorizations SET {weaker}'{VERIFIER}'"
        ))
        .await;
        assert_eq!(
            error(&room.exchange(&client, &code, &[]).await),
            "invalid_grant",
            "{weaker}"
        );
    }
    room.end().await;
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_only_looks_registered() {
    let room = room().await;
    let client = room.public_client().await;
    for trick in [
        "https://client.example/callback/../evil",
        "https://client.example/callback?x=1",
        "https://client.example/callback#x",
        "https://client.example/callbackevil",
        "https://client.example/Callback",
        "https://client.example:443/callback",
        "https://client.example.evil.example/callback",
        "https://client.example@evil.example/callback",
        "https://evil.example/",
        "HTTPS://client.example/callback",
        "http://client.example/callback",
        "https://client.example",
        "javascript:alert(1)",
        "",
    ] {
        // Also where something else is wrong, which would be told there.
        for method in ["S256", "plain"] {
            let more = [("redirect_uri", trick), ("code_challenge_method", method)];
            let reply = room.authorize(&client, &more).await;
            assert_eq!(reply.refusal(), (400, "validation_failed"), "{trick}");
            assert!(reply.headers.get("location").is_none(), "{trick}");
        }
    }
    let doubled = format!(
        "/oauth/authorize?client_id={client}&redirect_uri={CALLBACK}&redirect_uri=https://evil.example/\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    );
    assert_eq!(
        room.get(&doubled).await.refusal(),
        (400, "validation_failed")
    );
    let nobody = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        room.authorize(nobody, &[]).await.refusal(),
        (400, "oauth_client_not_found")
    );
    room.end().await;
}

#[tokio::test]
async fn what_registers_itself_cannot_bring_a_dangerous_address() {
    let room = room().await;
    for address in [
        "javascript:alert(1)",
        "javascript://a/%0aalert(1)",
        "data:text/html,x",
        "http://client.example/callback",
        "http://localhost.evil.example/",
        "https://good.example/,https://evil.example/",
        "https://a.example/#f",
        "https://user@a.example/",
    ] {
        let body = json!({"redirect_uris": [CALLBACK, address]});
        let reply = room.post("/oauth/clients/register", body).await;
        assert_eq!(error(&reply), "invalid_redirect_uri", "{address}");
    }
    for body in [
        json!({"redirect_uris": []}),
        json!({}),
        json!({"redirect_uris": vec![CALLBACK; 11]}),
    ] {
        let reply = room.post("/oauth/clients/register", body).await;
        assert_eq!(error(&reply), "invalid_redirect_uri");
    }
    for (name, value) in [
        ("client_uri", json!("javascript:alert(1)")),
        ("logo_uri", json!("data:image/svg+xml,x")),
        ("client_name", json!("Pay\u{202e}lap")),
        ("grant_types", json!(["client_credentials"])),
        ("token_endpoint_auth_method", json!("private_key_jwt")),
    ] {
        let mut body = json!({"redirect_uris": [CALLBACK]});
        body[name] = value;
        let reply = room.post("/oauth/clients/register", body).await;
        assert_eq!(error(&reply), "invalid_client_metadata", "{name}");
    }
    assert_eq!(
        room.ask("SELECT count(*) FROM auth.oauth_clients").await,
        "0"
    );
    room.end().await;
}

#[tokio::test]
async fn a_client_registers_only_so_often() {
    let room = room().await;
    let mut last = StatusCode::OK;
    for _ in 0..50 {
        let body = json!({"redirect_uris": [CALLBACK]});
        let mut request = room.request("POST", "/oauth/clients/register", None, &body);
        let far = kernel::ClientAddress([203, 0, 113, 7].into());
        request.extensions_mut().insert(far);
        last = room.send(request).await.status;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    room.end().await;
}

#[tokio::test]
async fn a_refresh_token_is_its_clients_alone_and_dies_of_reuse() {
    let room = room().await;
    let (user, client, tokens) = room.granted().await;
    let token = text(&tokens, "/refresh_token");
    let thief = room.public_client().await;
    assert_eq!(error(&room.renew(&thief, token).await), "invalid_grant");
    // Nor can it be shown without a client, nor a user's own with one.
    assert_eq!(error(&room.refresh(token).await), "invalid_client");
    let own = room.sign_in("ann@example.com").await.ok();
    let reply = room.renew(&client, text(&own, "/refresh_token")).await;
    assert_eq!(error(&reply), "invalid_grant");
    // None of which has hurt it.
    let next = room.renew(&client, token).await.ok();
    let last = room
        .renew(&client, text(&next, "/refresh_token"))
        .await
        .ok();
    room.wait(60);
    assert_eq!(error(&room.renew(&client, token).await), "invalid_grant");
    let reply = room.renew(&client, text(&last, "/refresh_token")).await;
    assert_eq!(error(&reply), "invalid_grant", "reuse ends the family");
    room.user(&user).await.ok();
    room.end().await;
}

#[tokio::test]
async fn nobody_answers_for_somebody_else() {
    let room = room().await;
    let (ann, eve) = (
        room.somebody("ann@example.com").await,
        room.somebody("eve@example.com").await,
    );
    let client = room.public_client().await;
    let id = room.asked(&client, &[]).await;
    // Who has not looked cannot answer, and nobody can without a token.
    let early = room.decide(&id, &ann, "approve").await;
    assert_eq!(early.refusal(), (404, "oauth_authorization_not_found"));
    room.look(&id, &ann).await.ok();
    for reply in [
        room.look(&id, &eve).await,
        room.decide(&id, &eve, "approve").await,
    ] {
        assert_eq!(reply.refusal(), (404, "oauth_authorization_not_found"));
    }
    let path = format!("/oauth/authorizations/{id}/consent");
    let nobody = room.post(&path, json!({"action": "approve"})).await;
    assert_eq!(nobody.refusal(), (401, "no_authorization"));
    room.decide(&id, &ann, "approve").await.ok();
    // A request waits ten minutes.
    let late = room.asked(&client, &[("scope", "profile")]).await;
    room.look(&late, &ann).await.ok();
    room.wait(601);
    let reply = room.decide(&late, &ann, "approve").await;
    assert_eq!(reply.refusal(), (404, "oauth_authorization_not_found"));
    room.end().await;
}

#[tokio::test]
async fn only_the_applications_pages_may_ask_and_answer() {
    let room = room().await;
    let ann = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let id = room.asked(&client, &[]).await;
    room.look(&id, &ann).await.ok();
    for (origin, status) in [
        ("https://evil.example", 400),
        ("null", 400),
        ("https://app.example", 200),
    ] {
        for (method, path, body) in [
            ("GET", format!("/oauth/authorizations/{id}"), Value::Null),
            (
                "POST",
                format!("/oauth/authorizations/{id}/consent"),
                json!({"action": "approve"}),
            ),
        ] {
            let reply = room.call_from(origin, method, &path, &ann, body).await;
            assert_eq!(reply.status.as_u16(), status, "{origin} {}", reply.body);
        }
    }
    room.end().await;
}

#[tokio::test]
async fn a_client_cannot_widen_what_it_was_given() {
    let room = room().await;
    let (_, client, tokens) = room.granted().await;
    let token = text(&tokens, "/access_token");
    let id = room
        .asked(&client, &[("scope", "email profile phone")])
        .await;
    assert_eq!(
        room.look(&id, token).await.refusal(),
        (403, "no_authorization")
    );
    assert_eq!(
        room.decide(&id, token, "approve").await.refusal(),
        (403, "no_authorization")
    );
    for (method, path, body) in [
        ("GET", "/user/oauth/grants", Value::Null),
        ("PUT", "/user", json!({"password": "taken over, thanks"})),
        ("PUT", "/user", json!({"email": "eve@example.com"})),
        ("GET", "/reauthenticate", Value::Null),
    ] {
        let reply = room.call(method, path, Some(token), body).await;
        assert_eq!(reply.refusal(), (403, "no_authorization"), "{path}");
    }
    // Nor sign the user out: it only ends its own session.
    let own = room.sign_in("ann@example.com").await.ok();
    room.call("POST", "/logout?scope=global", Some(token), Value::Null)
        .await;
    assert_eq!(room.user(token).await.refusal(), (403, "session_not_found"));
    room.user(text(&own, "/access_token")).await.ok();
    room.end().await;
}

#[tokio::test]
async fn an_id_token_opens_nothing() {
    let room = room().await;
    let (_, _, tokens) = room.granted().await;
    let id_token = text(&tokens, "/id_token");
    for path in ["/user", "/oauth/userinfo"] {
        // The gateway gives a token without a role the anonymous one.
        let reply = room.call_as("anon", "GET", path, id_token).await;
        assert_eq!(reply.refusal(), (403, "bad_jwt"), "{path}");
    }
    room.end().await;
}

#[tokio::test]
async fn a_client_on_the_users_machine_is_never_waved_through() {
    let room = room().await;
    let ann = room.somebody("ann@example.com").await;
    for address in ["http://localhost:7777/cb", "app://cb"] {
        let body = json!({"redirect_uris": [address], "token_endpoint_auth_method": "none"});
        let reply = room.post("/oauth/clients/register", body).await;
        let client = text(&reply.body, "/client_id");
        let more = [("redirect_uri", address)];
        let first = room.asked(client, &more).await;
        room.look(&first, &ann).await.ok();
        room.decide(&first, &ann, "approve").await.ok();
        let again = room.asked(client, &more).await;
        let seen = room.look(&again, &ann).await.ok();
        assert!(seen.get("redirect_url").is_none(), "{address}");
    }
    room.end().await;
}

#[tokio::test]
async fn what_is_taken_away_stays_away() {
    let room = room().await;
    let (ann, client, tokens) = room.granted().await;
    let code = room.code(&client, &ann, &[]).await;
    let path = format!("/admin/oauth/clients/{client}");
    room.admin("DELETE", &path, Value::Null).await;
    let access = text(&tokens, "/access_token");
    assert_eq!(
        room.user(access).await.refusal(),
        (403, "session_not_found")
    );
    for reply in [
        room.exchange(&client, &code, &[]).await,
        room.renew(&client, text(&tokens, "/refresh_token")).await,
    ] {
        assert_eq!(error(&reply), "invalid_client");
    }
    assert_eq!(
        room.authorize(&client, &[]).await.refusal(),
        (400, "oauth_client_not_found")
    );
    room.end().await;
}

#[tokio::test]
async fn a_banned_user_wins_nothing_with_a_code() {
    let room = room().await;
    let ann = room.somebody("ann@example.com").await;
    let client = room.public_client().await;
    let code = room.code(&client, &ann, &[]).await;
    room.ask("UPDATE auth.users SET banned_until = 'infinity'")
        .await;
    assert_eq!(
        error(&room.exchange(&client, &code, &[]).await),
        "access_denied"
    );
    room.end().await;
}

#[tokio::test]
async fn a_client_does_what_it_registered_for() {
    let room = room().await;
    let ann = room.somebody("ann@example.com").await;
    let body = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"],
    });
    let reply = room.post("/oauth/clients/register", body).await;
    let client = text(&reply.body, "/client_id");
    let code = room.code(client, &ann, &[]).await;
    let tokens = room.exchange(client, &code, &[]).await.ok();
    assert!(tokens.get("refresh_token").is_none());
    assert_eq!(
        error(&room.renew(client, "whatever-it-is").await),
        "unauthorized_client"
    );
    let fields = [("grant_type", "password"), ("client_id", client)];
    assert_eq!(
        error(&room.form("/oauth/token", &fields, &[]).await),
        "unsupported_grant_type"
    );
    let twice = [
        ("grant_type", "refresh_token"),
        ("client_id", client),
        ("client_id", client),
    ];
    assert_eq!(
        error(&room.form("/oauth/token", &twice, &[]).await),
        "invalid_request"
    );
    room.end().await;
}

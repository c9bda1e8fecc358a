//! Signing in with others, and those who try to get in that way.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::idp::{Idp, Signing};
use crate::support::{Reply, Room, claims, text};

const VERIFIER: &str = "a-verifier-that-is-long-enough-to-be-one-1234567";
const SITE: &str = "http://127.0.0.1:3000";

/// A browser on its way, with the cookie it was given.
struct Trip {
    address: String,
    cookie: String,
}

impl Trip {
    async fn begin(room: &Room, query: &str) -> Self {
        let reply = room.get(&format!("/authorize?{query}")).await;
        assert_eq!(reply.status, StatusCode::FOUND, "{}", reply.body);
        let header = |name: &str| {
            let value = reply.headers.get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let cookie = header("set-cookie").unwrap_or_default();
        Self {
            address: header("location").unwrap(),
            cookie: cookie.split(';').next().unwrap().to_owned(),
        }
    }

    async fn pkce(room: &Room, provider: &str) -> Self {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let query = format!(
            "provider={provider}&code_challenge={challenge}&code_challenge_method=s256&redirect_to=https://app.example/in"
        );
        Self::begin(room, &query).await
    }

    fn state(&self) -> &str {
        let (_, rest) = self.address.split_once("state=").unwrap();
        rest.split('&').next().unwrap()
    }

    async fn back(&self, room: &Room, path: &str) -> Reply {
        let request = Request::get(path).header("cookie", format!("a=b; {}", self.cookie));
        room.send(request.body(Body::empty()).unwrap()).await
    }

    /// Through the provider's page and back; where it ends.
    async fn end(&self, room: &Room, idp: &Idp) -> String {
        let path = idp.consent(&self.address).await;
        landing(&self.back(room, &path).await)
    }
}

fn landing(reply: &Reply) -> String {
    assert!(reply.status.is_redirection(), "{}", reply.body);
    reply.headers["location"].to_str().unwrap().to_owned()
}

fn token_in(address: &str) -> String {
    let (_, rest) = address
        .split_once("#access_token=")
        .unwrap_or_else(|| panic!("no token in {address}"));
    rest.split('&').next().unwrap().to_owned()
}

async fn started() -> (Idp, Room) {
    let idp = Idp::start().await;
    let room = Room::with(idp.settings()).await;
    (idp, room)
}

async fn exchange(room: &Room, code: &str, verifier: &str) -> Reply {
    let body = json!({"auth_code": code, "code_verifier": verifier});
    room.post("/token?grant_type=pkce", body).await
}

/// Ends what holds a database.
async fn over(room: Room, idp: Idp) {
    room.end().await;
    idp.end().await;
}

#[tokio::test]
async fn a_browser_comes_back_signed_in() {
    let (idp, room) = started().await;
    let trip = Trip::begin(
        &room,
        "provider=corp&prompt=login&client_id=evil&State=evil",
    )
    .await;
    assert!(
        trip.address.starts_with(&format!(
            "{}/authorize?prompt=login&client_id=our-id&",
            idp.url
        )),
        "{}",
        trip.address
    );
    assert!(!trip.address.contains("evil"));
    let at = trip.end(&room, &idp).await;
    assert!(at.starts_with(&format!("{SITE}#access_token=")), "{at}");
    assert!(
        at.contains("provider_token=access-code-0") && at.contains("provider_refresh_token=theirs"),
        "{at}"
    );
    let token = token_in(&at);
    let user = room.user(&token).await.ok();
    assert_eq!(
        (
            &user["email"],
            &user["app_metadata"]["providers"],
            &user["user_metadata"]["name"]
        ),
        (&json!("ada@b.co"), &json!(["corp"]), &json!("Ada"))
    );
    assert_eq!(claims(&token)["amr"][0]["method"], "oauth");
    assert!(user["email_confirmed_at"].is_string());
    // The same person later, by another name.
    idp.person(json!({"sub": "1", "email": "ada@b.co", "email_verified": true, "name": "Ada L."}));
    let again = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    let again = room.user(&token_in(&again)).await.ok();
    assert_eq!(
        (&again["id"], &again["user_metadata"]["name"]),
        (&user["id"], &json!("Ada L."))
    );
    assert_eq!(room.ask("SELECT count(*) FROM auth.flow_state").await, "0");
    over(room, idp).await;
}

#[tokio::test]
async fn a_flow_with_a_challenge_ends_in_a_code() {
    let (idp, room) = started().await;
    for provider in ["google", "github"] {
        idp.person(json!({"sub": "7", "id": 7, "login": "ada", "email": "ada@b.co", "email_verified": true}));
        idp.set(|does| {
            does.emails = json!([{"email": "ada@b.co", "verified": true, "primary": true}]);
        });
        let trip = Trip::pkce(&room, provider).await;
        let at = trip.end(&room, &idp).await;
        let code = at.strip_prefix("https://app.example/in?code=").unwrap();
        let wrong = exchange(&room, code, "another verifier").await;
        assert_eq!(wrong.refusal(), (400, "bad_code_verifier"));
        let session = exchange(&room, code, VERIFIER).await.ok();
        assert!(text(&session, "/provider_token").starts_with("access-code-"));
        assert_eq!(session["provider_refresh_token"], "theirs");
        assert_eq!(session["user"]["email"], "ada@b.co");
        let again = exchange(&room, code, VERIFIER).await;
        assert_eq!(again.refusal(), (404, "flow_state_not_found"));
    }
    // One person with two accounts elsewhere.
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "1");
    assert_eq!(room.ask("SELECT count(*) FROM auth.identities").await, "2");
    over(room, idp).await;
}

#[tokio::test]
async fn a_state_counts_once_in_the_browser_that_left() {
    let (idp, room) = started().await;
    let trip = Trip::begin(&room, "provider=corp").await;
    let path = idp.consent(&trip.address).await;
    // Somebody sends his own way back to a victim.
    let victim = landing(&room.get(&path).await);
    assert!(
        victim.starts_with(&format!(
            "{SITE}/?error=invalid_request&error_code=bad_oauth_state"
        )),
        "{victim}"
    );
    let other = Trip::begin(&room, "provider=corp").await;
    let victim = landing(&other.back(&room, &path).await);
    assert!(victim.contains("bad_oauth_state"), "{victim}");
    // The state of one trip with the code of another.
    let swapped = format!("/callback?code=code-0&state={}", other.state());
    let swapped = landing(&other.back(&room, &swapped).await);
    assert!(
        swapped.contains("error=server_error") && swapped.contains("Unable+to+exchange"),
        "{swapped}"
    );
    // Its own code comes too late now.
    let late = idp.consent(&other.address).await;
    assert!(landing(&other.back(&room, &late).await).contains("oauth_client_state_not_found"));
    let (one, two) = tokio::join!(trip.back(&room, &path), trip.back(&room, &path));
    let good = [landing(&one), landing(&two)];
    assert_eq!(
        good.iter()
            .filter(|at| at.contains("#access_token="))
            .count(),
        1,
        "{good:?}"
    );
    for bad in [
        "",
        "?state=1&code=x",
        "?state=00000000-0000-4000-8000-000000000000&code=x",
    ] {
        let at = landing(&room.get(&format!("/callback{bad}")).await);
        assert!(
            at.starts_with(&format!("{SITE}/?error=invalid_request")),
            "{at}"
        );
    }
    let slow = Trip::begin(&room, "provider=corp").await;
    room.wait(301);
    assert!(
        slow.end(&room, &idp)
            .await
            .contains("OAuth+state+has+expired")
    );
    over(room, idp).await;
}

#[tokio::test]
async fn a_code_of_another_flow_is_found_out_by_the_nonce() {
    let (idp, room) = started().await;
    idp.set(|does| does.checks_pkce = false);
    let (mine, theirs) = (
        Trip::begin(&room, "provider=corp").await,
        Trip::pkce(&room, "corp").await,
    );
    let stolen = idp.consent(&theirs.address).await;
    let (code, _) = stolen.split_once("&state").unwrap();
    let at = landing(
        &mine
            .back(&room, &format!("{code}&state={}", mine.state()))
            .await,
    );
    assert!(at.contains("Error+getting+user+profile"), "{at}");
    // A challenge cannot be taken away from a flow that began with one.
    let path = idp.consent(&theirs.address).await;
    let at = landing(
        &theirs
            .back(&room, &path.replace("code=", "flow_type=implicit&code="))
            .await,
    );
    assert!(
        at.starts_with("https://app.example/in?code=") && !at.contains("access_token"),
        "{at}"
    );
    let code = at.rsplit("code=").next().unwrap();
    assert_eq!(
        exchange(&room, code, "").await.refusal(),
        (400, "validation_failed")
    );
    over(room, idp).await;
}

#[tokio::test]
async fn tokens_that_lie_sign_nobody_in() {
    let (idp, room) = started().await;
    for lie in [
        json!({"aud": "somebody else"}),
        json!({"aud": ["our-id", "other"], "azp": "other"}),
        json!({"iss": "https://evil.example"}),
        json!({"exp": 1000}),
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"sub": null}),
        json!({"at_hash": "AAAA"}),
    ] {
        idp.set(|does| does.lie = lie.clone());
        let at = Trip::begin(&room, "provider=corp")
            .await
            .end(&room, &idp)
            .await;
        assert!(at.contains("Error+getting+user+profile"), "{lie}: {at}");
    }
    idp.set(|does| does.lie = json!({}));
    for signing in [Signing::Not, Signing::PublicAsSecret, Signing::OtherKey] {
        idp.set(|does| does.signing = signing);
        let at = Trip::begin(&room, "provider=corp")
            .await
            .end(&room, &idp)
            .await;
        assert!(
            at.contains("Error+getting+user+profile"),
            "{signing:?}: {at}"
        );
    }
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "0");
    over(room, idp).await;
}

#[tokio::test]
async fn an_issuer_speaks_for_itself_only() {
    let idp = Idp::start().await;
    idp.set(|does| does.says_issuer = "https://accounts.google.com".to_owned());
    let room = Room::with(idp.settings()).await;
    let reply = room.get("/authorize?provider=corp").await;
    assert_eq!(reply.status.as_u16(), 500);
    room.wait(60);
    idp.set(|does| does.says_issuer = String::new());
    let trip = Trip::begin(&room, "provider=corp").await;
    let path = idp.consent(&trip.address).await;
    let mixed = trip
        .back(&room, &format!("{path}&iss=https://evil.example"))
        .await;
    assert!(landing(&mixed).contains("another+issuer"));
    over(room, idp).await;
}

#[tokio::test]
async fn nobody_is_sent_where_the_operator_does_not_allow() {
    let (idp, room) = started().await;
    let trip = Trip::begin(&room, "provider=corp&redirect_to=https://evil.example/").await;
    assert!(trip.end(&room, &idp).await.starts_with(&format!("{SITE}#")));
    let trip = Trip::begin(&room, "provider=corp").await;
    let path = idp.consent(&trip.address).await;
    let at = landing(
        &trip
            .back(&room, &format!("{path}&redirect_to=https://evil.example/"))
            .await,
    );
    assert!(at.starts_with(&format!("{SITE}#")), "{at}");
    // What the provider says is told to the application, as it is.
    let trip = Trip::begin(&room, "provider=corp&redirect_to=https://app.example/in").await;
    let denied = format!(
        "/callback?error=access_denied&error_description=no%0D%0Away&state={}",
        trip.state()
    );
    assert_eq!(
        landing(&trip.back(&room, &denied).await),
        "https://app.example/in?error=access_denied&error_description=no%0D%0Away#error=access_denied&error_description=no%0D%0Away&sb="
    );
    for (query, message) in [
        (
            "provider=",
            "Unsupported provider: Provider  could not be found",
        ),
        (
            "provider=nobody",
            "Unsupported provider: Provider nobody could not be found",
        ),
        (
            "provider=apple",
            "Unsupported provider: provider is not enabled",
        ),
    ] {
        let reply = room.get(&format!("/authorize?{query}")).await;
        assert_eq!(reply.refusal(), (400, "validation_failed"));
        assert_eq!(reply.body["message"], message);
    }
    over(room, idp).await;
}

#[tokio::test]
async fn an_address_nobody_vouches_for_opens_no_account() {
    let idp = Idp::start().await;
    let mut settings = idp.settings();
    // Also where sign-ups are confirmed at once.
    settings["email"]["enable_confirmations"] = json!(false);
    let room = Room::with(settings).await;
    room.sign_up("victim@b.co").await.ok();
    room.wait(1);
    idp.person(json!({"sub": "666", "email": "victim@b.co", "email_verified": false}));
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    assert!(
        at.contains("error=access_denied") && at.contains("provider_email_needs_verification"),
        "{at}"
    );
    assert_eq!(room.ask("SELECT count(*) FROM auth.users").await, "1");
    assert_eq!(room.ask("SELECT count(*) FROM auth.identities").await, "1");
    idp.person(json!({"sub": "1", "email": "Victim@B.co", "email_verified": true}));
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    let user = room.user(&token_in(&at)).await.ok();
    assert_eq!(user["app_metadata"]["providers"], json!(["email", "corp"]));
    over(room, idp).await;
}

#[tokio::test]
async fn whoever_signed_up_first_keeps_no_door() {
    let (idp, room) = started().await;
    // Somebody takes the address before its owner comes.
    room.sign_up("ada@b.co").await.ok();
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    let user = room.user(&token_in(&at)).await.ok();
    assert_eq!(user["app_metadata"]["providers"], json!(["corp"]));
    assert_eq!(user["identities"].as_array().unwrap().len(), 1);
    let before = room.sign_in("ada@b.co").await;
    assert_eq!(before.refusal(), (400, "invalid_credentials"));
    let link = room.link("ada@b.co").await;
    assert!(room.get(&link).await.location().contains("otp_expired"));
    over(room, idp).await;
}

#[tokio::test]
async fn an_unverified_address_is_confirmed_by_mail_first() {
    let (idp, room) = started().await;
    idp.person(json!({"sub": "2", "email": "bob@b.co", "email_verified": false}));
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    assert!(at.contains("A+confirmation+email+has+been+sent"), "{at}");
    // The address that he shows is another than the account's.
    idp.person(json!({"sub": "2", "email": "other@b.co", "email_verified": true}));
    room.wait(120);
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    assert!(at.contains("provider_email_needs_verification"), "{at}");
    let link = room.link("bob@b.co").await;
    assert!(room.get(&link).await.location().contains("#access_token="));
    let at = Trip::begin(&room, "provider=corp")
        .await
        .end(&room, &idp)
        .await;
    token_in(&at);
    over(room, idp).await;
}

#[tokio::test]
async fn an_account_is_linked_and_unlinked() {
    let (idp, room) = started().await;
    let session = room.post("/signup", json!({})).await.ok();
    let token = text(&session, "/access_token").to_owned();
    let path = "/user/identities/authorize?provider=corp&skip_http_redirect=true&redirect_to=https://app.example/x";
    assert_eq!(room.get(path).await.status.as_u16(), 401);
    let reply = room.call("GET", path, Some(&token), Value::Null).await.ok();
    let back = idp.consent(text(&reply, "/url")).await;
    let at = landing(&room.get(&back).await);
    assert!(
        at.starts_with("https://app.example/x#access_token="),
        "{at}"
    );
    let user = room.user(&token).await.ok();
    assert_eq!(
        (&user["is_anonymous"], &user["email"]),
        (&json!(false), &json!("ada@b.co"))
    );
    // It is somebody's now.
    let other = room.post("/signup", json!({})).await.ok();
    let other = text(&other, "/access_token").to_owned();
    let reply = room.call("GET", path, Some(&other), Value::Null).await.ok();
    let back = idp.consent(text(&reply, "/url")).await;
    assert!(landing(&room.get(&back).await).contains("identity_already_exists"));
    let id = text(&user, "/identities/0/identity_id");
    let last = room
        .call(
            "DELETE",
            &format!("/user/identities/{id}"),
            Some(&token),
            Value::Null,
        )
        .await;
    assert_eq!(last.refusal(), (422, "single_identity_not_deletable"));
    over(room, idp).await;
}

#[tokio::test]
async fn a_form_from_the_provider_is_brought_home() {
    let (idp, room) = started().await;
    let trip = Trip::begin(&room, "provider=corp").await;
    let path = idp.consent(&trip.address).await;
    let (_, form) = path.split_once('?').unwrap();
    let request = Request::post("/callback")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!(
            "{form}&redirect_to=https://evil.example"
        )));
    let reply = room.send(request.unwrap()).await;
    let at = reply
        .location()
        .strip_prefix("http://127.0.0.1:54321/auth/v1")
        .unwrap();
    assert!(!at.contains("evil"), "{at}");
    token_in(&landing(&trip.back(&room, at).await));
    over(room, idp).await;
}

//! Who should not get in: the attacks that sign-in has to withstand, against
//! the built binary and through its front door. What needs a clock or a
//! service of the test's own is in `crates/auth/tests/room`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde_json::{Value, json};

use crate::door::{CONFIRMED, Door, PASSWORD, SITE, claims, location, refusal, shape, text};
use crate::support::sign;

/// The same answer after no less than the same time, whether there is an
/// account or not.
#[test]
fn nobody_learns_who_has_an_account() {
    /// What every code on request takes at least; a little less, since the
    /// client's clock is another.
    const FLOOR: Duration = Duration::from_millis(55);
    let door = Door::with(CONFIRMED);
    let first = door.sign_up("ada@b.co");
    assert_eq!(first.status, 200, "{first:?}");
    let confirm = door.path_of(&door.link("ada@b.co"));
    assert_eq!(door.ask("GET", &confirm, &[], &Value::Null).status, 303);

    let (taken, free) = (door.sign_up("ada@b.co"), door.sign_up("eve@b.co"));
    assert_eq!((taken.status, free.status), (200, 200));
    assert_eq!(shape(&taken.json()), shape(&free.json()));
    assert_eq!(taken.json()["identities"], json!([]));
    let wrong = door.sign_in("ada@b.co", "not this one");
    let nobody = door.sign_in("nobody@b.co", "not this one");
    assert_eq!(refusal(&wrong), (400, "invalid_credentials".to_owned()));
    assert_eq!(wrong.json(), nobody.json());
    for path in ["/recover", "/otp", "/magiclink", "/resend"] {
        let ask = |email: &str| {
            let body = json!({"email": email, "type": "signup", "create_user": false});
            let began = Instant::now();
            let answer = door.post(path, &body);
            assert!(began.elapsed() >= FLOOR, "{path} {email}");
            (answer.status, answer.body)
        };
        let (known, unknown) = (ask("ada@b.co"), ask("nobody2@b.co"));
        // `/otp` says that nobody may be made; everything else says nothing.
        if path == "/otp" {
            assert_eq!(unknown.0, 422, "{unknown:?}");
        } else {
            assert_eq!(known, unknown, "{path}");
        }
    }
}

#[test]
fn tokens_of_another_project_and_of_other_times_are_refused() {
    let (ours, theirs) = (Door::with(""), Door::with(""));
    let foreign = text(&theirs.sign_up("ada@b.co"), "access_token");
    ours.sign_up("ada@b.co");
    assert_eq!(theirs.user(&foreign).status, 200);
    // The server's own idea of now.
    let own = text(&ours.sign_in("ada@b.co", PASSWORD), "access_token");
    let now = claims(&own)["iat"].as_u64().unwrap();
    let sub = ours.sign_in("ada@b.co", PASSWORD).json()["user"]["id"].clone();
    let sub = sub.as_str().unwrap();
    let good = ours.server.token(sub, &json!({"exp": now + 600}));
    assert_eq!(ours.user(&good).status, 200);
    let times = [
        json!({"exp": now - 120}),
        json!({"exp": now + 600, "nbf": now + 300}),
        json!({"exp": now + 600, "iat": now + 300}),
    ];
    let forged = times.iter().map(|more| ours.server.token(sub, more));
    for token in forged.chain([foreign]) {
        assert_eq!(refusal(&ours.user(&token)), (403, "bad_jwt".to_owned()));
        let rest = ours.server.get("/rest/v1/", &token);
        assert_eq!(rest.status, 401, "{rest:?}");
    }
}

#[test]
fn a_public_key_is_no_secret_and_none_is_no_algorithm() {
    let door = Door::with("");
    let good = text(&door.sign_up("ada@b.co"), "access_token");
    assert_eq!(door.user(&good).status, 200);
    let keys = door.ask("GET", "/.well-known/jwks.json", &[], &Value::Null);
    let key = keys.json()["keys"][0].clone();
    assert_eq!(key["kty"], "EC", "{keys:?}");
    let body = good.split('.').nth(1).unwrap();
    let claims = claims(&good);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // Everything public that a careless verifier may take for a secret.
    let mut secrets = vec![keys.body.clone(), key.to_string(), String::new()];
    for name in ["x", "y", "kid"] {
        secrets.push(key[name].as_str().unwrap_or_default().to_owned());
    }
    for secret in secrets {
        for (alg, kid) in [
            ("HS256", &Value::Null),
            ("HS256", &key["kid"]),
            ("ES256", &key["kid"]),
        ] {
            let signed = sign(&claims, &secret);
            let mark = signed.rsplit('.').next().unwrap();
            let head = part(&json!({"alg": alg, "typ": "JWT", "kid": kid}));
            let input = format!("{head}.{body}");
            let own = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
            let fresh = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&own, input.as_bytes()));
            for mark in [mark, &fresh] {
                let token = format!("{input}.{mark}");
                assert_eq!(door.user(&token).status, 403, "{alg} {secret}");
                let rest = door.server.get("/rest/v1/", &token);
                assert_eq!(rest.status, 401, "{alg} {secret}");
            }
        }
    }
    for alg in ["none", "None", "NONE", ""] {
        let head = part(&json!({"alg": alg, "typ": "JWT"}));
        for mark in ["", "e30"] {
            let token = format!("{head}.{body}.{mark}");
            assert_eq!(door.user(&token).status, 403, "{alg:?}");
        }
    }
}

#[test]
fn a_refresh_token_used_twice_ends_its_family() {
    let door = Door::with("[auth]\nrefresh_token_reuse_interval = 0\n");
    let first = text(&door.sign_up("ada@b.co"), "refresh_token");
    let other = text(&door.sign_in("ada@b.co", PASSWORD), "refresh_token");
    let second = text(&door.refresh(&first), "refresh_token");
    let third = text(&door.refresh(&second), "refresh_token");
    for stolen in [&first, &third, &second] {
        let answer = door.refresh(stolen);
        let expected = (400, "refresh_token_already_used".to_owned());
        assert_eq!(refusal(&answer), expected, "{answer:?}");
    }
    // Another session of the same user goes on.
    assert_eq!(door.refresh(&other).status, 200);
}

#[test]
fn a_flow_with_a_challenge_cannot_be_finished_without() {
    let door = Door::with(CONFIRMED);
    let verifier = "a verifier that is long enough for anybody, 43 characters";
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let body = json!({
        "email": "ada@b.co", "password": PASSWORD,
        "code_challenge": challenge, "code_challenge_method": "s256",
    });
    assert_eq!(door.post("/signup", &body).status, 200);
    let path = door.path_of(&door.link("ada@b.co"));
    assert!(path.contains("token=pkce_"), "{path}");
    // Its mark taken away, the link opens nothing.
    let bare = door.ask("GET", &path.replace("pkce_", ""), &[], &Value::Null);
    assert!(!location(&bare).contains("access_token"), "{bare:?}");
    let to = location(&door.ask("GET", &path, &[], &Value::Null));
    assert!(!to.contains("access_token"), "{to}");
    let code = to.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let exchange = |verifier: &str| {
        let body = json!({"auth_code": code, "code_verifier": verifier});
        door.post("/token?grant_type=pkce", &body)
    };
    for wrong in [
        "",
        &challenge,
        "another verifier that is long enough for all",
    ] {
        let answer = exchange(wrong);
        assert!(answer.status >= 400, "{wrong}: {answer:?}");
    }
    assert_eq!(exchange(verifier).status, 200);
    assert!(exchange(verifier).status >= 400, "a code is used once");
}

#[test]
fn links_lead_home_whatever_a_request_says() {
    let door = Door::with(CONFIRMED);
    let evil = [
        "https://evil.test/",
        "//evil.test/",
        "http://127.0.0.1:3000.evil.test/",
        "http://127.0.0.1:3000@evil.test/",
        "javascript:alert(1)",
    ];
    let poisoned = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.test"),
        ("x-original-host", "evil.test"),
        ("referer", "https://evil.test/"),
        ("origin", "https://evil.test"),
    ];
    for (n, to) in evil.iter().enumerate() {
        let email = format!("ada{n}@b.co");
        let query = to
            .bytes()
            .fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        let path = format!("/signup?redirect_to={query}");
        let body = json!({"email": email, "password": PASSWORD});
        assert_eq!(door.ask("POST", &path, &poisoned, &body).status, 200);
        let mail = door.mail(&email).to_string();
        assert!(!mail.contains("evil"), "{mail}");
        // The link as it would be after somebody changed it.
        let link = door.path_of(&door.link(&email));
        let link = format!(
            "{}&redirect_to={query}",
            link.split("&redirect_to").next().unwrap()
        );
        let answer = door.ask("GET", &link, &poisoned, &Value::Null);
        assert_eq!(answer.status, 303, "{answer:?}");
        let to = location(&answer);
        assert!(to.starts_with(SITE) && !to.contains("evil"), "{to}");
        let rest = &to[SITE.len()..];
        assert!(rest.is_empty() || rest.starts_with(['/', '#', '?']), "{to}");
    }
    // A `Host` of somebody else's choice, on a raw connection.
    let body = json!({"email": "host@b.co", "password": PASSWORD}).to_string();
    let head = format!(
        "POST /auth/v1/signup HTTP/1.1\r\nhost: evil.test\r\nconnection: close\r\napikey: {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        door.server.anon_key(),
        body.len(),
    );
    let answer = crate::support::raw(door.server.address(), head.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!door.mail("host@b.co").to_string().contains("evil"));
    door.path_of(&door.link("host@b.co"));
}

#[test]
fn whoever_only_looks_at_a_link_does_not_use_it_up() {
    let door = Door::with(CONFIRMED);
    door.sign_up("ada@b.co");
    let path = door.path_of(&door.link("ada@b.co"));
    door.ask("HEAD", &path, &[], &Value::Null);
    for purpose in [
        ("sec-purpose", "prefetch;prerender"),
        ("purpose", "prefetch"),
    ] {
        let looked = door.ask("GET", &path, &[purpose], &Value::Null);
        assert!(!looked.head.contains("access_token"), "{looked:?}");
    }
    let used = location(&door.ask("GET", &path, &[], &Value::Null));
    assert!(used.contains("access_token="), "{used}");
    let again = location(&door.ask("GET", &path, &[], &Value::Null));
    assert!(again.contains("error_code=otp_expired"), "{again}");
}

#[test]
fn guessing_ends_soon_by_account_and_by_address() {
    let door = Door::of(&[
        ("supabase/config.toml", ""),
        ("ferrobase.toml", "[api]\ntrust_proxy = true\n"),
    ]);
    door.sign_up("ada@b.co");
    // One account, ever new addresses of one network's neighbour.
    let guess = |n: usize| door.sign_in("ada@b.co", &format!("wrong password {n}"));
    let refused = (0..40).map(guess).find(|answer| answer.status == 429);
    let refused = refused.expect("40 guesses are too many");
    assert_eq!(refusal(&refused).1, "over_request_rate_limit");
    // The right password does not get around it, or it would be a way to tell.
    assert_eq!(door.sign_in("ada@b.co", PASSWORD).status, 429);
    // Many accounts, one address.
    let stuff = |n: usize, from: &str| {
        let body = json!({"email": format!("user{n}@b.co"), "password": "123456"});
        let from = [("x-forwarded-for", from)];
        door.ask("POST", "/token?grant_type=password", &from, &body)
    };
    let refused = (0..60)
        .map(|n| stuff(n, "203.0.113.9"))
        .find(|answer| answer.status == 429);
    assert!(
        refused.is_some(),
        "60 accounts from one address are too many"
    );
    assert_eq!(stuff(0, "198.51.100.7").status, 400);
}

#[test]
fn nobody_gives_themselves_a_role() {
    let door = Door::with("");
    let wishes = json!({
        "role": "service_role", "aud": "authenticated", "is_super_admin": true,
        "app_metadata": {"role": "service_role", "provider": "evil", "admin": true},
        "raw_app_meta_data": {"admin": true},
        "email_confirm": true, "phone_confirm": true, "ban_duration": "none",
        "id": "11111111-1111-4111-8111-111111111111", "is_anonymous": false,
        "data": {
            "role": "service_role", "aud": "x", "app_metadata": {"admin": true},
            "sub": "x", "is_super_admin": true, "aal": "aal2",
        },
    });
    let mut body = wishes.clone();
    body["email"] = "eve@b.co".into();
    body["password"] = PASSWORD.into();
    let answer = door.post("/signup", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = text(&answer, "access_token");
    let mut wishes = wishes;
    let refused = door.with_token("PUT", "/user", &token, &wishes);
    assert_eq!(refusal(&refused), (403, "not_admin".to_owned()));
    wishes.as_object_mut().unwrap().remove("app_metadata");
    let updated = door.with_token("PUT", "/user", &token, &wishes);
    assert_eq!(updated.status, 200, "{updated:?}");
    let fresh = door.sign_in("eve@b.co", PASSWORD);
    for token in [token, text(&fresh, "access_token")] {
        let claims = claims(&token);
        assert_eq!(claims["role"], "authenticated");
        assert_eq!(claims["aal"], "aal1");
        assert_eq!(claims["app_metadata"]["provider"], "email");
        assert_eq!(claims["app_metadata"]["admin"], Value::Null);
        assert_ne!(claims["sub"], "11111111-1111-4111-8111-111111111111");
        let admin = door.with_token("GET", "/admin/users", &token, &Value::Null);
        assert_eq!(refusal(&admin), (403, "not_admin".to_owned()));
    }
}

#[test]
fn logs_and_errors_hold_no_secrets() {
    let door = Door::of(&[
        ("supabase/config.toml", CONFIRMED),
        (
            "ferrobase.toml",
            "[log]\nlevel = \"trace\"\nrequests = \"all\"\n",
        ),
    ]);
    door.sign_up("ada@b.co");
    let link = door.path_of(&door.link("ada@b.co"));
    let hash = link
        .split("token=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let to = location(&door.ask("GET", &link, &[], &Value::Null));
    let from_link = |name: &str| {
        let part = to.split(&format!("{name}=")).nth(1).unwrap();
        part.split('&').next().unwrap().to_owned()
    };
    let (access, refresh) = (from_link("access_token"), from_link("refresh_token"));
    let session = door.sign_in("ada@b.co", PASSWORD);
    let mut errors = vec![
        door.sign_in("ada@b.co", "a wrong secret"),
        door.refresh("zzzzzzzzzzzz"),
        door.user(&format!("{access}x")),
        door.post(
            "/verify",
            &json!({"type": "signup", "token_hash": "0123456789abcdef"}),
        ),
    ];
    errors.push(door.post(
        "/signup",
        &json!({"email": "x@b.co", "password": {"a": PASSWORD}}),
    ));
    door.user(&access);
    door.refresh(&text(&session, "refresh_token"));
    let secrets = [
        PASSWORD.to_owned(),
        "a wrong secret".to_owned(),
        hash.to_owned(),
        access.rsplit('.').next().unwrap().to_owned(),
        refresh,
        text(&session, "refresh_token"),
        "zzzzzzzzzzzz".to_owned(),
    ];
    for error in &errors {
        assert!(error.status >= 400, "{error:?}");
    }
    // The last request has its line, so the others have theirs.
    door.ask("GET", "/health?last=1", &[], &Value::Null);
    door.server.said("/auth/v1/health");
    let said = door.server.stderr();
    assert!(said.contains("/auth/v1/token"), "{said}");
    for secret in &secrets {
        assert!(!said.contains(secret.as_str()), "{secret} is in the log");
        let told = errors
            .iter()
            .find(|error| error.body.contains(secret.as_str()));
        assert!(told.is_none(), "{secret}: {told:?}");
    }
}

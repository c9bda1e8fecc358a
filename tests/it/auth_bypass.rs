//! Ways around sign-in, against the built binary and through its front door:
//! a trip to a provider that ends in another browser, a session older than
//! the second factor, an operator's key in a browser. Each test fails when
//! the defence it names is taken away.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use ring::hmac;
use serde_json::{Value, json};

use crate::door::{Door, PASSWORD, SITE, claims, location, refusal, shape, text};
use crate::support::{Answer, request};

/// GitHub as far as a sign-in sees it, and which codes it was asked about.
struct Provider {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        // It ends with the test's process.
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut seen = Vec::new();
                let mut part = [0; 4096];
                while !is_whole(&seen) {
                    match stream.read(&mut part) {
                        Ok(read) if read > 0 => seen.extend_from_slice(&part[..read]),
                        _ => break,
                    }
                }
                let seen = String::from_utf8_lossy(&seen).into_owned();
                let body = match seen.split(' ').nth(1).unwrap_or_default() {
                    "/login/oauth/access_token" => {
                        notes.lock().unwrap().push(seen);
                        json!({"access_token": "theirs", "token_type": "bearer"})
                    }
                    "/api/v3/user" => json!({"id": 7, "login": "ada", "name": "Ada"}),
                    _ => json!([{"email": "ada@b.co", "verified": true, "primary": true}]),
                };
                let body = body.to_string();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { url, asked }
    }

    fn exchanges(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Whether a request has come with the body that it promises.
fn is_whole(seen: &[u8]) -> bool {
    let text = String::from_utf8_lossy(seen);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let promised = head.to_lowercase();
    let promised = promised
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .and_then(|bytes| bytes.parse().ok());
    body.len() >= promised.unwrap_or(0)
}

/// A browser that has set out.
struct Trip {
    state: String,
    cookie: String,
}

impl Trip {
    fn begin(door: &Door) -> Self {
        // By hand: a cookie's letters count, and `Answer` has small ones.
        let address = door.server.address();
        let mut stream = TcpStream::connect(address).unwrap();
        let path = "/auth/v1/authorize?provider=github";
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
        let part = |from: &str, to: &[char]| {
            let rest = answer
                .split(from)
                .nth(1)
                .unwrap_or_else(|| panic!("{answer}"));
            rest.split(to).next().unwrap().to_owned()
        };
        Self {
            state: part("state=", &['&', '\r']),
            cookie: part("set-cookie: ", &[';', '\r']),
        }
    }
}

/// Where somebody lands who comes back with a state and cookies.
fn back(door: &Door, state: &str, cookie: &str) -> String {
    let path = format!("/callback?code=a-code&state={state}");
    let headers: &[_] = if cookie.is_empty() {
        &[]
    } else {
        &[("cookie", cookie)]
    };
    location(&door.ask("GET", &path, headers, &Value::Null))
}

/// Nobody is signed in to somebody else's account by a link: a state is good
/// once, and in the browser that it was made for.
#[test]
fn a_trip_to_a_provider_ends_once_in_the_browser_that_left() {
    let provider = Provider::start();
    let door = Door::with(&format!(
        "[auth]\nsite_url = \"{SITE}\"\n[auth.external.github]\nenabled = true\n\
         client_id = \"ours\"\nsecret = \"between us\"\nurl = \"{}\"\n",
        provider.url
    ));
    let (trip, other) = (Trip::begin(&door), Trip::begin(&door));
    let nobodys = "00000000-0000-4000-8000-000000000000";
    let renamed = trip.cookie.split('=').next().unwrap();
    let renamed = format!("{renamed}={}", other.cookie.split('=').nth(1).unwrap());
    for (state, cookie, code) in [
        ("", &*trip.cookie, "bad_oauth_callback"),
        (nobodys, &trip.cookie, "bad_oauth_state"),
        ("not-even-one", &trip.cookie, "bad_oauth_state"),
        // A victim is sent an attacker's way back.
        (&trip.state, "", "bad_oauth_state"),
        (&trip.state, &other.cookie, "bad_oauth_state"),
        (&trip.state, &renamed, "bad_oauth_state"),
    ] {
        let at = back(&door, state, cookie);
        let expected = format!("{SITE}/?error=invalid_request&error_code={code}");
        assert!(at.starts_with(&expected), "{state:?} {cookie:?}: {at}");
    }
    assert_eq!(provider.exchanges(), 0, "a code was given away");
    let both = format!("{}; {}", other.cookie, trip.cookie);
    let home = back(&door, &trip.state, &both);
    assert!(home.starts_with(&format!("{SITE}#access_token=")), "{home}");
    assert_eq!(provider.exchanges(), 1);
    let again = back(&door, &trip.state, &both);
    assert!(
        again.contains("error=") && !again.contains("access_token="),
        "{again}"
    );
    assert_eq!(provider.exchanges(), 1, "a state counted twice");
}

/// What an application whose data wants a second factor writes.
const SECRETS: &str = "create table secrets (id int primary key, owner uuid not null);\n\
    alter table secrets enable row level security;\n\
    create policy own on secrets for all using (owner = auth.uid()) with check (owner = auth.uid());\n\
    create policy factor on secrets as restrictive for select\n\
    using ((select auth.jwt() ->> 'aal') = 'aal2');\n";

/// The code of a factor at a time (RFC 6238).
fn code_at(secret: &str, seconds: u64) -> String {
    let (mut bits, mut held, mut key) = (0_u32, 0, Vec::new());
    for letter in secret.bytes().filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            key.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
    let mark = hmac::sign(&key, &(seconds / 30).to_be_bytes());
    let mark = mark.as_ref();
    let at = usize::from(mark[19] & 15);
    let word = u32::from_be_bytes(mark[at..at + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

struct Factor {
    id: String,
    secret: String,
}

impl Factor {
    fn enroll(door: &Door, token: &str, name: &str) -> Answer {
        let body = json!({"factor_type": "totp", "friendly_name": name});
        door.with_token("POST", "/factors", token, &body)
    }

    fn verify(&self, door: &Door, token: &str, code: &str) -> Answer {
        let path = format!("/factors/{}", self.id);
        let asked = door.with_token("POST", &format!("{path}/challenge"), token, &json!({}));
        let body = json!({"challenge_id": asked.json()["id"], "code": code});
        door.with_token("POST", &format!("{path}/verify"), token, &body)
    }
}

fn level(session: &Answer) -> String {
    let token = text(session, "access_token");
    claims(&token)["aal"].as_str().unwrap().to_owned()
}

/// Once there is a factor, a password alone is no way to what the factor
/// protects: not by a session that was there before, not by a new one, and
/// not by refreshing either.
#[test]
fn a_session_without_the_factor_stays_without() {
    let door = Door::of(&[
        (
            "supabase/config.toml",
            "[auth]\n[auth.mfa.totp]\nenroll_enabled = true\nverify_enabled = true\n",
        ),
        ("supabase/migrations/20260101000000_secrets.sql", SECRETS),
    ]);
    let first = door.sign_up("ada@b.co");
    let old = text(&first, "access_token");
    let owner = first.json()["user"]["id"].clone();
    let row = json!([{"id": 1, "owner": owner}]).to_string();
    let headers = [
        ("apikey", door.server.service_key()),
        ("content-type", "application/json"),
    ];
    let address = door.server.address();
    let put = request(
        address,
        "POST",
        "/rest/v1/secrets",
        &headers,
        row.as_bytes(),
    )
    .unwrap();
    assert_eq!(put.status, 201, "{put:?}");
    let elsewhere = door.sign_in("ada@b.co", PASSWORD);
    let enrolled = Factor::enroll(&door, &old, "phone").json();
    let factor = Factor {
        id: enrolled["id"].as_str().unwrap().to_owned(),
        secret: enrolled["totp"]["secret"].as_str().unwrap().to_owned(),
    };
    let code = code_at(&factor.secret, claims(&old)["iat"].as_u64().unwrap());
    let raised = factor.verify(&door, &old, &code);
    assert_eq!(
        (raised.status, &*level(&raised)),
        (200, "aal2"),
        "{raised:?}"
    );

    // Who was in already is out, or in with what a password wins.
    let stale = door.refresh(&text(&elsewhere, "refresh_token"));
    assert!(
        stale.status == 400,
        "a session without the factor went on: {stale:?}"
    );
    let fresh = door.sign_in("ada@b.co", PASSWORD);
    let renewed = door.refresh(&text(&fresh, "refresh_token"));
    assert_eq!((&*level(&fresh), &*level(&renewed)), ("aal1", "aal1"));
    let rows = |token: &str| door.server.get("/rest/v1/secrets?select=id", token).json();
    for token in [
        &old,
        &text(&elsewhere, "access_token"),
        &text(&fresh, "access_token"),
        &text(&renewed, "access_token"),
    ] {
        assert_eq!(rows(token), json!([]), "{}", claims(token));
    }
    let weak = text(&renewed, "access_token");
    changes_nothing(&door, &factor, &weak, &code);
    assert_eq!(rows(&text(&raised, "access_token")), json!([{"id": 1}]));
    let renewed = door.refresh(&text(&raised, "refresh_token"));
    assert_eq!(level(&renewed), "aal2");
}

/// What a password alone may not do about a factor.
fn changes_nothing(door: &Door, factor: &Factor, weak: &str, used: &str) {
    let path = format!("/factors/{}", factor.id);
    let removed = door.with_token("DELETE", &path, weak, &Value::Null);
    assert_eq!(refusal(&removed), (422, "insufficient_aal".to_owned()));
    let second = Factor::enroll(door, weak, "another");
    assert_eq!(refusal(&second), (403, "insufficient_aal".to_owned()));
    let body = json!({"password": "another password"});
    let taken = door.with_token("PUT", "/user", weak, &body);
    assert_eq!(refusal(&taken), (401, "insufficient_aal".to_owned()));
    // A code that was seen over a shoulder is worth nothing any more.
    let replayed = factor.verify(door, weak, used);
    assert_eq!(
        refusal(&replayed),
        (422, "mfa_verification_failed".to_owned())
    );
    let claimed = door.with_token("PUT", "/user", weak, &json!({"data": {"aal": "aal2"}}));
    assert_ne!(claims(weak)["aal"], "aal2", "{claimed:?}");
}

/// An operator's key that a browser shows has leaked, wherever it shows it.
#[test]
fn an_operators_key_opens_nothing_in_a_browser() {
    let door = Door::with("");
    door.sign_up("ada@b.co");
    let secret = door.server.field("secret_key").as_str().unwrap().to_owned();
    assert!(secret.starts_with("sb_secret_"), "{secret}");
    let bearer = format!("Bearer {secret}");
    let agent = (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    );
    let address = door.server.address();
    let mut told = BTreeSet::new();
    let in_query = format!("/rest/v1/?apikey={secret}");
    let key = [("apikey", &*secret)];
    let both = [("apikey", &*secret), ("authorization", &*bearer)];
    let ways: [(&str, &[(&str, &str)]); 4] = [
        ("/rest/v1/", &key),
        ("/rest/v1/", &both),
        (&in_query, &[]),
        ("/auth/v1/admin/users", &both),
    ];
    for (path, headers) in ways {
        let server = request(address, "GET", path, headers, b"").unwrap();
        assert_eq!(server.status, 200, "{server:?}");
        let browser = [headers, &[agent]].concat();
        let browser = request(address, "GET", path, &browser, b"").unwrap();
        assert_eq!(browser.status, 401, "{path} {headers:?}: {browser:?}");
        assert!(!browser.body.contains(&secret), "{browser:?}");
        told.insert(browser.json()["message"].to_string());
    }
    // A key for everybody is fit for a browser.
    let headers = [("apikey", door.server.anon_key()), agent];
    let anybody = request(address, "GET", "/rest/v1/", &headers, b"").unwrap();
    assert_eq!(anybody.status, 200, "{anybody:?}");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told.iter().all(|words| words.contains("browser")),
        "{told:?}"
    );
}

/// Where a project asks for it, no answer tells who has an account, not even
/// the second one.
#[test]
fn no_answer_tells_who_is_there_where_that_is_hidden() {
    let door = Door::with(
        "[auth]\nhide_accounts = true\n[auth.email]\nenable_confirmations = true\n\
         max_frequency = \"1h\"\n[auth.rate_limit]\nemail_sent = 1000\n",
    );
    door.sign_up("ada@b.co");
    let confirm = door.path_of(&door.link("ada@b.co"));
    assert_eq!(door.ask("GET", &confirm, &[], &Value::Null).status, 303);
    door.sign_up("waiting@b.co");
    let mut shapes = BTreeSet::new();
    for email in ["ada@b.co", "waiting@b.co", "free@b.co"] {
        let answers = [door.sign_up(email), door.sign_up(email)];
        let ids = answers.each_ref().map(|answer| answer.json()["id"].clone());
        assert_ne!(ids[0], ids[1], "{email}");
        for answer in &answers {
            assert_eq!(answer.status, 200, "{email}: {answer:?}");
            let body = answer.json();
            assert_eq!(body["identities"][0]["user_id"], body["id"], "{answer:?}");
            shapes.insert(shape(&body));
        }
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
    for path in ["/otp", "/recover", "/resend"] {
        for email in ["ada@b.co", "waiting@b.co", "nobody@b.co"] {
            let body = json!({"email": email, "type": "signup", "create_user": false});
            for _ in 0..2 {
                let answer = door.post(path, &body);
                assert_eq!(
                    (answer.status, &*answer.body),
                    (200, "{}"),
                    "{path} {email}"
                );
            }
        }
    }
    assert_eq!(door.sign_in("ada@b.co", PASSWORD).status, 200);
}

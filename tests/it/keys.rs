//! Platform API keys on the built binary: made on the command line, shown in
//! any of three headers, held to their scopes, unable to write where they may
//! only read, replaced, slowed down and taken away; and nowhere to be read
//! afterwards.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Done, Ferrobase, postmaster_file, project, request, run};
use crate::upgrade::psql;

/// A change is to be seen within a second; a busy machine gets ten, which is
/// less than it takes until everything is read again without being told.
const SEEN_WAIT: Duration = Duration::from_secs(10);

const ADA: &str = "11111111-1111-4111-8111-111111111111";
const BOB: &str = "22222222-2222-4222-8222-222222222222";

const SCHEMA: &str = include_str!("keys/notes.sql");

struct Scene {
    folder: tempfile::TempDir,
    server: Ferrobase,
}

impl Scene {
    fn start() -> Self {
        let folder = project(&[("supabase/migrations/20240101000000_notes.sql", SCHEMA)]);
        let server = Ferrobase::dev(folder.path());
        Self { folder, server }
    }

    /// A verb of `keys`, which must succeed.
    fn keys(&self, arguments: &str) -> Value {
        let done = self.try_keys(arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// The same, however it ends. Words are split at spaces.
    fn try_keys(&self, arguments: &str) -> Done {
        let mut all = vec!["keys", "--json"];
        all.extend(arguments.split(' '));
        run(self.folder.path(), &all)
    }

    /// A new key that the server knows.
    fn create(&self, arguments: &str) -> String {
        let key = text(&self.keys(&format!("create {arguments}")), "key");
        self.known(&key);
        key
    }

    fn known(&self, key: &str) {
        wait_until("the key is known", || {
            self.ask("GET", "/rest/v1/nothing", key, "").status != 401
        });
    }

    fn ask(&self, method: &str, path: &str, key: &str, body: &str) -> Answer {
        self.ask_with(method, path, &[("x-api-key", key)], body)
    }

    fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        request(self.server.address(), method, path, &all, body.as_bytes()).unwrap()
    }

    /// Status and code of an answer.
    fn code(&self, method: &str, path: &str, key: &str, body: &str) -> (u16, String) {
        let answer = self.ask(method, path, key, body);
        let said = answer.json();
        let code = said["code"].as_str().or(said["error_code"].as_str());
        (answer.status, code.unwrap_or_default().to_owned())
    }

    /// A new user's token.
    fn sign_up(&self, mail: &str) -> String {
        let body = json!({"email": mail, "password": "a long password"}).to_string();
        let headers = [("apikey", self.server.anon_key())];
        let answer = self.ask_with("POST", "/auth/v1/signup", &headers, &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&answer.json(), "access_token")
    }

    fn call(&self, who: &str, function: &str, body: &Value) -> Answer {
        let path = format!("/rest/v1/rpc/{function}");
        self.server.send("POST", &path, who, &body.to_string())
    }

    fn ids(&self, key: &str) -> Value {
        let answer = self.ask("GET", "/rest/v1/notes?select=id&order=id", key, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SEEN_WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

#[test]
fn a_key_works_in_three_headers_and_within_its_scopes() {
    let scene = Scene::start();
    let key = scene.create(&format!(
        "ada --role authenticated --sub {ADA} --scope rest,reports"
    ));
    let bearer = format!("Bearer {key}");
    let anon = scene.server.anon_key();
    let anon_bearer = format!("Bearer {anon}");
    for headers in [
        vec![("x-api-key", &*key)],
        vec![("apikey", &*key)],
        vec![("authorization", &*bearer)],
        vec![("apikey", &*key), ("authorization", &*bearer)],
        vec![("apikey", anon), ("authorization", &*bearer)],
        // As an official client sends it, which repeats its key as bearer.
        vec![
            ("apikey", anon),
            ("authorization", &*anon_bearer),
            ("x-api-key", &*key),
        ],
    ] {
        let answer = scene.ask_with("GET", "/rest/v1/notes?select=id&order=id", &headers, "");
        // Her own, and what the scope opens by policy.
        assert_eq!(answer.json(), json!([{"id": 1}, {"id": 3}]), "{answer:?}");
    }
    let user = format!("Bearer {}", scene.server.token(BOB, &json!({})));
    let both = [("x-api-key", &*key), ("authorization", &*user)];
    let answer = scene.ask_with("GET", "/rest/v1/notes?select=id", &both, "");
    assert_eq!(
        answer.json(),
        json!([{"id": 2}]),
        "a user's own token says who calls"
    );

    let written = scene.ask("POST", "/rest/v1/notes", &key, r#"{"id": 10}"#);
    assert_eq!(written.status, 201, "{written:?}");
    let body = format!(r#"{{"id": 11, "owner": "{BOB}"}}"#);
    let others = scene.code("POST", "/rest/v1/notes", &key, &body);
    assert_eq!(others, (403, "42501".to_owned()));
    other_rooms(&scene, &key);
    // Another tenant sees its own rows, by a claim of the key.
    for (tenant, rows) in [("a", json!([{"id": 1}])), ("b", json!([{"id": 2}]))] {
        let claims = json!({"tenant": tenant}).to_string();
        let key = scene.create(&format!("{tenant} --role partner --claims {claims}"));
        assert_eq!(scene.ids(&key), rows);
    }
    wrong_keys(&scene);
}

/// Each refuses in its own words.
fn other_rooms(scene: &Scene, rest: &str) {
    let refused = scene.code("GET", "/auth/v1/user", rest, "");
    assert_eq!(refused, (403, "no_authorization".to_owned()));
    let admin = scene.create("admin --role service_role --scope auth-admin");
    let refused = scene.code("GET", "/rest/v1/notes", &admin, "");
    assert_eq!(refused, (403, "FB403".to_owned()));
    let status = |path: &str, key: &str| scene.ask("GET", path, key, "").status;
    assert_eq!(status("/auth/v1/admin/users", &admin), 200);
    let everything = scene.create("everything --role service_role --scope *");
    assert_eq!(status("/auth/v1/admin/users", &everything), 403);
    assert_eq!(status("/rest/v1/notes", &everything), 200);
    let browser = [("x-api-key", &*everything), ("user-agent", "Mozilla/5.0")];
    let answer = scene.ask_with("GET", "/rest/v1/notes", &browser, "");
    assert_eq!(answer.status, 401, "{answer:?}");
}

fn wrong_keys(scene: &Scene) {
    let forged = format!("fbk_00000000_{}", "0".repeat(64));
    for key in [&*forged, "fbk_", "fbk_x"] {
        let answer = scene.ask("GET", "/rest/v1/notes", key, "");
        assert_eq!(
            (answer.status, &*text(&answer.json(), "message")),
            (401, "Invalid API key")
        );
        let bearer = format!("Bearer {key}");
        let answer = scene.ask_with("GET", "/rest/v1/notes", &[("authorization", &bearer)], "");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    // Somebody else's keys in that header are none of ours.
    assert_eq!(
        scene
            .ask("GET", "/rest/v1/notes", "an-application's-own", "")
            .status,
        200
    );
    for arguments in [
        "x --role nobody-at-all",
        "x --role supabase_admin",
        "x --role pg_monitor",
        "x --role anon --scope Not-One",
        "x --role authenticated",
        r#"x --role anon --claims {"role":"service_role"}"#,
        "x --role anon --expires soon",
        "everything --role anon",
    ] {
        let done = scene.try_keys(&format!("create {arguments}"));
        assert_eq!(
            (done.code, &*text(&done.error(), "code")),
            (Some(1), "FB4011"),
            "{done:?}"
        );
    }
}

#[test]
fn a_read_only_key_writes_nothing_whatever_it_calls() {
    let scene = Scene::start();
    let whole = scene.create("whole --role service_role --scope * --read-only");
    let part = scene.create("part --role service_role --scope rest:read");
    for key in [&whole, &part] {
        assert_eq!(scene.ids(key), json!([{"id": 1}, {"id": 2}, {"id": 3}]));
        for (method, path, body) in [
            ("POST", "/rest/v1/notes", r#"{"id": 20}"#),
            ("PUT", "/rest/v1/notes?id=eq.20", r#"{"id": 20}"#),
            ("PATCH", "/rest/v1/notes?id=eq.1", r#"{"tenant": "x"}"#),
            ("DELETE", "/rest/v1/notes?id=eq.1", ""),
        ] {
            let refused = scene.ask(method, path, key, body);
            assert_eq!(
                (refused.status, refused.json()["code"].as_str()),
                (403, Some("FB403")),
                "{refused:?}"
            );
        }
        for (function, code) in [("write_note", "25006"), ("escape", "25001")] {
            let refused = scene.ask(
                "POST",
                &format!("/rest/v1/rpc/{function}"),
                key,
                r#"{"id": 21}"#,
            );
            assert_eq!(refused.json()["code"].as_str(), Some(code), "{refused:?}");
        }
        // By a way that needs a transaction that stays open.
        let one = [
            ("x-api-key", &**key),
            ("accept", "application/vnd.pgrst.object+json"),
        ];
        let refused = scene.ask_with("POST", "/rest/v1/rpc/write_note", &one, r#"{"id": 22}"#);
        assert_eq!(
            refused.json()["code"].as_str(),
            Some("25006"),
            "{refused:?}"
        );
        let counted = scene.ask("POST", "/rest/v1/rpc/count_notes", key, "{}");
        assert_eq!((counted.status, &*counted.body), (200, "3"), "{counted:?}");
    }
    let writer = scene.create("writer --role service_role");
    let written = scene.ask("POST", "/rest/v1/rpc/write_note", &writer, r#"{"id": 21}"#);
    assert_eq!(written.status, 200, "{written:?}");
}

#[test]
fn keys_are_rotated_slowed_expire_and_end_and_only_hashes_stay() {
    let scene = Scene::start();
    let status = |key: &str| scene.ask("GET", "/rest/v1/notes?select=id", key, "").status;
    let first = scene.create("rotating --role anon");
    let second = text(&scene.keys("rotate rotating --overlap 1h"), "key");
    scene.known(&second);
    assert_eq!(
        (status(&first), status(&second)),
        (200, 200),
        "both work in the overlap"
    );
    let third = text(&scene.keys("rotate rotating --overlap 0s"), "key");
    wait_until("those before end", || {
        status(&first) == 401 && status(&second) == 401
    });
    assert_eq!(status(&third), 200);

    scene.keys("revoke rotating");
    wait_until("a revoked key is refused", || status(&third) == 401);
    let again = scene.try_keys("revoke rotating");
    assert_eq!(text(&again.error(), "code"), "FB4012");

    let short = scene.create("short --role anon --expires 3s");
    wait_until("it expires", || status(&short) == 401);

    let slow = scene.create("slow --role anon --per-minute 30");
    let answers: Vec<_> = (0..40)
        .map(|_| scene.ask("GET", "/rest/v1/notes", &slow, ""))
        .collect();
    let refused = answers.iter().find(|answer| answer.status == 429).unwrap();
    assert!(refused.head.contains("retry-after:"), "{refused:?}");
    assert_eq!(
        status(scene.server.anon_key()),
        200,
        "others are not slowed"
    );

    nowhere_to_be_read(&scene, &[&first, &second, &third, &short, &slow]);
    wait_for_use(&scene);
}

fn nowhere_to_be_read(scene: &Scene, others: &[&str]) {
    let curious = scene.create("curious --role anon");
    let bearer = format!("Bearer {curious}");
    let all = [
        ("apikey", &*curious),
        ("authorization", &*bearer),
        ("x-api-key", &*curious),
    ];
    let seen = scene.ask_with("POST", "/rest/v1/rpc/seen_headers", &all, "{}");
    let prefix = curious.rsplit_once('_').unwrap().0;
    assert_eq!(
        seen.json()["authorization"],
        format!("Bearer {prefix}"),
        "{seen:?}"
    );
    assert!(
        !seen.body.contains(&curious),
        "functions never see a key: {seen:?}"
    );

    let listed = scene.keys("list").to_string();
    let dump = dump(scene.folder.path());
    assert!(dump.contains(prefix), "the dump has the table");
    for key in others.iter().copied().chain([&*curious]) {
        let secret = key.rsplit_once('_').unwrap().1;
        for (place, text) in [
            ("dump", &dump),
            ("list", &listed),
            ("log", &scene.server.stderr()),
        ] {
            assert!(!text.contains(secret), "a secret is in the {place}");
        }
    }
    assert!(
        scene.server.stderr().contains(prefix),
        "the log says which key it was"
    );
}

fn wait_for_use(scene: &Scene) {
    // Written every ten seconds at most, and not by a request.
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let listed = scene.keys("list");
        let of = |name: &str| {
            let one = listed
                .as_array()
                .unwrap()
                .iter()
                .find(|key| key["name"] == name);
            one.unwrap()["secrets"][0]["last_used_at"].clone()
        };
        if of("slow").is_string() && of("curious").is_string() {
            return;
        }
        assert!(Instant::now() < deadline, "{listed}");
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn users_make_keys_that_act_as_themselves() {
    let scene = Scene::start();
    let (ada, bob) = (
        scene.sign_up("ada@example.org"),
        scene.sign_up("bob@example.org"),
    );
    let made = scene.call(
        &ada,
        "create_api_key",
        &json!({"name": "script", "scopes": ["rest"]}),
    );
    assert_eq!(made.status, 200, "{made:?}");
    let (id, key) = (text(&made.json(), "id"), text(&made.json(), "secret"));
    scene.known(&key);
    let note = scene.ask("POST", "/rest/v1/notes", &key, r#"{"id": 100}"#);
    assert_eq!(note.status, 201, "{note:?}");
    assert_eq!(scene.ids(&key), json!([{"id": 100}]));
    assert_eq!(
        scene.server.get("/rest/v1/notes?select=id", &ada).json(),
        json!([{"id": 100}])
    );
    assert_eq!(
        scene.server.get("/rest/v1/notes?select=id", &bob).json(),
        json!([])
    );

    not_theirs(&scene, (&ada, &bob), (&id, &key));
    assert_eq!(
        scene.call(&ada, "revoke_api_key", &json!({"id": id})).body,
        "true"
    );
    let gone = || scene.ask("GET", "/rest/v1/notes", &key, "").status == 401;
    wait_until("a revoked key is refused", gone);

    // A key goes with its user.
    let made = scene
        .call(
            &bob,
            "create_api_key",
            &json!({"name": "script", "scopes": ["rest"]}),
        )
        .json();
    let key = text(&made, "secret");
    scene.known(&key);
    let user = scene.server.get("/auth/v1/user", &bob).json();
    let path = format!("/auth/v1/admin/users/{}", text(&user, "id"));
    let deleted = scene
        .server
        .send("DELETE", &path, scene.server.service_key(), "");
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let gone = || scene.ask("GET", "/rest/v1/notes", &key, "").status == 401;
    wait_until("the key of a deleted user is refused", gone);
}

/// No key makes keys or reaches accounts, and nobody touches another's.
fn not_theirs(scene: &Scene, (ada, bob): (&str, &str), (id, key): (&str, &str)) {
    let more = json!({"name": "more", "scopes": ["*"]});
    let refused = scene.ask(
        "POST",
        "/rest/v1/rpc/create_api_key",
        key,
        &more.to_string(),
    );
    assert_eq!(refused.json()["code"], "42501", "{refused:?}");
    let accounts = scene.call(
        ada,
        "create_api_key",
        &json!({"name": "more", "scopes": ["auth"]}),
    );
    assert_eq!(accounts.json()["code"], "42501", "{accounts:?}");
    let anon = scene.call(scene.server.anon_key(), "create_api_key", &more);
    assert_eq!(anon.json()["code"], "42501", "{anon:?}");
    assert_eq!(scene.call(bob, "my_api_keys", &json!({})).json(), json!([]));
    assert_eq!(
        scene.call(bob, "revoke_api_key", &json!({"id": id})).body,
        "false"
    );
    assert_eq!(
        scene.call(ada, "my_api_keys", &json!({})).json()[0]["id"],
        id
    );
    for path in ["/rest/v1/api_keys", "/rest/v1/api_key_secrets"] {
        for profile in ["public", "ferrobase"] {
            let service = format!("Bearer {}", scene.server.service_key());
            let headers = [("authorization", &*service), ("accept-profile", profile)];
            assert!(scene.ask_with("GET", path, &headers, "").status >= 400);
        }
    }
}

/// Everything in the database, as its superuser dumps it.
fn dump(folder: &Path) -> String {
    let file = std::fs::read_to_string(postmaster_file(folder).unwrap()).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let output = Command::new(psql().with_file_name("pg_dump"))
        .args([
            "-h",
            lines[4],
            "-p",
            lines[3],
            "-U",
            "supabase_admin",
            "postgres",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

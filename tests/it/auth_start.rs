//! What sign-in is started with: a captcha, an inbox, a database that allows it
//! or not. What cannot be had stops the start or is told, and is never skipped
//! in silence.

use serde_json::json;

use crate::door::{CONFIRMED, Door, PASSWORD, refusal};
use crate::support::{Done, Ferrobase, project, request, run};

#[test]
fn a_captcha_that_is_asked_for_is_asked_for() {
    const CAPTCHA: &str =
        "[auth.captcha]\nenabled = true\nprovider = \"turnstile\"\nsecret = \"s\"\n";
    let door = Door::with(CAPTCHA);
    let refused = door.sign_up("ada@b.co");
    assert_eq!(refusal(&refused), (400, "captcha_failed".to_owned()));
    // Wherever the tests run, this is no proof; without a network nobody says so.
    let body = json!({
        "email": "ada@b.co", "password": PASSWORD,
        "gotrue_meta_security": {"captcha_token": "no proof"},
    });
    assert!(door.post("/signup", &body).status >= 400);
    for broken in [
        CAPTCHA.replace("turnstile", "other"),
        CAPTCHA.replace("\"s\"", "\"\""),
    ] {
        let folder = project(&[("supabase/config.toml", &broken)]);
        let done: Done = Ferrobase::try_dev(folder.path(), &[])
            .err()
            .expect("no start");
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains("auth.captcha."), "{done:?}");
    }
}

#[test]
fn the_inbox_says_where_it_is_also_when_its_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = project(&[("supabase/config.toml", CONFIRMED)]);
    let server = Ferrobase::dev_in(folder.path(), &[("FERROBASE__INBOX__PORT", &port)]);
    let url = server.field("mailpit_url").as_str().unwrap().to_owned();
    assert!(!url.ends_with(&port), "{url}");
    let warnings = server.field("warnings").to_string();
    assert!(
        warnings.contains(&port) && warnings.contains(&url),
        "{warnings}"
    );
    let status = run(folder.path(), &["status", "-o", "env"]);
    for name in ["MAILPIT_URL", "INBUCKET_URL"] {
        let line = format!("{name}=\"{url}\"");
        assert!(status.stdout.contains(&line), "{status:?}");
    }
    let inbox = url.trim_start_matches("http://");
    assert_eq!(
        request(inbox, "GET", "/api/v1/messages", &[], b"")
            .unwrap()
            .status,
        200
    );
}

#[test]
fn a_database_that_does_not_allow_sign_in_is_served_without_it() {
    let roles = "CREATE ROLE outsider LOGIN PASSWORD 'outside';\n\
        GRANT anon, authenticated, service_role TO outsider;\n";
    let theirs = project(&[("supabase/migrations/20260101000000_roles.sql", roles)]);
    let theirs = (Ferrobase::dev(theirs.path()), theirs);
    let url = theirs.0.field("db_url").as_str().unwrap().to_owned();
    let url = url.replace("postgres:postgres@", "outsider:outside@");
    let folder = project(&[(
        "ferrobase.toml",
        "[db]\nmigrate = false\n[api]\nhost = \"127.0.0.1\"\n",
    )]);
    let arguments = ["serve", "--json", "--port", "0", "--database-url", &url];
    let ours = Ferrobase::start(folder.path(), &arguments, &[]);
    let ours = ours.unwrap_or_else(|done| panic!("it ended: {done:?}"));
    let line = ours.said("GRANT supabase_auth_admin");
    assert!(
        line.contains("outsider") && line.contains("switched off"),
        "{line}"
    );
    let get = |path: &str| request(ours.address(), "GET", path, &[], b"").unwrap();
    assert_eq!(get("/health/ready").status, 200);
    let off = get("/auth/v1/health");
    assert_eq!(off.status, 503, "{off:?}");
    assert!(off.body.contains("switched off"), "{off:?}");
}

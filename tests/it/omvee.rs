//! OMVEE as its client uses it: new users sign up, make projects, ask where to
//! send a song, send it there, and say that it has arrived. Two of them, who
//! never see each other.

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};

const SONG: &[u8] = b"ID3 not quite a song, but bytes that have to come back";

struct User<'a> {
    server: &'a Ferrobase,
    token: String,
}

impl<'a> User<'a> {
    fn new(server: &'a Ferrobase, email: &str) -> Self {
        let body = json!({"email": email, "password": "a long enough password"});
        let headers = [
            ("apikey", server.anon_key()),
            ("content-type", "application/json"),
        ];
        let body = body.to_string();
        let made = request(
            server.address(),
            "POST",
            "/auth/v1/signup",
            &headers,
            body.as_bytes(),
        );
        let made = made.unwrap().json();
        let token = made["access_token"].as_str();
        let token = token
            .unwrap_or_else(|| panic!("no session: {made}"))
            .to_owned();
        Self { server, token }
    }

    /// As the app's client: a token, no key.
    fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        ask(self.server, Some(&self.token), line, body)
    }

    fn ok(&self, line: &str, body: &Value) -> Value {
        let (status, answer) = self.ask(line, body);
        assert_eq!(status, 200, "{line}: {answer}");
        answer
    }

    fn project(&self, name: &str) -> String {
        let made = self.ok("POST /api/projects", &json!({"name": name}));
        made["id"].as_str().unwrap().to_owned()
    }

    /// Where to send a song of this name.
    fn presign(&self, project: &str, filename: &str) -> (u16, Value) {
        let body =
            json!({"filename": filename, "content_type": "audio/mpeg", "project_id": project});
        self.ask("POST /api/uploads/presign", &body)
    }
}

fn ask(server: &Ferrobase, token: Option<&str>, line: &str, body: &Value) -> (u16, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = request(server.address(), method, path, &headers, body.as_bytes()).unwrap();
    (answer.status, answer.json())
}

/// A request to an address that was given out, with nothing to show.
fn fetch(server: &Ferrobase, method: &str, url: &Value, body: &[u8]) -> Answer {
    let url = url.as_str().unwrap();
    let path = url.strip_prefix(server.url());
    let path = path.unwrap_or_else(|| panic!("{url} is not at {}", server.url()));
    let headers = [("content-type", "audio/mpeg")];
    request(server.address(), method, path, &headers, body).unwrap()
}

#[test]
fn a_song_is_sent_and_arrives() {
    let folder = project(&[]);
    let server = Ferrobase::dev_with(folder.path(), &["--app", "omvee"]);
    let ann = User::new(&server, "ann@example.com");
    let made = ann.ok("POST /api/projects", &json!({"name": "Night Drive"}));
    assert_eq!(
        (&made["transcription_status"], &made["status"]),
        (&json!("pending"), &json!("created"))
    );
    assert_eq!(made.get("user_id"), None);
    let id = made["id"].as_str().unwrap();

    let (status, where_to) = ann.presign(id, "my song.mp3");
    assert_eq!(status, 200, "{where_to}");
    assert_eq!(
        where_to["file_path"],
        json!(format!("{id}/audio/my_song.mp3"))
    );
    let public = &where_to["public_url"];
    let confirm = format!("POST /api/projects/{id}/process-audio");
    let arrived = json!({"audio_url": public, "audio_format": "mp3"});
    // Not yet.
    let (status, early) = ann.ask(&confirm, &arrived);
    assert_eq!(
        (status, &early["detail"]),
        (400, &json!("Audio file not found. Upload audio first."))
    );

    let sent = fetch(&server, "PUT", &where_to["signed_url"], SONG);
    assert_eq!(sent.status, 200, "{}", sent.body);
    let heard = fetch(&server, "GET", public, b"");
    assert_eq!((heard.status, heard.body.as_bytes()), (200, SONG));
    let ready = ann.ok(&confirm, &arrived);
    assert_eq!(ready["ready_for_transcription"], json!(true));
    let shown = ann.ok(&format!("GET /api/projects/{id}"), &Value::Null);
    assert_eq!(shown["transcription_status"], "ready");
    assert_eq!(shown["audio_url"], *public);

    // Again, since it was the wrong one.
    let (_, again) = ann.presign(id, "my song.mp3");
    assert_eq!(
        fetch(&server, "PUT", &again["signed_url"], b"another").status,
        200
    );
    assert_eq!(fetch(&server, "GET", public, b"").body, "another");

    // Nothing is fetched from an address that a client names.
    for url in ["http://169.254.169.254/latest", "file:///etc/passwd", ""] {
        let (status, _) = ann.ask(&confirm, &json!({"audio_url": url}));
        assert!(status == 400 || status == 422, "{url}: {status}");
    }

    // Tables and projects survive; the app's history is not applied twice.
    server.kill9();
    let server = Ferrobase::dev_with(folder.path(), &["--app", "omvee"]);
    assert_eq!(fetch_again(&server, public), "another");
}

/// The address's port is another now.
fn fetch_again(server: &Ferrobase, public: &Value) -> String {
    let url = public.as_str().unwrap();
    let at = url.find("/storage/v1").unwrap();
    let path = url.get(at..).unwrap();
    request(server.address(), "GET", path, &[], b"")
        .unwrap()
        .body
}

#[test]
fn projects_are_their_owners_alone() {
    let folder = project(&[]);
    let server = Ferrobase::dev_with(folder.path(), &["--app", "omvee"]);
    let ann = User::new(&server, "ann@example.com");
    let ben = User::new(&server, "ben@example.com");
    let hers: Vec<_> = (0..3).map(|n| ann.project(&format!("Song {n}"))).collect();
    let his = ben.project("Mine");

    // Totals are true, and one's own.
    let page = ann.ok("GET /api/projects?skip=1&limit=1", &Value::Null);
    assert_eq!(page["total"], 3);
    assert_eq!(page["projects"][0]["id"], json!(hers[1]));
    let list = ben.ok("GET /api/projects", &Value::Null);
    assert_eq!(
        (&list["total"], &list["projects"][0]["id"]),
        (&json!(1), &json!(his))
    );

    let id = &hers[0];
    let missing = (404, json!({"detail": "Project not found"}));
    let rename = json!({"name": "Stolen"});
    assert_eq!(
        ben.ask(&format!("GET /api/projects/{id}"), &Value::Null),
        missing
    );
    assert_eq!(
        ben.ask(&format!("PUT /api/projects/{id}"), &rename),
        missing
    );
    assert_eq!(
        ben.ask(&format!("DELETE /api/projects/{id}"), &Value::Null),
        missing
    );
    assert_eq!(ben.presign(id, "a.mp3"), missing);
    assert_eq!(ann.ask("GET /api/projects/no-id", &Value::Null), missing);

    // Storage itself says the same: not into her folder by its own door, with
    // his token, and not by a name that climbs.
    let at = format!("/storage/v1/object/project-files/{id}/audio/x.mp3");
    let put = server.send("POST", &at, &ben.token, "x");
    assert_eq!(put.status, 400, "{}", put.body);
    assert_eq!(put.json()["statusCode"], "403");
    let (_, climbing) = ben.presign(&his, &format!("../../{id}/audio/x.mp3"));
    let path = climbing["file_path"].as_str().unwrap();
    assert!(
        path.starts_with(&format!("{his}/audio/")) && !path.contains("/../"),
        "{path}"
    );
    // A token for one file is for no other.
    let (_, own) = ben.presign(&his, "a.mp3");
    let stolen = own["signed_url"].as_str().unwrap().replace(&his, id);
    assert_eq!(fetch(&server, "PUT", &json!(stolen), b"x").status, 400);

    changes(&ann, id);
    assert_eq!(
        ann.ok(&format!("DELETE /api/projects/{id}"), &Value::Null),
        json!({"message": "Project deleted successfully"})
    );
    assert_eq!(ann.ok("GET /api/projects", &Value::Null)["total"], 2);
    strangers(&server);
}

/// What is said changes, what is not stays; what cannot be is refused.
fn changes(ann: &User<'_>, id: &str) {
    let put = format!("PUT /api/projects/{id}");
    let said = json!({
        "name": "Other", "audio_duration": 12.5, "transcription_data": {"text": "la", "segments": []},
        "user_id": "00000000-0000-4000-8000-000000000000", "status": null,
    });
    let shown = ann.ok(&put, &said);
    assert_eq!(
        (&shown["name"], &shown["audio_duration"]),
        (&json!("Other"), &json!(12.5))
    );
    assert_eq!(shown["transcription_data"]["text"], "la");
    assert_eq!(ann.ok(&put, &json!({}))["name"], "Other");
    for (body, status) in [
        (json!({"name": ""}), 422),
        (json!({"name": "x".repeat(256)}), 422),
        (json!({"audio_duration": "long"}), 422),
        (json!({"audio_duration": -1}), 422),
        (json!({"status": "stolen"}), 422),
        (json!([]), 422),
    ] {
        assert_eq!(ann.ask(&put, &body).0, status, "{body}");
    }
    let upload = format!("POST /api/projects/{id}/upload-audio");
    let page = json!({"filename": "a.html", "content_type": "text/html"});
    let (status, refused) = ann.ask(&upload, &page);
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        status == 400 && detail.starts_with("Content type text/html not allowed. Allowed"),
        "{detail}"
    );
    let song = json!({"filename": "a.flac", "content_type": "audio/flac"});
    assert_eq!(
        ann.ok(&upload, &song)["upload_instructions"]["method"],
        "PUT"
    );
}

/// Whoever shows no token of a user is nobody.
fn strangers(server: &Ferrobase) {
    let list = "GET /api/projects";
    let detail = |token: Option<&str>| {
        let (status, body) = ask(server, token, list, &Value::Null);
        assert_eq!(status, 401, "{body}");
        body["detail"].clone()
    };
    assert_eq!(detail(None), "Authorization header required");
    assert_eq!(detail(Some("no.token.atall")), "Invalid or expired token");
    assert_eq!(detail(Some(server.anon_key())), "Invalid or expired token");
    assert_eq!(
        detail(Some(server.service_key())),
        "Invalid or expired token"
    );
}

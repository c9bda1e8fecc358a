//! The drama generator's asset library as its clients use it: a form with a
//! file, lists by type and tag, bytes and the document beside them. Two users,
//! who never see each other, and a third who tries.

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};

const PICTURE: &[u8] = b"\x89PNG not quite, but bytes that have to come back \r\n--edge";
const BOUNDARY: &str = "a-boundary-that-is-in-no-file";
const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

struct Scene {
    server: Ferrobase,
    _folder: tempfile::TempDir,
}

/// A form of these fields; the one called `file` is one.
fn form(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let file = if *name == "file" {
            "; filename=\"Ann Front.PNG\"\r\ncontent-type: image/png"
        } else {
            ""
        };
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            )
            .as_bytes(),
        );
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

impl Scene {
    fn new() -> Self {
        let users = format!(
            "insert into auth.users (id, email) values ('{ANN}', 'ann@example.com'), ('{BOB}', 'bob@example.com');"
        );
        let folder = project(&[("supabase/migrations/20240101000000_users.sql", &users)]);
        let server = Ferrobase::dev_with(folder.path(), &["--app", "drama"]);
        Self {
            server,
            _folder: folder,
        }
    }

    fn token(&self, user: &str) -> String {
        self.server.token(user, &json!({}))
    }

    fn ask(&self, user: &str, line: &str) -> Answer {
        self.send(user, line, "application/json", b"")
    }

    fn send(&self, user: &str, line: &str, kind: &str, body: &[u8]) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let bearer = format!("Bearer {}", self.token(user));
        let head = [("authorization", bearer.as_str()), ("content-type", kind)];
        let path = format!("/asset-library/{path}");
        request(self.server.address(), method, &path, &head, body).unwrap()
    }

    fn upload(&self, user: &str, fields: &[(&str, &[u8])]) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        self.send(user, "POST upload", &kind, &form(fields))
    }

    /// What a list of a user's says.
    fn list(&self, user: &str, query: &str) -> Value {
        let answer = self.ask(user, &format!("GET list?{query}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    /// What lies in the bucket below a user's folder, as the service sees it.
    fn stored(&self, user: &str) -> Vec<String> {
        let bearer = format!("Bearer {}", self.server.service_key());
        let head = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let body = json!({"prefix": format!("{user}/"), "with_delimiter": false}).to_string();
        let path = "/storage/v1/object/list-v2/drama-assets";
        let answer = request(self.server.address(), "POST", path, &head, body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let objects = answer.json()["objects"].as_array().unwrap().clone();
        let names = objects
            .iter()
            .map(|object| object["name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

const FIELDS: [(&str, &[u8]); 4] = [
    ("user_id", b"10000"),
    ("project_name", b"My Show"),
    ("asset_type", b"image"),
    ("tag", b"character"),
];
const METADATA: (&str, &[u8]) = ("metadata", br#"{"view": "front", "asset_id": "mine"}"#);

#[test]
fn an_asset_is_kept_listed_read_and_removed() {
    let scene = Scene::new();
    let fields = [&FIELDS[..], &[METADATA, ("file", PICTURE)]].concat();
    let made = scene.upload(ANN, &fields);
    assert_eq!(made.status, 200, "{}", made.body);
    let made = made.json();
    let id = made["asset_id"].as_str().unwrap().to_owned();
    let lead = format!("{ANN}/my_show/images/{id}");
    assert_eq!(made["r2_key"], json!(format!("{lead}.png")));
    assert_eq!(made["tag"], "character");

    // Its document says what was said, and nobody's words replace the library's.
    let known = scene.ask(ANN, &format!("GET {id}/metadata")).json();
    assert_eq!(known["asset_id"], json!(id));
    assert_eq!(
        (&known["view"], &known["user_id"]),
        (&json!("front"), &json!(ANN))
    );
    assert_eq!(known["file_size"], json!(PICTURE.len()));
    assert_eq!(
        (&known["filename"], &known["content_type"]),
        (&json!("Ann Front.PNG"), &json!("image/png"))
    );
    // And lies beside the bytes, for whoever reads the bucket alone.
    assert_eq!(
        scene.stored(ANN),
        [format!("{lead}.json"), format!("{lead}.png")]
    );
    let beside = known["public_url"]
        .as_str()
        .unwrap()
        .replace(".png", ".json");
    let beside = beside.strip_prefix(scene.server.url()).unwrap().to_owned();
    let beside = request(scene.server.address(), "GET", &beside, &[], b"").unwrap();
    assert_eq!(beside.json(), known);

    let read = scene.ask(
        ANN,
        &format!("GET {id}?project_name=My%20Show&asset_type=image"),
    );
    assert_eq!(
        (read.status, read.body),
        (200, String::from_utf8_lossy(PICTURE).into_owned())
    );
    assert!(
        read.head.contains("content-type: image/png"),
        "{}",
        read.head
    );
    assert!(
        read.head.contains("x-content-type-options: nosniff"),
        "{}",
        read.head
    );
    listed(&scene, &id);
    removed(&scene, &id, &lead);
    assert!(!scene.server.stderr().contains("panicked"));
}

fn listed(scene: &Scene, id: &str) {
    // The folder says the project, so another way of writing it is the same.
    for (query, count) in [
        ("project_name=My%20Show", 1),
        ("project_name=my_show&asset_type=image&tag=character", 1),
        ("project_name=my_show&asset_type=video", 0),
        ("project_name=my_show&tag=clip", 0),
        ("project_name=other", 0),
    ] {
        let listed = scene.list(ANN, query);
        assert_eq!(listed["total"], json!(count), "{query}");
        assert_eq!(listed["assets"].as_array().unwrap().len(), count, "{query}");
    }
    for wrong in ["project_name=other", "asset_type=video"] {
        assert_eq!(
            scene.ask(ANN, &format!("GET {id}?{wrong}")).status,
            404,
            "{wrong}"
        );
    }
}

/// One of two goes, with its document, and the other stays.
fn removed(scene: &Scene, id: &str, lead: &str) {
    // A file before its fields comes as well.
    let fields = [&[("file", PICTURE)][..], &FIELDS].concat();
    assert_eq!(scene.upload(ANN, &fields).status, 200);
    assert_eq!(scene.list(ANN, "project_name=My%20Show")["total"], json!(2));

    let gone = scene.ask(ANN, &format!("DELETE {id}"));
    assert_eq!(
        gone.json(),
        json!({"success": true, "message": "Asset deleted successfully"})
    );
    for line in [
        format!("GET {id}"),
        format!("GET {id}/metadata"),
        format!("DELETE {id}"),
    ] {
        let answer = scene.ask(ANN, &line);
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"detail": "Asset not found"}))
        );
    }
    let left = scene.stored(ANN);
    assert!(
        left.len() == 2 && !left.iter().any(|name| name.starts_with(lead)),
        "{left:?}"
    );
}

#[test]
fn nobody_sees_or_ends_anothers_assets() {
    let scene = Scene::new();
    let fields = [&FIELDS[..], &[("file", PICTURE)]].concat();
    let made = scene.upload(ANN, &fields).json();
    let id = made["asset_id"].as_str().unwrap();
    for line in [
        format!("GET {id}"),
        format!("GET {id}/metadata"),
        format!("DELETE {id}"),
    ] {
        assert_eq!(scene.ask(BOB, &line).status, 404, "{line}");
    }
    assert_eq!(scene.list(BOB, "project_name=My%20Show")["total"], json!(0));
    // Whose it is says the token.
    let named = format!("GET list?project_name=My%20Show&user_id={ANN}");
    assert_eq!(scene.ask(BOB, &named).status, 403);
    let mut forged = fields.clone();
    forged[0].1 = ANN.as_bytes();
    assert_eq!(scene.upload(BOB, &forged).status, 403);
    // Neither by files themselves, but that whoever knows the name reads them.
    let bearer = format!("Bearer {}", scene.token(BOB));
    let key = made["r2_key"].as_str().unwrap();
    for (method, path) in [
        ("DELETE", format!("/storage/v1/object/drama-assets/{key}")),
        (
            "POST",
            format!("/storage/v1/object/drama-assets/{ANN}/my_show/images/x.png"),
        ),
    ] {
        let head = [("authorization", bearer.as_str())];
        let answer = request(scene.server.address(), method, &path, &head, b"x").unwrap();
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
    assert_eq!(scene.stored(ANN).len(), 2);
    for head in [
        vec![],
        vec![("authorization", "Bearer nonsense")],
        vec![("apikey", scene.server.anon_key())],
    ] {
        let answer = request(
            scene.server.address(),
            "GET",
            "/asset-library/list?project_name=x",
            &head,
            b"",
        );
        assert_eq!(answer.unwrap().status, 401);
    }
}

/// A whole form with one field that is another.
fn with<'a>(name: &'a str, value: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
    let mut fields: Vec<(&str, &[u8])> = [&FIELDS[..], &[("file", PICTURE)]].concat();
    fields.retain(|(field, _)| *field != name);
    fields.insert(0, (name, value));
    fields
}

#[test]
fn what_cannot_be_kept_leaves_nothing() {
    let scene = Scene::new();
    let long = vec![b' '; (64 << 10) + 1];
    for (fields, status) in [
        (with("asset_type", b"song"), 400),
        (with("tag", b"everything"), 400),
        (with("project_name", b""), 400),
        (with("project_name", &[b'x'; 201]), 400),
        (with("metadata", b"[1]"), 400),
        (with("metadata", b"{\"a\""), 400),
        (with("metadata", &long), 413),
        (FIELDS.to_vec(), 400),
        (FIELDS[..3].to_vec(), 400),
        (with("project_name", &[b'x', 0]), 400),
    ] {
        let answer = scene.upload(ANN, &fields);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.json()["detail"].is_string());
    }
    let plain = scene.send(ANN, "POST upload", "application/json", b"{}");
    assert_eq!(plain.status, 400);
    assert_eq!(scene.ask(ANN, "GET list").status, 400);
    assert_eq!(scene.ask(ANN, "GET not-an-id").status, 404);
    // Names that are paths stay in the folder; pages do not run here.
    let fields = with("project_name", b"../../etc");
    let made = scene.upload(ANN, &fields);
    assert_eq!(made.status, 200, "{}", made.body);
    let stored = scene.stored(ANN);
    let lead = format!("{ANN}/______etc/images/");
    assert!(
        stored.len() == 2 && stored.iter().all(|name| name.starts_with(&lead)),
        "{stored:?}"
    );
    assert!(!scene.server.stderr().contains("panicked"));
}

//! The storage room as somebody would attack it: another tenant's files by
//! every door, tokens that are for something else, names that are paths, heads
//! and bodies that do not end. Each is refused with a status of its own, tells
//! nothing, and leaves the server as it was.

mod content;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Answer, Ferrobase, project, raw, request, sign};

/// Two tenants in one bucket, each under a folder of its own name.
const TENANTS: &str = "insert into storage.buckets (id, name) values ('files', 'files');\n\
     create policy own_folder on storage.objects to authenticated\n\
     using ((storage.foldername(name))[1] = auth.uid()::text)\n\
     with check ((storage.foldername(name))[1] = auth.uid()::text);\n";
const ANN: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
const SECRET: &str = "what ann alone may read";
/// Long ago.
const PAST: u64 = 1_000_000_000;
const FUTURE: u64 = 4_000_000_000;

struct Scene {
    server: Ferrobase,
    ann: String,
    bob: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// A server with a file of ann's.
    fn new() -> Self {
        let folder = project(&[("supabase/migrations/20240101000000_files.sql", TENANTS)]);
        let server = Ferrobase::dev(folder.path());
        let token = |sub| server.token(sub, &json!({}));
        let scene = Self {
            ann: token(ANN),
            bob: token(BOB),
            server,
            _folder: folder,
        };
        let made = scene.ask(
            &scene.ann,
            &format!("POST object/files/{ANN}/secret.txt"),
            SECRET,
        );
        assert_eq!(made.status, 200, "{}", made.body);
        scene
    }

    /// `what` is a method and a path in the room.
    fn ask(&self, token: &str, what: &str, body: &str) -> Answer {
        self.ask_with(token, what, &[], body)
    }

    fn ask_with(&self, token: &str, what: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let (method, path) = what.split_once(' ').unwrap();
        let bearer = format!("Bearer {token}");
        let kind = if body.starts_with('{') {
            "application/json"
        } else {
            "text/plain"
        };
        let mut head = Vec::new();
        if !more.iter().any(|(name, _)| *name == "content-type") {
            head.push(("content-type", kind));
        }
        if !token.is_empty() {
            head.push(("authorization", &bearer));
        }
        head.extend_from_slice(more);
        let path = format!("/storage/v1/{path}");
        request(self.server.address(), method, &path, &head, body.as_bytes()).unwrap()
    }

    /// An upload by TUS, up to its creation.
    fn begin(&self, token: &str, name: &str, more: &[(&str, &str)]) -> Answer {
        let pair = |key, value: &str| format!("{key} {}", STANDARD.encode(value));
        let about = [pair("bucketName", "files"), pair("objectName", name)].join(",");
        let mut head = vec![
            ("tus-resumable", "1.0.0"),
            ("upload-length", "3"),
            ("upload-metadata", &about),
        ];
        head.extend_from_slice(more);
        let signed = head.iter().any(|(name, _)| *name == "x-signature");
        let door = if signed { "/sign" } else { "" };
        self.ask_with(token, &format!("POST upload/resumable{door}"), &head, "")
    }

    /// A token as the server makes them, with its own secret.
    fn signed(&self, url: &str, scope: &str, exp: u64) -> String {
        let claims = json!({"url": url, "scope": scope, "exp": exp, "iat": PAST, "upsert": false});
        sign(&claims, self.server.field("jwt_secret").as_str().unwrap())
    }

    /// What somebody else is told about ann's file: nothing.
    #[track_caller]
    fn refused(&self, what: &str, answer: &Answer) {
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.body
        );
        assert!(!answer.body.contains(SECRET), "{what}: {}", answer.body);
        assert!(!self.server.stderr().contains("panicked"), "{what}");
    }

    /// Everything is as it was.
    fn unharmed(self) {
        let path = format!("GET object/authenticated/files/{ANN}/secret.txt");
        let read = self.ask(&self.ann, &path, "");
        assert_eq!((read.status, read.body.as_str()), (200, SECRET));
        let stderr = self.server.stderr();
        assert!(!stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn another_tenants_files_are_behind_every_door() {
    let scene = Scene::new();
    let bob = scene.bob.clone();
    let theirs = format!("{ANN}/secret.txt");
    let mine = format!("{BOB}/mine.txt");
    // Renderers pass drawings on as they are.
    let drawing = format!("{ANN}/drawing.svg");
    let head = [("content-type", "image/svg+xml")];
    let made = scene.ask_with(
        &scene.ann,
        &format!("POST object/files/{drawing}"),
        &head,
        SECRET,
    );
    assert_eq!(made.status, 200, "{}", made.body);
    for what in [
        format!("GET object/authenticated/files/{theirs}"),
        format!("GET object/files/{theirs}"),
        format!("GET object/public/files/{theirs}"),
        format!("GET object/info/files/{theirs}"),
        format!("GET object/sign/files/{theirs}?token={bob}"),
        format!("GET render/image/authenticated/files/{drawing}?width=10"),
        format!("GET render/image/public/files/{drawing}?width=10"),
        format!("DELETE object/files/{theirs}"),
        format!("POST object/upload/sign/files/{theirs}"),
        // A name that is free: only the policies stand before it.
        format!("POST object/upload/sign/files/{ANN}/new.txt"),
        format!("POST object/files/{ANN}/new.txt"),
    ] {
        for token in [bob.as_str(), ""] {
            scene.refused(&what, &scene.ask(token, &what, ""));
        }
    }
    let copied = |from: &str, to: &str| json!({"bucketId": "files", "sourceKey": from, "destinationKey": to});
    for (what, body) in [
        (
            format!("POST object/sign/files/{theirs}"),
            json!({"expiresIn": 60}),
        ),
        ("POST object/copy".to_owned(), copied(&theirs, &mine)),
        ("POST object/move".to_owned(), copied(&theirs, &mine)),
        ("POST object/copy".to_owned(), copied(&mine, &theirs)),
        ("POST object/move".to_owned(), copied(&mine, &theirs)),
    ] {
        scene.refused(&what, &scene.ask(&bob, &what, &body.to_string()));
    }
    for what in [
        format!("POST object/files/{theirs}"),
        format!("PUT object/files/{theirs}"),
    ] {
        let upsert = scene.ask_with(&bob, &what, &[("x-upsert", "true")], "bob was here");
        scene.refused(&what, &upsert);
    }
    for upsert in ["true", "false"] {
        let begun = scene.begin(&bob, &theirs, &[("x-upsert", upsert)]);
        assert!(
            matches!(begun.status, 403 | 409),
            "{} {}",
            begun.status,
            begun.body
        );
    }
    of_many_at_once(&scene, &bob, &theirs);
    scene.unharmed();
}

fn of_many_at_once(scene: &Scene, bob: &str, theirs: &str) {
    // Lists are of what one may see, and deletions of many as well.
    let body = json!({"prefix": ANN, "limit": 100}).to_string();
    for list in ["POST object/list/files", "POST object/list-v2/files"] {
        let seen = scene.ask(bob, list, &body);
        assert!(
            seen.status == 200 && !seen.body.contains("secret"),
            "{}",
            seen.body
        );
    }
    let body = json!({"prefixes": [theirs]}).to_string();
    let gone = scene.ask(bob, "DELETE object/files", &body);
    assert_eq!((gone.status, gone.json()), (200, json!([])));
    let body = json!({"paths": [theirs], "expiresIn": 60}).to_string();
    let signed = scene.ask(bob, "POST object/sign/files", &body);
    assert!(!signed.body.contains("token="), "{}", signed.body);
}

#[test]
fn a_token_is_for_one_thing() {
    let scene = Scene::new();
    let url = format!("files/{ANN}/secret.txt");
    let get =
        |token: &str, url: &str| scene.ask("", &format!("GET object/sign/{url}?token={token}"), "");
    let good = scene.signed(&url, "download", FUTURE);
    let read = get(&good, &url);
    assert_eq!((read.status, read.body.as_str()), (200, SECRET));
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, _) = rest.split_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let other = sign(
        &json!({"url": url, "scope": "download", "exp": FUTURE}),
        "another secret",
    );
    let bad = [
        scene.signed(&url, "upload", FUTURE),
        scene.signed(&url, "download", PAST),
        scene.signed(&format!("files/{ANN}/other.txt"), "download", FUTURE),
        scene.signed(
            &format!("files/{ANN}/secret.txt/../secret.txt"),
            "download",
            FUTURE,
        ),
        other,
        format!("{none}.{claims}."),
        format!("{head}.{claims}."),
        format!("{head}.{claims}.AAAA"),
        scene.ann.clone(),
        scene.server.service_key().to_owned(),
        String::new(),
    ];
    for token in &bad {
        scene.refused(token, &get(token, &url));
    }
    // The other direction: nothing that reads may write.
    let target = format!("{ANN}/new.txt");
    let bad = [
        good,
        scene.signed(&format!("files/{target}"), "download", FUTURE),
        scene.signed(&format!("files/{target}"), "upload", PAST),
        scene.signed(&format!("files/{ANN}/other.txt"), "upload", FUTURE),
        scene.ann.clone(),
        String::new(),
    ];
    for token in &bad {
        let what = format!("PUT object/upload/sign/files/{target}?token={token}");
        scene.refused(&what, &scene.ask("", &what, "new"));
        let begun = scene.begin("", &target, &[("x-signature", token)]);
        scene.refused(token, &begun);
    }
    let right = scene.signed(&format!("files/{target}"), "upload", FUTURE);
    let begun = scene.begin("", &target, &[("x-signature", &right)]);
    assert_eq!(begun.status, 201, "{}", begun.body);
    scene.unharmed();
}

#[test]
fn names_are_not_paths() {
    let scene = Scene::new();
    let service = scene.server.service_key().to_owned();
    for name in [
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "a/%2e%2e/b",
        "a/../../b",
        "%2e%2e%2f",
        "..",
        ".%2e/x",
        "a%00b",
        "%c0%ae%c0%ae/x",
        "%ff%fe",
        "%ed%a0%80",
        "a%5c..%5cb",
        "a%0d%0ab",
        "caf%c3%a9",
        "cafe%cc%81",
        "%e2%80%ae",
    ] {
        for what in [
            format!("GET object/authenticated/files/{name}"),
            format!("GET object/public/files/{name}"),
            format!("POST object/files/{name}"),
            format!("DELETE object/files/{name}"),
            format!("POST object/upload/sign/files/{name}"),
        ] {
            scene.refused(&what, &scene.ask(&service, &what, "x"));
        }
    }
    for name in [
        "../x",
        "a/../../x",
        "a\0b",
        "..",
        "a/./b",
        "caf\u{e9}",
        "\u{202e}",
        "a\\b",
    ] {
        scene.refused(name, &scene.begin(&service, name, &[]));
        let body = json!({"bucketId": "files", "sourceKey": format!("{ANN}/secret.txt"), "destinationKey": name});
        scene.refused(
            name,
            &scene.ask(&service, "POST object/copy", &body.to_string()),
        );
    }
    // Upper and lower case are two objects, wherever the bytes are.
    for (name, text) in [
        ("Case.txt", "upper"),
        ("case.txt", "lower"),
        ("CASE.TXT", "all"),
    ] {
        let made = scene.ask(&service, &format!("POST object/files/{name}"), text);
        assert_eq!(made.status, 200, "{}", made.body);
    }
    for (name, text) in [
        ("Case.txt", "upper"),
        ("case.txt", "lower"),
        ("CASE.TXT", "all"),
    ] {
        let read = scene.ask(
            &service,
            &format!("GET object/authenticated/files/{name}"),
            "",
        );
        assert_eq!(read.body, text);
    }
    scene.unharmed();
}

#[test]
fn what_does_not_end_is_bounded() {
    let scene = Scene::new();
    let service = scene.server.service_key().to_owned();
    let long = "a".repeat(1 << 20);
    let what = format!("GET object/authenticated/files/{long}");
    scene.refused("a long address", &scene.ask(&service, &what, ""));
    scene.refused("a long name", &scene.begin(&service, &long, &[]));
    let header = [("x-client-info", long.as_str())];
    let answer = scene.ask_with(&service, "GET bucket", &header, "");
    scene.refused("a long header", &answer);
    let keys: Vec<String> = (0..20_000)
        .map(|n| format!("{n}-{}", "k".repeat(90)))
        .collect();
    let body = json!({"prefixes": keys}).to_string();
    scene.refused(
        "many names",
        &scene.ask(&service, "DELETE object/files", &body),
    );
    let path = format!("POST object/files/{}", "a".repeat(1025));
    scene.refused("a name too long", &scene.ask(&service, &path, "x"));

    // Bodies that say nothing hold nobody else up.
    let address = scene.server.address().to_owned();
    let slow: Vec<TcpStream> = (0..50)
        .map(|n| {
            let mut stream = TcpStream::connect(&address).unwrap();
            let head = format!(
                "POST /storage/v1/object/files/slow-{n} HTTP/1.1\r\nhost: x\r\n\
                 authorization: Bearer {service}\r\ncontent-length: 1000\r\n\r\nfirst"
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let made = scene.ask(&service, "POST object/files/quick", "x");
    assert_eq!(made.status, 200, "{}", made.body);
    drop(slow);
    // What was cut off is no object.
    let read = scene.ask(&service, "GET object/authenticated/files/slow-1", "");
    scene.refused("a cut upload", &read);
    // Two lengths, or a length and chunks, are no request.
    for head in [
        "content-length: 1\r\ncontent-length: 2",
        "content-length: 1\r\ntransfer-encoding: chunked, x",
    ] {
        let text = format!(
            "POST /storage/v1/object/files/two HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n\r\nx"
        );
        let answer = raw(&address, text.as_bytes()).unwrap();
        assert!(
            matches!(answer.status, 0 | 400..500),
            "{head}: {}",
            answer.status
        );
    }
    let mut rest = TcpStream::connect(&address).unwrap();
    rest.write_all(b"\0\0\0\0").unwrap();
    rest.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = rest.read_to_end(&mut Vec::new());
    scene.unharmed();
}

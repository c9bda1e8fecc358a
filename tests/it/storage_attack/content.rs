//! What strangers stored, and tokens that are not believed: pages that must not
//! run from the API's own origin, files that grow when they are opened, users'
//! tokens of another project or another time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{ANN, FUTURE, PAST, SECRET, Scene};
use crate::support::{request, sign};

#[test]
fn nothing_that_is_stored_runs_from_here() {
    let scene = Scene::new();
    let service = scene.server.service_key().to_owned();
    let made = scene.ask(
        &service,
        "POST bucket",
        r#"{"name": "open", "public": true}"#,
    );
    assert_eq!(made.status, 200, "{}", made.body);
    let page = "<!doctype html><script>alert(origin)</script>";
    for (kind, shown, sandboxed) in [
        ("text/html", "text/plain", false),
        ("TEXT/HTML; charset=utf-8", "text/plain", false),
        ("image/svg+xml", "image/svg+xml", true),
        ("application/xhtml+xml", "application/xhtml+xml", true),
        ("text/xml", "text/xml", true),
        ("application/javascript", "application/javascript", true),
        ("nonsense", "application/octet-stream", false),
        // What a browser would guess is kept from it by `nosniff`.
        ("image/png", "image/png", false),
        ("text/plain", "text/plain", false),
    ] {
        let made = scene.ask_with(
            &service,
            "POST object/open/page",
            &[("x-upsert", "true"), ("content-type", kind)],
            page,
        );
        assert_eq!(made.status, 200, "{kind}: {}", made.body);
        let token = scene.signed("open/page", "download", FUTURE);
        for path in [
            "GET object/public/open/page".to_owned(),
            "GET object/authenticated/open/page".to_owned(),
            "GET object/open/page".to_owned(),
            format!("GET object/sign/open/page?token={token}"),
        ] {
            let got = scene.ask(&service, &path, "");
            let has = |line: &str| got.head.to_lowercase().contains(line);
            assert_eq!(got.body, page, "{kind} {path}");
            assert!(
                has(&format!("\r\ncontent-type: {shown}\r\n")),
                "{kind} {path}: {}",
                got.head
            );
            assert!(
                has("\r\nx-content-type-options: nosniff"),
                "{kind} {path}: {}",
                got.head
            );
            let policy = "\r\ncontent-security-policy: default-src 'none'";
            assert_eq!(has(policy), sandboxed, "{kind} {path}: {}", got.head);
        }
    }
    // A drawing is not drawn, and nobody opens one by the renderer's address.
    let head = [("x-upsert", "true"), ("content-type", "image/svg+xml")];
    scene.ask_with(&service, "POST object/open/page", &head, page);
    let got = scene.ask(&service, "GET render/image/public/open/page?width=9", "");
    assert!(
        got.head
            .to_lowercase()
            .contains("\r\ncontent-disposition: attachment"),
        "{}",
        got.head
    );
    scene.unharmed();
}

/// A picture of one colour with more pixels than are looked at; a kilobyte.
fn picture_bomb() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8], data: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        let checked = [name, data].concat();
        bytes.extend_from_slice(&checked);
        let mut sum = u32::MAX;
        for byte in checked {
            sum ^= u32::from(byte);
            for _ in 0..8 {
                sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
            }
        }
        bytes.extend_from_slice(&(!sum).to_be_bytes());
    };
    let side = 60_000_u32.to_be_bytes();
    chunk(b"IHDR", &[&side[..], &side, &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]);
    chunk(b"IEND", b"");
    bytes
}

#[test]
fn what_grows_when_it_is_opened_stays_small() {
    let scene = Scene::new();
    let service = scene.server.service_key().to_owned();
    let bearer = format!("Bearer {service}");
    let send = |what: &str, head: &[(&str, &str)], body: &[u8]| {
        let (method, path) = what.split_once(' ').unwrap();
        let head = [&[("authorization", bearer.as_str())], head].concat();
        let path = format!("/storage/v1/{path}");
        request(scene.server.address(), method, &path, &head, body).unwrap()
    };
    let bomb = picture_bomb();
    let made = send(
        "POST object/files/bomb.png",
        &[("content-type", "image/png")],
        &bomb,
    );
    assert_eq!(made.status, 200, "{}", made.body);
    let shown = send(
        "GET render/image/authenticated/files/bomb.png?width=10",
        &[],
        b"",
    );
    assert_eq!(shown.status, 400, "{}", shown.body);
    assert!(
        shown.body.contains("resolution is too large"),
        "{}",
        shown.body
    );
    // Nothing that comes compressed is opened: as a request it cannot be read,
    // and as a file it is the bytes that came.
    let zipped = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    let kind = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    for what in [
        "POST bucket",
        "POST object/list/files",
        "DELETE object/files",
    ] {
        let refused = send(what, &kind, zipped);
        assert_eq!(refused.status, 400, "{what}: {}", refused.body);
    }
    let made = send("POST object/files/a.gz", &kind, zipped);
    assert_eq!(made.status, 200, "{}", made.body);
    let info = send("GET object/info/files/a.gz", &[], b"");
    assert_eq!(info.json()["size"], json!(zipped.len()));
    // A length that is only said costs nothing.
    for length in ["9223372036854775807", "18446744073709551616", "-1", "1e9"] {
        let about = format!(
            "bucketName {},objectName {}",
            STANDARD.encode("files"),
            STANDARD.encode("huge")
        );
        let head = [
            ("tus-resumable", "1.0.0"),
            ("upload-length", length),
            ("upload-metadata", &about),
        ];
        let begun = send("POST upload/resumable", &head, b"");
        assert!(
            (400..500).contains(&begun.status),
            "{length}: {} {}",
            begun.status,
            begun.body
        );
    }
    scene.unharmed();
}

#[test]
fn a_users_token_is_this_projects_and_of_now() {
    let scene = Scene::new();
    let secret = scene
        .server
        .field("jwt_secret")
        .as_str()
        .unwrap()
        .to_owned();
    let claims =
        |exp: u64| json!({"sub": ANN, "role": "authenticated", "aud": "authenticated", "exp": exp});
    let right = sign(&claims(FUTURE), &secret);
    let (head, rest) = right.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let service = sign(
        &json!({"role": "service_role", "exp": FUTURE}),
        "another secret",
    );
    let forged = service.split('.').nth(1).unwrap();
    let tokens = [
        sign(&claims(PAST), &secret),
        sign(&claims(FUTURE), "another secret"),
        service.clone(),
        format!("{head}.{forged}.{signature}"),
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}."),
        // Good for one object, and for nobody's sake.
        scene.signed(&format!("files/{ANN}/secret.txt"), "download", FUTURE),
    ];
    let path = format!("{ANN}/secret.txt");
    for token in &tokens {
        for what in [
            format!("GET object/authenticated/files/{path}"),
            format!("GET object/info/files/{path}"),
            format!("DELETE object/files/{path}"),
            format!("POST object/files/{ANN}/new.txt"),
            format!("GET render/image/authenticated/files/{path}?width=9"),
        ] {
            scene.refused(&what, &scene.ask(token, &what, ""));
        }
        let list = scene.ask(
            token,
            "POST object/list/files",
            &json!({"prefix": ANN}).to_string(),
        );
        assert!(!list.body.contains("secret"), "{}", list.body);
        let buckets = scene.ask(token, "GET bucket", "");
        assert!(!buckets.body.contains("files"), "{}", buckets.body);
        scene.refused("TUS", &scene.begin(token, &path, &[]));
    }
    let read = scene.ask(
        &right,
        &format!("GET object/authenticated/files/{path}"),
        "",
    );
    assert_eq!(read.body, SECRET);
    scene.unharmed();
}

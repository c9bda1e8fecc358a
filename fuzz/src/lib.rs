//! What is done with arbitrary bytes: read them as a request, plan it, write
//! the SQL, and see that nothing a stranger sent has become syntax.
//!
//! [`picture`] makes pictures of arbitrary files for Storage, [`answer`] reads what a model
//! may say as a value of a schema.
//!
//! [`query`], [`headers`], [`body`], [`picture`] and [`answer`] are the targets, `fuzz_targets/` hands
//! them to libFuzzer, `seeds/` has an input or more for each construct, and
//! `tests/seeds.rs` replays those as an ordinary test. `README.md` tells how
//! to fuzz. A panic is a finding.

// The golden files' schema: what they record can be tried here.
#[path = "../../crates/rest/src/golden/catalog.rs"]
mod catalog;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use pg::catalog::Catalog;
use pg::testing::lexed;
use rest::Config;
use rest::call::prefer::TransactionChoice;
use rest::call::{Call, CallConfig};
use storage::render::{Accept, RenderError, Transform, transform};

/// The longest input: what is longer is more of the same.
pub const INPUT_BYTES_MAX: usize = 4096;

struct World {
    catalog: Catalog,
    config: Config,
    call: CallConfig,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let config = Config {
        schemas: vec!["api".to_owned(), "other".to_owned()],
        aggregates_enabled: true,
        plan_enabled: true,
        max_rows: Some(100),
        transaction_choice: TransactionChoice::Client,
        ..Config::default()
    };
    let zones = HashSet::from(["Europe/Berlin".to_owned()]);
    World {
        catalog: catalog::catalog(),
        call: CallConfig::of(&config, Arc::new(zones)),
        config,
    }
});

/// The first byte chooses the resource, the rest is the query string.
pub fn query(data: &[u8]) {
    const RESOURCES: [(Method, &str, &str); 8] = [
        (Method::GET, "/projects", ""),
        (Method::GET, "/rpc/open_projects", ""),
        (Method::HEAD, "/clients", ""),
        (Method::PATCH, "/projects", r#"{"name":"x"}"#),
        (Method::DELETE, "/tasks", ""),
        (Method::POST, "/projects", r#"[{"id":1,"name":"x"}]"#),
        (Method::PUT, "/clients", r#"{"id":1,"name":"x"}"#),
        (
            Method::POST,
            "/rpc/open_projects",
            r#"{"since":"2026-01-01"}"#,
        ),
    ];
    let Some((first, raw)) = data.split_first() else {
        return;
    };
    let chosen = RESOURCES.iter().cycle().nth(usize::from(*first));
    let Some((method, path, body)) = chosen else {
        return;
    };
    let request = Request::builder()
        .method(method)
        .uri(target(path, raw))
        .header("prefer", "return=representation, count=exact");
    attack(request, Bytes::from_static(body.as_bytes()));
}

/// Lines of `name: value`; the first byte chooses method and resource.
pub fn headers(data: &[u8]) {
    const KNOWN: [(&str, &str); 6] = [
        ("a", "accept"),
        ("p", "prefer"),
        ("r", "range"),
        ("c", "content-type"),
        ("x", "accept-profile"),
        ("y", "content-profile"),
    ];
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (method, path, body) = match first % 4 {
        0 => (Method::GET, "/projects", ""),
        1 => (Method::POST, "/projects", "id,name\n1,x"),
        2 => (Method::POST, "/rpc/upload", "x"),
        _ => (Method::GET, "/", ""),
    };
    let mut request = Request::builder().method(method).uri(path);
    for line in rest.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        // One letter stands for each header that is read, so that mutations
        // seldom miss it.
        let known = KNOWN.iter().find(|(letter, _)| letter.as_bytes() == name);
        let name = known.map_or(name, |(_, name)| name.as_bytes());
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value.trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    attack(request, Bytes::from_static(body.as_bytes()));
}

/// The first byte chooses the media type and the resource, the rest is the
/// body.
pub fn body(data: &[u8]) {
    const TYPES: [&str; 6] = [
        "application/json",
        "text/csv",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "application/vnd.pgrst.object+json",
    ];
    const RESOURCES: [(Method, &str); 5] = [
        (Method::POST, "/projects"),
        (Method::PATCH, "/projects?id=eq.1"),
        (Method::PUT, "/clients?id=eq.1"),
        (Method::POST, "/rpc/add"),
        (Method::POST, "/projects?columns=id,name&on_conflict=id"),
    ];
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (kind, resource) = (first & 15, first >> 4);
    let kind = TYPES.iter().cycle().nth(usize::from(kind));
    let resource = RESOURCES.iter().cycle().nth(usize::from(resource));
    let (Some(kind), Some((method, uri))) = (kind, resource) else {
        return;
    };
    let request = Request::builder()
        .method(method)
        .uri(*uri)
        .header("content-type", *kind)
        .header("prefer", "missing=default, resolution=merge-duplicates");
    attack(request, Bytes::copy_from_slice(rest));
}

/// The first byte chooses what is asked for, the rest is the file. What is
/// made of it is a picture of the size that was asked for, and not longer than
/// a picture of that size can be.
///
/// # Panics
///
/// When it finds something.
pub fn picture(data: &[u8]) {
    const WISHES: [&str; 4] = [
        "width=8&height=8",
        "width=9&height=5&resize=contain&format=origin",
        "width=7&height=3&resize=fill&format=webp",
        "width=6&height=6&gravity=fp&x_offset=1&y_offset=0&quality=20",
    ];
    /// A head, a colour profile of the source's, and a few pixels.
    const BYTES_MAX: usize = 128 << 10;
    let Some((first, file)) = data.split_first() else {
        return;
    };
    let wish = WISHES.iter().cycle().nth(usize::from(*first));
    let Some(Ok(asked)) = wish.map(|wish| Transform::from_query(wish)) else {
        return;
    };
    match transform(file, &asked, Accept::Also, &AtomicBool::new(false)) {
        Ok(made) => assert!(made.bytes.len() <= BYTES_MAX, "{}", made.bytes.len()),
        Err(error) => assert_ne!(error, RenderError::Internal),
    }
}

/// A request target as a client would have to encode it: what may not stand
/// in one is escaped, escapes themselves stay.
fn target(path: &str, query: &[u8]) -> Uri {
    let mut text = format!("{path}?");
    for byte in query.iter().take(INPUT_BYTES_MAX) {
        if byte.is_ascii_graphic() && !b"\"<>#`\\^{|}".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.parse().unwrap_or_default()
}

/// Reads, plans and renders; whatever is refused must have an answer.
fn attack(request: http::request::Builder, body: Bytes) {
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    let world = &*WORLD;
    let statements = Call::parse(&parts, body, &world.call)
        .and_then(|call| rest::dry_run::statements(&world.catalog, &world.config, &call));
    match statements {
        Ok(statements) => {
            for statement in statements {
                let found = match lexed(statement.text()) {
                    Ok(found) => found,
                    Err(fault) => panic!("{fault}: {}", statement.text()),
                };
                let count = statement.params().len();
                let known = found.params.iter().all(|n| (1..=count).contains(n));
                assert!(known, "{count} parameters: {}", statement.text());
            }
        }
        Err(error) => {
            assert!(error.status().as_u16() >= 300, "{error}");
            assert!(!error.body().is_empty());
            let _ = error.headers();
        }
    }
}

/// What a model may say, read by a schema with a bit of everything.
pub fn answer(data: &[u8]) {
    static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| {
        serde_json::json!({
            "type": "object",
            "required": ["plan", "files"],
            "properties": {
                "plan": {"type": "string"},
                "files": {"type": "array", "items": {"anyOf": [
                    {"type": "object", "required": ["path"], "properties": {
                        "path": {"type": "string"}, "content": {"type": "string"},
                    }},
                    {"type": ["number", "null"]},
                ]}},
                "n": {"type": "integer"},
                "ok": {"type": "boolean", "default": true},
                "kind": {"enum": ["LIB", "App"]},
                "next": {"$ref": "#"},
            },
        })
    });
    if data.len() <= INPUT_BYTES_MAX {
        models::structured::fuzz(&SCHEMA, &String::from_utf8_lossy(data));
    }
}

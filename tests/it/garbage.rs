//! Whatever comes in, the answer is the dialect's own error, soon, and tells
//! nothing that a stranger should not know; the server neither panics nor
//! grows. `garbage/below.rs` has what is wrong below HTTP, `garbage/fuzz.rs`
//! thousands of query strings from a seed.

mod below;
mod fuzz;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, raw, request};

/// With a release binary; what a debug build adds is stack and code.
const RSS_MAX_KIB: u64 = 200 << 10;
/// Nothing wrong is worth more than this; it is far below the request limit.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const SETTINGS: &str = "[log]\nrequests = \"none\"\n[api]\nheader_timeout = \"2s\"\nrequest_timeout = \"8s\"\n\
    body_bytes_max = \"10MiB\"\nheader_bytes_max = \"64KiB\"\n";

const SCHEMA: &str = "create table public.items (\
    id bigint primary key, name text, tags text[], data jsonb, at timestamptz, \
    parent bigint references public.items (id));
alter table public.items enable row level security;
create policy all_of_it on public.items to anon, authenticated using (true) with check (true);
create table public.parts (id bigint primary key, item bigint references public.items (id), size numeric);
alter table public.parts enable row level security;
create policy all_of_it on public.parts to anon, authenticated using (true) with check (true);
create function public.add(a int, b int) returns int language sql immutable as 'select a + b';
create function public.echo(json) returns json language sql immutable as 'select $1';
insert into public.items select n, 'item ' || n, array['a', 'b'], '{\"a\": {\"b\": 1}}', now(), null
  from generate_series(1, 20) n;
";

/// A server to be treated badly, checked when it is done.
struct Target {
    server: Ferrobase,
    folder: tempfile::TempDir,
}

impl Target {
    fn start() -> Self {
        let folder = project(&[
            ("supabase/migrations/20240101000000_items.sql", SCHEMA),
            ("ferrobase.toml", SETTINGS),
        ]);
        let server = Ferrobase::dev(folder.path());
        Self { server, folder }
    }

    fn address(&self) -> &str {
        self.server.address()
    }

    /// A GET that must be refused with one of these.
    fn refuses(&self, path: &str, statuses: &[u16]) {
        self.refuses_with("GET", path, &[], b"", statuses);
    }

    fn refuses_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        statuses: &[u16],
    ) {
        let began = Instant::now();
        let answer = request(self.address(), method, path, headers, body)
            .unwrap_or_else(|error| panic!("{}: {error}", label(method, path, headers, body)));
        assert!(
            began.elapsed() < ANSWER_MAX,
            "{}: {:?}",
            label(method, path, headers, body),
            began.elapsed()
        );
        self.check(&label(method, path, headers, body), &answer, statuses);
    }

    /// An error in the dialect's shape that says nothing about the inside.
    fn check(&self, what: &str, answer: &Answer, statuses: &[u16]) {
        let body: String = answer.body.chars().take(600).collect();
        assert!(
            statuses.contains(&answer.status),
            "{what}: {} {body}",
            answer.status
        );
        self.is_discreet(what, answer);
        if answer.status >= 400 && !answer.body.is_empty() {
            let said = answer.json();
            let fields = ["code", "message", "details", "hint"];
            let complete = fields.iter().all(|field| said.get(field).is_some());
            assert!(complete && said["code"].is_string(), "{what}: {body}");
        }
    }

    /// No SQL of ours, no paths, no secrets.
    fn is_discreet(&self, what: &str, answer: &Answer) {
        let secret = self.server.field("jwt_secret").as_str().unwrap();
        let folder = self.folder.path().display().to_string();
        let ours = [
            "set_config",
            "pgrst_source",
            "\nSELECT ",
            "WITH pgrst",
            "postgres:",
            ".rs:",
            "/usr/",
        ];
        let told = [secret, self.server.service_key(), &folder]
            .into_iter()
            .chain(ours)
            .find(|inside| answer.body.contains(inside));
        assert_eq!(told, None, "{what}: {}", answer.body);
    }

    /// Still there, still well, and no larger than it should be.
    fn finish(self) {
        let alive = self
            .server
            .get("/rest/v1/items?select=id&id=eq.1", self.server.anon_key());
        assert_eq!(
            (alive.status, alive.json()),
            (200, json!([{"id": 1}])),
            "{alive:?}"
        );
        let said = self.server.stderr();
        assert!(!said.contains("panicked"), "{said}");
        let rss = resident_kib(self.server.pid());
        eprintln!("resident: {rss} KiB");
        assert!(rss < RSS_MAX_KIB, "{rss} KiB");
        assert!(self.server.stop().success());
    }
}

/// The beginning of a request, for the message of a failure.
fn label(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let short = |text: &str| text.chars().take(160).collect::<String>();
    let headers = short(&format!("{headers:?}"));
    let body = short(&String::from_utf8_lossy(body));
    format!("{method} {} {headers} {body:?}", short(path))
}

/// What a process holds in memory.
fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const CSV: (&str, &str) = ("content-type", "text/csv");

#[test]
fn bodies_that_are_no_rows_are_refused() {
    let target = Target::start();
    let post = |headers: &[(&str, &str)], body: &[u8], statuses: &[u16]| {
        target.refuses_with("POST", "/rest/v1/items", headers, body, statuses);
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", "{\"id\":".repeat(100_000), "}".repeat(100_000));
    for body in [
        &b"{"[..],
        b"nul",
        b"[1,2",
        b"[1]",
        b"{\"id\": 1e999999}",
        b"{\"id\": 99999999999999999999}",
        b"\xff\xfe",
        b"{\"name\": \"\xc3\x28\"}",
        b"{\"name\": \"\\u0000\", \"id\": 900}",
        b"{\"name\": \"a\0b\", \"id\": 901}",
        b"{\"name\": \"\\ud800\", \"id\": 902}",
        b"{\"nobody\": 1}",
        b"{\"id\": \"x\"}",
        b"[{\"id\": 903}, 3]",
        b"{\"id\": 904} trailing",
        deep.as_bytes(),
        objects.as_bytes(),
    ] {
        post(&[JSON], body, &[400]);
    }
    // What is neither object nor list counts as an empty list, as upstream.
    assert_eq!(post_status(&target, b"\"text\""), 201);
    // The second of two equal keys counts, as in PostgreSQL's own jsonb.
    let twice = post_status(&target, b"{\"id\": 905, \"id\": 906}");
    assert!(matches!(twice, 201 | 400), "{twice}");
    for body in [
        &b"id,name\n1"[..],
        b"id\nx,y,z\n",
        b"\0\n\0\n",
        b"nobody\n1\n",
        b"id\n\xff\n",
    ] {
        post(&[CSV], body, &[400]);
    }
    post(&[("content-type", "text/nonsense")], b"x", &[400, 415]);
    post(
        &[("content-type", "application/x-www-form-urlencoded")],
        b"%00=%ff&&&=",
        &[400],
    );
    for (path, body) in [
        ("add", "[1,2]"),
        ("add", "{\"a\": {}}"),
        ("add", "{\"a\": 2147483647, \"b\": 1}"),
        ("nobody", "{}"),
        ("echo", "{"),
    ] {
        target.refuses_with(
            "POST",
            &format!("/rest/v1/rpc/{path}"),
            &[JSON],
            body.as_bytes(),
            &[400, 404],
        );
    }
    target.finish();
}

fn post_status(target: &Target, body: &[u8]) -> u16 {
    request(target.address(), "POST", "/rest/v1/items", &[JSON], body)
        .unwrap()
        .status
}

#[test]
fn addresses_that_mean_nothing_are_refused() {
    let target = Target::start();
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let items = |query: &str| format!("/rest/v1/items?{query}");
    let bad = [400];
    for query in [
        &nested("and(", "id.eq.1", ")", 10_000),
        &nested("or(id.eq.1,", "id.eq.2", ")", 1_500),
        &nested("not.and(", "id.eq.1", ")", 1_000),
    ] {
        target.refuses(&items(&format!("and=({query})")), &bad);
    }
    target.refuses(
        &items(&format!("select={}", nested("parts(", "id", ")", 500))),
        &bad,
    );
    let embeds = vec!["parts(id)"; 1000].join(",");
    target.refuses(&items(&format!("select={embeds}")), &[200, 300, 400]);
    let aliases: Vec<_> = (0..1000).map(|n| format!("p{n}:parts(id)")).collect();
    // Cut off by the role's statement_timeout (57014), a 500 upstream as well.
    target.refuses(
        &items(&format!("select={}", aliases.join(","))),
        &[200, 400, 500],
    );
    let arrows = "->a".repeat(5_000);
    target.refuses(&items(&format!("select=data{arrows}")), &[200, 400]);
    let columns = vec!["id"; 10_000].join(",");
    target.refuses(&items(&format!("order={columns}")), &[200, 400]);
    let values: Vec<_> = (0..11_000).map(|n| n.to_string()).collect();
    target.refuses(
        &items(&format!("id=in.({})", values.join(","))),
        &[200, 400],
    );
    let filters = vec!["id=gt.0"; 7_000].join("&");
    target.refuses(&items(&filters), &[200, 400]);
    mistakes(&target);
    target.finish();
}

/// Addresses that are short and wrong.
fn mistakes(target: &Target) {
    let items = |query: &str| format!("/rest/v1/items?{query}");
    for query in [
        "id=eq.%ff",
        "id=eq.%00",
        "name=eq.%00",
        "name=eq.%ed%a0%80",
        "%00=eq.1",
        "select=%ff",
        "order=%00",
        "nobody=eq.1",
        "select=nobody",
        "order=nobody",
        "select=nobody(id)",
        "columns=%00&select=%00",
        "limit=99999999999999999999999x",
        "limit=-1",
        "offset=-1&limit=-99999999999999999999",
        "id=eq",
        "id=nonsense.1",
        "id=eq.99999999999999999999",
        "and=(",
        "or=)",
        "select=(((",
        "order=id.sideways",
        "id=in.(1",
        "id=in.",
        "tags=cs.{",
        "data->>=eq.1",
        "id::nonsense=eq.1",
        "select=id::nonsense",
        "at=gt.yesterday-ish",
        "name=fts(nonsense).x",
        "name=match.(",
        "name=imatch.[",
        "id=is.nonsense",
        "%",
        "select=id&select",
        "=",
        "&&&==&",
    ] {
        target.refuses(&items(query), &[200, 400, 404, 416]);
    }
    for query in [
        "offset=99999999999999999999999",
        "limit=99999999999999999999999",
        "limit=1e3",
        "offset=abc",
    ] {
        target.refuses(&items(query), &[200, 206, 400, 416]);
    }
    for path in [
        "/rest/v1/nobody",
        "/rest/v1/rpc/nobody",
        "/rest/v1/items/1",
        "/rest/v1/rpc",
        "/rest/v1/rpc/add/more",
        "/rest/v1/%00",
        "/rest/v1/%ff",
        "/rest/v1//",
        "/rest/v1/../../etc/passwd",
        "/rest/v1/pg_authid",
        "/rest/v1/rpc/add?a=x&b=1",
        "/rest/v1/rpc/add?a=1",
        "/rest/v1/rpc/pg_sleep?a=1",
        "/rest/v1/rpc/%00",
        "/rest/v1/items%20where%201%3D1--",
        "/rest/v1/items\"",
    ] {
        target.refuses(path, &[400, 404]);
    }
}

#[test]
fn heads_that_mean_nothing_are_refused() {
    let target = Target::start();
    let get = |headers: &[(&str, &str)], statuses: &[u16]| {
        target.refuses_with("GET", "/rest/v1/items", headers, b"", statuses);
    };
    for range in [
        "x",
        "-",
        "5-2",
        "-5",
        "99999999999999999999-",
        "0-99999999999999999999",
        "1-2,3-4",
        "\u{e9}",
        "bytes=0-1",
    ] {
        get(&[("range", range)], &[200, 206, 400, 416]);
        get(
            &[
                ("range", range),
                ("range-unit", "nonsense"),
                ("prefer", "count=exact"),
            ],
            &[200, 206, 400, 416],
        );
    }
    let many = "return=representation,".repeat(2_000);
    for prefer in [
        "nonsense",
        "return=",
        "count=nonsense",
        "tx=sideways",
        "max-affected=-1",
        "timezone=Mars/Base",
        "\u{e9}",
        ",,,=",
        &many,
    ] {
        get(&[("prefer", prefer)], &[200, 206]);
        get(
            &[("prefer", "handling=strict"), ("prefer", prefer)],
            &[200, 206, 400],
        );
    }
    for accept in [
        "nonsense",
        "text/html",
        "application/vnd.pgrst.object",
        "*/*;q=nonsense",
        "\u{e9}",
        "",
    ] {
        get(&[("accept", accept)], &[200, 406]);
    }
    for profile in ["nobody", "pg_catalog", "auth", "\u{e9}", "\"", ""] {
        get(&[("accept-profile", profile)], &[200, 406]);
    }
    tokens(&target);
    let one = "x".repeat(200 << 10);
    get(&[("x-large", &one)], &[431]);
    let cookies = "a=b; ".repeat(5_000);
    get(&[("cookie", &cookies)], &[200]);
    target.refuses(
        &format!("/rest/v1/items?name=eq.{}", "a".repeat(100 << 10)),
        &[414, 431],
    );
    for method in ["PUT", "PATCH", "DELETE", "TRACE", "BREW", "PROPFIND"] {
        target.refuses_with(method, "/rest/v1/rpc/add", &[JSON], b"{}", &[405]);
    }
    for method in ["TRACE", "BREW", "CONNECT", "get"] {
        target.refuses_with(method, "/rest/v1/items", &[], b"", &[400, 405]);
    }
    target.finish();
}

fn tokens(target: &Target) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let good = target
        .server
        .token("11111111-1111-4111-8111-111111111111", &json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let head = |value: Value| BASE64.encode(value.to_string());
    let none = head(json!({"alg": "none"}));
    let kid = head(json!({"alg": "ES256", "kid": "nobody"}));
    let huge = "x".repeat(40 << 10);
    let deep = BASE64.encode("[".repeat(5_000));
    let expired = target.server.token("x", &json!({"exp": 1}));
    let odd = target.server.token("x", &json!({"exp": "soon"}));
    let stranger = target.server.token("x", &json!({"role": "postgres"}));
    let nobody = target.server.token("x", &json!({"role": "nobody\u{0}"}));
    let list = target.server.token("x", &json!({"role": ["service_role"]}));
    for token in [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{kid}.{}.{}", parts[1], parts[2]),
        good[..good.len() - 5].to_owned(),
        format!("{good}x"),
        format!("{}.{}", parts[0], parts[1]),
        huge,
        format!("{deep}.{deep}.{deep}"),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "\u{e9}.\u{e9}.\u{e9}".to_owned(),
        expired,
        odd,
        stranger,
        nobody,
        list,
    ] {
        let bearer = format!("Bearer {token}");
        target.refuses_with(
            "GET",
            "/rest/v1/items",
            &[("authorization", &bearer)],
            b"",
            &[400, 401, 403],
        );
    }
    for odd in ["Bearer", "Bearer ", "Basic eDp5", "nonsense"] {
        target.refuses_with(
            "GET",
            "/rest/v1/items",
            &[("authorization", odd)],
            b"",
            &[200, 401],
        );
    }
}

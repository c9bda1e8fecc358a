//! The most frequent mistakes, made against the real server: each answer must
//! name what is to be fixed. docs/errors.md lists the same ones.

use serde_json::{Value, json};

use crate::support::{Answer, Ferrobase, project, request};

const SCHEMA: &str = "
create table public.authors (id int primary key, name text not null);
create table public.books (
  id int primary key,
  title text not null,
  isbn text unique,
  pages int check (pages > 0),
  author_id int references public.authors (id),
  editor_id int references public.authors (id)
);
create table public.reviews (id int primary key, book_id int references public.books (id), stars int);
create table public.inbox (id int primary key, text text);
create table public.secrets (id int primary key);
create function public.add_numbers(a int, b int) returns int language sql immutable as 'select a + b';
create schema internal;
alter table public.authors enable row level security;
alter table public.books enable row level security;
alter table public.reviews enable row level security;
alter table public.inbox enable row level security;
alter table public.secrets enable row level security;
create policy everybody on public.authors using (true) with check (true);
create policy everybody on public.books using (true) with check (true);
create policy everybody on public.reviews using (true) with check (true);
create policy write_only on public.inbox for insert with check (true);
revoke all on public.secrets from anon, authenticated;
insert into public.authors values (1, 'Ada'), (2, 'Bob');
insert into public.books values (1, 'One', 'i1', 10, 1, 2), (2, 'Two', 'i2', 20, 1, 2);
";

/// A mistake: what was sent, and what the answer has to say.
struct Mistake {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    code: &'static str,
    /// Must be found in message, details and hint together.
    names: &'static [&'static str],
}

/// A read without anything special.
const READ: Mistake = Mistake {
    what: "",
    method: "GET",
    path: "",
    headers: &[],
    body: "",
    status: 400,
    code: "",
    names: &[],
};

const WRITE: Mistake = Mistake {
    method: "POST",
    path: "/rest/v1/books",
    headers: &[("prefer", "return=representation")],
    ..READ
};

const ONE: &[(&str, &str)] = &[("accept", "application/vnd.pgrst.object+json")];

const READS: [Mistake; 12] = [
    Mistake {
        what: "a column misspelt in select",
        path: "/rest/v1/books?select=id,titel",
        code: "42703",
        names: &["books.titel", "\"books.title\""],
        ..READ
    },
    Mistake {
        what: "a column misspelt in a filter",
        path: "/rest/v1/books?titel=eq.One",
        code: "42703",
        names: &["books.titel", "\"books.title\""],
        ..READ
    },
    Mistake {
        what: "a table misspelt",
        path: "/rest/v1/boooks",
        status: 404,
        code: "PGRST205",
        names: &["'public.boooks'", "'public.books'"],
        ..READ
    },
    Mistake {
        what: "an embed misspelt",
        path: "/rest/v1/books?select=*,review(*)",
        code: "PGRST200",
        names: &["'books' and 'review'", "'reviews' instead of 'review'"],
        ..READ
    },
    Mistake {
        what: "an embed that could mean two foreign keys",
        path: "/rest/v1/books?select=*,authors(*)",
        status: 300,
        code: "PGRST201",
        names: &[
            "'books' and 'authors'",
            "'authors!books_author_id_fkey'",
            "'authors!books_editor_id_fkey'",
        ],
        ..READ
    },
    Mistake {
        what: "a filter on an embed that is not selected",
        path: "/rest/v1/books?reviews.stars=gt.3",
        code: "PGRST108",
        names: &[
            "'reviews' is not an embedded resource",
            "'select' query parameter",
        ],
        ..READ
    },
    Mistake {
        what: "a value of the wrong type",
        path: "/rest/v1/books?id=eq.one",
        code: "22P02",
        names: &["type integer", "\"one\""],
        ..READ
    },
    Mistake {
        what: "a filter without an operator",
        path: "/rest/v1/books?id=1",
        code: "PGRST100",
        names: &["failed to parse filter (1)", "operator (eq, gt, ...)"],
        ..READ
    },
    Mistake {
        what: "an operator that does not exist",
        path: "/rest/v1/books?id=equals.1",
        code: "PGRST100",
        names: &[
            "failed to parse filter (equals.1)",
            "operator (eq, gt, ...)",
        ],
        ..READ
    },
    Mistake {
        what: "one row asked for and none there",
        path: "/rest/v1/books?id=eq.99",
        headers: ONE,
        status: 406,
        code: "PGRST116",
        names: &["single JSON object", "contains 0 rows"],
        ..READ
    },
    Mistake {
        what: "one row asked for and several there",
        path: "/rest/v1/books",
        headers: ONE,
        status: 406,
        code: "PGRST116",
        names: &["single JSON object", "contains 2 rows"],
        ..READ
    },
    Mistake {
        what: "a page behind the last row",
        path: "/rest/v1/books?offset=50",
        headers: &[("prefer", "count=exact")],
        status: 416,
        code: "PGRST103",
        names: &["offset of 50", "only 2 rows"],
        ..READ
    },
];

const WRITES: [Mistake; 13] = [
    Mistake {
        what: "a column that the body misspells",
        body: r#"{"id":3,"titel":"x"}"#,
        code: "PGRST204",
        names: &["'titel' column of 'books'"],
        ..WRITE
    },
    Mistake {
        what: "a body that is no JSON",
        body: "{id: 3}",
        code: "PGRST102",
        names: &["invalid json"],
        ..WRITE
    },
    Mistake {
        what: "rows with different keys",
        body: r#"[{"id":3,"title":"x"},{"id":4}]"#,
        code: "PGRST102",
        names: &["All object keys must match"],
        ..WRITE
    },
    Mistake {
        what: "a required column left out",
        body: r#"{"id":3}"#,
        code: "23502",
        names: &["column \"title\"", "\"books\""],
        ..WRITE
    },
    Mistake {
        what: "a unique value twice",
        body: r#"{"id":3,"title":"x","isbn":"i1"}"#,
        status: 409,
        code: "23505",
        names: &["books_isbn_key"],
        ..WRITE
    },
    Mistake {
        what: "a reference to nothing",
        body: r#"{"id":3,"title":"x","author_id":77}"#,
        status: 409,
        code: "23503",
        names: &["books_author_id_fkey", "\"authors\""],
        ..WRITE
    },
    Mistake {
        what: "a value that a check refuses",
        body: r#"{"id":3,"title":"x","pages":-1}"#,
        code: "23514",
        names: &["books_pages_check"],
        ..WRITE
    },
    Mistake {
        what: "an upsert on a column that is not unique",
        path: "/rest/v1/books?on_conflict=title",
        headers: &[("prefer", "resolution=merge-duplicates")],
        body: r#"{"id":3,"title":"x"}"#,
        code: "42P10",
        names: &["unique", "ON CONFLICT"],
        ..WRITE
    },
    Mistake {
        what: "an upsert on a column that does not exist",
        path: "/rest/v1/books?on_conflict=nope",
        headers: &[("prefer", "resolution=merge-duplicates")],
        body: r#"{"id":3,"title":"x"}"#,
        code: "42703",
        names: &["\"nope\""],
        ..WRITE
    },
    Mistake {
        what: "a row that may be written and not be read back",
        path: "/rest/v1/inbox",
        body: r#"{"id":1,"text":"x"}"#,
        status: 403,
        code: "42501",
        names: &["\"inbox\"", "\"authenticated\"", "return=minimal", "SELECT"],
        ..WRITE
    },
    Mistake {
        what: "a table without a grant",
        method: "GET",
        path: "/rest/v1/secrets",
        status: 403,
        code: "42501",
        names: &["permission denied for table secrets"],
        ..WRITE
    },
    Mistake {
        what: "more rows deleted than allowed",
        method: "DELETE",
        path: "/rest/v1/books",
        headers: &[("prefer", "handling=strict, max-affected=1")],
        code: "PGRST124",
        names: &["max-affected", "affects 2 rows"],
        ..WRITE
    },
    Mistake {
        what: "a schema that is not exposed",
        headers: &[("content-profile", "internal")],
        body: r#"{"id":3,"title":"x"}"#,
        status: 406,
        code: "PGRST106",
        names: &["internal", "public"],
        ..WRITE
    },
];

const CALLS: [Mistake; 3] = [
    Mistake {
        what: "a function misspelt",
        method: "POST",
        path: "/rest/v1/rpc/add_number",
        body: r#"{"a":1,"b":2}"#,
        status: 404,
        code: "PGRST202",
        names: &["public.add_number(a, b)", "public.add_numbers"],
        ..READ
    },
    Mistake {
        what: "an argument misspelt",
        method: "POST",
        path: "/rest/v1/rpc/add_numbers",
        body: r#"{"a":1,"c":2}"#,
        status: 404,
        code: "PGRST202",
        names: &["public.add_numbers(a, c)", "public.add_numbers(a, b)"],
        ..READ
    },
    Mistake {
        what: "a function called by PUT",
        method: "PUT",
        path: "/rest/v1/rpc/add_numbers",
        status: 405,
        code: "PGRST101",
        names: &["PUT", "RPC"],
        ..READ
    },
];

/// All that the answer says, in one text.
fn words(answer: &Answer) -> String {
    let body = answer.json();
    ["message", "details", "hint"]
        .iter()
        .map(|part| match &body[*part] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect::<Vec<_>>()
        .join(" | ")
}

#[test]
fn answers_name_what_to_fix() {
    let folder = project(&[
        ("supabase/config.toml", "project_id = \"mistakes\"\n"),
        ("ferrobase.toml", "[api]\nrequire_apikey = true\n"),
        ("supabase/migrations/20260101000000_schema.sql", SCHEMA),
    ]);
    let server = Ferrobase::dev(folder.path());
    let token = server.token("00000000-0000-4000-8000-000000000001", &json!({}));
    let bearer = format!("Bearer {token}");
    let mut wrong = Vec::new();
    for mistake in READS.iter().chain(&WRITES).chain(&CALLS) {
        let mut headers = vec![
            ("apikey", server.anon_key()),
            ("authorization", &bearer),
            ("content-type", "application/json"),
        ];
        headers.extend(mistake.headers);
        let body = mistake.body.as_bytes();
        let (method, path) = (mistake.method, mistake.path);
        let answer = request(server.address(), method, path, &headers, body).unwrap();
        let said = words(&answer);
        let code = answer.json()["code"].clone();
        let named = mistake.names.iter().all(|name| said.contains(name));
        if answer.status != mistake.status || code != mistake.code || !named {
            let what = mistake.what;
            wrong.push(format!("{what}: {} {code} {said}", answer.status));
        }
    }
    // No mistake has left anything behind.
    let books = server.get("/rest/v1/books?select=id", server.service_key());
    assert_eq!(books.json(), json!([{"id": 1}, {"id": 2}]));

    let expired = server.token("x", &json!({"exp": 1_000_000_000}));
    let answer = server.get("/rest/v1/books", &expired);
    if answer.status != 401 || !words(&answer).contains("JWT expired") {
        wrong.push(format!("an expired token: {answer:?}"));
    }
    let answer = request(server.address(), "GET", "/rest/v1/books", &[], b"").unwrap();
    if answer.status != 401 || !words(&answer).contains("`apikey`") {
        wrong.push(format!("no key at all: {answer:?}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! The room against a real server: JSON that Rust puts together from the wire
//! must be, byte for byte, what `json_agg` writes for the same rows.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use kernel::{Caller, Tasks};
use pg::Session;
use pg::catalog::{LoadOptions, load};
use pg::testing::TestDb;
use rest::{Config, Rest};

/// A column of every base type, with the values that are easy to get wrong.
const SCHEMA: &str = r#"
CREATE SCHEMA api;
CREATE TYPE api.mood AS ENUM ('fine', 'so "so"', 'back\slash');
CREATE TYPE api.pair AS (n integer, "odd ""name" text);
CREATE DOMAIN api.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN api.names AS text[];
CREATE DOMAIN api.instant AS timestamptz;
CREATE TABLE api.things (
    id integer PRIMARY KEY,
    "odd ""name" text,
    small smallint, big bigint, exact numeric, single real, double double precision,
    cash money, flag boolean, txt text, vc varchar(10), fixed char(6), internal "char", ident name,
    bytes bytea, day date, clock time, clock_tz timetz, at timestamp, at_tz timestamptz,
    span interval, uid uuid, doc json, docb jsonb, path jsonpath, markup xml,
    ip inet, net cidr, mac macaddr, bits bit(3), varbits varbit, words tsvector, query tsquery,
    spot point, area box, line lseg, ring circle, shape polygon,
    ints int4range, times tstzrange, many int4multirange, lsn pg_lsn, class regclass, object oid,
    feeling api.mood, couple api.pair, pos api.positive, list api.names, moment api.instant,
    texts text[], matrix integer[][], moods api.mood[], pairs api.pair[], instants timestamptz[],
    docs jsonb[], vec int2vector
);
INSERT INTO api.things (id) VALUES (1);
INSERT INTO api.things VALUES (
    2, E'tab\t, quote ", back \\, bell \x07, del \x7f, ümlaut, 𝄞',
    -32768, 9223372036854775807, 'NaN', 'Infinity', '-Infinity',
    12.5, true, E'line\nbreak\r\f\b', '', 'ab', 'x', 'me',
    '\x00ff', '0044-03-15 BC', '23:59:59.999999', '12:00:00+05:30', 'infinity', '-infinity',
    '1 year -2 mons 3 days 04:05:06.7', '00000000-0000-0000-0000-000000000000',
    '{"b" :1,  "a":[1, 2]}', '{"b" :1,  "a":[1, 2]}', '$."a"[*]', '<a b="c">d</a>',
    '192.168.0.1/24', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '1', 'a:1 b', 'a & b',
    '(1,2)', '((0,0),(1,1))', '[(0,0),(1,1)]', '<(0,0),1>', '((0,0),(1,1),(1,0))',
    '[1,5)', '["2026-01-01 00:00:00+00",)', '{[1,3),[5,7)}', '16/B374D848', 'api.things', 4294967295,
    'so "so"', '(1,"a ""b""")', 7, '{a,NULL,"b c"}', '2026-01-02 03:04:05+00',
    '{a,NULL,"x\"y"}', '{{1,2},{3,4}}', '{fine,"back\\slash"}', '{"(1,a)",NULL}',
    '{2026-07-01 12:00:00+00,infinity}', '{"{\"a\": 1}"}', '1 2 3'
);
INSERT INTO api.things (id, exact, single, double, day, at, at_tz, txt) VALUES
    (3, 'Infinity', 'NaN', 1e-300, 'infinity', '2026-02-03 04:05:06', '1900-01-01 00:00:00+00', ''),
    (4, '-Infinity', 1e20, 0.1, '-infinity', '0044-03-15 12:00:00 BC', '0044-03-15 12:00:00+00 BC', '\u0041'),
    (5, 1e30, -0.0, 1e15, '9999-12-31', '294276-12-31 23:59:59.999999', '2026-07-01 12:00:00.1+00', '{}'),
    (6, 0.000000001, 1.5, -1e16, '10000-01-01', '2026-01-01 00:00:00.000001', '2026-01-01 00:00:00+00', '[]');
GRANT USAGE ON SCHEMA api TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA api TO PUBLIC;
"#;

/// Offsets of hours, of half hours, and of seconds as they were in 1900.
const ZONES: [&str; 5] = [
    "UTC",
    "Asia/Kolkata",
    "America/St_Johns",
    "Africa/Monrovia",
    "Pacific/Apia",
];

/// A room on a database, and what keeps both running.
struct Served {
    rest: Arc<Rest>,
    session: Session,
    _db: TestDb,
    _tasks: Tasks,
}

async fn serve(schema: &str) -> Served {
    let db = TestDb::empty().await;
    let mut session = db.session().await;
    session.script(schema).await.unwrap();
    let options = LoadOptions::for_schemas(vec!["api".to_owned()]);
    let catalog = load(&mut session, &options).await.unwrap();
    let tasks = Tasks::new();
    let config = Config {
        schemas: vec!["api".to_owned()],
        ..Config::default()
    };
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let rest = Rest::new(config, db.pool(&tasks), catalog);
    rest.set_timezones(
        ZONES
            .iter()
            .map(|&zone| zone.to_owned())
            .collect::<HashSet<_>>(),
    );
    Served {
        rest,
        session,
        _db: db,
        _tasks: tasks,
    }
}

impl Served {
    async fn get(&self, uri: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        self.get_as("pg_read_all_data", uri, headers).await
    }

    async fn get_as(
        &self,
        role: &str,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, String) {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let caller = Caller::anonymous(role);
        request.extensions_mut().insert(caller);
        let response = Arc::clone(&self.rest).serve(request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn ask(&mut self, sql: &'static str) -> String {
        let rows = self.session.query(sql, &[]).await.unwrap();
        rows.scalar().unwrap().to_owned()
    }
}

#[tokio::test]
async fn rows_are_the_json_that_postgres_would_write() {
    let mut served = serve(SCHEMA).await;
    // As the room sets it: names of classes depend on it.
    let search_path = "SET search_path = api, public, extensions";
    served.session.script(search_path).await.unwrap();
    for zone in ZONES {
        served
            .session
            .query("SELECT set_config('timezone', $1, false)", &[Some(zone)])
            .await
            .unwrap();
        let expected = served
            .ask("SELECT json_agg(t) FROM (SELECT * FROM api.things ORDER BY id) t")
            .await;
        let prefer = format!("timezone={zone}");
        let (status, body) = served.get("/things?order=id", &[("prefer", &prefer)]).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_same(zone, &body, &expected);
    }
}

/// Compares line by line, so that a difference can be found.
fn assert_same(zone: &str, body: &str, expected: &str) {
    for (ours, theirs) in body.lines().zip(expected.lines()) {
        for (ours, theirs) in ours.split(",\"").zip(theirs.split(",\"")) {
            assert_eq!(ours, theirs, "in {zone}");
        }
    }
    assert_eq!(body, expected, "in {zone}");
}

#[tokio::test]
async fn casts_and_paths_are_the_json_that_postgres_would_write() {
    let mut served = serve(SCHEMA).await;
    let expected = served
        .ask(
            "SELECT json_agg(t) FROM (SELECT exact::text, flag::text, at::date, docb->'a' AS a, \
             docb->>'b' AS b, to_jsonb(couple)->'n' AS n, list, double::text \
             FROM api.things ORDER BY id) t",
        )
        .await;
    let uri = "/things?select=exact::text,flag::text,at::date,docb-%3Ea,docb-%3E%3Eb,couple-%3En,\
               list,double::text&order=id";
    let (status, body) = served.get(uri, &[]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_same("UTC", &body, &expected);
}

/// Roles are the whole cluster's, hence one that only this test has.
const GERMAN: &str = "
DO $$ BEGIN CREATE ROLE rest_german; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
ALTER ROLE rest_german SET datestyle = 'German';
GRANT rest_german TO CURRENT_USER;
";

#[tokio::test]
async fn a_date_style_of_the_role_does_not_reach_the_json() {
    let served = serve(&format!("{GERMAN}{SCHEMA}")).await;
    let uri = "/things?select=day&id=eq.2";
    let (status, body) = served.get_as("rest_german", uri, &[]).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body, r#"[{"day":"0044-03-15 BC"}]"#);
}

//! What the dialect does not have, against a real server: several requests in
//! one transaction ([`transactions`], [`references`]), and writes that come twice
//! ([`idempotency`]).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests; JSON answers null for what is not there"
)]

mod idempotency;
mod references;
mod transactions;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use kernel::{Caller, Secret, Tasks};
use pg::Session;
use pg::catalog::{Catalog, LoadOptions, load};
use pg::testing::TestDb;
use rest::call::prefer::TransactionChoice;
use rest::{Config, Rest};
use serde_json::Value;

const SCHEMA: &str = r#"
CREATE SCHEMA api;
CREATE SCHEMA other;
CREATE TABLE api.orders (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, owner uuid NOT NULL DEFAULT auth.uid(),
    note text, total numeric, doc jsonb);
CREATE TABLE api.items (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, order_id bigint REFERENCES api.orders,
    name text UNIQUE);
CREATE TABLE api.links (
    id int PRIMARY KEY, item bigint REFERENCES api.items DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE other.things (id int PRIMARY KEY);
ALTER TABLE api.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON api.orders TO authenticated
    USING (owner = auth.uid()) WITH CHECK (owner = auth.uid());
CREATE FUNCTION api.set_setting(name text, value text, here boolean) RETURNS text
    LANGUAGE sql AS 'SELECT set_config(name, value, here)';
CREATE FUNCTION api.teapot() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('response.status', '418', true);
    PERFORM set_config('response.headers', '[{"X-Tea": "green"}]', true);
    RETURN 'tea';
END $$;
CREATE FUNCTION api.whoami() RETURNS json LANGUAGE sql STABLE AS $$
    SELECT json_build_object('user', current_user, 'sub', auth.uid(), 'path', current_setting('request.path'),
        'agent', current_setting('request.headers')::json->>'user-agent',
        'zone', current_setting('timezone'), 'schemas', current_schemas(false)::text[],
        'read_only', current_setting('transaction_read_only')) $$;
CREATE FUNCTION api.add_item(name text) RETURNS bigint LANGUAGE sql VOLATILE AS
    'INSERT INTO api.items (name) VALUES (name) RETURNING id';
CREATE FUNCTION api.add_item_quietly(name text) RETURNS bigint LANGUAGE plpgsql STABLE AS
    'BEGIN RETURN api.add_item(name); END';
CREATE FUNCTION api.sleep(seconds float) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';
CREATE FUNCTION api.conflict() RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE serialization_failure USING MESSAGE = 'lost'; END$$;
CREATE FUNCTION api.big(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT repeat('x', n) $$;
CREATE FUNCTION api.run(sql text) RETURNS text LANGUAGE plpgsql AS
    $$DECLARE out text; BEGIN EXECUTE sql INTO out; RETURN out; END$$;
CREATE FUNCTION api.perform(sql text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN EXECUTE sql; END$$;
CREATE FUNCTION api.echo(doc json) RETURNS json LANGUAGE sql VOLATILE AS 'SELECT doc';
GRANT USAGE ON SCHEMA api, other TO anon, authenticated, service_role;
GRANT ALL ON ALL TABLES IN SCHEMA api, other TO anon, authenticated, service_role;
"#;

/// A room on a database of its own.
struct Served {
    rest: Arc<Rest>,
    db: TestDb,
    tasks: Tasks,
    catalog: Arc<ArcSwap<Catalog>>,
}

/// An answer, as a client has it.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

async fn serve() -> Served {
    serve_with("", Config::default()).await
}

async fn serve_with(more: &str, config: Config) -> Served {
    let db = TestDb::new().await;
    let mut session = db.session().await;
    session.script(&format!("{SCHEMA}{more}")).await.unwrap();
    let schemas = vec!["api".to_owned(), "other".to_owned()];
    let options = LoadOptions::for_schemas(schemas.clone());
    let catalog = load(&mut session, &options).await.unwrap();
    session.close().await;
    let tasks = Tasks::new();
    let config = Config {
        schemas,
        transaction_choice: TransactionChoice::Client,
        ..config
    };
    let catalog = Arc::new(ArcSwap::from_pointee(catalog));
    let pool = db.pool(&tasks);
    let secret = Secret::new("the secret of the server");
    let rest = Rest::with_idempotency(config, pool, Arc::clone(&catalog), &secret);
    Served {
        rest,
        db,
        tasks,
        catalog,
    }
}

const ADA: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";

fn user(sub: &str) -> Caller {
    Caller {
        role: "authenticated".into(),
        claims: format!(r#"{{"role":"authenticated","sub":"{sub}"}}"#).into(),
        authenticated: true,
        read_only: false,
    }
}

impl Served {
    async fn send(
        &self,
        caller: &Caller,
        (method, uri): (&str, &str),
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body.into()).unwrap();
        request.extensions_mut().insert(caller.clone());
        let response = Arc::clone(&self.rest).serve(request).await;
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.into_body().collect().await.unwrap().to_bytes(),
        }
    }

    /// A transaction of Ada's.
    async fn tx(&self, requests: &Value) -> Answer {
        self.tx_with(requests, &[]).await
    }

    async fn tx_with(&self, requests: &Value, headers: &[(&str, &str)]) -> Answer {
        let body = requests.to_string();
        self.send(&user(ADA), ("POST", "/tx"), headers, body).await
    }

    async fn session(&self) -> Session {
        self.db.session().await
    }

    async fn count(&self, table: &'static str) -> usize {
        let sql = match table {
            "orders" => "SELECT count(*) FROM api.orders",
            "items" => "SELECT count(*) FROM api.items",
            "links" => "SELECT count(*) FROM api.links",
            "kept" => "SELECT count(*) FROM ferrobase.idempotency_keys",
            _ => "SELECT count(*) FROM other.things",
        };
        let mut session = self.session().await;
        let rows = session.query(sql, &[]).await.unwrap();
        rows.scalar().unwrap().parse().unwrap()
    }
}

//! Carried out once, answered as often as it comes, to nobody else.

use serde_json::json;

use super::*;

const KEY: (&str, &str) = ("idempotency-key", "key-1");
const FULL: (&str, &str) = ("prefer", "return=representation");

fn item(name: &str) -> String {
    json!({"name": name}).to_string()
}

/// The same answer but for the header that says so.
fn assert_replayed(first: &Answer, second: &Answer) {
    assert_eq!(first.headers.get("idempotency-replayed"), None);
    assert_eq!(second.header("idempotency-replayed"), "true", "{second:?}");
    let mut headers = second.headers.clone();
    headers.remove("idempotency-replayed");
    assert_eq!(
        (first.status, &first.headers, &first.body),
        (second.status, &headers, &second.body)
    );
}

#[tokio::test]
async fn every_kind_of_write_is_carried_out_once() {
    let s = serve().await;
    let tx = json!([
        {"id": "i", "method": "POST", "path": "/items", "body": {"name": "t1"}, "headers": {"Prefer": "return=representation"}},
        {"method": "POST", "path": "/links", "body": {"id": 5, "item": {"$ref": "i.0.id"}}},
    ]);
    for (number, (method, uri, prefer, body)) in [
        ("POST", "/items", "return=headers-only", item("a")),
        (
            "POST",
            "/items?select=id",
            "return=representation",
            item("b"),
        ),
        ("PATCH", "/items?name=eq.a", "count=exact", item("c")),
        (
            "DELETE",
            "/items?name=eq.c",
            "return=representation",
            String::new(),
        ),
        ("POST", "/rpc/add_item", "return=minimal", item("d")),
        ("POST", "/rpc/teapot", "return=minimal", "{}".to_owned()),
        (
            "PUT",
            "/links?id=eq.1",
            "return=representation",
            r#"{"id": 1, "item": null}"#.to_owned(),
        ),
        ("POST", "/tx", "return=minimal", tx.to_string()),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("write-{number}");
        let headers = [("idempotency-key", key.as_str()), ("prefer", prefer)];
        let first = s
            .send(&user(ADA), (method, uri), &headers, body.clone())
            .await;
        let good = (200..300).contains(&first.status) || first.status == 418;
        assert!(good, "{method} {uri}: {first:?}");
        let (items, links) = (s.count("items").await, s.count("links").await);
        let second = s.send(&user(ADA), (method, uri), &headers, body).await;
        assert_replayed(&first, &second);
        assert_eq!(
            (s.count("items").await, s.count("links").await),
            (items, links),
            "{method} {uri}"
        );
        assert_eq!(s.count("kept").await, number + 1);
    }
    // Nothing to carry out twice, nothing to keep.
    for (method, uri) in [("GET", "/items"), ("POST", "/rpc/whoami")] {
        let answer = s.send(&user(ADA), (method, uri), &[KEY], "").await;
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (200, "")
        );
    }
    assert_eq!(s.count("kept").await, 8);
}

#[tokio::test]
async fn another_request_and_another_caller_get_nothing_of_it() {
    let s = serve().await;
    let add = async |caller: Caller, key: (&'static str, &'static str), name: &str| {
        s.send(&caller, ("POST", "/items"), &[key, FULL], item(name))
            .await
    };
    assert_eq!(add(user(ADA), KEY, "a").await.status, 201);
    let reused = add(user(ADA), KEY, "b").await;
    assert_eq!(
        (reused.status, reused.json()["code"].as_str()),
        (422, Some("FB5102"))
    );
    // The same request, word for word, by others: each is carried out, and
    // meets the unique name.
    for other in [
        user(BOB),
        Caller::anonymous("anon"),
        Caller {
            role: "service_role".into(),
            ..user(ADA)
        },
    ] {
        let answer = add(other, KEY, "a").await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (409, Some("23505")),
            "{answer:?}"
        );
    }
    let no_key = s
        .send(
            &user(ADA),
            ("POST", "/items"),
            &[("idempotency-key", "")],
            item("z"),
        )
        .await;
    assert_eq!(
        (no_key.status, no_key.json()["code"].as_str()),
        (400, Some("FB5101"))
    );
    assert_eq!(s.count("items").await, 1);
}

#[tokio::test]
async fn what_failed_or_was_undone_may_come_again() {
    let s = serve().await;
    let add = async |uri: &str, headers: &[(&str, &str)], body: String| {
        s.send(&user(ADA), ("POST", uri), headers, body)
            .await
            .status
    };
    assert_eq!(
        add("/links", &[KEY], r#"{"id": 1, "item": 9}"#.to_owned()).await,
        409
    );
    assert_eq!(
        add(
            "/tx",
            &[KEY],
            json!([{"method": "POST", "path": "/links", "body": {"id": 1, "item": 9}}]).to_string()
        )
        .await,
        409
    );
    let one = ("accept", "application/vnd.pgrst.object+json");
    assert_eq!(
        add(
            "/items",
            &[KEY, one, FULL],
            r#"[{"name":"a"},{"name":"b"}]"#.to_owned()
        )
        .await,
        406
    );
    let undo = ("prefer", "tx=rollback");
    assert_eq!(add("/items", &[KEY, undo], item("a")).await, 201);
    assert_eq!(
        add(
            "/tx",
            &[KEY, undo],
            json!([{"method": "POST", "path": "/items", "body": {"name": "a"}}]).to_string()
        )
        .await,
        200
    );
    assert_eq!((s.count("kept").await, s.count("items").await), (0, 0));
    assert_eq!(add("/items", &[KEY], item("a")).await, 201);
    assert_eq!((s.count("kept").await, s.count("items").await), (1, 1));
}

#[tokio::test]
async fn duplicates_at_the_same_time_wait_for_the_first() {
    let s = Arc::new(serve().await);
    let body = json!([
        {"method": "POST", "path": "/items", "body": {"name": "once"}, "headers": {"Prefer": "return=representation"}},
        {"method": "POST", "path": "/rpc/sleep", "body": {"seconds": 0.2}},
    ])
    .to_string();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (s, body) = (Arc::clone(&s), body.clone());
        calls.spawn(async move { s.send(&user(ADA), ("POST", "/tx"), &[KEY], body).await });
    }
    let answers = calls.join_all().await;
    let first: Vec<_> = answers
        .iter()
        .filter(|a| a.header("idempotency-replayed").is_empty())
        .collect();
    assert_eq!(first.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|a| (a.status, &a.body) == (200, &first[0].body)),
        "{answers:?}"
    );
    assert_eq!(s.count("items").await, 1);
}

#[tokio::test]
async fn who_waits_too_long_hears_that_it_is_not_over() {
    let s = serve().await;
    let add = async || {
        s.send(&user(ADA), ("POST", "/items"), &[KEY], item("a"))
            .await
    };
    assert_eq!(add().await.status, 201);
    // Somebody else has the key, as if the first were still at work.
    let mut session = s.session().await;
    session
        .script(
            "BEGIN; SELECT ferrobase.idempotency_find(id) FROM ferrobase.idempotency_keys;
             DELETE FROM ferrobase.idempotency_keys; DELETE FROM api.items",
        )
        .await
        .unwrap();
    let second = add().await;
    assert_eq!(
        (second.status, second.json()["code"].as_str()),
        (409, Some("FB5103")),
        "{second:?}"
    );
    assert_eq!(second.header("retry-after"), "1");
    session.script("COMMIT").await.unwrap();
    assert_eq!(add().await.header("idempotency-replayed"), "");
    assert_eq!(add().await.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn an_answer_too_large_to_keep_is_still_carried_out_once() {
    let s = serve().await;
    let body = json!([
        {"method": "POST", "path": "/items", "body": {"name": "a"}},
        {"method": "POST", "path": "/rpc/big", "body": {"n": 1_100_000}},
    ])
    .to_string();
    let first = s
        .send(&user(ADA), ("POST", "/tx"), &[KEY], body.clone())
        .await;
    assert_eq!((first.status, first.body.len() > 1_100_000), (200, true));
    let second = s.send(&user(ADA), ("POST", "/tx"), &[KEY], body).await;
    assert_eq!(
        (second.status, second.json()["code"].as_str()),
        (409, Some("FB5105"))
    );
    assert_eq!(s.count("items").await, 1);
    // One of the largest size is kept.
    let body = json!({"n": 1_000_000}).to_string();
    let other = ("idempotency-key", "key-2");
    let first = s
        .send(&user(ADA), ("POST", "/rpc/big"), &[other], body.clone())
        .await;
    let second = s
        .send(&user(ADA), ("POST", "/rpc/big"), &[other], body)
        .await;
    assert_eq!(first.status, 200);
    assert_replayed(&first, &second);
}

/// Runs SQL as Bob.
async fn perform(s: &Served, sql: &str) -> Answer {
    let body = json!({"sql": sql}).to_string();
    let call = ("POST", "/rpc/perform");
    s.send(&user(BOB), call, &[], body).await
}

/// Ada adds the item that the others are after.
async fn add_secret(s: &Served) -> Answer {
    let call = ("POST", "/items");
    s.send(&user(ADA), call, &[KEY, FULL], item("secret")).await
}

#[tokio::test]
async fn callers_reach_neither_answers_nor_functions() {
    let s = serve().await;
    assert_eq!(add_secret(&s).await.status, 201);
    for sql in [
        "SELECT FROM ferrobase.idempotency_keys",
        "SELECT ferrobase.idempotency_prune(1)",
        "SELECT ferrobase.idempotency_find('\\x00')",
        "SELECT ferrobase.idempotency_keep(sha256('a'), sha256('b'), 'c')",
    ] {
        let answer = perform(&s, sql).await;
        assert_eq!(answer.json()["code"], "42501", "{sql}: {answer:?}");
    }
}

/// Whoever can run SQL can become our own role, the dialect being what it is.
/// Even that one cannot see the table, nor read an answer, nor word one.
#[tokio::test]
async fn our_own_role_can_neither_read_an_answer_nor_make_one_up() {
    const EMPTY: &str = "DELETE FROM ferrobase.idempotency_keys";
    let s = serve().await;
    let as_us = async |sql: &str| {
        let leave = "PERFORM set_config('role', 'none', true)";
        perform(&s, &format!("DO $$ BEGIN {leave}; {sql}; END $$")).await
    };
    let peek = as_us("PERFORM 1 FROM ferrobase.idempotency_keys").await;
    assert_eq!(peek.json()["code"], "42501");
    assert_eq!(add_secret(&s).await.status, 201);
    let mut session = s.session().await;
    let id = "SELECT id::text FROM ferrobase.idempotency_keys";
    let id = session.query(id, &[]).await.unwrap();
    let id = id.scalar().unwrap().to_owned();
    let read = format!(
        "RAISE EXCEPTION 'it is %', (SELECT encode(answer, 'escape') FROM ferrobase.idempotency_find('{id}'))"
    );
    let read = as_us(&read).await.json()["message"].to_string();
    assert!(read.len() > 100 && !read.contains("secret"), "{read}");
    session.script(EMPTY).await.unwrap();
    let forge = format!("PERFORM ferrobase.idempotency_keep('{id}', sha256('x'), 'made up')");
    assert_eq!(
        (as_us(&forge).await.status, s.count("kept").await),
        (204, 1)
    );
    let victim = add_secret(&s).await;
    assert_eq!(
        (victim.status, victim.json()["code"].as_str()),
        (409, Some("FB5106"))
    );
    // A row moved to another key is no answer either.
    session.script(EMPTY).await.unwrap();
    let call = ("POST", "/items");
    let own = s.send(&user(BOB), call, &[KEY, FULL], item("bob's")).await;
    assert_eq!(own.status, 201);
    let moved = format!("UPDATE ferrobase.idempotency_keys SET id = '{id}'");
    session.script(&moved).await.unwrap();
    let victim = add_secret(&s).await;
    assert_eq!(
        (victim.status, victim.json()["code"].as_str()),
        (409, Some("FB5106"))
    );
}

/// Before PostgreSQL 18 deferred triggers run as whoever commits.
#[tokio::test]
async fn deferred_triggers_run_as_the_caller() {
    let more = "CREATE FUNCTION api.note_user() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO api.orders (note) VALUES (current_user); RETURN NULL; END$$;
        CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON api.items DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION api.note_user();";
    let s = serve_with(more, rest::Config::default()).await;
    let tx = json!([{"method": "POST", "path": "/items", "body": {"name": "b"}}]).to_string();
    assert_eq!(
        s.send(&user(ADA), ("POST", "/items"), &[KEY], item("a"))
            .await
            .status,
        201
    );
    assert_eq!(
        s.send(&user(ADA), ("POST", "/tx"), &[("idempotency-key", "2")], tx)
            .await
            .status,
        200
    );
    let orders = s
        .send(&user(ADA), ("GET", "/orders?select=note,owner"), &[], "")
        .await;
    let one = json!({"note": "authenticated", "owner": ADA});
    assert_eq!(orders.json(), json!([one, one]));
}

#[tokio::test]
async fn keys_have_their_time_and_are_pruned() {
    let s = serve().await;
    let mut session = s.session().await;
    let add = async |name: &str| {
        s.send(&user(ADA), ("POST", "/items"), &[KEY, FULL], item(name))
            .await
    };
    assert_eq!(add("a").await.status, 201);
    let age =
        "UPDATE ferrobase.idempotency_keys SET kept_at = kept_at - interval '24 hours 1 second'";
    session.script(age).await.unwrap();
    // The key is free again, and its row with it.
    let again = add("b").await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (201, "")
    );
    assert_replayed(&again, &add("b").await);
    assert_eq!(s.count("kept").await, 1);
    let prune = "SELECT ferrobase.idempotency_prune(10)";
    let pruned = session.query(prune, &[]).await.unwrap();
    assert_eq!(pruned.scalar(), Some("0"));
    session.script(age).await.unwrap();
    let mut authenticator = Session::connect(&s.db.target_as("authenticator"))
        .await
        .unwrap();
    let pruned = authenticator.query(prune, &[]).await.unwrap();
    assert_eq!((pruned.scalar(), s.count("kept").await), (Some("1"), 0));
}

#[tokio::test]
async fn a_database_without_our_schema_says_that_it_keeps_no_keys() {
    let s = serve().await;
    let mut session = s.session().await;
    let add = async || {
        s.send(&user(ADA), ("POST", "/items"), &[KEY], item("a"))
            .await
    };
    session
        .script("REVOKE USAGE ON SCHEMA ferrobase FROM authenticator")
        .await
        .unwrap();
    let refused = add().await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (501, Some("FB5104"))
    );
    session
        .script("DROP FUNCTION ferrobase.idempotency_find(bytea)")
        .await
        .unwrap();
    assert_eq!(add().await.json()["code"], "FB5104");
    session
        .script("DROP SCHEMA ferrobase CASCADE")
        .await
        .unwrap();
    assert_eq!(add().await.json()["code"], "FB5104");
    assert_eq!(s.count("items").await, 0);
    // A room without a secret.
    let pool = s.db.pool(&s.tasks);
    let config = rest::Config {
        schemas: vec!["api".to_owned()],
        ..rest::Config::default()
    };
    let rest = Rest::new(config, pool, Arc::clone(&s.catalog));
    let plain = Served { rest, ..s };
    let refused = plain
        .send(&user(ADA), ("POST", "/items"), &[KEY], item("a"))
        .await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (501, Some("FB5104"))
    );
    let without = plain
        .send(&user(ADA), ("POST", "/items"), &[], item("a"))
        .await;
    assert_eq!(without.status, 201);
}

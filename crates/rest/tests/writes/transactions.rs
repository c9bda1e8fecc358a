//! All or nothing, as the caller, each request as if it stood alone.

use std::time::Duration;

use rest::{Config, TxLimits};
use serde_json::json;

use super::*;

#[tokio::test]
async fn requests_happen_together_and_are_answered_in_order() {
    let s = serve().await;
    let answer = s
        .tx(&json!([
            {"id": "order", "method": "POST", "path": "/orders?select=id,note,total",
             "headers": {"Prefer": "return=representation"}, "body": {"note": "a", "total": 0}},
            {"method": "POST", "path": "/items", "headers": {"Prefer": "return=headers-only"},
             "body": {"order_id": {"$ref": "order.0.id"}, "name": "pen"}},
            {"method": "PATCH", "path": "/orders?id=eq.{$ref:0.body.0.id}&select=total",
             "headers": {"Prefer": "return=representation, count=exact", "Accept": "application/vnd.pgrst.object+json"},
             "body": {"total": 12.50}},
            {"method": "GET", "path": "/orders?select=total,items(name)&or=(id.eq.{$ref:order.0.id},note.eq.zz)"},
            {"method": "POST", "path": "/rpc/whoami"},
            {"method": "DELETE", "path": "/items?name=in.(x,{$ref:3.body.0.items.0.name})"},
        ]))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.json();
    let statuses: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["status"])
        .collect();
    assert_eq!(statuses, [201, 201, 200, 200, 200, 204]);
    assert_eq!(all[0]["body"][0]["note"], "a");
    assert_eq!(
        all[0]["headers"]["preference-applied"],
        "return=representation"
    );
    assert!(
        all[1]["headers"]["location"]
            .as_str()
            .unwrap()
            .starts_with("/items?id=eq.")
    );
    assert_eq!(all[1]["body"], Value::Null);
    assert_eq!(all[2]["headers"]["content-range"], "0-0/1");
    assert_eq!(all[2]["body"], json!({"total": 12.50}));
    assert_eq!(
        all[3]["body"],
        json!([{"total": 12.50, "items": [{"name": "pen"}]}])
    );
    let location = all[3]["headers"]["content-location"].as_str().unwrap();
    assert!(location.contains("%24ref%3Aorder%2E0%2Eid"), "{location}");
    assert_eq!(all[4]["body"]["sub"], ADA);
    assert_eq!((s.count("orders").await, s.count("items").await), (1, 0));
    assert_eq!(s.tx(&json!([])).await.json(), json!([]));
}

#[tokio::test]
async fn a_refusal_in_the_middle_undoes_everything_and_says_which_it_was() {
    let s = serve().await;
    let order = json!({"method": "POST", "path": "/orders", "body": {"note": "mine"}});
    let given_away =
        json!({"id": "gift", "method": "POST", "path": "/orders", "body": {"owner": BOB}});
    let answer = s.tx(&json!([order, given_away, order])).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let error = answer.json();
    assert_eq!(
        (&error["code"], &error["index"], &error["id"]),
        (&json!("42501"), &json!(1), &json!("gift"))
    );
    for key in ["message", "details", "hint"] {
        assert!(error.get(key).is_some(), "{error}");
    }
    assert_eq!(s.count("orders").await, 0);
}

#[tokio::test]
async fn every_kind_of_failure_undoes_everything() {
    let s = serve().await;
    let order = json!({"method": "POST", "path": "/orders", "body": {"note": "mine"}});
    // Of the text, of the catalog, of conditions, of reads that would write.
    for (last, status, code) in [
        (
            json!({"method": "GET", "path": "/orders?id=nonsense"}),
            400,
            "PGRST100",
        ),
        (
            json!({"method": "GET", "path": "/nowhere"}),
            404,
            "PGRST205",
        ),
        (json!({"method": "GET", "path": "/"}), 405, "PGRST117"),
        (
            json!({"method": "POST", "path": "/tx", "body": []}),
            404,
            "PGRST205",
        ),
        (
            json!({"method": "GET", "path": "/items", "headers": {"Accept": "application/vnd.pgrst.object+json"}}),
            406,
            "PGRST116",
        ),
        (
            json!({"method": "DELETE", "path": "/orders", "headers": {"Prefer": "handling=strict, max-affected=0"}}),
            400,
            "PGRST124",
        ),
        (
            json!({"method": "GET", "path": "/rpc/add_item?name=x"}),
            405,
            "25006",
        ),
        (
            json!({"method": "GET", "path": "/rpc/add_item_quietly?name=x"}),
            405,
            "25006",
        ),
    ] {
        let answer = s.tx(&json!([order, last])).await;
        let error = answer.json();
        assert_eq!(
            (answer.status, error["code"].as_str()),
            (status, Some(code)),
            "{error}"
        );
        assert_eq!(error["index"], 1, "{error}");
        assert_eq!(s.count("orders").await, 0, "{code}");
    }
}

#[tokio::test]
async fn a_commit_that_fails_undoes_everything_and_a_conflict_may_be_tried_again() {
    let s = serve().await;
    let order = json!({"method": "POST", "path": "/orders", "body": {"note": "mine"}});
    let orphan = json!({"method": "POST", "path": "/links", "body": {"id": 1, "item": 99}});
    let answer = s.tx(&json!([order, orphan])).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (409, Some("23503"))
    );
    assert_eq!(s.count("orders").await, 0);
    let answer = s
        .tx(&json!([order, {"method": "POST", "path": "/rpc/conflict"}]))
        .await;
    let error = answer.json();
    assert_eq!(
        (answer.status, error["code"].as_str()),
        (409, Some("40001")),
        "{error}"
    );
    assert!(error["hint"].as_str().unwrap().contains("again"));
}

#[tokio::test]
async fn nothing_that_one_request_sets_reaches_the_next() {
    let s = serve().await;
    let set = |name: &str, value: &str, here: bool| {
        json!({"method": "POST", "path": "/rpc/set_setting",
               "body": {"name": name, "value": value, "here": here}})
    };
    let who = json!({"method": "GET", "path": "/rpc/whoami", "headers": {"X-Mine": "1"}});
    let victim = json!({"sub": BOB, "role": "service_role"}).to_string();
    for here in [true, false] {
        let answer = s
            .tx_with(
                &json!([
                    set("request.jwt.claim.sub", BOB, here), who,
                    set("request.jwt.claims", &victim, here), who,
                    set("role", "service_role", here), who,
                    set("role", "none", here), who,
                    set("search_path", "pg_temp", here), who,
                    set("timezone", "Asia/Tokyo", here), who,
                    {"method": "POST", "path": "/rpc/teapot"}, who,
                ]),
                &[("user-agent", "outer")],
            )
            .await;
        // To leave `authenticated` is refused or of no use, never of use.
        let all = answer.json();
        assert_eq!(answer.status, 200, "{all}");
        for (index, answer) in all
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .skip(1)
            .step_by(2)
        {
            assert_eq!(answer["status"], 200, "{index}: {all}");
            assert_eq!(answer["headers"]["x-tea"], Value::Null);
            let expected = json!({
                "user": "authenticated", "sub": ADA, "path": "/rpc/whoami", "agent": "outer", "zone": "UTC",
                "schemas": ["api", "public", "extensions"], "read_only": "on"});
            assert_eq!(answer["body"], expected, "{index}");
        }
        assert_eq!(all[12]["status"], 418);
        assert_eq!(all[12]["headers"]["x-tea"], "green");
        // Nor the next caller.
        let after = s
            .send(
                &user(BOB),
                ("GET", "/rpc/whoami"),
                &[("user-agent", "b")],
                "",
            )
            .await;
        assert_eq!(after.json()["sub"], BOB);
        assert_eq!(after.json()["zone"], "UTC");
    }
}

#[tokio::test]
async fn profiles_follow_the_request_and_reads_are_read_only_between_writes() {
    let s = serve().await;
    let thing = |id: u32| json!({"method": "POST", "path": "/things", "body": {"id": id}, "headers": {"Content-Profile": "other"}});
    let answer = s
        .tx(&json!([
            thing(1),
            {"method": "POST", "path": "/orders", "body": {"note": "x"}},
            {"method": "GET", "path": "/things", "headers": {"Accept-Profile": "other"}},
            thing(2),
            {"method": "GET", "path": "/orders?select=note"},
            thing(3),
        ]))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()[2]["body"], json!([{"id": 1}]));
    assert_eq!(answer.json()[2]["headers"]["content-profile"], "other");
    assert_eq!(answer.json()[4]["body"], json!([{"note": "x"}]));
    assert_eq!(s.count("things").await, 3);
    // The outer profile is everybody's who has none.
    let profile = [("content-profile", "other")];
    let answer = s
        .tx_with(
            &json!([{"method": "GET", "path": "/things?id=eq.1"}, thing(4)]),
            &profile,
        )
        .await;
    assert_eq!(answer.json()[0]["body"], json!([{"id": 1}]), "{answer:?}");
    assert_eq!(s.count("things").await, 4);
}

#[tokio::test]
async fn a_transaction_ends_and_is_isolated_as_preferred() {
    let s = serve().await;
    let order = json!([{"method": "POST", "path": "/orders", "body": {"note": "x"},
                        "headers": {"Prefer": "tx=commit, return=representation"}}]);
    let answer = s.tx_with(&order, &[("prefer", "tx=rollback")]).await;
    assert_eq!(answer.header("preference-applied"), "tx=rollback");
    assert_eq!(answer.json()[0]["body"][0]["note"], "x");
    assert_eq!(
        answer.json()[0]["headers"]["preference-applied"],
        "return=representation"
    );
    assert_eq!(s.count("orders").await, 0);
    let level = json!([{"method": "POST", "path": "/rpc/run", "body": {"sql": "SHOW transaction_isolation"}}]);
    for name in ["serializable", "repeatable-read"] {
        let prefer = format!("handling=strict, isolation={name}");
        let answer = s.tx_with(&level, &[("prefer", &prefer)]).await;
        assert_eq!(
            answer.json()[0]["body"],
            name.replace('-', " "),
            "{answer:?}"
        );
        assert!(
            answer
                .header("preference-applied")
                .ends_with(&format!("isolation={name}"))
        );
    }
    let answer = s
        .tx_with(&level, &[("prefer", "handling=strict, isolation=none")])
        .await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (400, Some("PGRST122"))
    );
}

#[tokio::test]
async fn every_limit_is_one() {
    let tx = TxLimits {
        requests_max: 3,
        body_bytes_max: 4000,
        answer_bytes_max: 3000,
        time_max: Duration::from_millis(400),
    };
    let s = serve_with(
        "",
        Config {
            tx,
            ..Config::default()
        },
    )
    .await;
    let order = json!({"method": "POST", "path": "/orders", "body": {"note": "x"}});
    let big = |n: u32| json!({"id": "big", "method": "POST", "path": "/rpc/big", "body": {"n": n}});
    let echo = json!({"method": "POST", "path": "/orders",
        "body": [{"note": {"$ref": "big"}}, {"note": {"$ref": "big"}}, {"note": {"$ref": "big"}}]});
    let long = json!({"method": "POST", "path": "/orders", "body": {"note": "x".repeat(4000)}});
    for (requests, status, code) in [
        (json!([order, order, order, order]), 413, "FB5003"),
        (json!([long]), 413, "FB5004"),
        (json!([order, big(1900), echo]), 413, "FB5004"),
        (json!([order, big(3000)]), 400, "FB5005"),
        (json!([order, big(1400), big(1400)]), 400, "FB5001"),
        (
            json!([order, big(1400), {"method": "POST", "path": "/rpc/big", "body": {"n": 1400}}]),
            400,
            "FB5005",
        ),
        (
            json!([order, {"method": "POST", "path": "/rpc/sleep", "body": {"seconds": 2}}]),
            504,
            "FB5006",
        ),
    ] {
        let answer = s.tx(&requests).await;
        let error = answer.json();
        assert_eq!(
            (answer.status, error["code"].as_str()),
            (status, Some(code)),
            "{error}"
        );
        assert_eq!(s.count("orders").await, 0, "{code}");
    }
    assert_eq!(s.tx(&json!([order, order, order])).await.status, 200);
}

#[tokio::test]
async fn what_is_no_transaction_is_said_so() {
    let s = serve().await;
    for (body, index) in [
        ("", None),
        ("{}", None),
        ("[", None),
        (r#"[{"method": "GET"}]"#, Some(0)),
        (
            r#"[{"method": "GET", "path": "/items"}, {"method": "TRACE", "path": "/items"}]"#,
            Some(1),
        ),
        (r#"[{"method": "OPTIONS", "path": "/items"}]"#, Some(0)),
        (r#"[{"method": "GET", "path": "items"}]"#, Some(0)),
        (
            r#"[{"method": "GET", "path": "/items", "bodi": 1}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "id": "1a"}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "id": "a.b"}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "headers": {"Authorization": "x"}}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "headers": {"Idempotency-Key": "x"}}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "headers": {"a b": "x"}}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "GET", "path": "/items", "headers": {"a": "x\r\ny"}}]"#,
            Some(0),
        ),
        (
            r#"[{"method": "POST", "path": "/items", "headers": {"Content-Type": "text/csv"}, "body": 3}]"#,
            Some(0),
        ),
        (r#"[{"method": "GET", "path": "/rpc/a/b/c?x"}]"#, Some(0)),
        (
            "[{\"method\": \"GET\", \"path\": \"/items\u{7f} x#y\"}]",
            Some(0),
        ),
    ] {
        let answer = s.send(&user(ADA), ("POST", "/tx"), &[], body).await;
        assert!((400..405).contains(&answer.status), "{body}: {answer:?}");
        assert_eq!(answer.json()["index"].as_u64(), index, "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn anywhere_else_it_is_the_dialect() {
    let s = serve().await;
    assert_eq!(
        s.send(&user(ADA), ("GET", "/tx"), &[], "").await.status,
        404
    );
    let csv = [("content-type", "text/csv")];
    assert_eq!(
        s.send(&user(ADA), ("POST", "/tx"), &csv, "a\n1")
            .await
            .status,
        404
    );
    assert_eq!(
        s.send(&user(ADA), ("POST", "/x/tx"), &[], "[]")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_table_called_tx_is_meant_unless_the_media_type_says_otherwise() {
    let more =
        "CREATE TABLE api.tx (method text, path text); GRANT ALL ON api.tx TO authenticated;";
    let s = serve_with(more, Config::default()).await;
    let requests = json!([{"method": "GET", "path": "/tx?select=path"}]);
    let plain = s
        .tx_with(&requests, &[("prefer", "return=representation")])
        .await;
    assert_eq!(
        (plain.status, plain.json()),
        (201, json!([{"method": "GET", "path": "/tx?select=path"}]))
    );
    let media = [(
        "content-type",
        "application/vnd.ferrobase.tx+json; charset=utf-8",
    )];
    let tx = s.tx_with(&requests, &media).await;
    assert_eq!(
        (tx.status, &tx.json()[0]["body"]),
        (200, &json!([{"path": "/tx?select=path"}]))
    );
    // Another schema has no such table.
    let other = s.tx_with(&json!([]), &[("content-profile", "other")]).await;
    assert_eq!((other.status, other.json()), (200, json!([])));
}

//! References are values and nothing else, and leave other text as it is.

use serde_json::json;

use super::*;

#[tokio::test]
async fn references_are_values_and_nothing_else() {
    let s = serve().await;
    // What a value holds cannot leave its place in the query.
    for odd in [
        "a,b",
        "x)&id=gt.0",
        "\"q\"",
        "a\\b",
        "{c}",
        "eq.1",
        "ref0z",
        "%2C",
        "ü, ;=",
        "{$ref:0.body}",
        "*",
    ] {
        let answer = s
            .tx(&json!([
                {"method": "POST", "path": "/orders", "body": {"note": odd}},
                {"method": "POST", "path": "/orders", "body": {"note": "other"}},
                {"id": "all", "method": "GET", "path": "/orders?select=note&order=id.asc&limit=1"},
                {"method": "GET", "path": "/orders?select=note&note=eq.{$ref:all.0.note}"},
                {"method": "GET", "path": "/orders?select=note&note=in.(zz,{$ref:all.0.note})"},
                {"method": "GET", "path": "/orders?select=note&or=(id.lt.0,and(note.eq.{$ref:all.0.note}))"},
                {"method": "DELETE", "path": "/orders?note=eq.{$ref:all.0.note}", "headers": {"Prefer": "return=representation"}},
                {"method": "DELETE", "path": "/orders?id=gt.0"},
            ]))
            .await;
        assert_eq!(answer.status, 200, "{odd}: {answer:?}");
        for index in [3, 4, 5] {
            assert_eq!(
                answer.json()[index]["body"],
                json!([{"note": odd}]),
                "{odd} {index}"
            );
        }
        assert_eq!(answer.json()[6]["body"].as_array().unwrap().len(), 1);
    }
    let wrong = |path: &str| {
        json!([
            {"id": "o", "method": "POST", "path": "/orders", "headers": {"Prefer": "return=representation"}, "body": {"note": "n"}},
            {"method": "DELETE", "path": path},
        ])
    };
    for path in [
        "/orders?note=eq.a{$ref:o.0.note}",
        "/orders?note=like(any).{{$ref:o.0.note}}",
        "/orders?select={$ref:o.0.note}&id=gt.0",
        "/orders?{$ref:o.0.note}=eq.1",
        "/orders?id=gt.0&limit={$ref:o.0.id}",
        "/orders?id=gt.0&order={$ref:o.0.note}",
        "/orders?total=eq.{$ref:o.0.total}",
        "/orders?id=eq.{$ref:o.1.id}",
        "/orders?id=eq.{$ref:p.0.id}",
        "/orders?id=eq.{$ref:1.body.0.id}",
        "/orders?id=eq.{$ref:7.body.0.id}",
    ] {
        let answer = s.tx(&wrong(path)).await;
        let error = answer.json();
        let parse = error["code"] == "PGRST100";
        assert!(
            answer.status == 400 && (parse || error["code"] == "FB5002"),
            "{path}: {error}"
        );
        assert_eq!(error["index"], 1);
    }
    assert_eq!(s.count("orders").await, 0);
}

#[tokio::test]
async fn bodies_keep_their_text_and_documents_their_refs() {
    let s = serve().await;
    let body = r##"[
        {"id": "o", "method": "POST", "path": "/orders?select=id,total,doc", "headers": {"Prefer": "return=representation"},
         "body": {"total": 12345678901234567890.123456789, "doc": {"$ref": "#/defs/a", "deep": {"$ref": "o.0.id"}}}},
        {"method": "POST", "path": "/orders?select=total,doc", "headers": {"Prefer": "return=representation"},
         "body": [{"total": {"$ref": "o.0.total"}, "doc": {"$ref": "0.body.0.doc"}}, {"total": 1.10, "doc": [{"$ref": "o"}]}]},
        {"method": "POST", "path": "/orders?select=doc", "headers": {"Prefer": "return=representation"}, "refs": false,
         "body": {"doc": {"$ref": "o"}}},
        {"method": "POST", "path": "/rpc/echo", "body": {"doc": {"$ref": "0.status"}}},
        {"method": "POST", "path": "/orders", "headers": {"Prefer": "return=representation", "Content-Type": "text/csv"}, "body": "note,total\nc,3\n"},
        {"id": "ids", "method": "POST", "path": "/rpc/echo", "body": {"doc": ["c", "d"]}},
        {"method": "GET", "path": "/orders?select=note&note=in.({$ref:ids})"},
        {"method": "GET", "path": "/orders?select=note&note=eq.c", "headers": {"accept": "text/csv"}}
    ]"##;
    let answer = s.send(&user(ADA), ("POST", "/tx"), &[], body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(
        text.matches("12345678901234567890.123456789").count(),
        2,
        "{text}"
    );
    assert!(text.contains("1.10"), "{text}");
    let all = answer.json();
    let doc = json!({"$ref": "#/defs/a", "deep": {"$ref": "o.0.id"}});
    assert_eq!(all[0]["body"][0]["doc"], doc);
    assert_eq!(all[1]["body"][0]["doc"], doc);
    assert_eq!(all[1]["body"][1]["doc"], json!([{"$ref": "o"}]));
    assert_eq!(all[2]["body"], json!([{"doc": {"$ref": "o"}}]));
    assert_eq!(all[3]["body"], 201);
    assert_eq!(all[4]["body"][0]["note"], "c");
    assert_eq!(all[6]["body"], json!([{"note": "c"}]));
    assert_eq!(all[7]["body"], "note\nc");
}

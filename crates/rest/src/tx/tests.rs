//! Which requests are transactions, without a database. The rest is in
//! `tests/writes`.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn wanted(method: &str, path: &str, media: Option<&str>) -> bool {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let config = CallConfig {
        schemas: vec!["public".to_owned()],
        base_path: "/base".to_owned(),
        ..CallConfig::default()
    };
    is_wanted(&parts, &config, &Catalog::default())
}

#[test]
fn a_transaction_is_json_that_is_posted_to_its_path() {
    assert!(wanted("POST", "/tx?columns=%22path%22", None));
    assert!(wanted(
        "POST",
        "/base/tx",
        Some("application/json; charset=utf-8")
    ));
    assert!(wanted("POST", "/tx", Some(MEDIA_TYPE)));
    assert!(!wanted("GET", "/tx", None));
    assert!(!wanted("POST", "/tx", Some("text/csv")));
    assert!(!wanted("POST", "/rpc/tx", None));
    assert!(!wanted("POST", "/rpc/tx", Some(MEDIA_TYPE)));
    assert!(!wanted("POST", "/prefix_tx", None));
}

#[tokio::test]
async fn references_search_answers_up_to_a_limit() {
    const MIB: usize = 1 << 20;
    let mut answers = Answers::new(MIB * 4);
    let rows = format!(r#"[{{"id": 1, "a.b": 2, "id": 3}}, "{}"]"#, "x".repeat(MIB));
    let mut response = Response::new(Body::from(rows));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    answers.add(Some("big"), response).await.unwrap();
    let mut find = |reference: &str| answers.find(reference).map_err(|error| error.code());
    assert_eq!(find("big.0.id").unwrap(), "3");
    assert_eq!(find("0.body.0.id").unwrap(), "3");
    assert_eq!(find("0.status").unwrap(), "200");
    assert_eq!(
        find("0.headers.content-type").unwrap(),
        "\"application/json\""
    );
    for nothing in [
        "",
        "big.",
        "big.2",
        "big.0.a.b",
        "big.0.id.x",
        "0.0.id",
        "1",
    ] {
        assert_eq!(find(nothing), Err("FB5002".into()), "{nothing}");
    }
    let found = (0..100).filter(|_| find("big.0.id").is_ok()).count();
    assert!((40..64).contains(&found), "{found}");
}

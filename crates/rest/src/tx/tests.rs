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

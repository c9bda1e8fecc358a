//! Bodies, statuses and headers as clients see them.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

mod every;

use super::*;

fn postgres(code: &str, message: &str, authenticated: bool) -> RestError {
    RestError::from_postgres(PostgresError {
        code: code.to_owned(),
        message: message.to_owned(),
        detail: None,
        hint: None,
        authenticated,
    })
}

fn raise(message: &str, detail: Option<&str>) -> RestError {
    RestError::from_postgres(PostgresError {
        code: "PGRST".to_owned(),
        message: message.to_owned(),
        detail: detail.map(str::to_owned),
        hint: None,
        authenticated: false,
    })
}

#[test]
fn bodies_are_compact_with_four_keys() {
    assert_eq!(
        RestError::InvalidPath.body(),
        "{\"code\":\"PGRST125\",\"details\":null,\"hint\":null,\"message\":\"Invalid path specified in request URL\"}"
    );
    let headers = RestError::InvalidPath.headers();
    assert_eq!(headers["proxy-status"], "PostgREST; error=PGRST125");
    assert_eq!(headers["content-type"], "application/json; charset=utf-8");
}

#[test]
fn sqlstates_have_statuses() {
    for (code, message, authenticated, status) in [
        ("23505", "", true, 409),
        ("23502", "", true, 400),
        ("42501", "", false, 401),
        ("42501", "", true, 403),
        ("42883", "", true, 404),
        ("42883", "function xmlagg(text) does not exist", true, 406),
        ("42703", "", true, 400),
        ("42P17", "", true, 500),
        ("21000", "UPDATE requires a WHERE clause", true, 400),
        ("21000", "more than one row", true, 500),
        ("22023", "role \"x\" does not exist", true, 401),
        ("22023", "other", true, 400),
        ("25006", "", true, 405),
        ("53400", "", true, 500),
        ("53300", "", true, 503),
        ("08006", "", true, 503),
        ("57P01", "", true, 503),
        ("57014", "", true, 500),
        ("P0001", "", true, 400),
        ("P0002", "", true, 500),
        ("PT402", "", true, 402),
        ("PTxyz", "", true, 500),
        ("XX000", "", true, 500),
        ("é", "", true, 400),
    ] {
        let error = postgres(code, message, authenticated);
        assert_eq!(error.status().as_u16(), status, "{code} {message}");
    }
    assert_eq!(
        postgres("42501", "", false).headers()["www-authenticate"],
        "Bearer"
    );
}

#[test]
fn functions_may_word_the_answer() {
    let error = raise(
        "{\"code\":\"123\",\"message\":\"ABC\",\"details\":\"DEF\"}",
        Some("{\"status\":332,\"headers\":{\"X-Header\":\"str\"}}"),
    );
    assert_eq!(error.status().as_u16(), 332);
    assert_eq!(error.headers()["x-header"], "str");
    assert_eq!(
        error.body(),
        "{\"code\":\"123\",\"details\":\"DEF\",\"hint\":null,\"message\":\"ABC\"}"
    );
    let broken = raise("INVALID", None);
    assert_eq!(broken.body().len(), 263);
    assert_eq!(broken.code(), "PGRST121");
    let missing = raise("{\"code\":\"1\",\"message\":\"A\"}", None);
    assert!(
        missing
            .body()
            .contains("DETAIL is missing in the RAISE statement")
    );
}

#[test]
fn ranges_out_of_bounds_tell_the_total() {
    let error = RestError::InvalidRange(RangeFault::OutOfBounds {
        offset: 100,
        total: 15,
    });
    assert_eq!(error.headers()["content-range"], "*/15");
    assert_eq!(
        error
            .details()
            .and_then(|details| details.as_str().map(str::to_owned)),
        Some("An offset of 100 was requested, but there are only 15 rows.".to_owned())
    );
}

#[test]
fn tokens_are_challenged() {
    let error = RestError::JwtInvalid {
        message: "Expected 3 parts in JWT; got 2".to_owned(),
        details: None,
    };
    assert_eq!(
        error.headers()["www-authenticate"],
        "Bearer error=\"invalid_token\", error_description=\"Expected 3 parts in JWT; got 2\""
    );
}

#[test]
fn catalog_errors_suggest() {
    let error = RestError::NoRelationship {
        parent: "a".to_owned(),
        child: "b".to_owned(),
        given_hint: Some("fk".to_owned()),
        schema: "test".to_owned(),
        hint: None,
    };
    assert_eq!(
        error.body(),
        "{\"code\":\"PGRST200\",\"details\":\"Searched for a foreign key relationship between 'a' and 'b' using the hint 'fk' in the schema 'test', but no matches were found.\",\"hint\":null,\"message\":\"Could not find a relationship between 'a' and 'b' in the schema cache\"}"
    );
    let error = RestError::AmbiguousRelationship {
        parent: "sites".to_owned(),
        child: "big".to_owned(),
        candidates: vec![RelationshipCandidate {
            cardinality: "many-to-one",
            embedding: "sites with big".to_owned(),
            relationship: "main using sites(b) and big(b)".to_owned(),
            suggestion: "big!main".to_owned(),
        }],
    };
    assert_eq!(error.status().as_u16(), 300);
    assert!(error.body().starts_with(
        "{\"code\":\"PGRST201\",\"details\":[{\"cardinality\":\"many-to-one\",\"embedding\":\"sites with big\",\"relationship\":\"main using sites(b) and big(b)\"}],\"hint\":\"Try changing 'big' to one of the following: 'big!main'. Find"
    ));
    let error = RestError::RoutineNotFound(Box::new(MissingRoutine {
        schema: "test".to_owned(),
        name: "sayhell".to_owned(),
        arguments: Vec::new(),
        single: SingleParameter::None,
        similar: Some("test.sayhello".to_owned()),
    }));
    assert_eq!(
        error.body(),
        "{\"code\":\"PGRST202\",\"details\":\"Searched for the function test.sayhell without parameters, but no matches were found in the schema cache.\",\"hint\":\"Perhaps you meant to call the function test.sayhello\",\"message\":\"Could not find the function test.sayhell without parameters in the schema cache\"}"
    );
}

#[test]
fn a_brief_body_tells_code_and_message_only() {
    assert_eq!(
        RestError::InvalidPath.brief_body(),
        r#"{"code":"PGRST125","message":"Invalid path specified in request URL"}"#
    );
}

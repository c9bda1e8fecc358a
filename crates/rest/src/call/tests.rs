//! Whole requests: what they become and why others are rejected.

#![expect(clippy::unwrap_used, reason = "tests")]

pub(crate) mod render;
pub(crate) mod whole;

use super::*;

fn config() -> CallConfig {
    CallConfig {
        schemas: vec!["v1".to_owned(), "v2".to_owned()],
        platform_schemas: vec!["work".to_owned()],
        base_path: "/rest/v1".to_owned(),
        ..CallConfig::default()
    }
}

fn call(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Result<Call, RestError> {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    Call::parse(&parts, Bytes::from(body.to_owned()), &config())
}

fn code(method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
    match call(method, uri, headers, "{}") {
        Ok(call) => format!("{:?}", call.action),
        Err(error) => format!("{} {}", error.status().as_u16(), error.code()),
    }
}

#[test]
fn methods_and_paths_become_actions() {
    for (method, uri, expected) in [
        ("GET", "/rest/v1/items", "Read { relation: \"items\" }"),
        ("HEAD", "/rest/v1/caf%C3%A9", "Read { relation: \"café\" }"),
        (
            "POST",
            "/rest/v1/items",
            "Mutate { relation: \"items\", mutation: Insert }",
        ),
        (
            "PATCH",
            "/rest/v1/items",
            "Mutate { relation: \"items\", mutation: Update }",
        ),
        (
            "PUT",
            "/rest/v1/items",
            "Mutate { relation: \"items\", mutation: SingleUpsert }",
        ),
        (
            "DELETE",
            "/rest/v1/items",
            "Mutate { relation: \"items\", mutation: Delete }",
        ),
        (
            "GET",
            "/rest/v1/rpc/f",
            "Invoke { routine: \"f\", invocation: Read }",
        ),
        (
            "POST",
            "/rest/v1/rpc/f",
            "Invoke { routine: \"f\", invocation: Post }",
        ),
        (
            "OPTIONS",
            "/rest/v1/items",
            "RelationInfo { relation: \"items\" }",
        ),
        (
            "OPTIONS",
            "/rest/v1/rpc/f",
            "RoutineInfo { routine: \"f\" }",
        ),
        ("OPTIONS", "/rest/v1/", "RootInfo"),
        ("GET", "/rest/v1/", "RootRead"),
        ("GET", "/rest/v1", "RootRead"),
        ("DELETE", "/rest/v1/rpc/f", "405 PGRST101"),
        ("TRACE", "/rest/v1/items", "405 PGRST117"),
        ("POST", "/rest/v1/", "405 PGRST117"),
        ("GET", "/rest/v1/a/b", "404 PGRST125"),
        ("GET", "/rest/v1/items/", "404 PGRST125"),
        ("PUT", "/rest/v1/items?limit=1", "400 PGRST114"),
        ("GET", "/rest/v1/items?limit=-1", "416 PGRST103"),
        ("GET", "/rest/v1/items?id=5", "400 PGRST100"),
    ] {
        assert_eq!(code(method, uri, &[]), expected, "{method} {uri}");
    }
}

#[test]
fn profiles_choose_the_schema() {
    let read = call("GET", "/rest/v1/t", &[("accept-profile", "v2")], "").unwrap();
    assert_eq!(read.schema, "v2");
    assert_eq!(read.negotiated_profile.as_deref(), Some("v2"));
    let write = call("POST", "/rest/v1/t", &[("accept-profile", "v2")], "{}").unwrap();
    assert_eq!(write.schema, "v1");
    assert_eq!(write.negotiated_profile.as_deref(), Some("v1"));
    // The platform's own can be named, and is not told of.
    let own = call("GET", "/rest/v1/t", &[("accept-profile", "work")], "").unwrap();
    assert_eq!(own.schema, "work");
    let error = call("POST", "/rest/v1/t", &[("content-profile", "x")], "{}").unwrap_err();
    assert_eq!(
        error.body(),
        "{\"code\":\"PGRST106\",\"details\":null,\"hint\":\"Only the following schemas are exposed: v1, v2\",\"message\":\"Invalid schema: x\"}"
    );
}

#[test]
fn bodies_and_columns_meet() {
    let rows = call("POST", "/rest/v1/t", &[], "[{\"b\":1,\"a\":2}]").unwrap();
    assert_eq!(rows.columns.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    let named = call("POST", "/rest/v1/t?columns=x,y", &[], "[{\"b\":1}]").unwrap();
    assert!(matches!(named.payload, Some(Payload::RawJson(_))));
    assert_eq!(named.columns.into_iter().collect::<Vec<_>>(), ["x", "y"]);
    let deleted = call("DELETE", "/rest/v1/t", &[], "no json").unwrap();
    assert_eq!(deleted.payload, None);
}

#[test]
fn headers_and_cookies_are_told_apart() {
    let headers = [("X-A", "1"), ("x-a", "2"), ("cookie", "a=b; c=d=e")];
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, http::HeaderValue::from_static(value))
        })
        .collect();
    assert_eq!(headers_json(&headers), "{\"x-a\":\"2\"}");
    assert_eq!(cookies_json(&headers), "{\"a\":\"b\",\"c\":\"d=e\"}");
}

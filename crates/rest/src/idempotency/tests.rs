//! Keys, fingerprints and the form in which answers are kept.
#![expect(clippy::unwrap_used, reason = "tests")]

use http::header;

use super::*;

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> request::Parts {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn caller(role: &str, claims: &str) -> Caller {
    Caller {
        claims: claims.into(),
        ..Caller::anonymous(role)
    }
}

fn key(parts: &request::Parts, caller: &Caller, body: &str) -> Key {
    Key::of(parts, caller, body.as_bytes()).unwrap().unwrap()
}

#[test]
fn a_key_belongs_to_role_and_subject() {
    let parts = request("POST", "/t", &[("idempotency-key", "k")]);
    let ada = key(&parts, &caller("a", r#"{"sub":"ada"}"#), "");
    // A new token of the same person.
    let later = key(&parts, &caller("a", r#"{"exp":5,"sub":"ada"}"#), "");
    assert_eq!(ada, later);
    for other in [
        caller("a", r#"{"sub":"bob"}"#),
        caller("b", r#"{"sub":"ada"}"#),
        caller("a", "{}"),
    ] {
        assert_ne!(ada.id, key(&parts, &other, "").id);
    }
    let other = request("POST", "/t", &[("idempotency-key", "k2")]);
    assert_ne!(ada.id, key(&other, &caller("a", r#"{"sub":"ada"}"#), "").id);
}

#[test]
fn a_fingerprint_is_of_everything_that_matters() {
    let nobody = caller("anon", "{}");
    let with = |method, path, more: &[(&str, &str)], body| {
        let mut headers = vec![("idempotency-key", "k")];
        headers.extend(more);
        key(&request(method, path, &headers), &nobody, body)
    };
    let base = with("POST", "/t?a=1", &[("prefer", "return=minimal")], "{}");
    let same = [
        ("prefer", "return=minimal"),
        ("user-agent", "x"),
        ("date", "y"),
    ];
    assert_eq!(base, with("POST", "/t?a=1", &same, "{}"));
    let prefer = [("prefer", "return=minimal")];
    for other in [
        with("PATCH", "/t?a=1", &prefer, "{}"),
        with("POST", "/u?a=1", &prefer, "{}"),
        with("POST", "/t?a=2", &prefer, "{}"),
        with("POST", "/t?a=1", &[], "{}"),
        with("POST", "/t?a=1", &[("accept", "return=minimal")], "{}"),
        with("POST", "/t?a=1", &prefer, "{} "),
    ] {
        assert_eq!(base.id, other.id);
        assert_ne!(base.fingerprint, other.fingerprint);
    }
}

#[test]
fn only_writes_have_keys_and_keys_are_readable() {
    let nobody = caller("anon", "{}");
    let of = |method, headers: &[(&str, &str)]| {
        Key::of(&request(method, "/t", headers), &nobody, b"")
            .map(|key| key.is_some())
            .map_err(|error| error.code().into_owned())
    };
    assert_eq!(of("GET", &[("idempotency-key", "k")]), Ok(false));
    assert_eq!(of("POST", &[]), Ok(false));
    assert_eq!(of("DELETE", &[("idempotency-key", "\"k\"")]), Ok(true));
    let long = "x".repeat(KEY_CHARS_MAX);
    assert_eq!(of("POST", &[("idempotency-key", &long)]), Ok(true));
    let longer = "x".repeat(KEY_CHARS_MAX + 1);
    for bad in [
        vec![("idempotency-key", longer.as_str())],
        vec![("idempotency-key", "")],
        vec![("idempotency-key", "a b")],
        vec![("idempotency-key", "a"), ("idempotency-key", "b")],
    ] {
        assert_eq!(of("POST", &bad), Err("FB5101".to_owned()));
    }
}

#[test]
fn an_answer_is_read_as_it_was_written() {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_static("/t?id=eq.1"));
    headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
    headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
    let answer = Answer {
        fingerprint: [7; 32],
        status: StatusCode::CREATED,
        headers,
        body: Some(Bytes::from_static(b"[{\"id\":1}]")),
    };
    let written = answer.written();
    let read = Answer::read(&written).unwrap();
    assert_eq!(read.status, answer.status);
    assert_eq!(read.headers, answer.headers);
    assert_eq!(read.body, answer.body);
    assert_eq!(read.fingerprint, answer.fingerprint);
    for end in 0..60 {
        assert!(Answer::read(written.get(..end).unwrap()).is_none());
    }
    assert_eq!(unhex(&hex(&written)).unwrap(), written);
    assert_eq!(unhex("abc"), None);
    assert_eq!(unhex("zz"), None);
}

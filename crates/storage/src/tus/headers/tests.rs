//! Heads as clients send them, and as nobody should.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn head(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(name), value)
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

fn creation(pairs: &[(&'static str, &str)]) -> Result<Creation> {
    Creation::parse(&head(pairs))
}

#[test]
fn a_length_or_the_promise_of_one() {
    assert_eq!(creation(&[(LENGTH, "5")]).unwrap().length, Some(5));
    assert_eq!(creation(&[(DEFER_LENGTH, "1")]).unwrap().length, None);
    for bad in [
        &[][..],
        &[(DEFER_LENGTH, "0")],
        &[(LENGTH, "5"), (DEFER_LENGTH, "1")],
        &[(LENGTH, "5"), (LENGTH, "5")],
        &[(LENGTH, "")],
        &[(LENGTH, "+5")],
        &[(LENGTH, "-5")],
        &[(LENGTH, " 5")],
        &[(LENGTH, "0x5")],
        &[(LENGTH, "9223372036854775808")],
        &[(LENGTH, "99999999999999999999999")],
    ] {
        assert_eq!(creation(bad).unwrap_err().status(), 400, "{bad:?}");
    }
    let most = creation(&[(LENGTH, "9223372036854775807")]).unwrap();
    assert_eq!(most.length, Some(9_223_372_036_854_775_807));
}

#[test]
fn parts_are_the_ends_of_addresses() {
    let concat = "final;http://x/storage/v1/upload/resumable/one /upload/resumable/two?a=/b three";
    let read = creation(&[(CONCAT, concat)]).unwrap().concat;
    let ids = ["one", "two", "three"].map(str::to_owned).to_vec();
    let said = concat.to_owned();
    assert_eq!(read, Concat::Final { parts: ids, said });
    let partial = creation(&[(CONCAT, "partial"), (LENGTH, "1")]).unwrap();
    assert_eq!(partial.concat, Concat::Partial);
    let many = format!("final;{}", "a ".repeat(PARTS_MAX + 1));
    for bad in [
        "", "final", "final;", "final; ", "final;a/", "Partial", &many,
    ] {
        assert!(creation(&[(CONCAT, bad)]).is_err(), "{bad}");
    }
    let sized = creation(&[(CONCAT, "final;a"), (LENGTH, "1")]);
    assert_eq!(sized.unwrap_err().status(), 400);
    let later = creation(&[(CONCAT, "final;a"), (DEFER_LENGTH, "1")]);
    assert_eq!(later.unwrap_err().status(), 400);
}

#[test]
fn a_piece_says_what_it_is_and_where() {
    let good = [
        (OFFSET, "7"),
        ("content-type", OCTETS),
        ("content-length", "3"),
    ];
    let piece = Piece::parse(&head(&good)).unwrap();
    assert_eq!(
        (piece.offset, piece.bytes, piece.length),
        (7, Some(3), None)
    );
    let kind = Piece::parse(&head(&[(OFFSET, "7"), ("content-type", "text/plain")]));
    assert_eq!(kind, Err(TusError::ContentType));
    let nowhere = Piece::parse(&head(&[("content-type", OCTETS)]));
    assert_eq!(nowhere.unwrap_err().status(), 400);
}

#[test]
fn only_a_post_means_another_method() {
    let patch = head(&[(METHOD_OVERRIDE, "PATCH")]);
    assert_eq!(method(&Method::POST, &patch), Ok(Method::PATCH));
    assert_eq!(method(&Method::GET, &patch), Ok(Method::GET));
    assert_eq!(method(&Method::POST, &HeaderMap::new()), Ok(Method::POST));
    assert!(method(&Method::POST, &head(&[(METHOD_OVERRIDE, "a b")])).is_err());
}

#[test]
fn the_version_is_required() {
    assert_eq!(check_version(&HeaderMap::new()), Err(TusError::Version));
    let other = head(&[(RESUMABLE, "0.2.2")]);
    assert_eq!(check_version(&other), Err(TusError::Version));
    assert_eq!(check_version(&head(&[(RESUMABLE, "1.0.0")])), Ok(()));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        values in proptest::collection::vec("[ -~]{0,40}", 6),
    ) {
        let names = [LENGTH, DEFER_LENGTH, CONCAT, METADATA, OFFSET, METHOD_OVERRIDE];
        let pairs: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        let headers = head(&pairs);
        let _ = Creation::parse(&headers);
        let _ = Piece::parse(&headers);
        let _ = method(&Method::POST, &headers);
    }
}

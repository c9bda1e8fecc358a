//! The documentation's examples, cut in every way, and bodies that are not
//! what they seem.

use proptest::prelude::*;

use super::*;
use crate::s3::sigv4::tests::{chunked_example, trailer_example};

const LONG: &str = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";
const SHORT: &str = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497";
const LAST: &str = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";

fn piece(data: &[u8], signature: &str) -> Vec<u8> {
    let head = format!("{:x};chunk-signature={signature}\r\n", data.len());
    [head.as_bytes(), data, b"\r\n"].concat()
}

fn example() -> Vec<u8> {
    [
        piece(&[b'a'].repeat(65536), LONG),
        piece(&[b'a'; 1024], SHORT),
        piece(b"", LAST),
    ]
    .concat()
}

type Fields = Vec<(String, String)>;

/// Decodes a body that arrives cut at these places.
fn decode(
    mut decoder: Decoder,
    body: &[u8],
    cuts: &[usize],
) -> Result<(Vec<u8>, Fields), &'static str> {
    let mut out = Vec::new();
    let mut rest = Bytes::copy_from_slice(body);
    let mut cuts = cuts.iter().copied();
    while !rest.is_empty() {
        let here = cuts.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        let mut input = rest.split_to(here);
        while let Some(data) = decoder.feed(&mut input).map_err(|error| error.code)? {
            out.extend_from_slice(&data);
        }
    }
    let fields = decoder.finish().map_err(|error| error.code)?;
    Ok((out, fields))
}

fn signed() -> Decoder {
    Decoder::new(Some(chunked_example()), false, 66560)
}

#[test]
fn the_examples_hold() {
    let (data, fields) = decode(signed(), &example(), &[]).expect("the example");
    assert!(data.len() == 66560 && data.iter().all(|byte| *byte == b'a'));
    assert_eq!(fields, []);
    let body = [
        piece(&[b'a'].repeat(65536), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        piece(&[b'a'; 1024], "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
          x-amz-checksum-crc32c:sOO8/Q==\r\n\
          x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
            .to_vec(),
    ]
    .concat();
    let trailer = || Decoder::new(Some(trailer_example()), true, 66560);
    let (_, fields) = decode(trailer(), &body, &[]).expect("the example");
    assert_eq!(
        fields,
        [("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())]
    );
    // Another checksum under the same signature.
    let other = String::from_utf8(body.clone()).expect("text");
    let (before, signature) = other.split_once("x-amz-trailer-").expect("a signature");
    let changed = other.replace("sOO8/Q==", "sOO9/Q==");
    let refused = decode(trailer(), changed.as_bytes(), &[]).err();
    assert_eq!(refused, Some("SignatureDoesNotMatch"));
    // Without the trailer's signature, and cut off before it.
    assert!(signature.starts_with("signature:"));
    let unsigned = [before.as_bytes(), b"\r\n"].concat();
    let refused = decode(trailer(), &unsigned, &[]).err();
    assert_eq!(refused, Some("InvalidSignature"));
    let refused = decode(trailer(), before.as_bytes(), &[]).err();
    assert_eq!(refused, Some("IncompleteBody"));
}

#[test]
fn pieces_cannot_be_swapped_left_out_or_repeated() {
    let (long, short, last) = (
        piece(&[b'a'].repeat(65536), LONG),
        piece(&[b'a'; 1024], SHORT),
        piece(b"", LAST),
    );
    for body in [
        [short.clone(), long.clone(), last.clone()].concat(),
        [long.clone(), last.clone()].concat(),
        [
            piece(&[b'a'].repeat(65536), SHORT),
            short.clone(),
            last.clone(),
        ]
        .concat(),
        [long.clone(), piece(&[b'b'; 1024], SHORT), last.clone()].concat(),
        last.clone(),
    ] {
        assert_eq!(
            decode(signed(), &body, &[]).err(),
            Some("SignatureDoesNotMatch")
        );
    }
    let twice = [long.clone(), long.clone(), last.clone()].concat();
    assert_eq!(decode(signed(), &twice, &[]).err(), Some("IncompleteBody"));
    let endless = [long.clone(), short.clone()].concat();
    assert_eq!(
        decode(signed(), &endless, &[]).err(),
        Some("IncompleteBody")
    );
    let more = [example(), b"0".to_vec()].concat();
    assert_eq!(decode(signed(), &more, &[]).err(), Some("InvalidRequest"));
}

#[test]
fn a_head_is_a_length_and_a_signature_and_nothing_else() {
    let long = format!("{}\r\n", "0".repeat(4000));
    for (head, code) in [
        (long.as_str(), "InvalidRequest"),
        ("ffffffffffffffff;chunk-signature=a\r\n", "IncompleteBody"),
        ("fffffffffffffffff;chunk-signature=a\r\n", "InvalidRequest"),
        ("-1;chunk-signature=a\r\n", "InvalidRequest"),
        ("+1;chunk-signature=a\r\n", "InvalidRequest"),
        (";chunk-signature=a\r\n", "InvalidRequest"),
        ("0x10;chunk-signature=a\r\n", "InvalidRequest"),
        ("10\r\n", "InvalidSignature"),
        ("10;chunk-signature=a\n", "InvalidRequest"),
        ("0;chunk-signature=a\r\n\r\n", "InvalidSignature"),
    ] {
        assert_eq!(
            decode(signed(), head.as_bytes(), &[]).err(),
            Some(code),
            "{head:.60}"
        );
    }
    // An endless line is refused while it still goes on.
    let mut decoder = signed();
    let endless = (0..1000).find(|_| decoder.feed(&mut Bytes::from_static(b"0")).is_err());
    assert_eq!(endless, Some(LINE_MAX));
}

fn unsigned(expected: u64) -> Decoder {
    Decoder::new(None, true, expected)
}

#[test]
fn an_unsigned_body_ends_with_its_fields() {
    let body = b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32: AAAA\r\n\r\n";
    let (data, fields) = decode(unsigned(5), body, &[]).expect("well-formed");
    assert_eq!(data, b"abcde");
    assert_eq!(
        fields,
        [("x-amz-checksum-crc32".to_owned(), "AAAA".to_owned())]
    );
    for (body, code) in [
        ("3\r\nabc\r\n0\r\n\r\n", "IncompleteBody"),
        ("5\r\nabcde\r\n0\r\n", "IncompleteBody"),
        ("6\r\nabcdef\r\n0\r\n\r\n", "IncompleteBody"),
        ("5\r\nabcdefg\r\n0\r\n\r\n", "InvalidRequest"),
        (
            "5;chunk-signature=a\r\nabcde\r\n0\r\n\r\n",
            "InvalidRequest",
        ),
        ("5\r\nabcde\r\n0\r\nnothing\r\n\r\n", "InvalidRequest"),
        (
            "5\r\nabcde\r\n0\r\nx-amz-trailer-signature:a\r\n\r\n",
            "InvalidRequest",
        ),
    ] {
        assert_eq!(
            decode(unsigned(5), body.as_bytes(), &[]).err(),
            Some(code),
            "{body}"
        );
    }
    let many = format!("0\r\n{}\r\n", "a:b\r\n".repeat(FIELDS_MAX + 1));
    assert_eq!(
        decode(unsigned(0), many.as_bytes(), &[]).err(),
        Some("InvalidRequest")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_body_means_the_same_however_it_is_cut(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
        cuts in prop::collection::vec(1..200_usize, 0..60),
    ) {
        let mut body = Vec::new();
        for piece in &pieces {
            body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            body.extend_from_slice(piece);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\na:b\r\n\r\n");
        let all = pieces.concat();
        let (data, fields) = decode(unsigned(all.len() as u64), &body, &cuts).expect("well-formed");
        prop_assert_eq!(data, all);
        prop_assert_eq!(fields.len(), 1);
    }

    #[test]
    fn the_signed_example_means_the_same_however_it_is_cut(
        cuts in prop::collection::vec(1..3000_usize, 0..200),
    ) {
        let (data, _) = decode(signed(), &example(), &cuts).expect("the example");
        prop_assert_eq!(data.len(), 66560);
    }

    #[test]
    fn no_bytes_are_too_odd(body in prop::collection::vec(any::<u8>(), 0..400), cut in 1..50_usize) {
        let _ = decode(unsigned(100), &body, &[cut, cut]);
        let _ = decode(Decoder::new(Some(chunked_example()), true, 100), &body, &[cut]);
    }
}

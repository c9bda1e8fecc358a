//! The examples of AWS's own documentation, and what must not pass.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const HOST: &str = "examplebucket.s3.amazonaws.com";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SIGNED_AT: &str = "2013-05-24T00:00:00Z";

/// A request by header, as a client would send it.
struct Sent {
    method: Method,
    uri: String,
    headers: Vec<(&'static str, String)>,
    scope: &'static str,
    signature: String,
}

impl Sent {
    fn new(method: Method, uri: &str, headers: &[(&'static str, &str)], signature: &str) -> Self {
        let owned = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            method,
            uri: uri.to_owned(),
            headers: owned.collect(),
            scope: "20130524/us-east-1/s3/aws4_request",
            signature: signature.to_owned(),
        }
    }

    /// The header's value, to be changed.
    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(known, _)| *known == name);
        &mut found.expect("it is there").1
    }

    fn without(&mut self, name: &str) {
        self.headers.retain(|(known, _)| *known != name);
    }

    fn verify(&self, signed: &str, host: &str) -> Result<ChunkKey, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).expect("a header");
            map.append(HeaderName::from_static(name), value);
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/{},SignedHeaders={signed},Signature={}",
            self.scope, self.signature
        );
        let value = HeaderValue::from_str(&authorization).expect("a header");
        map.insert(http::header::AUTHORIZATION, value);
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.parse().expect("an address");
        *request.headers_mut() = map;
        verify(request, host, SIGNED_AT)
    }
}

fn verify(request: Request<()>, host: &str, now: &str) -> Result<ChunkKey, &'static str> {
    let (parts, ()) = request.into_parts();
    let query = encode::pairs(parts.uri.query().unwrap_or_default()).expect("a query");
    let run = || {
        let claim = Claim::parse(&parts, &query)?;
        let claim = claim.ok_or_else(|| S3Error::denied("Missing signature"))?;
        claim.check_time(now.parse().expect("a time"))?;
        let target = Target {
            method: &parts.method,
            path: parts.uri.path(),
            query: &query,
            headers: &parts.headers,
            hosts: &[host],
        };
        claim.verify(SECRET, &target)
    };
    run().map_err(|error: S3Error| error.code)
}

fn get_object() -> Sent {
    Sent::new(
        Method::GET,
        "/test.txt",
        &[
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            ("x-amz-date", "20130524T000000Z"),
        ],
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    )
}

const SIGNED: &str = "host;range;x-amz-content-sha256;x-amz-date";

#[test]
fn examples_of_the_documentation_hold() {
    assert!(get_object().verify(SIGNED, HOST).is_ok());
    let put = Sent::new(
        Method::PUT,
        "/test$file.text",
        &[
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            ("x-amz-date", "20130524T000000Z"),
        ],
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
    let signed = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class";
    assert!(put.verify(signed, HOST).is_ok());
    let plain = [
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", "20130524T000000Z"),
    ];
    for (uri, signature) in [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?prefix=J&max-keys=2",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        let list = Sent::new(Method::GET, uri, &plain, signature);
        let verified = list.verify("host;x-amz-content-sha256;x-amz-date", HOST);
        assert!(verified.is_ok(), "{uri}");
    }
}

#[test]
fn whatever_is_changed_the_signature_does_not_hold() {
    let check = |change: &dyn Fn(&mut Sent)| {
        let mut sent = get_object();
        change(&mut sent);
        sent.verify(SIGNED, HOST).err()
    };
    let mismatch = Some("SignatureDoesNotMatch");
    assert_eq!(check(&|sent| sent.method = Method::DELETE), mismatch);
    assert_eq!(
        check(&|sent| "/test2.txt".clone_into(&mut sent.uri)),
        mismatch
    );
    assert_eq!(
        check(&|sent| "/test.txt?acl".clone_into(&mut sent.uri)),
        mismatch
    );
    assert_eq!(
        check(&|sent| sent.signature.replace_range(..1, "0")),
        mismatch
    );
    assert_eq!(
        check(&|sent| *sent.header("range") = "bytes=0-99".to_owned()),
        mismatch
    );
    assert_eq!(check(&|sent| sent.without("range")), mismatch);
    let other_body = "f".repeat(64);
    assert_eq!(
        check(&|sent| sent.header("x-amz-content-sha256").clone_from(&other_body)),
        mismatch
    );
    assert_eq!(
        check(&|sent| sent.scope = "20130524/eu-west-1/s3/aws4_request"),
        mismatch
    );
    let sent = get_object();
    assert_eq!(sent.verify(SIGNED, "elsewhere.example").err(), mismatch);
}

#[test]
fn what_is_badly_put_together_is_refused_before_any_secret_is_asked() {
    let check = |change: &dyn Fn(&mut Sent)| {
        let mut sent = get_object();
        change(&mut sent);
        sent.verify(SIGNED, HOST).err()
    };
    let invalid = Some("InvalidSignature");
    for scope in [
        "20130525/us-east-1/s3/aws4_request",
        "20130524/us-east-1/s3/aws4",
        "20130524/us-east-1/s3",
        "20130524/us-east-1/a/s3/aws4_request",
    ] {
        assert_eq!(check(&|sent| sent.scope = scope), invalid, "{scope}");
    }
    assert_eq!(
        check(&|sent| sent.scope = "20130524/us-east-1/ec2/aws4_request"),
        Some("AccessDenied")
    );
    for signature in ["", "f0", &"F".repeat(64), &"0".repeat(66)] {
        assert_eq!(
            check(&|sent| signature.clone_into(&mut sent.signature)),
            invalid
        );
    }
    for date in [
        "",
        "20130524T000000",
        "20130524T250000Z",
        "2013-05-24T00:00Z",
        "20130524t000000z",
    ] {
        assert_eq!(
            check(&|sent| date.clone_into(sent.header("x-amz-date"))),
            invalid,
            "{date}"
        );
    }
    assert_eq!(
        check(&|sent| *sent.header("x-amz-content-sha256") = "STREAMING-AWS4-ECDSA".to_owned()),
        Some("InvalidArgument")
    );
    assert_eq!(
        check(&|sent| sent.without("x-amz-content-sha256")),
        Some("InvalidRequest")
    );
    assert_eq!(
        get_object()
            .verify("range;x-amz-content-sha256;x-amz-date", HOST)
            .err(),
        invalid
    );
}

#[test]
fn a_header_with_a_meaning_must_be_signed() {
    let mut sent = get_object();
    let source = ("x-amz-copy-source", "private/secret".to_owned());
    sent.headers.push(source);
    assert_eq!(sent.verify(SIGNED, HOST).err(), Some("AccessDenied"));
    let mut sent = get_object();
    sent.headers.push(("x-amzn-trace-id", "Root=1".to_owned()));
    assert!(sent.verify(SIGNED, HOST).is_ok());
}

#[test]
fn a_clock_may_be_off_by_a_quarter_of_an_hour() {
    let at = |now: &str| {
        let (parts, ()) = Request::builder()
            .uri("/")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={KEY}/20130524/r/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={EMPTY}"))
            .header("x-amz-content-sha256", EMPTY)
            .header("x-amz-date", "20130524T120000Z")
            .body(())
            .expect("a request")
            .into_parts();
        let claim = Claim::parse(&parts, &[]).ok().flatten().expect("a claim");
        claim.check_time(now.parse().expect("a time")).is_ok()
    };
    assert!(at("2013-05-24T12:15:00Z") && at("2013-05-24T11:45:00Z"));
    assert!(!at("2013-05-24T12:15:01Z") && !at("2013-05-24T11:44:59Z"));
}

fn presigned(extra: &str) -> String {
    format!(
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential={KEY}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host{extra}\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
}

#[test]
fn a_presigned_request_is_good_for_its_time_and_nothing_else() {
    let at = |uri: &str, now: &str| {
        let request = Request::builder().uri(uri).body(()).expect("a request");
        verify(request, HOST, now).err()
    };
    let good = presigned("");
    assert_eq!(at(&good, "2013-05-24T23:59:59Z"), None);
    assert_eq!(at(&good, "2013-05-25T00:00:01Z"), Some("ExpiredToken"));
    assert_eq!(
        at(&good, "2013-05-23T23:44:59Z"),
        Some("RequestTimeTooSkewed")
    );
    let now = "2013-05-24T00:00:00Z";
    let mismatch = Some("SignatureDoesNotMatch");
    assert_eq!(at(&presigned("&partNumber=1"), now), mismatch);
    assert_eq!(at(&good.replace("=86400", "=86401"), now), mismatch);
    let invalid = Some("InvalidSignature");
    assert_eq!(at(&good.replace("=86400", "=604801"), now), invalid);
    assert_eq!(at(&good.replace("=86400", "=-1"), now), invalid);
    assert_eq!(
        at(&good.replace("X-Amz-Expires", "X-Amz-Expired"), now),
        invalid
    );
    assert_eq!(at(&presigned("&X-Amz-Expires=9"), now), invalid);
    let request = Request::builder()
        .uri(&good)
        .header("x-amz-acl", "public-read");
    let request = request.body(()).expect("a request");
    assert_eq!(verify(request, HOST, now).err(), Some("AccessDenied"));
}

#[test]
fn a_path_may_be_encoded_otherwise_than_it_was_signed() {
    // Signed as `/test%24file.text`, sent as it is: see the first test. The
    // other way round, a name that differs when decoded does not pass.
    let mut sent = get_object();
    "/%74est.txt".clone_into(&mut sent.uri);
    assert!(sent.verify(SIGNED, HOST).is_ok());
    "/%2574est.txt".clone_into(&mut sent.uri);
    assert_eq!(
        sent.verify(SIGNED, HOST).err(),
        Some("SignatureDoesNotMatch")
    );
}

/// The key with which the documentation's chunked example goes on.
pub(crate) fn chunked_example() -> ChunkKey {
    let sent = Sent::new(
        Method::PUT,
        "/examplebucket/chunkObject.txt",
        &[
            ("content-encoding", "aws-chunked"),
            ("content-length", "66824"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    let signed = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
                  x-amz-decoded-content-length;x-amz-storage-class";
    sent.verify(signed, "s3.amazonaws.com")
        .expect("the example holds")
}

/// The same for the example with a trailer.
pub(crate) fn trailer_example() -> ChunkKey {
    let sent = Sent::new(
        Method::PUT,
        "/examplebucket/chunkObject.txt",
        &[
            ("content-encoding", "aws-chunked"),
            (
                "x-amz-content-sha256",
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            ),
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-decoded-content-length", "66560"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-trailer", "x-amz-checksum-crc32c"),
        ],
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    );
    let signed = "content-encoding;host;x-amz-content-sha256;x-amz-date;\
                  x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer";
    sent.verify(signed, "s3.amazonaws.com")
        .expect("the example holds")
}

//! As much of an S3 client as tests need: requests signed by header, bodies
//! unsigned.

use std::fmt::Write as _;
use std::time::SystemTime;

use ring::digest::{SHA256, digest};
use ring::hmac;

use crate::support::{Answer, Ferrobase, request};

/// Whose requests these are.
pub(crate) struct S3Client {
    key: String,
    secret: String,
    region: String,
}

impl S3Client {
    /// With one of `storage.s3_protocol.access_keys`.
    pub(crate) fn new(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: secret.to_owned(),
            region: "local".to_owned(),
        }
    }

    /// `query` is in order and escaped, each name with a `=`.
    pub(crate) fn ask(
        &self,
        server: &Ferrobase,
        (method, path): (&str, &str),
        query: &str,
        body: &[u8],
    ) -> Answer {
        let path = format!("/storage/v1/s3/{path}");
        let (date, time) = now();
        let host = server.address();
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n\
             x-amz-date:{time}\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
        );
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let start = format!("AWS4{}", self.secret).into_bytes();
        let steps = [date.as_str(), &self.region, "s3", "aws4_request", &text];
        let mark = steps.iter().fold(start, |key, step| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            hmac::sign(&key, step.as_bytes()).as_ref().to_vec()
        });
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, \
             SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
            self.key,
            hex(&mark)
        );
        let head = [
            ("authorization", authorization.as_str()),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-amz-date", &time),
        ];
        let path = match query {
            "" => path,
            query => format!("{path}?{query}"),
        };
        request(host, method, &path, &head, body).unwrap()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The day and the moment, as signatures have them.
#[expect(
    clippy::disallowed_methods,
    reason = "a client's clock, as any other's"
)]
fn now() -> (String, String) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap().as_secs();
    // Years that begin in March have their odd day at the end.
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let of_day = seconds % 86_400;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let time = format!("{date}T{hour:02}{minute:02}{second:02}Z");
    (date, time)
}

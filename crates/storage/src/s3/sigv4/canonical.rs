//! The text that is signed: a request brought into one form, so that both
//! sides write the same.

use http::{HeaderMap, Method};
use ring::digest;

use crate::s3::encode;

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) method: &'a Method,
    /// As it came, before any prefix was taken away.
    pub(crate) path: &'a str,
    /// Decoded.
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a HeaderMap,
    /// The names under which we are known: what the request says, and behind a
    /// proxy that changes it, what the project's address is.
    pub(crate) hosts: &'a [&'a str],
}

pub(crate) fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

/// The request in canonical form, once for each way in which an honest client
/// may have written it: its path as it came or as it would be encoded by the
/// book, under each of our names. All of them mean the same to us.
pub(crate) fn requests(target: &Target<'_>, signed: &[String], payload: &str) -> Vec<String> {
    let by_the_book = encode::decode(target.path).map(|path| encode::path(&path));
    let mut paths = vec![target.path.to_owned()];
    paths.extend(by_the_book.filter(|path| path != target.path));
    let query = query(target.query);
    let names = signed.join(";");
    let mut requests = Vec::new();
    for host in target.hosts {
        let Some(headers) = headers(target.headers, signed, host) else {
            continue;
        };
        let method = target.method;
        requests.extend(
            paths
                .iter()
                .map(|path| format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{payload}")),
        );
    }
    requests
}

fn query(pairs: &[(String, String)]) -> String {
    let signed = pairs.iter().filter(|(name, _)| name != "X-Amz-Signature");
    let mut encoded: Vec<(String, String)> = signed
        .map(|(name, value)| (encode::strict(name), encode::strict(value)))
        .collect();
    encoded.sort_unstable();
    let parts: Vec<String> = encoded
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parts.join("&")
}

/// One line for each signed header; none if one of them is not there, so a
/// header cannot be taken away from what was signed.
fn headers(map: &HeaderMap, signed: &[String], host: &str) -> Option<String> {
    let mut lines = String::new();
    for name in signed {
        let value = if name == "host" {
            host.to_owned()
        } else {
            value(map, name)?
        };
        lines.push_str(name);
        lines.push(':');
        lines.push_str(&value);
        lines.push('\n');
    }
    Some(lines)
}

/// A header's values in one line, runs of spaces made one.
fn value(map: &HeaderMap, name: &str) -> Option<String> {
    let mut values = Vec::new();
    for value in map.get_all(name) {
        // Clients sign the bytes that they send.
        let text = std::str::from_utf8(value.as_bytes()).ok()?;
        let words: Vec<&str> = text
            .split([' ', '\t'])
            .filter(|word| !word.is_empty())
            .collect();
        values.push(words.join(" "));
    }
    (!values.is_empty()).then(|| values.join(","))
}

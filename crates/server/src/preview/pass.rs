//! The right to see the pages of a private sandbox: its id and a time, signed.
//! It comes in a link, and is then a cookie of the page's own origin.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;
use kernel::{Clock, Secret};
use ring::hmac;

/// The parameter and the cookie. Nothing of this name is passed on.
pub(super) const NAME: &str = "__fb_preview";
/// A working day; the page's owner can ask for another.
const SECONDS: i64 = 12 * 3600;
/// Keeps this use of the project's secret apart from the others.
const PURPOSE: &[u8] = b"ferrobase preview 1";

pub(super) struct Passes {
    key: hmac::Key,
    clock: Clock,
}

impl Passes {
    pub(super) fn new(secret: &Secret, clock: Clock) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        let derived = hmac::sign(&root, PURPOSE);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            clock,
        }
    }

    /// A pass for all pages of a sandbox.
    pub(super) fn pass(&self, id: &str) -> String {
        let until = self.clock.now().as_second() + SECONDS;
        let tag = hmac::sign(&self.key, said(id, until).as_bytes());
        format!("{until}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// How long a pass for this sandbox still holds.
    fn left(&self, pass: &str, id: &str) -> Option<i64> {
        let (until, tag) = pass.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let until: i64 = until.parse().ok()?;
        hmac::verify(&self.key, said(id, until).as_bytes(), &tag).ok()?;
        Some(until - self.clock.now().as_second()).filter(|left| *left > 0)
    }

    /// The cookie that a pass becomes. Frames of other sites show pages, so it
    /// goes along with those; browsers take `Secure` on localhost, too.
    pub(super) fn cookie(&self, pass: &str, id: &str) -> Option<String> {
        let left = self.left(pass, id)?;
        Some(format!(
            "{NAME}={pass}; Path=/; Max-Age={left}; HttpOnly; Secure; SameSite=None; Partitioned"
        ))
    }

    pub(super) fn has_cookie(&self, headers: &HeaderMap, id: &str) -> bool {
        let values = headers.get_all(COOKIE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut cookies = texts.flat_map(|text| text.split(';'));
        cookies.any(|cookie| {
            let pair = cookie.trim().split_once('=');
            pair.is_some_and(|(name, pass)| name == NAME && self.left(pass, id).is_some())
        })
    }
}

fn said(id: &str, until: i64) -> String {
    format!("{id} {until}")
}

/// The pass in a query, and the query without it.
pub(super) fn in_query(query: &str) -> Option<(String, String)> {
    let is_pass = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name == NAME);
    let pass = query.split('&').find(is_pass)?;
    let (_, pass) = pass.split_once('=')?;
    let rest: Vec<_> = query.split('&').filter(|pair| !is_pass(pair)).collect();
    Some((pass.to_owned(), rest.join("&")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_pass_is_for_one_sandbox_and_a_time() {
        let clock = Clock::manual(jiff::Timestamp::from_second(1_000_000).unwrap());
        let passes = Passes::new(&Secret::new("one secret"), clock.clone());
        let pass = passes.pass("sb1");
        assert!(passes.cookie(&pass, "sb1").is_some());
        assert!(passes.cookie(&pass, "sb2").is_none());
        assert!(passes.cookie("9999999999.AAAA", "sb1").is_none());
        let other = Passes::new(&Secret::new("other secret"), clock.clone());
        assert!(other.cookie(&pass, "sb1").is_none());
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("a=b; {NAME}={pass}").parse().unwrap());
        assert!(passes.has_cookie(&headers, "sb1"));
        assert!(!passes.has_cookie(&headers, "sb2"));
        clock.advance(Duration::from_secs(SECONDS.unsigned_abs()));
        assert!(passes.cookie(&pass, "sb1").is_none());
    }

    #[test]
    fn a_query_without_its_pass() {
        let found = in_query("a=1&__fb_preview=x.y&b=2").unwrap();
        assert_eq!(found, ("x.y".to_owned(), "a=1&b=2".to_owned()));
        assert_eq!(in_query("a=1"), None);
    }
}

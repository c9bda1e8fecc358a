//! What is not passed on: what belongs to one connection only, and cookies
//! that are ours or would be.

use http::header::{
    CONNECTION, COOKIE, FORWARDED, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Uri};

use super::pass;

/// Of one connection, whatever `Connection` names beside them.
static OF_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What says who the client is; a page in a sandbox is told nothing of it.
const OF_CLIENT: &[&str] = &[
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "apikey",
    "x-api-key",
];

/// Cookies of ours begin so.
const OUR_COOKIES: &[&str] = &[pass::NAME, "sb-", "fb-", "ferrobase"];

fn ours(name: &str) -> bool {
    let name = name.trim();
    let name = name
        .strip_prefix("__Host-")
        .or_else(|| name.strip_prefix("__Secure-"))
        .unwrap_or(name);
    OUR_COOKIES.iter().any(|prefix| name.starts_with(prefix))
}

/// Takes off what belongs to the connection. Says which protocol it was to
/// become, if any.
pub(super) fn of_connection(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(CONNECTION).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let named: Vec<String> = texts
        .flat_map(|text| text.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let upgrade = named.iter().any(|name| name == "upgrade");
    let upgrade = headers.get(UPGRADE).cloned().filter(|_| upgrade);
    for name in &named {
        headers.remove(name.as_str());
    }
    for name in &OF_CONNECTION {
        headers.remove(name);
    }
    upgrade
}

/// A request as the page may see it.
pub(super) fn inwards(headers: &mut HeaderMap, port: u16) {
    headers.remove(FORWARDED);
    for name in OF_CLIENT {
        headers.remove(*name);
    }
    let values = headers.get_all(COOKIE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let kept: Vec<&str> = texts
        .flat_map(|text| text.split(';'))
        .map(str::trim)
        .filter(|cookie| !ours(cookie.split('=').next().unwrap_or_default()))
        .filter(|cookie| !cookie.is_empty())
        .collect();
    let kept = HeaderValue::try_from(kept.join("; ")).ok();
    headers.remove(COOKIE);
    if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
        headers.insert(COOKIE, kept);
    }
    // Dev servers answer only to names they know.
    if let Ok(host) = HeaderValue::try_from(format!("localhost:{port}")) {
        headers.insert(HOST, host);
    }
}

/// An answer as the client may see it: no cookie for names above the page's
/// own, none in the name of ours.
pub(super) fn outwards(headers: &mut HeaderMap) {
    let set: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for value in set {
        // What is no text is nothing that a browser keeps.
        let Ok(text) = value.to_str() else { continue };
        let mut parts = text.split(';');
        let pair = parts.next().unwrap_or_default();
        if ours(pair.split('=').next().unwrap_or_default()) {
            continue;
        }
        let kept = parts.filter(|part| {
            let name = part.split('=').next().unwrap_or_default();
            !name.trim().eq_ignore_ascii_case("domain")
        });
        let text = std::iter::once(pair)
            .chain(kept)
            .collect::<Vec<_>>()
            .join(";");
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(SET_COOKIE, value);
        }
    }
}

/// Path and query, which is all that a server inside is asked for.
pub(super) fn target(uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn what_belongs_to_a_connection_stays_with_it() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("accept", "x"),
        ]);
        assert_eq!(of_connection(&mut headers), None);
        assert_eq!(headers, map(&[("accept", "x")]));
        let mut socket = map(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(of_connection(&mut socket).unwrap(), "websocket");
        assert!(socket.is_empty());
    }

    #[test]
    fn no_cookie_of_ours_goes_in() {
        let mut headers = map(&[
            ("cookie", "a=1; sb-access-token=x; __fb_preview=y"),
            ("cookie", "__Host-fb-studio=z; b=2"),
            ("x-forwarded-for", "10.0.0.1"),
            ("apikey", "k"),
            ("host", "5173-sb1.localhost:54321"),
        ]);
        inwards(&mut headers, 5173);
        assert_eq!(
            headers,
            map(&[("cookie", "a=1; b=2"), ("host", "localhost:5173")])
        );
        let mut only_ours = map(&[("cookie", "sb-x=1")]);
        inwards(&mut only_ours, 1);
        assert!(only_ours.get(COOKIE).is_none());
    }

    #[test]
    fn no_cookie_for_others_comes_out() {
        let mut headers = map(&[
            ("set-cookie", "a=1; Domain=example.net; Path=/"),
            ("set-cookie", "b=2; Path=/; dOmAiN = .localhost;Secure"),
            ("set-cookie", "sb-access-token=evil; Path=/"),
            ("set-cookie", "__fb_preview=evil"),
            ("set-cookie", "c=3"),
        ]);
        outwards(&mut headers);
        let left: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(left, ["a=1; Path=/", "b=2; Path=/;Secure", "c=3"]);
    }
}

//! The address of an upload, as the client reaches it: what it asked, unless a
//! proxy in front says that the world sees it elsewhere.
//!
//! An address is only told to whoever sent these headers, so believing them
//! harms nobody else; it must only not be possible to write a second header or
//! an address that is none.

use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery};

use super::ROOM_PREFIX;
use super::headers::text;

/// The address under which `id` continues. `base` is the path of the uploads
/// within the room.
pub(crate) fn of(headers: &HeaderMap, base: &str, id: &str) -> Option<HeaderValue> {
    let path = format!("{}{ROOM_PREFIX}{base}/{id}", prefix(headers));
    let host = forwarded(headers, "x-forwarded-host");
    let host = match host {
        Some(host) => with_port(&host, forwarded(headers, "x-forwarded-port")),
        None => text(headers, HOST.as_str()).ok()??.to_owned(),
    };
    let secure = forwarded(headers, "x-forwarded-proto").is_some_and(|proto| proto == "https");
    let scheme = if secure { "https" } else { "http" };
    let address = match host.parse::<Authority>() {
        Ok(authority) if !host.contains('@') => format!("{scheme}://{authority}{path}"),
        // Clients complete it with the address that they asked.
        _ => path,
    };
    HeaderValue::try_from(address).ok()
}

/// What a proxy takes off before it asks us.
fn prefix(headers: &HeaderMap) -> String {
    let said = forwarded(headers, "x-forwarded-prefix").unwrap_or_default();
    let path = said.trim_end_matches('/');
    let clean = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(['?', '#', '\\'])
        && path.parse::<PathAndQuery>().is_ok();
    if clean {
        path.to_owned()
    } else {
        String::new()
    }
}

fn with_port(host: &str, port: Option<String>) -> String {
    let usual = |port: &str| matches!(port, "80" | "443");
    let Some(port) = port.filter(|port| port.parse::<u16>().is_ok() && !usual(port)) else {
        return host.to_owned();
    };
    match host.rsplit_once(':') {
        Some((name, old)) if old.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{name}:{port}")
        }
        _ => format!("{host}:{port}"),
    }
}

/// The first of a list, which is what the outermost proxy said.
fn forwarded(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = text(headers, name).ok()??;
    let first = value.split(',').next()?.trim();
    (!first.is_empty()).then(|| first.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use http::HeaderName;

    use super::*;

    fn address(pairs: &[(&'static str, &str)]) -> String {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        let headers: HeaderMap = pairs.collect();
        let address = of(&headers, "/upload/resumable", "ID").unwrap();
        address.to_str().unwrap().to_owned()
    }

    #[test]
    fn it_is_where_the_client_asked() {
        let plain = address(&[("host", "127.0.0.1:54321")]);
        assert_eq!(
            plain,
            "http://127.0.0.1:54321/storage/v1/upload/resumable/ID"
        );
    }

    #[test]
    fn a_proxy_says_how_the_world_sees_it() {
        let behind = [
            ("host", "10.0.0.7:8000"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "files.example.com"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/api/"),
        ];
        let https = "https://files.example.com/api/storage/v1/upload/resumable/ID";
        assert_eq!(address(&behind), https);
        let odd = [
            ("x-forwarded-host", "a.example:1"),
            ("x-forwarded-port", "8443"),
        ];
        let port = "http://a.example:8443/storage/v1/upload/resumable/ID";
        assert_eq!(address(&odd), port);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        let path = "/storage/v1/upload/resumable/ID";
        for host in ["a b", "user@evil.example", "a/b", "[::1", "a?b"] {
            assert_eq!(address(&[("x-forwarded-host", host)]), path, "{host}");
        }
        for prefix in [
            "//evil.example",
            "https://evil",
            "/a?b",
            "/a#b",
            "/a b",
            "\\a",
        ] {
            let pairs = [("host", "a.example"), ("x-forwarded-prefix", prefix)];
            assert_eq!(
                address(&pairs),
                format!("http://a.example{path}"),
                "{prefix}"
            );
        }
    }
}

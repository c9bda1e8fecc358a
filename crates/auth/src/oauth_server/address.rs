//! Addresses that clients may be answered at.

use url::{Host, Url};

/// Longer ones do not fit the table.
const ADDRESS_CHARS_MAX: usize = 2048;
/// Schemes that run something, show something, or reach something that is no
/// application of the user's.
const DANGEROUS: [&str; 20] = [
    "javascript",
    "data",
    "file",
    "vbscript",
    "about",
    "blob",
    "filesystem",
    "view-source",
    "jar",
    "ws",
    "wss",
    "ftp",
    "intent",
    "mailto",
    "tel",
    "sms",
    "chrome",
    "ms-appx",
    "content",
    "resource",
];

/// Why an address cannot be registered.
pub(crate) fn check(address: &str) -> Result<(), String> {
    let why = |text: &str| Err(text.to_owned());
    if address.is_empty() {
        return why("redirect URI cannot be empty");
    }
    if address.len() > ADDRESS_CHARS_MAX {
        return why("redirect URI cannot exceed 2048 characters");
    }
    // A comma parts addresses in the table. The others are read one way by
    // browsers and another way by programs.
    let strange =
        |c: char| !c.is_ascii_graphic() || matches!(c, ',' | '\\' | '"' | '<' | '>' | '`');
    if address.contains(strange) {
        return why(
            "must not contain commas, spaces, backslashes or other characters that URLs escape",
        );
    }
    let Ok(url) = Url::parse(address) else {
        return why("invalid URL format");
    };
    let scheme = url.scheme();
    if DANGEROUS.contains(&scheme) {
        return Err(format!(
            "scheme '{scheme}' is not allowed for security reasons"
        ));
    }
    // What an application claims for itself is a domain it owns, backwards
    // (RFC 8252, 7.1), which needs no host; other schemes must have one.
    let private = scheme.contains('.') && address.contains(":/");
    if url.host_str().is_none_or(str::is_empty) && !private {
        return why("must have scheme and host");
    }
    if scheme == "http" && !is_loopback(&url) {
        return why("HTTP scheme only allowed for localhost");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return why("credentials not allowed in redirect URI");
    }
    if address.contains('#') {
        return why("fragment not allowed in redirect URI");
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip == std::net::Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(ip)) => ip == std::net::Ipv6Addr::LOCALHOST,
        None => false,
    }
}

/// Whether this text is the address of a page, for a client's home and logo.
pub(crate) fn is_page(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
}

/// An address with an answer in its query. What the address says already by
/// the same names was not said by us, so it goes.
pub(crate) fn answered(address: &str, pairs: &[(&str, &str)]) -> String {
    const OURS: [&str; 6] = [
        "code",
        "state",
        "iss",
        "error",
        "error_description",
        "error_uri",
    ];
    let Ok(mut url) = Url::parse(address) else {
        return address.to_owned();
    };
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !OURS.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(pairs);
    url.into()
}

/// Where a form may lead in the end, as a content security policy names it.
pub(crate) fn source(address: &str) -> String {
    let Ok(url) = Url::parse(address) else {
        return "'none'".to_owned();
    };
    match url.host() {
        // The policy's grammar has no addresses in brackets.
        Some(Host::Ipv6(_)) | None => format!("{}:", url.scheme()),
        Some(_) if !matches!(url.scheme(), "http" | "https") => format!("{}:", url.scheme()),
        Some(_) => url.origin().ascii_serialization(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_on_the_web_on_this_machine_and_on_phones_are_answered() {
        for address in [
            "https://example.com/callback",
            "https://example.com/callback?x=1",
            "http://localhost:3000/callback",
            "http://127.0.0.1:1/",
            "http://[::1]:8080/x",
            "myapp://auth-callback",
            "cursor://anysphere.cursor-retrieval/oauth/callback",
            "com.example.app:/callback",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn addresses_that_run_leak_or_mislead_are_refused() {
        for address in [
            "",
            "/callback",
            "example.com/callback",
            "javascript:alert(1)",
            "JaVaScRiPt://example.com/%0aalert(1)",
            "data:text/html,x",
            "vbscript://x/",
            "file:///etc/passwd",
            "blob:https://example.com/x",
            "http://example.com/callback",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "https://user@example.com/",
            "https://good.com:pass@evil.com/",
            "https://example.com/#",
            "https://example.com/#x",
            "https://good.com/,https://evil.com/",
            "https://good.com\\@evil.com/",
            "https://good.com/\r\nx",
            " https://good.com/",
            "https://gооd.com/",
            "urn:x",
            "https:",
        ] {
            assert!(check(address).is_err(), "{address}");
        }
    }

    #[test]
    fn an_answer_keeps_the_clients_own_parameters_and_says_ours_once() {
        let to = answered(
            "https://a.b/cb?tenant=1&code=planted&state=planted",
            &[("code", "real&x=y"), ("state", "s")],
        );
        assert_eq!(to, "https://a.b/cb?tenant=1&code=real%26x%3Dy&state=s");
        assert_eq!(answered("app://cb", &[("code", "1")]), "app://cb?code=1");
    }

    #[test]
    fn a_policy_names_the_place_and_no_more() {
        assert_eq!(source("https://a.b:8443/cb;x?y"), "https://a.b:8443");
        assert_eq!(source("http://[::1]:1/cb"), "http:");
        assert_eq!(source("com.example.app:/cb"), "com.example.app:");
    }
}

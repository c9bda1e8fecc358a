//! Where a browser may be sent: the site itself, and what the allow list's
//! patterns match. Everything that leaves by a `Location` header or stands in
//! a mail's link goes through [`Allowed::choose`].
//!
//! Patterns are GoTrue's: `*` and `?` stop at `.` and `/`, `**` does not,
//! `[a-z]`, `[!a]` and `{a,b}` are sets and alternatives, `\` takes the next
//! character as it is.

use std::net::IpAddr;

use url::{Host, Url};

use crate::error::AuthError;

/// The site and the patterns.
#[derive(Clone, Debug)]
pub struct Allowed {
    site: Option<Url>,
    site_text: String,
    patterns: Vec<Vec<char>>,
}

/// A longer list or pattern is a mistake, and each redirect is held against all.
const PATTERNS_MAX: usize = 1000;
const PATTERN_CHARS_MAX: usize = 2000;
/// Steps of one match. A pattern that needs more was made to be slow.
const STEPS_MAX: usize = 100_000;

impl Allowed {
    /// The rule for a site and its additional addresses.
    #[must_use]
    pub fn new(site_url: &str, additional: &[String]) -> Self {
        Self {
            site: Url::parse(site_url).ok(),
            site_text: site_url.to_owned(),
            patterns: additional
                .iter()
                .take(PATTERNS_MAX)
                .map(|pattern| pattern.chars().take(PATTERN_CHARS_MAX).collect())
                .collect(),
        }
    }

    /// The first of the wishes that is allowed, else the site.
    #[must_use]
    pub fn choose<'a>(&'a self, wishes: impl IntoIterator<Item = Option<&'a str>>) -> &'a str {
        wishes
            .into_iter()
            .flatten()
            .find(|wish| self.allows(wish))
            .unwrap_or(&self.site_text)
    }

    /// Whether a browser may be sent there.
    #[must_use]
    pub fn allows(&self, address: &str) -> bool {
        // What browsers and URL parsers read differently is nobody's address.
        if address.is_empty() || address.contains(|c: char| c.is_control() || c == '\\') {
            return false;
        }
        let Ok(url) = Url::parse(address) else {
            return false;
        };
        if self.site.as_ref().is_some_and(|site| is_site(site, &url)) {
            return true;
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => {
                return is_written_out(address, &ip.to_string()) && ip.is_loopback();
            }
            Some(Host::Ipv6(ip)) => return IpAddr::V6(ip).is_loopback(),
            Some(Host::Domain(name))
                if matches!(url.scheme(), "http" | "https") && !is_usual(name) =>
            {
                return false;
            }
            _ => {}
        }
        let (before_fragment, _) = address.split_once('#').unwrap_or((address, ""));
        let text: Vec<char> = before_fragment.chars().collect();
        self.patterns.iter().any(|pattern| {
            let mut steps = STEPS_MAX;
            matches(pattern, &text, &mut steps)
        })
    }
}

/// Scheme, host and port are the site's. Native applications listen on any
/// port of their own machine (RFC 8252, 7.3).
fn is_site(site: &Url, url: &Url) -> bool {
    site.scheme() == url.scheme()
        && site.host_str().is_some()
        && site.host_str() == url.host_str()
        && url.username().is_empty()
        && url.password().is_none()
        && (site.port() == url.port() || is_local(url))
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// `2130706433` is an address too, but nobody means well who writes it so.
fn is_written_out(address: &str, ip: &str) -> bool {
    address.contains(ip)
}

fn is_usual(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    name.chars().all(inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

const SEPARATORS: [char; 2] = ['.', '/'];

/// Whether the whole text matches the pattern.
fn matches(pattern: &[char], text: &[char], steps: &mut usize) -> bool {
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    let Some((&first, rest)) = pattern.split_first() else {
        return text.is_empty();
    };
    match first {
        '*' if rest.first() == Some(&'*') => {
            let rest = rest.get(1..).unwrap_or_default();
            (0..=text.len()).any(|skip| matches(rest, text.get(skip..).unwrap_or_default(), steps))
        }
        '*' => {
            let stop = text.iter().position(|c| SEPARATORS.contains(c));
            let stop = stop.unwrap_or(text.len());
            (0..=stop).any(|skip| matches(rest, text.get(skip..).unwrap_or_default(), steps))
        }
        '?' => match text.split_first() {
            Some((c, text)) if !SEPARATORS.contains(c) => matches(rest, text, steps),
            _ => false,
        },
        '[' => match (set(rest), text.split_first()) {
            (Some((members, rest)), Some((c, text))) => {
                contains(members, *c) && matches(rest, text, steps)
            }
            _ => false,
        },
        '{' => alternatives(rest).is_some_and(|(choices, rest)| {
            choices.iter().any(|choice| {
                let whole: Vec<char> = choice.iter().chain(rest).copied().collect();
                matches(&whole, text, steps)
            })
        }),
        '\\' => match (rest.split_first(), text.split_first()) {
            (Some((wanted, rest)), Some((c, text))) => wanted == c && matches(rest, text, steps),
            _ => false,
        },
        wanted => match text.split_first() {
            Some((c, text)) => *c == wanted && matches(rest, text, steps),
            None => false,
        },
    }
}

/// The members of a set and what follows its bracket.
fn set(pattern: &[char]) -> Option<(&[char], &[char])> {
    let end = pattern.iter().position(|c| *c == ']')?;
    Some((pattern.get(..end)?, pattern.get(end + 1..)?))
}

fn contains(members: &[char], c: char) -> bool {
    let (negated, members) = match members.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, members),
    };
    let found = match members {
        [low, '-', high] => (*low..=*high).contains(&c),
        list => list.contains(&c),
    };
    found != negated
}

/// The alternatives of a brace and what follows it.
fn alternatives(pattern: &[char]) -> Option<(Vec<&[char]>, &[char])> {
    let end = pattern.iter().position(|c| *c == '}')?;
    let choices = pattern.get(..end)?.split(|c| *c == ',').collect();
    Some((choices, pattern.get(end + 1..)?))
}

/// Adds parameters to an address.
pub(crate) fn with_query(address: &str, pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return address.to_owned();
    };
    url.query_pairs_mut().extend_pairs(pairs);
    url.into()
}

/// Says something behind the `#`, and in a flow with a challenge before it
/// too, since servers do not see the rest.
pub(crate) fn told(address: &str, pkce: bool, pairs: &[(&str, &str)]) -> String {
    let fragment = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .append_pair("sb", "")
        .finish();
    let base = if pkce {
        with_query(address, pairs)
    } else {
        address.to_owned()
    };
    let base = base
        .split_once('#')
        .map_or(base.as_str(), |(before, _)| before)
        .to_owned();
    format!("{base}#{fragment}")
}

/// Says why not.
pub(crate) fn refused(address: &str, pkce: bool, error: &AuthError) -> String {
    let kind = match error.status().as_u16() {
        400 => Some("invalid_request"),
        401 => Some("unauthorized_client"),
        403 => Some("access_denied"),
        500 => Some("server_error"),
        503 => Some("temporarily_unavailable"),
        _ => None,
    };
    let message = error.message();
    let mut pairs = Vec::new();
    if let Some(kind) = kind {
        pairs.push(("error", kind));
    }
    pairs.push(("error_code", error.code().as_str()));
    pairs.push(("error_description", &message));
    told(address, pkce, &pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str]) -> Allowed {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        Allowed::new("https://app.example.com", &patterns)
    }

    #[test]
    fn the_site_itself_is_allowed_and_its_likenesses_are_not() {
        let rule = allowed(&[]);
        for good in ["https://app.example.com", "https://app.example.com/a?b=c#d"] {
            assert!(rule.allows(good), "{good}");
        }
        for bad in [
            "",
            "/welcome",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.io",
            "https://app.example.com@evil.io",
            "https://user@app.example.com/",
            "https://evil.io/https://app.example.com",
            "https://app.example.com\\@evil.io",
            "javascript:alert(1)",
            "https://app.example.com\n.evil.io",
        ] {
            assert!(!rule.allows(bad), "{bad}");
        }
        assert_eq!(
            rule.choose([Some("https://evil.io"), None]),
            "https://app.example.com"
        );
    }

    #[test]
    fn patterns_are_gotrues() {
        let rule = allowed(&[
            "https://*.preview.io/**",
            "myapp://login",
            "https://docs.io/{en,de}/?",
            "https://[ab].io/[0-9]",
        ]);
        for good in [
            "https://one.preview.io/x/y.z?q=1#frag",
            "myapp://login",
            "https://docs.io/de/1",
            "https://a.io/7",
        ] {
            assert!(rule.allows(good), "{good}");
        }
        for bad in [
            "https://one.two.preview.io/",
            "https://evil.io/.preview.io/",
            "myapp://login/other",
            "https://docs.io/fr/1",
            "https://docs.io/en/12",
            "https://c.io/7",
        ] {
            assert!(!rule.allows(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_never_numbers_but_ones_own_machine() {
        let rule = allowed(&["http://**", "https://**"]);
        assert!(rule.allows("http://127.0.0.1:5173/x"));
        assert!(rule.allows("http://[::1]/x"));
        for bad in [
            "http://10.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
        ] {
            assert!(!rule.allows(bad), "{bad}");
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_ends() {
        let rule = allowed(&[&format!("https://{}b", "**a".repeat(40))]);
        assert!(!rule.allows(&format!("https://{}", "a".repeat(200))));
    }
}

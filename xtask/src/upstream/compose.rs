//! The environments that a `docker-compose.yml` gives its services.
//!
//! Only what the suites' files use of YAML: two levels of names by indentation, and one scalar a
//! line, plain or in quotes.

use std::collections::BTreeMap;

/// Names and values of one service.
pub(super) type Service = BTreeMap<String, String>;

/// How far a service's own keys stand from the left, and their members.
const KEY: usize = 4;
const MEMBER: usize = 6;

/// The environment of every service that has one.
pub(super) fn services(text: &str) -> Vec<Service> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let depth = line.len() - line.trim_start().len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if depth <= KEY {
            inside = depth == KEY && line == "environment:";
            if inside {
                found.push(Service::new());
            }
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if let Some(service) = found.last_mut().filter(|_| inside && depth == MEMBER) {
            service.insert(name.to_owned(), plain(value.trim()).to_owned());
        }
    }
    found
}

/// A scalar without its quotes.
fn plain(value: &str) -> &str {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_their_own_environments() {
        let text = "services:\n  one: # first\n    image: a:b\n    environment:\n      \
            PORT: 9999\n      KEYS: '[{\"a\":\"b: c\"}]'\n    depends_on:\n      db:\n        \
            condition: up\n  two:\n    image: c\n  db:\n    environment:\n      PORT: \"5\"\n";
        let found = services(text);
        let of = |index: usize, name: &str| found.get(index)?.get(name).map(String::as_str);
        assert_eq!(found.len(), 2);
        assert_eq!(of(0, "PORT"), Some("9999"));
        assert_eq!(of(0, "KEYS"), Some("[{\"a\":\"b: c\"}]"));
        assert_eq!(of(0, "db"), None);
        assert_eq!(of(1, "PORT"), Some("5"));
    }
}

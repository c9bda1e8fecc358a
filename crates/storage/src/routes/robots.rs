//! What search engines may be told about an object (`X-Robots-Tag`).

use crate::error::{Result, StorageError};

const SIMPLE: [&str; 8] = [
    "all",
    "noindex",
    "nofollow",
    "none",
    "nosnippet",
    "indexifembedded",
    "notranslate",
    "noimageindex",
];

/// More is no header that anybody reads.
const BYTES_MAX: usize = 500;

/// Refuses what is no such header. A rule may have a crawler's name before it.
pub(super) fn check(value: &str) -> Result<()> {
    let refused = |why: &str| {
        Err(StorageError::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidRequest",
            "invalid_x_robots_tag",
            format!("Invalid X-Robots-Tag header: {why}"),
        ))
    };
    if value.trim().is_empty() || value.len() > BYTES_MAX {
        return refused("X-Robots-Tag header value must be a non-empty string");
    }
    let mut rest = value.trim();
    while !rest.is_empty() {
        // A date has commas of its own and ends the header here.
        if let Some(date) = rest.strip_prefix("unavailable_after:") {
            return if date.trim().is_empty() {
                refused("unavailable_after has no date")
            } else {
                Ok(())
            };
        }
        let (rule, next) = rest.split_once(',').unwrap_or((rest, ""));
        if !known(rule.trim()) {
            return refused(&format!("Invalid rule \"{}\"", rule.trim()));
        }
        rest = next.trim();
    }
    Ok(())
}

fn known(rule: &str) -> bool {
    let number = |value: &str| value.trim().parse::<i64>().is_ok();
    match rule.split_once(':') {
        None => SIMPLE.contains(&rule),
        Some(("max-snippet" | "max-video-preview", value)) => number(value),
        Some(("max-image-preview", value)) => ["none", "standard", "large"].contains(&value.trim()),
        Some((crawler, rule)) => {
            let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !crawler.is_empty() && crawler.chars().all(named) && known(rule.trim())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_known_ones() {
        for good in [
            "none",
            "noindex, nofollow",
            "googlebot: noindex",
            "max-snippet: -1, max-image-preview: large",
            "unavailable_after: 25 Jun 2030 15:00:00 PST",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "everything",
            "none,,all",
            "max-snippet: x",
            "bot:",
            "unavailable_after:",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}

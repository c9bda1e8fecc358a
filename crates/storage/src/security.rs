//! Tests of what strangers name: buckets and objects against the official
//! server's rules, with every trick that has led somewhere elsewhere.

use proptest::prelude::*;

use crate::names::{ObjectPath, check_bucket, check_name};

/// The official server's rule, said again: a letter or digit of ASCII, or one
/// of these.
const PUNCTUATION: &str = "_/!.*'() &$@=;:+,?-";

fn as_upstream(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c);
    !name.is_empty() && name.chars().all(allowed)
}

/// Ours is stricter about two things: steps upwards, and length.
fn as_ours(name: &str) -> bool {
    let stays = name.split('/').all(|step| step != "." && step != "..");
    as_upstream(name) && stays && name.len() <= 1024
}

#[test]
fn tricks_lead_nowhere() {
    for name in [
        "..",
        ".",
        "../a",
        "a/../b",
        "a/..",
        "a/./b",
        "./a",
        "/..",
        "a//../b",
        // Separators by other names, once and twice.
        "a\\b",
        "..\\a",
        "%2e%2e/a",
        "a%2fb",
        "a%5cb",
        "%252e%252e%252fa",
        "a%00",
        // What ends a string, a line, or a header.
        "a\0b",
        "a\nb",
        "a\r\nset-cookie: x",
        "\u{7f}",
        "a\tb",
        // Characters that look like others, or turn the line around.
        "\u{2025}/a",
        "\u{ff0e}\u{ff0e}/a",
        "a\u{2215}b",
        "a\u{ff0f}b",
        "\u{202e}gpj.exe",
        "a\u{200b}b",
        "\u{feff}a",
        // One letter in two forms: neither, so they cannot be taken for one.
        "\u{e9}",
        "e\u{301}",
        "K\u{212a}",
        "\u{1f600}.png",
        // What shells and drives would make of it.
        "a|b",
        "a>b",
        "`a`",
        "\"a\"",
        "a#b",
        "~a",
        "a{b}",
        "a[b]",
        "a^b",
    ] {
        assert!(check_name(name).is_err(), "{name:?}");
        assert!(check_bucket(name).is_err(), "{name:?}");
        assert!(ObjectPath::new("b", name).is_err(), "{name:?}");
        assert!(ObjectPath::new(name, "a").is_err(), "{name:?}");
    }
    // Strange, and allowed by both.
    for name in [
        "...", "a..b", "..a", "a/...", "-rf", " ", "a//b", "a/", "/a", "C:", "?", "a;b",
    ] {
        assert!(check_name(name).is_ok(), "{name:?}");
    }
}

#[test]
fn names_that_differ_in_case_stay_two() {
    let upper = ObjectPath::new("b", "A.png").expect("allowed");
    let lower = ObjectPath::new("b", "a.png").expect("allowed");
    assert_ne!(upper, lower);
    assert_ne!(upper.to_string(), lower.to_string());
}

proptest! {
    #[test]
    fn names_are_judged_as_upstream_does_and_steps_stay(
        name in prop_oneof![
            "[a-zA-Z0-9_/!.*'() &$@=;:+,?-]{0,40}",
            "([.]{0,3}/){0,4}[a-z.]{0,4}",
            ".{0,40}",
            "[a-z/]{1015,1035}",
        ],
    ) {
        prop_assert_eq!(check_name(&name).is_ok(), as_ours(&name), "{:?}", name);
    }

    #[test]
    fn buckets_are_judged_as_upstream_does(
        name in prop_oneof!["[a-zA-Z0-9_!.*'() &$@=;:+,?-]{0,110}", "[.]{0,3}", ".{0,20}"],
    ) {
        let step = name == "." || name == "..";
        let expected = as_upstream(&name) && !name.contains('/') && name.len() <= 100 && !step;
        prop_assert_eq!(check_bucket(&name).is_ok(), expected, "{:?}", name);
    }

    /// `bucket/name` can be read back, so a token for one object is for no other.
    #[test]
    fn a_path_says_one_bucket_and_one_name(
        bucket in "[a-z0-9 .!-]{1,12}", name in "[a-z/.]{1,20}",
    ) {
        if let Ok(path) = ObjectPath::new(&bucket, &name) {
            let text = path.to_string();
            let (first, rest) = text.split_once('/').expect("a separator");
            prop_assert_eq!((first, rest), (bucket.as_str(), name.as_str()));
            // It stays in a folder that it is put into.
            let root = std::path::Path::new("/root");
            let inside = root.join(text.trim_start_matches('/'));
            let mut depth = 0_i32;
            for part in inside.components() {
                depth += match part {
                    std::path::Component::ParentDir => -1,
                    std::path::Component::Normal(_) => 1,
                    _ => 0,
                };
                prop_assert!(depth >= 0);
            }
        }
    }
}

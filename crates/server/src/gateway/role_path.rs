//! Where in a token's claims the role is: PostgREST's path language, as in
//! `.role`, `.a[0]."b-c"`, `.roles[?(@ == "x")]` and `.name[1:-2]`.
//!
//! Grammar: a path is one or more of
//! * `.key` (letters, digits, `_$@`) or `."any key"`,
//! * `[n]`, an element of an array,
//! * `[a:b]`, a slice of a string, either end optional or negative,
//! * `[?(@ op "text")]`, the first string of an array for which it holds;
//!   `op` is `==`, `!=`, `^==` (starts with), `==^` (ends with), `*==` (contains).

use serde_json::Value;

/// Longer paths are a mistake; the bound keeps parsing flat.
const STEPS_MAX: usize = 32;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Slice(Option<i64>, Option<i64>),
    Find(Condition, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equals,
    Differs,
    StartsWith,
    EndsWith,
    Contains,
}

/// Longest first, so that `==^` is not read as `==`.
const CONDITIONS: [(&str, Condition); 5] = [
    ("==^", Condition::EndsWith),
    ("^==", Condition::StartsWith),
    ("*==", Condition::Contains),
    ("==", Condition::Equals),
    ("!=", Condition::Differs),
];

impl RolePath {
    /// Parses a path; `None` when it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if steps.len() == STEPS_MAX {
                return None;
            }
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The role in these claims: a string as it is, anything else as JSON.
    #[must_use]
    pub fn find(&self, claims: &Value) -> Option<String> {
        let mut steps = self.0.iter();
        let mut at = claims;
        let mut text: Option<String> = None;
        for step in &mut steps {
            // Once a slice has made a text of its own, only slices may follow.
            text = match (text, step) {
                (None, Step::Slice(from, to)) => Some(slice(at.as_str()?, *from, *to)),
                (Some(text), Step::Slice(from, to)) => Some(slice(&text, *from, *to)),
                (Some(_), _) => return None,
                (None, Step::Key(key)) => {
                    at = at.as_object()?.get(key)?;
                    None
                }
                (None, Step::Index(index)) => {
                    at = at.as_array()?.get(*index)?;
                    None
                }
                (None, Step::Find(condition, wanted)) => {
                    at = at.as_array()?.iter().find(|item| {
                        item.as_str()
                            .is_some_and(|item| condition.holds(item, wanted))
                    })?;
                    None
                }
            };
        }
        Some(text.unwrap_or_else(|| at.as_str().map_or_else(|| at.to_string(), str::to_owned)))
    }
}

impl Condition {
    fn holds(self, text: &str, wanted: &str) -> bool {
        match self {
            Self::Equals => text == wanted,
            Self::Differs => text != wanted,
            Self::StartsWith => text.starts_with(wanted),
            Self::EndsWith => text.ends_with(wanted),
            Self::Contains => text.contains(wanted),
        }
    }
}

fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let (key, rest) = quoted(rest).or_else(|| bare(rest))?;
        return Some((Step::Key(key), rest));
    }
    if let Some(rest) = text.strip_prefix("[?(@") {
        let rest = rest.trim_start();
        let (operator, condition) = CONDITIONS
            .iter()
            .find(|(operator, _)| rest.starts_with(operator))?;
        let (wanted, rest) = quoted(rest.strip_prefix(operator)?.trim_start())?;
        return Some((Step::Find(*condition, wanted), rest.strip_prefix(")]")?));
    }
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let step = match inside.split_once(':') {
        Some((from, to)) => Step::Slice(bound(from).ok()?, bound(to).ok()?),
        None => Step::Index(digits(inside)?.try_into().ok()?),
    };
    Some((step, rest))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let (inside, rest) = text.strip_prefix('"')?.split_once('"')?;
    Some((inside.to_owned(), rest))
}

fn bare(text: &str) -> Option<(String, &str)> {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '@')))
        .unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    (!key.is_empty()).then(|| (key.to_owned(), rest))
}

/// One end of a slice: nothing, or a number with an optional minus.
fn bound(text: &str) -> Result<Option<i64>, NoPath> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = match text.strip_prefix('-') {
        Some(rest) => digits(rest).map(|number| -number),
        None => digits(text),
    };
    number.map(Some).ok_or(NoPath)
}

/// The text is no path.
struct NoPath;

fn digits(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Characters `from..to` as Python counts them: negative from the end, ends
/// beyond the text cut back.
fn slice(text: &str, from: Option<i64>, to: Option<i64>) -> String {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let place = |at: i64| {
        let at = if at < 0 {
            at.saturating_add(length)
        } else {
            at
        };
        usize::try_from(at.clamp(0, length)).unwrap_or(0)
    };
    let from = place(from.unwrap_or(0));
    let to = place(to.unwrap_or(length));
    text.chars()
        .skip(from)
        .take(to.saturating_sub(from))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str, claims: &Value) -> Option<String> {
        RolePath::parse(path).and_then(|path| path.find(claims))
    }

    #[test]
    fn keys_indexes_and_quotes() {
        let claims = json!({"role": "a", "roles": ["x", {"b-c": "y"}], "n": 7, "https://x/y": {"$r@1": "z"}});
        assert_eq!(find(".role", &claims).as_deref(), Some("a"));
        assert_eq!(find(".roles[0]", &claims).as_deref(), Some("x"));
        assert_eq!(find(".roles[1].\"b-c\"", &claims).as_deref(), Some("y"));
        assert_eq!(find(".\"https://x/y\".$r@1", &claims).as_deref(), Some("z"));
        assert_eq!(find(".n", &claims).as_deref(), Some("7"));
        assert_eq!(find(".roles[9]", &claims), None);
        assert_eq!(find(".role.deeper", &claims), None);
    }

    #[test]
    fn filters_take_the_first_that_holds() {
        let claims = json!({"roles": ["other", 5, "app_editor", "app_viewer"]});
        assert_eq!(
            find(".roles[?(@ == \"app_viewer\")]", &claims).as_deref(),
            Some("app_viewer")
        );
        assert_eq!(
            find(".roles[?(@ != \"other\")]", &claims).as_deref(),
            Some("app_editor")
        );
        assert_eq!(
            find(".roles[?(@ ^== \"app_\")]", &claims).as_deref(),
            Some("app_editor")
        );
        assert_eq!(
            find(".roles[?(@ ==^ \"viewer\")]", &claims).as_deref(),
            Some("app_viewer")
        );
        assert_eq!(
            find(".roles[?(@ *== \"_ed\")]", &claims).as_deref(),
            Some("app_editor")
        );
        assert_eq!(
            find(".roles[?(@ ^== \"app_\")][4:]", &claims).as_deref(),
            Some("editor")
        );
        assert_eq!(find(".roles[?(@ == \"nobody\")]", &claims), None);
    }

    #[test]
    fn slices_count_characters_from_either_end() {
        let claims = json!({"r": "äbcdef"});
        assert_eq!(find(".r[1:3]", &claims).as_deref(), Some("bc"));
        assert_eq!(find(".r[:-4]", &claims).as_deref(), Some("äb"));
        assert_eq!(find(".r[-2:]", &claims).as_deref(), Some("ef"));
        assert_eq!(find(".r[4:2]", &claims).as_deref(), Some(""));
        assert_eq!(find(".r[:]", &claims).as_deref(), Some("äbcdef"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "",
            "role",
            ".",
            "..a",
            ".a[",
            ".a[x]",
            ".a[]x",
            ".a[?(@ = \"b\")]",
            ".a[?(@ == b)]",
            ".\"a",
            ".a b",
        ] {
            assert_eq!(RolePath::parse(bad), None, "{bad}");
        }
        assert_eq!(RolePath::parse(&".a".repeat(STEPS_MAX + 1)), None);
    }
}

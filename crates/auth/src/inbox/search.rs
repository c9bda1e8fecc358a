//! Mailpit's search: words, `"several words"`, `from:`, `to:`, `subject:`,
//! `id:`, `message-id:`, `is:read`, `is:unread`, and `-` or `!` before what must
//! not be.

/// The longest query, in terms.
const TERMS_MAX: usize = 20;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) not: bool,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Anywhere(String),
    From(String),
    To(String),
    Subject(String),
    Id(String),
    Read,
}

pub(super) fn parse(query: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() && terms.len() < TERMS_MAX {
        let (not, text) = match rest.strip_prefix(['-', '!']) {
            Some(text) if !text.is_empty() => (true, text),
            _ => (false, rest),
        };
        let (name, text) = name(text);
        let (value, behind) = value(text);
        rest = behind.trim_start();
        let what = match name {
            Some("from") => What::From(value),
            Some("to" | "addressed") => What::To(value),
            Some("subject") => What::Subject(value),
            Some("id") => What::Id(value),
            // The part before the @ is the id.
            Some("message-id") => What::Id(value.split('@').next().unwrap_or_default().to_owned()),
            Some("is") => {
                let unread = value.eq_ignore_ascii_case("unread");
                terms.push(Term {
                    not: not != unread,
                    what: What::Read,
                });
                continue;
            }
            _ => What::Anywhere(value),
        };
        terms.push(Term { not, what });
    }
    terms
}

fn name(text: &str) -> (Option<&str>, &str) {
    const NAMES: [&str; 7] = [
        "from",
        "to",
        "addressed",
        "subject",
        "id",
        "message-id",
        "is",
    ];
    let found = text
        .split_once(':')
        .filter(|(name, _)| NAMES.contains(name));
    found.map_or((None, text), |(name, rest)| (Some(name), rest))
}

fn value(text: &str) -> (String, &str) {
    if let Some((inside, rest)) = text.strip_prefix('"').and_then(|t| t.split_once('"')) {
        return (inside.to_owned(), rest);
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word.to_owned(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_as_mailpit_reads_them() {
        let term = |not, what| Term { not, what };
        let text = |t: &str| t.to_owned();
        assert_eq!(
            parse(
                r#" to:a@x.test subject:"reset it" -hello "two words" is:unread !from:b http://x "#
            ),
            [
                term(false, What::To(text("a@x.test"))),
                term(false, What::Subject(text("reset it"))),
                term(true, What::Anywhere(text("hello"))),
                term(false, What::Anywhere(text("two words"))),
                term(true, What::Read),
                term(true, What::From(text("b"))),
                term(false, What::Anywhere(text("http://x"))),
            ]
        );
        assert_eq!(
            parse("message-id:ab@x"),
            [term(false, What::Id(text("ab")))]
        );
        assert_eq!(parse(&"x ".repeat(1000)).len(), TERMS_MAX);
        assert_eq!(parse(""), []);
    }
}

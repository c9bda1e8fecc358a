//! What kind of statement it is, as far as running it inside our transaction
//! depends on that. Pure; looks at the first words only.

/// How a statement of a migration is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the file's transaction.
    Plain,
    /// Nothing but comments: recorded, not run.
    Comment,
    /// Postgres refuses it inside a transaction, so it runs between two.
    Alone,
    /// `BEGIN` or `COMMIT` around a file that has a transaction anyway.
    Bracket,
    /// `ROLLBACK` of the whole transaction: a migration that undoes itself.
    Rollback,
    /// Data would have to follow in the file.
    CopyFromStdin,
    /// An extension, which the server may lack.
    Extension {
        /// Its name.
        name: String,
        /// The schema asked for.
        schema: Option<String>,
    },
}

/// More words than any of the shapes below needs.
const WORDS_MAX: usize = 64;

/// Looks at a statement's words.
pub(super) fn classify(text: &str) -> Kind {
    let words = words(text);
    let lower: Vec<String> = words.iter().map(|w| w.to_ascii_lowercase()).collect();
    let shape: Vec<&str> = lower.iter().map(String::as_str).collect();
    match shape.as_slice() {
        [] => Kind::Comment,
        ["create", "extension", ..] => extension(&words),
        [
            "vacuum" | "reindex" | "cluster" | "alter" | "create" | "drop",
            ..,
        ] => {
            if runs_alone(&shape) {
                Kind::Alone
            } else {
                Kind::Plain
            }
        }
        ["begin" | "commit" | "end", rest @ ..] | ["start", "transaction", rest @ ..]
            if rest.first().is_none_or(|w| BRACKET_WORDS.contains(w)) =>
        {
            Kind::Bracket
        }
        ["rollback" | "abort", rest @ ..] if !rest.contains(&"to") => Kind::Rollback,
        ["copy", rest @ ..] if rest.windows(2).any(|w| w == ["from", "stdin"]) => {
            Kind::CopyFromStdin
        }
        _ => Kind::Plain,
    }
}

/// What may follow BEGIN or COMMIT. `COMMIT PREPARED` is something else.
const BRACKET_WORDS: [&str; 7] = [
    "transaction",
    "work",
    "isolation",
    "read",
    "not",
    "deferrable",
    "and",
];

/// Whether Postgres refuses a statement inside a transaction.
fn runs_alone(shape: &[&str]) -> bool {
    if let ["reindex", rest @ ..] = shape {
        return rest.iter().take(8).any(|w| *w == "concurrently");
    }
    matches!(
        shape,
        ["vacuum", ..]
            | ["cluster"]
            | ["alter", "system", ..]
            | ["create" | "drop", "index", "concurrently", ..]
            | ["create", "unique", "index", "concurrently", ..]
            | ["create" | "drop", "database" | "tablespace", ..]
            | ["create" | "drop" | "alter", "subscription", ..]
    )
}

/// `CREATE EXTENSION [IF NOT EXISTS] name [WITH] [SCHEMA s] …`
fn extension(words: &[String]) -> Kind {
    let mut rest = words.iter().skip(2).peekable();
    if rest.peek().is_some_and(|w| w.eq_ignore_ascii_case("if")) {
        rest.nth(2);
    }
    let Some(name) = rest.next() else {
        return Kind::Plain;
    };
    let schema = rest
        .skip_while(|w| !w.eq_ignore_ascii_case("schema"))
        .nth(1)
        .map(|w| unquote(w));
    Kind::Extension {
        name: unquote(name),
        schema,
    }
}

/// A name as Postgres stores it.
fn unquote(word: &str) -> String {
    word.strip_prefix('"')
        .and_then(|w| w.strip_suffix('"'))
        .map_or_else(
            || word.to_ascii_lowercase(),
            |inner| inner.replace("\"\"", "\""),
        )
}

/// The words and quoted names, comments and everything else left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if words.len() >= WORDS_MAX {
            break;
        }
        let length = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_length(rest)
        } else if first == '"' {
            let end = rest
                .get(1..)
                .and_then(|r| r.find('"'))
                .map_or(rest.len(), |i| i + 2);
            words.push(rest.get(..end).unwrap_or_default().to_owned());
            end
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            words.push(rest.get(..end).unwrap_or_default().to_owned());
            end
        } else {
            if !first.is_whitespace() && words.is_empty() {
                // Not empty, and nothing we know.
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    words
}

fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| !r.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth.saturating_sub(1), at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_words() {
        let cases = [
            ("-- c\n/* d /* e */ */", Kind::Comment),
            (
                "CREATE /* x */ UNIQUE INDEX CONCURRENTLY i ON t (a)",
                Kind::Alone,
            ),
            ("create index i on t (a)", Kind::Plain),
            ("-- why\ndrop index concurrently i", Kind::Alone),
            ("reindex (verbose) table concurrently t", Kind::Alone),
            ("vacuum", Kind::Alone),
            ("BEGIN", Kind::Bracket),
            (
                "start transaction isolation level serializable",
                Kind::Bracket,
            ),
            ("end", Kind::Bracket),
            ("rollback", Kind::Rollback),
            ("rollback to savepoint a", Kind::Plain),
            ("copy t (a, b) from stdin with csv", Kind::CopyFromStdin),
            ("copy t from '/x'", Kind::Plain),
            ("(select 1)", Kind::Plain),
        ];
        for (text, kind) in cases {
            assert_eq!(classify(text), kind, "{text}");
        }
    }

    #[test]
    fn extensions_are_read() {
        let read = |name: &str, schema: Option<&str>| Kind::Extension {
            name: name.to_owned(),
            schema: schema.map(str::to_owned),
        };
        assert_eq!(
            classify("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA \"extensions\""),
            read("uuid-ossp", Some("extensions"))
        );
        assert_eq!(classify("create extension Vector"), read("vector", None));
        assert_eq!(
            classify("create extension a schema B version '1'"),
            read("a", Some("b"))
        );
    }
}

//! Query strings made of the dialect's own pieces, thousands of them. Nothing
//! that a client writes is the server's fault, so no answer may be a 500.

use super::*;
use crate::wire::{Dice, Line};

const REQUESTS: usize = 4_000;
/// Rows are brought back after so many.
const RESTOCK: usize = 100;
/// For a run with other choices.
const SEED: &str = "FERROBASE_FUZZ_SEED";

/// How many of the words are columns of both tables, or nearly.
const KNOWN: usize = 7;
/// How many of the values fit most columns.
const USUAL: usize = 9;
const WORDS: &[&str] = &[
    "id", "name", "id", "tags", "data", "at", "parent", "items", "parts", "size", "nobody",
    "count", "avg", "*", "", "a b", "\"id\"", "é", "日本", "select",
];
const OPERATORS: &[&str] = &[
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "in",
    "is",
    "isdistinct",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
    "not.eq",
    "not.in",
    "not.is",
    "eq(any)",
    "like(all)",
    "fts(english)",
    "fts(nobody)",
    "nonsense",
    "not",
];
const VALUES: &[&str] = &[
    "1",
    "-1",
    "0",
    "null",
    "true",
    "unknown",
    "(1,2)",
    "(\"a\",b)",
    "()",
    "{a,b}",
    "{}",
    "[1,2)",
    "{\"a\":1}",
    "*x*",
    "%25",
    "a.b",
    "2020-01-01",
    "99999999999999999999",
    "1e400",
    "NaN",
    "infinity",
    "",
    "(",
    ")",
    "\\",
    "\"",
    "'",
    "';--",
    "%00",
    "%ff",
    "$1",
    "not_null",
    "[",
    "a&b",
    "(select 1)",
];
const CASTS: &[&str] = &[
    "text", "int", "json", "nonsense", "numeric", "text[]", "date", "regclass", "xml",
];

struct Grammar {
    dice: Dice,
}

impl Grammar {
    /// Mostly what exists, or little would ever reach the database.
    fn word(&mut self) -> &'static str {
        let known = if self.often(9) { KNOWN } else { WORDS.len() };
        self.dice.pick(&WORDS[..known])
    }

    fn value(&mut self) -> &'static str {
        let usual = if self.often(7) { USUAL } else { VALUES.len() };
        self.dice.pick(&VALUES[..usual])
    }

    fn often(&mut self, of_ten: usize) -> bool {
        self.dice.below(10) < of_ten
    }

    fn field(&mut self) -> String {
        let mut field = self.word().to_owned();
        while self.often(1) {
            let arrow = self.dice.pick(&["->", "->>", "->"]);
            let key = self.dice.pick(&["a", "b", "0", "-1", "", "a-b"]);
            field = format!("{field}{arrow}{key}");
        }
        field
    }

    fn select(&mut self, depth: usize) -> String {
        let items: Vec<_> = (0..=self.dice.below(3)).map(|_| self.item(depth)).collect();
        items.join(",")
    }

    fn item(&mut self, depth: usize) -> String {
        let alias = if self.often(2) {
            format!("{}:", self.word())
        } else {
            String::new()
        };
        if depth > 0 && self.often(4) {
            let spread = if self.often(2) { "..." } else { "" };
            let hint = self.dice.pick(&[
                "",
                "",
                "!inner",
                "!left",
                "!item",
                "!parent",
                "!nobody",
                "!items_parent_fkey",
            ]);
            let word = self
                .dice
                .pick(&["parts", "items", "parent", "item", "nobody"]);
            let inner = self.select(depth - 1);
            return format!("{spread}{alias}{word}{hint}({inner})");
        }
        let cast = if self.often(2) {
            format!("::{}", self.dice.pick(CASTS))
        } else {
            String::new()
        };
        let sum = if self.often(1) { ".sum()" } else { "" };
        format!("{alias}{}{cast}{sum}", self.field())
    }

    fn condition(&mut self) -> String {
        if self.often(4) {
            return self
                .dice
                .pick(&["eq.1", "gt.0", "in.(1,2)", "is.null", "not.eq.3"])
                .to_owned();
        }
        let (operator, value) = (self.dice.pick(OPERATORS), self.value());
        format!("{operator}.{value}")
    }

    fn tree(&mut self, depth: usize) -> String {
        let terms: Vec<_> = (0..=self.dice.below(2))
            .map(|_| {
                if depth > 0 && self.often(3) {
                    let word = self.dice.pick(&["and", "or", "not.and", "not.or", "xor"]);
                    format!("{word}{}", self.tree(depth - 1))
                } else {
                    format!("{}.{}", self.field(), self.condition())
                }
            })
            .collect();
        format!("({})", terms.join(","))
    }

    fn parameter(&mut self) -> String {
        let path = if self.often(2) {
            format!("{}.", self.word())
        } else {
            String::new()
        };
        match self.dice.below(8) {
            0 | 1 => format!("select={}", self.select(3)),
            2 => {
                let way = self.dice.pick(&[
                    "",
                    ".asc",
                    ".desc",
                    ".nullsfirst",
                    ".desc.nullslast",
                    ".nonsense",
                ]);
                format!("{path}order={}{way},{}", self.field(), self.word())
            }
            3 => format!(
                "{path}{}={}",
                self.dice.pick(&["limit", "offset"]),
                self.value()
            ),
            4 => format!(
                "{path}{}={}",
                self.dice.pick(&["and", "or", "not.and", "not.or"]),
                self.tree(3)
            ),
            5 => format!(
                "{}={},{}",
                self.dice.pick(&["columns", "on_conflict"]),
                self.word(),
                self.word()
            ),
            _ => format!("{path}{}={}", self.field(), self.condition()),
        }
    }

    fn path(&mut self) -> String {
        let place = self.dice.pick(&[
            "items", "items", "items", "items", "items", "parts", "rpc/add", "rpc/echo", "nobody",
        ]);
        let query: Vec<_> = (0..=self.dice.below(3)).map(|_| self.parameter()).collect();
        let query = mutated(&mut self.dice, &query.join("&"));
        format!("/rest/v1/{place}?{}", encoded(&query))
    }
}

/// As a client must write it; what the grammar encoded itself stays.
fn encoded(query: &str) -> String {
    let mut text = String::new();
    for byte in query.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// One character more, less or elsewhere, sometimes.
fn mutated(dice: &mut Dice, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if dice.below(8) == 0 && !characters.is_empty() {
        let at = dice.below(characters.len());
        match dice.below(3) {
            0 => drop(characters.remove(at)),
            1 => characters.insert(
                at,
                ['(', ')', ',', '.', ':', '&', '=', '!', '%'][dice.below(9)],
            ),
            _ => {
                let other = dice.below(characters.len());
                characters.swap(at, other);
            }
        }
    }
    characters.into_iter().collect()
}

#[test]
fn no_query_string_is_the_servers_fault() {
    let target = Target::start();
    let seed = std::env::var_os(SEED).and_then(|seed| seed.to_str()?.parse().ok());
    let seed = seed.unwrap_or(7);
    eprintln!("seed {seed}");
    let mut grammar = Grammar {
        dice: Dice::new(seed),
    };
    let mut line = Line::open(target.address()).unwrap();
    let mut faults = String::new();
    let mut counts = std::collections::BTreeMap::<u16, usize>::new();
    for number in 0..REQUESTS {
        if number % RESTOCK == 0 {
            restock(&target);
        }
        let path = grammar.path();
        let prefer = grammar.dice.pick(&[
            "",
            "count=exact",
            "count=planned",
            "return=representation",
            "missing=default",
            "handling=strict, tx=rollback",
            "resolution=merge-duplicates",
        ]);
        let accept = grammar.dice.pick(&[
            "*/*",
            "*/*",
            "text/csv",
            "application/vnd.pgrst.object+json",
            "application/geo+json",
            "text/xml",
        ]);
        let (method, body) = [
            ("GET", ""),
            ("GET", ""),
            ("HEAD", ""),
            ("GET", ""),
            ("POST", r#"{"id": 1}"#),
            ("PATCH", r#"{"name": "x"}"#),
            ("DELETE", ""),
            ("PUT", r#"{"id": 3}"#),
        ][grammar.dice.below(8)];
        let headers = [JSON, ("prefer", prefer), ("accept", accept)];
        let answer = line.ask(method, &path, &headers, body.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        *counts.entry(answer.status).or_default() += 1;
        if answer.status >= 500 {
            let _ = writeln!(
                faults,
                "{method} {path} ({prefer}; {accept}): {} {}",
                answer.status, answer.body
            );
        } else if answer.status >= 400 {
            target.check(&format!("{method} {path}"), &answer, &[answer.status]);
        }
        if answer.head.contains("connection: close") {
            line = Line::open(target.address()).unwrap();
        }
    }
    eprintln!("{counts:?}");
    assert_eq!(faults, "", "seed {seed}");
    restock(&target);
    target.finish();
}

/// The fuzz deletes what would be in the answers.
fn restock(target: &Target) {
    let rows: Vec<_> = (1..=20)
        .map(|id| json!({"id": id, "name": "x", "data": {"a": {"b": [1]}}, "tags": ["a"], "parent": 1}))
        .collect();
    let body = Value::from(rows).to_string();
    let headers = [JSON, ("prefer", "resolution=merge-duplicates")];
    let answer = request(
        target.address(),
        "POST",
        "/rest/v1/items",
        &headers,
        body.as_bytes(),
    )
    .unwrap();
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
}

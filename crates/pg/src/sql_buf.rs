//! The only way to build SQL at run time.
//!
//! Text enters in three ways, and none of them lets a value become syntax:
//! [`SqlBuf::lit`] takes what the programmer wrote (`&'static str`),
//! [`SqlBuf::ident`] quotes a name, [`SqlBuf::param`] sends a value beside the
//! text. Passing a `String` to `lit` does not compile.

/// A value sent beside the statement, in Postgres' text format.
pub type Param = Option<String>;

/// A statement in the making, with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlBuf {
    text: String,
    params: Vec<Param>,
}

impl SqlBuf {
    /// An empty statement, with room for one of usual length.
    #[must_use]
    pub fn new() -> Self {
        Self {
            text: String::with_capacity(512),
            params: Vec::with_capacity(8),
        }
    }

    /// A fixed statement, to be followed by [`SqlBuf::bind`] for its `$n`.
    #[must_use]
    pub fn fixed(sql: &'static str) -> Self {
        Self {
            text: sql.to_owned(),
            params: Vec::new(),
        }
    }

    /// Adds text that stands in our source code.
    pub fn lit(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a name, always quoted.
    pub fn ident(&mut self, name: &str) -> &mut Self {
        push_quoted(&mut self.text, name, b'"');
        self
    }

    /// Adds `"schema"."name"`.
    pub fn qualified(&mut self, schema: &str, name: &str) -> &mut Self {
        if !schema.is_empty() {
            self.ident(schema).lit(".");
        }
        self.ident(name)
    }

    /// Adds a string constant. For places where the grammar takes no
    /// parameter or where the type of one could not be inferred; values of
    /// callers belong in [`SqlBuf::param`].
    pub fn text_literal(&mut self, value: &str) -> &mut Self {
        if value.contains('\\') {
            // E'' so that the meaning does not depend on the server's settings.
            self.text.push_str(" E");
            push_quoted(&mut self.text, &value.replace('\\', "\\\\"), b'\'');
        } else {
            push_quoted(&mut self.text, value, b'\'');
        }
        self
    }

    /// Adds a whole number.
    pub fn number(&mut self, value: i64) -> &mut Self {
        use std::fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{value}");
        self
    }

    /// Adds a type's name that the catalog or the caller gave, once it has
    /// been seen to be nothing but a type's name.
    pub fn type_name(&mut self, name: &TypeName) -> &mut Self {
        self.text.push_str(&name.0);
        self
    }

    /// Adds an expression that the database itself printed (`pg_get_expr`),
    /// such as a column's default. Never for text of a caller.
    pub fn catalog_expression(&mut self, expression: &str) -> &mut Self {
        self.text.push_str(expression);
        self
    }

    /// Adds `$n` and keeps its value.
    pub fn param(&mut self, value: impl Into<Param>) -> &mut Self {
        self.params.push(value.into());
        self.text.push('$');
        let n = i64::try_from(self.params.len()).unwrap_or(i64::MAX);
        self.number(n)
    }

    /// Keeps a value for the next `$n` of a fixed statement.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Param>) -> Self {
        self.params.push(value.into());
        self
    }

    /// Adds another statement's text and parameters. Its `$n` are renumbered
    /// because they are pushed again, so it must have been built by `param`.
    pub fn append(&mut self, other: Self) -> &mut Self {
        if self.params.is_empty() {
            self.text.push_str(&other.text);
            self.params = other.params;
            return self;
        }
        debug_assert!(other.params.is_empty(), "parameters would be renumbered");
        self.text.push_str(&other.text);
        self.params.extend(other.params);
        self
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The statement's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The values, `$1` first.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Text and values.
    #[must_use]
    pub fn into_parts(self) -> (String, Vec<Param>) {
        (self.text, self.params)
    }
}

/// Quotes by doubling. A null byte cannot travel in the protocol's strings and
/// is dropped; Postgres could not have stored a name with one either.
fn push_quoted(out: &mut String, text: &str, quote: u8) {
    let mark = char::from(quote);
    out.push(mark);
    if text.bytes().all(|byte| byte != quote && byte != 0) {
        // Hardly any name needs a second look.
        out.push_str(text);
    } else {
        for c in text.chars().filter(|c| *c != '\0') {
            if c == mark {
                out.push(mark);
            }
            out.push(c);
        }
    }
    out.push(mark);
}

/// The name of a type, checked to be one: words, quoted names, dots, a
/// modifier in parentheses and array brackets; nothing that could end the
/// cast it stands in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName(String);

/// What a character of a type's name follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A word, which may go on with a dollar sign.
    Word,
    /// Digits, or letters that follow them at once.
    Number,
    /// Neither.
    Other,
}

impl TypeName {
    /// Checks a name such as `text`, `character varying(20)`, `"My Enum"[]`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut in_quotes = false;
        let mut depth = 0_u8;
        let mut before = Before::Other;
        for c in name.chars() {
            // A dollar sign belongs to a word; before one it would begin a
            // parameter or, worse, a string in which quotes mean nothing.
            if c == '$' && !in_quotes && before != Before::Word {
                return None;
            }
            before = match (before, c) {
                _ if in_quotes => Before::Other,
                (Before::Word, '$') => Before::Word,
                (Before::Other, c) if c.is_ascii_digit() => Before::Number,
                (Before::Other, c) if c.is_alphanumeric() || c == '_' => Before::Word,
                (_, c) if c.is_alphanumeric() || c == '_' => before,
                _ => Before::Other,
            };
            if in_quotes {
                in_quotes = c != '"';
                if c == '\0' {
                    return None;
                }
                continue;
            }
            match c {
                '"' => in_quotes = true,
                '(' if depth == 0 => depth = 1,
                ')' if depth == 1 => depth = 0,
                '(' | ')' => return None,
                ',' if depth == 0 => return None,
                c if c.is_alphanumeric() || "_. $[],".contains(c) => {}
                _ => return None,
            }
        }
        let ok = !in_quotes && depth == 0 && !name.trim().is_empty();
        ok.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_values_stay_beside_the_text() {
        let mut sql = SqlBuf::new();
        sql.lit("SELECT * FROM ")
            .qualified("public", "we\"ird")
            .lit(" WHERE ")
            .ident("a\0b")
            .lit(" = ")
            .param("1; DROP TABLE x".to_owned());
        assert_eq!(
            sql.text(),
            r#"SELECT * FROM "public"."we""ird" WHERE "ab" = $1"#
        );
        assert_eq!(sql.params(), [Some("1; DROP TABLE x".to_owned())]);
    }

    #[test]
    fn literals_keep_quotes_and_backslashes() {
        let mut sql = SqlBuf::new();
        sql.text_literal("it's").lit(",").text_literal(r"a\'b");
        assert_eq!(sql.text(), r"'it''s', E'a\\''b'");
    }

    #[test]
    fn only_types_are_type_names() {
        for good in [
            "text",
            "character varying(20)",
            "numeric(10,2)[]",
            r#"test."my type; drop""#,
            "timestamp with time zone",
            "my$type1$",
        ] {
            assert!(TypeName::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            " ",
            "text) OR (1=1",
            "text; drop table x",
            "text--",
            "text/*",
            "a'b",
            "\"open",
            "int, 1",
            "$1",
            "text $$",
            "1$1",
            "4x$y",
            "\"a\"$$",
        ] {
            assert!(TypeName::parse(bad).is_none(), "{bad}");
        }
    }
}
